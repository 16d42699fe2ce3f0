//! What tests from outside can't do: one cache over a change of policy; a stream by itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::handshake::{Failure, Kind, Version};
use super::{EndpointSettings, crypto};
use crate::certs::CertSource;
use crate::cli::{TlsBackend, TlsVersion};
use crate::serve::counters::Counters;
use crate::serve::server::{Server, Service, Stop};
use crate::sessions::HalfshakeSessions;

const BACKENDS: &[TlsBackend] = &[
    TlsBackend::Rustls,
    #[cfg(feature = "openssl")]
    TlsBackend::OpenSsl,
];

/// A certificate and its key in files; it signs itself, so it is its own authority, too.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a temporary folder"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        std::fs::write(files.cert(), made.cert.pem()).expect("it is written");
        std::fs::write(files.key(), made.signing_key.serialize_pem()).expect("it is written");
        files
    }

    fn cert(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn settings(&self, backend: TlsBackend, client_ca: Option<PathBuf>) -> EndpointSettings {
        EndpointSettings {
            backend,
            certificate: CertSource::Files { cert: self.cert(), key: self.key() },
            client_ca,
            oldest: TlsVersion::Tls12,
            newest: TlsVersion::Tls13,
            early_data: 0,
        }
    }

    /// A client that remembers its sessions, and has no certificate.
    fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let certificates = crate::certs::read_client_ca(&self.cert()).expect("it is there");
        roots.add_parsable_certificates(certificates);
        let config = ClientConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[version])
            .expect("a version of rustls's own")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// A whole connection; `None` if it ends without a page.
async fn visit(address: SocketAddr, client: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    let tcp = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, tcp).await.ok()?;
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await.ok()?;
    stream.get_ref().1.handshake_kind()
}

#[tokio::test]
async fn a_session_without_a_certificate_is_not_resumed_once_one_is_required() {
    for &backend in BACKENDS {
        for (version, number) in
            [(&rustls::version::TLS12, Version::Tls12), (&rustls::version::TLS13, Version::Tls13)]
        {
            let files = Files::new();
            let sessions = HalfshakeSessions::new(100, Duration::from_secs(7200), None);
            let sessions = sessions.expect("a cache");
            let build = |client_ca| {
                files.settings(backend, client_ca).build(&sessions).expect("an endpoint")
            };
            let server = Arc::new(Server::new(build(None), Service::Page, 100));
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(Arc::clone(&server).accept(listener, Stop::default()));

            let client = files.client(version);
            assert_eq!(visit(address, &client).await, Some(HandshakeKind::Full));
            server.replace_endpoint(build(None));
            assert_eq!(visit(address, &client).await, Some(HandshakeKind::Resumed));

            server.replace_endpoint(build(Some(files.cert())));
            let what = format!("{backend:?}, {number:?}");
            assert_eq!(visit(address, &client).await, None, "{what}: refused");
            let counters = server.counters();
            assert_eq!(counters.handshakes_of(number, Kind::Resumed), 1, "{what}");
            assert_eq!(counters.failures_of(Failure::Tls), 1, "{what}");

            server.replace_endpoint(build(None));
            let again = visit(address, &client).await;
            assert_eq!(again, Some(HandshakeKind::Resumed), "{what}: what it offers is still good");
        }
    }
}

#[tokio::test]
async fn a_second_shutdown_does_not_wait_for_the_peer() {
    for &backend in BACKENDS {
        let files = Files::new();
        let sessions = HalfshakeSessions::new(100, Duration::from_secs(7200), None);
        let sessions = sessions.expect("a cache");
        let endpoint = files.settings(backend, None).build(&sessions).expect("an endpoint");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let accept = async {
            let (tcp, _) = listener.accept().await.expect("a client");
            endpoint.accept(tcp, &Counters::default()).await.expect("a handshake")
        };
        let connect = async {
            let tcp = TcpStream::connect(address).await.expect("a connection");
            let name = ServerName::try_from("localhost").expect("a name");
            let client = TlsConnector::from(files.client(&rustls::version::TLS13));
            client.connect(name, tcp).await.expect("a handshake")
        };
        let (mut accepted, _client) = tokio::join!(accept, connect);
        accepted.stream.shutdown().await.expect("a close_notify");
        let again =
            Pin::new(&mut accepted.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(again, Poll::Ready(Ok(()))), "{backend:?}: {again:?}");
    }
}
