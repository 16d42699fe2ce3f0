//! What one listener presents to its clients: the TLS configuration and the namespace of its
//! sessions. A reload replaces the endpoint; the cache is not part of it, so sessions survive.

use std::sync::Arc;

use halfshake::rustls::Namespace;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring as ring_provider};

use crate::certs::CertSource;
use crate::cli::TlsVersion;
use crate::setup_error::SetupError;

/// The choices that an endpoint is made from.
#[derive(Debug, Clone)]
pub(crate) struct EndpointSettings {
    pub(crate) certificate: CertSource,
    pub(crate) oldest: TlsVersion,
    pub(crate) newest: TlsVersion,
    pub(crate) early_data: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Without a session storage: each connection gets a copy with a scope of its own.
    pub(crate) config: ServerConfig,
    pub(crate) namespace: Namespace,
}

/// The cryptography of every connection of this program, on both sides.
pub(crate) fn crypto() -> Arc<CryptoProvider> {
    Arc::new(ring_provider::default_provider())
}

impl EndpointSettings {
    pub(crate) fn build(&self) -> Result<Endpoint, SetupError> {
        let identity = self.certificate.read()?;
        let names = dns_names(&identity.chain[0]);
        let versions = self.versions()?;
        let mut config = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(&versions)
            .map_err(|error| SetupError::Tls { reason: error.to_string() })?
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .map_err(|error| self.certificate.explain(error))?;
        config.max_early_data_size = self.early_data;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Endpoint { config, namespace: namespace(&names) })
    }

    fn versions(&self) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, SetupError> {
        if self.oldest > self.newest {
            return Err(SetupError::Versions { min: self.oldest.name(), max: self.newest.name() });
        }
        Ok([TlsVersion::Tls13, TlsVersion::Tls12]
            .into_iter()
            .filter(|version| (self.oldest..=self.newest).contains(version))
            .map(TlsVersion::rustls)
            .collect())
    }
}

/// Who may resume a session: the names that the certificate stands for, the client-authentication
/// policy and the protocol class. Not the certificate itself, which a renewal replaces.
fn namespace(names: &[String]) -> Namespace {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let mut add = |part: &[u8]| {
        // The length first, so that no two lists of parts run together into the same bytes.
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    add(b"halfshake namespace 1");
    add(b"client authentication: none");
    add(b"protocol: TLS over TCP");
    for name in names {
        add(name.as_bytes());
    }
    Namespace::new(digest.finish().as_ref()).expect("a namespace may have the 32 bytes of SHA-256")
}

/// The DNS names of a certificate in one order. One that can't be parsed has none here, and
/// is refused by rustls a moment later.
fn dns_names(leaf: &rustls::pki_types::CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(leaf) else { return Vec::new() };
    let mut names: Vec<String> = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    names
}
