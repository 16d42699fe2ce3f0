//! Connections on OpenSSL: one context for all, with the cache's three callbacks on it.
//!
//! OpenSSL has the session of a connection removed that is freed without a shutdown, or that breaks
//! with an alert (RFC 5246, 7.2); rustls keeps it. So every connection is shut down, also one that
//! could not be served. One that its client just ends looks like a clean end to the openssl crate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use halfshake::openssl::{Options, attach, take_early_data};
use halfshake::session::SessionCache;
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    self, ErrorCode, NameType, Ssl, SslAcceptor, SslContext, SslMethod, SslOptions, SslRef,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::handshake::{Accepted, Begun, Failed, Failure, Kind, TlsStream, Version};
use super::{EndpointSettings, Presented, fingerprint};
use crate::certs::Identity;
use crate::cli::TlsVersion;
use crate::setup_error::SetupError;

/// As much as a record may hold.
const RECORD: usize = 16 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct OpenSsl {
    context: SslContext,
    takes_early_data: bool,
}

impl OpenSsl {
    pub(super) fn new(
        settings: &EndpointSettings,
        presented: Presented,
        cache: &SessionCache<()>,
    ) -> Result<Self, SetupError> {
        let Presented { identity, client_ca, namespace } = presented;
        let tls = |error: ErrorStack| SetupError::Tls { reason: error.to_string() };
        let mut context =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).map_err(tls)?;
        // rustls knows no renegotiation either.
        context.set_options(SslOptions::NO_RENEGOTIATION);
        context.set_min_proto_version(Some(version(settings.oldest))).map_err(tls)?;
        context.set_max_proto_version(Some(version(settings.newest))).map_err(tls)?;
        present(&mut context, settings, &identity)?;
        if let Some(authorities) = client_ca {
            require_client(&mut context, &authorities)
                .map_err(|error| settings.unusable_client_ca(&error))?;
        }
        take_early_data(&mut context, settings.early_data).map_err(tls)?;
        attach(&mut context, cache, Options::new(&namespace))
            .map_err(|error| SetupError::Tls { reason: error.to_string() })?;
        let context = context.build().into_context();
        Ok(Self { context, takes_early_data: settings.early_data > 0 })
    }

    pub(super) async fn accept(&self, tcp: TcpStream) -> Result<Accepted, Failed> {
        let stream = Ssl::new(&self.context).and_then(|ssl| SslStream::new(ssl, tcp));
        let mut stream = stream.map_err(|error| failed(error.into()))?;
        let mut early_data = Vec::new();
        if self.takes_early_data {
            early_data = read_early_data(&mut stream).await.map_err(failed)?;
        }
        Pin::new(&mut stream).accept().await.map_err(failed)?;
        look_again(stream.ssl())?;
        let begun = begun(stream.ssl(), early_data);
        Ok(Accepted { stream: Box::new(Stream { inner: stream, has_said_goodbye: false }), begun })
    }
}

fn version(version: TlsVersion) -> SslVersion {
    match version {
        TlsVersion::Tls12 => SslVersion::TLS1_2,
        TlsVersion::Tls13 => SslVersion::TLS1_3,
    }
}

fn present(
    context: &mut ssl::SslContextBuilder,
    settings: &EndpointSettings,
    identity: &Identity,
) -> Result<(), SetupError> {
    let source = &settings.certificate;
    let unusable = |error: ErrorStack| source.unusable(&error.to_string());
    let (leaf, issuers) = identity.chain.split_first().expect("a chain that was read is not empty");
    let leaf = X509::from_der(leaf).map_err(unusable)?;
    let key = PKey::private_key_from_der(identity.key.secret_der()).map_err(unusable)?;
    if !leaf.public_key().map_err(unusable)?.public_eq(&key) {
        return Err(source.mismatch());
    }
    context.set_certificate(&leaf).map_err(unusable)?;
    context.set_private_key(&key).map_err(unusable)?;
    for issuer in issuers {
        let issuer = X509::from_der(issuer).map_err(unusable)?;
        context.add_extra_chain_cert(issuer).map_err(unusable)?;
    }
    Ok(())
}

fn require_client(
    context: &mut ssl::SslContextBuilder,
    authorities: &[CertificateDer<'_>],
) -> Result<(), ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    // As with rustls, an authority that is given is trusted, whoever has signed it.
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    for authority in authorities {
        let authority = X509::from_der(authority)?;
        context.add_client_ca(&authority)?;
        store.add_cert(authority)?;
    }
    context.set_verify_cert_store(store.build())?;
    context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(())
}

/// All of it: none is passed on before the handshake has finished, which a replay can't do.
/// OpenSSL lets through no more than was agreed.
async fn read_early_data(stream: &mut SslStream<TcpStream>) -> Result<Vec<u8>, ssl::Error> {
    let mut early_data = Vec::new();
    loop {
        let begin = early_data.len();
        early_data.resize(begin + RECORD, 0);
        let read = Pin::new(&mut *stream).read_early_data(&mut early_data[begin..]).await?;
        early_data.truncate(begin + read);
        if read == 0 {
            return Ok(early_data);
        }
    }
}

/// A session was made with a certificate that was good then. Of the chain OpenSSL keeps this one.
fn look_again(ssl: &SslRef) -> Result<(), Failed> {
    let Some(leaf) = ssl.peer_certificate().filter(|_| ssl.session_reused()) else { return Ok(()) };
    let now = Asn1Time::days_from_now(0).map_err(|error| failed(error.into()))?;
    if leaf.not_after() < now {
        let error =
            io::Error::other("the client's certificate has expired since its session began");
        return Err(Failed { failure: Failure::Tls, error });
    }
    Ok(())
}

fn begun(ssl: &SslRef, early_data: Vec<u8>) -> Begun {
    Begun {
        version: match ssl.version2() {
            Some(SslVersion::TLS1_3) => Version::Tls13,
            _ => Version::Tls12,
        },
        kind: if ssl.session_reused() { Kind::Resumed } else { Kind::Full },
        cipher: ssl
            .current_cipher()
            .and_then(|cipher| cipher.standard_name())
            .unwrap_or("unknown")
            .into(),
        server_name: ssl.servername(NameType::HOST_NAME).map(str::to_owned),
        client: ssl
            .peer_certificate()
            .and_then(|leaf| leaf.to_der().ok())
            .map(|leaf| fingerprint(&leaf)),
        early_data,
    }
}

fn failed(error: ssl::Error) -> Failed {
    let failure = if error.code() == ErrorCode::SSL { Failure::Tls } else { Failure::Io };
    Failed { failure, error: error.into_io_error().unwrap_or_else(io::Error::other) }
}

/// A stream whose second shutdown does nothing, as with rustls. OpenSSL's waits for the peer's
/// close_notify, or fails at what comes instead of it.
#[derive(Debug)]
struct Stream {
    inner: SslStream<TcpStream>,
    has_said_goodbye: bool,
}

impl TlsStream for Stream {
    fn tcp(&mut self) -> &mut TcpStream {
        self.inner.get_mut()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_said_goodbye {
            return Poll::Ready(Ok(()));
        }
        let said = Pin::new(&mut self.inner).poll_shutdown(context);
        self.has_said_goodbye = matches!(said, Poll::Ready(Ok(())));
        said
    }
}
