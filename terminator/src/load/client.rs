//! One worker's TLS client: a handshake, a request, and a read to the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::memory::{Memory, View};
use super::plan::Plan;
use crate::endpoint::crypto;
use crate::setup_error::SetupError;

/// A server that sends more than this after one small request is not waited for.
const MOST_ANSWER_BYTES: u64 = 1024 * 1024;

/// What became of one connection whose handshake finished.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) resumed: bool,
    pub(super) latency: Duration,
    /// The server ended the connection without a close_notify.
    pub(super) unclean: bool,
}

pub(super) struct Client {
    memory: Arc<Memory>,
    offering: TlsConnector,
    silent: TlsConnector,
    request: Vec<u8>,
}

impl Client {
    pub(super) fn new(plan: &Plan) -> Result<Self, SetupError> {
        let memory = Arc::<Memory>::default();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            plan.server_name.to_str()
        );
        let (offering, silent) = connectors(plan, &memory)?;
        Ok(Self {
            offering,
            silent,
            memory,
            request: if plan.send_request { request.into_bytes() } else { Vec::new() },
        })
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) async fn connect(&self, plan: &Plan, offer: bool) -> io::Result<Connected> {
        let tcp = TcpStream::connect(&plan.addresses[..]).await?;
        tcp.set_nodelay(true)?;
        let connector = if offer { &self.offering } else { &self.silent };
        let begin = Instant::now();
        let mut stream = connector.connect(plan.server_name.clone(), tcp).await?;
        let latency = begin.elapsed();
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        let unclean = self.finish(&mut stream).await?;
        Ok(Connected { resumed, latency, unclean })
    }

    /// Reads to the server's end, since TLS 1.3 tickets come after the handshake. What the server
    /// makes of the request is its own affair; only TLS errors count against the handshake, which
    /// a TLS 1.3 server can still refuse after the client has finished.
    async fn finish(&self, stream: &mut TlsStream<TcpStream>) -> io::Result<bool> {
        let ended: io::Result<u64> = async {
            stream.write_all(&self.request).await?;
            stream.shutdown().await?;
            let mut answer = stream.take(MOST_ANSWER_BYTES);
            tokio::io::copy(&mut answer, &mut tokio::io::sink()).await
        }
        .await;
        match ended {
            Ok(_) => Ok(false),
            Err(error) if is_tls(&error) => Err(error),
            Err(_) => Ok(true),
        }
    }
}

pub(super) fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Two clients over one memory: one offers its sessions, the other only remembers. They are copies
/// of one configuration, because rustls offers a session only under the verifier it came from.
fn connectors(
    plan: &Plan,
    memory: &Arc<Memory>,
) -> Result<(TlsConnector, TlsConnector), SetupError> {
    let provider = crypto();
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[plan.version.rustls()])
        .map_err(|error| SetupError::Tls { reason: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        .with_no_client_auth();
    let with_view = |offers| {
        let mut config = config.clone();
        config.resumption = Resumption::store(Arc::new(View::new(memory, offers)));
        TlsConnector::from(Arc::new(config))
    };
    Ok((with_view(true), with_view(false)))
}

/// Accepts every certificate: a load run measures a server that its user names. Signatures are
/// still checked, as every client does, since they are part of the work.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
