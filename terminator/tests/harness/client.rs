//! A rustls client that stays under the test's control in the middle of a connection.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::{BOUND, CertFiles};

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts exactly `certificate`.
pub(crate) fn config(certificate: &CertFiles) -> Arc<ClientConfig> {
    with_versions(certificate, rustls::ALL_VERSIONS)
}

/// The same, for a client that offers these versions only.
pub(crate) fn with_versions(
    certificate: &CertFiles,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(certificate.cert()).expect("a certificate");
    roots.add(trusted).expect("a usable certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Arc::new(
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("rustls's own versions")
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

/// The same, for a client that sends early data when it can.
pub(crate) fn config_with_early_data(certificate: &CertFiles) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&config(certificate));
    config.enable_early_data = true;
    Arc::new(config)
}

/// Connects and finishes the handshake.
pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let connection = connection(config);
    handshake(address, connection)
}

/// Sends `text` before the handshake has ended; also says whether the server took it.
pub(crate) fn connect_with_early_data(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    text: &[u8],
) -> io::Result<(Stream, bool)> {
    let mut connection = connection(config);
    connection.early_data().expect("a session that allows early data").write_all(text)?;
    let stream = handshake(address, connection)?;
    let accepted = stream.conn.is_early_data_accepted();
    Ok((stream, accepted))
}

fn connection(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a client configuration")
}

fn handshake(address: SocketAddr, connection: ClientConnection) -> io::Result<Stream> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(BOUND))?;
    tcp.set_write_timeout(Some(BOUND))?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}
