//! What one listener presents to its clients: the TLS configuration and the namespace of its
//! sessions. A reload replaces the endpoint; the cache is not part of it, so sessions survive.
//!
//! ```text
//! settings ─ read ─ presented ─┬─ with_rustls  ┐
//!                              └─ with_openssl ┴─ accept ─ handshake: what it came to
//! ```

pub(crate) mod handshake;
mod namespace;
#[cfg(test)]
mod tests;
#[cfg(feature = "openssl")]
mod with_openssl;
mod with_rustls;

use std::path::PathBuf;
use std::sync::Arc;

use halfshake::rustls::Namespace;
use rustls::crypto::{CryptoProvider, ring as ring_provider};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;

use self::handshake::{Accepted, Failed};
use self::namespace::{dns_names, namespace};
use crate::certs::{CertSource, Identity, read_client_ca};
use crate::cli::{TlsBackend, TlsVersion};
use crate::serve::counters::Counters;
use crate::sessions::{HalfshakeSessions, Sessions};
use crate::setup_error::SetupError;

/// The choices that an endpoint is made from.
#[derive(Debug, Clone)]
pub(crate) struct EndpointSettings {
    pub(crate) backend: TlsBackend,
    pub(crate) certificate: CertSource,
    /// Whose certificates clients have to show; without it they show none.
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) oldest: TlsVersion,
    pub(crate) newest: TlsVersion,
    pub(crate) early_data: u32,
}

/// What the files of the settings say.
struct Presented {
    identity: Identity,
    client_ca: Option<Vec<CertificateDer<'static>>>,
    namespace: Namespace,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) enum Endpoint {
    Rustls(Box<with_rustls::Rustls>),
    #[cfg(feature = "openssl")]
    OpenSsl(with_openssl::OpenSsl),
}

/// The cryptography of rustls's connections, on both sides.
pub(crate) fn crypto() -> Arc<CryptoProvider> {
    Arc::new(ring_provider::default_provider())
}

impl EndpointSettings {
    /// Over this program's cache.
    pub(crate) fn build(&self, sessions: &HalfshakeSessions) -> Result<Endpoint, SetupError> {
        match self.backend {
            TlsBackend::Rustls => self.build_with_rustls(Arc::new(sessions.clone())),
            #[cfg(feature = "openssl")]
            TlsBackend::OpenSsl => with_openssl::OpenSsl::new(self, self.read()?, sessions.cache())
                .map(Endpoint::OpenSsl),
            #[cfg(not(feature = "openssl"))]
            TlsBackend::OpenSsl => Err(SetupError::NoOpenSsl),
        }
    }

    /// Over any cache that rustls can use.
    pub(crate) fn build_with_rustls(
        &self,
        sessions: Arc<dyn Sessions>,
    ) -> Result<Endpoint, SetupError> {
        with_rustls::Rustls::new(self, self.read()?, sessions).map(Box::new).map(Endpoint::Rustls)
    }

    /// Whether there is something to read again.
    pub(crate) fn reads_files(&self) -> bool {
        matches!(self.certificate, CertSource::Files { .. }) || self.client_ca.is_some()
    }

    /// Everything is read anew each time, for a reload.
    fn read(&self) -> Result<Presented, SetupError> {
        if self.oldest > self.newest {
            return Err(SetupError::Versions { min: self.oldest.name(), max: self.newest.name() });
        }
        let identity = self.certificate.read()?;
        let client_ca = self.client_ca.as_deref().map(read_client_ca).transpose()?;
        let names = dns_names(&identity.chain[0])
            .map_err(|error| self.certificate.unusable(&error.to_string()))?;
        let namespace = namespace(self.backend, &names, client_ca.as_deref());
        Ok(Presented { identity, client_ca, namespace })
    }

    /// The file, where there is one.
    fn unusable_client_ca(&self, reason: &dyn std::fmt::Display) -> SetupError {
        let path = self.client_ca.clone().unwrap_or_default();
        SetupError::UnusableClientCa { path, reason: reason.to_string() }
    }
}

impl Endpoint {
    /// The handshake of one connection.
    pub(crate) async fn accept(
        &self,
        tcp: TcpStream,
        counters: &Counters,
    ) -> Result<Accepted, Failed> {
        match self {
            Self::Rustls(rustls) => rustls.accept(tcp, counters).await,
            #[cfg(feature = "openssl")]
            Self::OpenSsl(openssl) => openssl.accept(tcp).await,
        }
    }
}

/// What the page says of a client.
fn fingerprint(certificate: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}
