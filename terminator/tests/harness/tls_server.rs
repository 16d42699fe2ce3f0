//! A small rustls server inside the test, over a cache whose clock the test holds.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use halfshake::rustls::{Namespace, session_store};
use halfshake::session::SessionCache;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

use super::{BOUND, CertFiles};

/// A configuration whose sessions are in `cache`.
pub(crate) fn config(
    files: &CertFiles,
    version: &'static SupportedProtocolVersion,
    cache: &SessionCache<()>,
    namespace: &[u8],
) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(files.cert()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(files.key()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version of rustls's own")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a matching pair");
    let namespace = Namespace::new(namespace).expect("a namespace of a legal length");
    config.session_storage = session_store(cache, &namespace);
    Arc::new(config)
}

/// Serves one connection after another for as long as the test runs; each gets the line of the
/// program's page that says whether it was resumed.
pub(crate) fn start(config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            serve(tcp.expect("a connection"), &config).expect("a client that speaks TLS");
        }
    });
    address
}

fn serve(tcp: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    tcp.set_read_timeout(Some(BOUND))?;
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, tcp));
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut stream = reader.into_inner();
    let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
    let page = if resumed { "resumed: yes\n" } else { "resumed: no\n" };
    stream.write_all(page.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}
