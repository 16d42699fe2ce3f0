//! A rustls client that stays under the test's control in the middle of a connection.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{BOUND, CertFiles};

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts exactly `certificate`.
pub(crate) fn config(certificate: &CertFiles) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(certificate.cert()).expect("a certificate");
    roots.add(trusted).expect("a usable certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Arc::new(
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("rustls's own versions")
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

/// Connects and finishes the handshake.
pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(BOUND))?;
    tcp.set_write_timeout(Some(BOUND))?;
    let name = ServerName::try_from("localhost").expect("a name");
    let connection =
        ClientConnection::new(Arc::clone(config), name).expect("a client configuration");
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}
