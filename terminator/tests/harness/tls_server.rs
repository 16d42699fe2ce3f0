//! A small TLS server inside the test, over a cache whose clock the test holds: rustls or OpenSSL.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use halfshake::rustls::{Namespace, session_store};
use halfshake::session::SessionCache;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

use super::{BOUND, Backend, CertFiles};
use crate::BACKEND;

/// What a server is started with.
pub(crate) enum Config {
    Rustls(Arc<ServerConfig>),
    #[cfg(feature = "openssl")]
    OpenSsl(::openssl::ssl::SslContext),
}

/// A configuration whose sessions are in `cache`.
pub(crate) fn config(
    files: &CertFiles,
    version: &'static SupportedProtocolVersion,
    cache: &SessionCache<()>,
    namespace: &[u8],
) -> Config {
    let namespace = Namespace::new(namespace).expect("a namespace of a legal length");
    match BACKEND {
        Backend::Rustls => Config::Rustls(rustls_config(files, version, cache, &namespace)),
        #[cfg(feature = "openssl")]
        Backend::OpenSsl => Config::OpenSsl(openssl_config(files, version, cache, &namespace)),
        #[cfg(not(feature = "openssl"))]
        Backend::OpenSsl => unreachable!("tests on OpenSSL need the feature"),
    }
}

fn rustls_config(
    files: &CertFiles,
    version: &'static SupportedProtocolVersion,
    cache: &SessionCache<()>,
    namespace: &Namespace,
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
    config.session_storage = session_store(cache, namespace);
    Arc::new(config)
}

#[cfg(feature = "openssl")]
fn openssl_config(
    files: &CertFiles,
    version: &'static SupportedProtocolVersion,
    cache: &SessionCache<()>,
    namespace: &Namespace,
) -> ::openssl::ssl::SslContext {
    use ::openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVersion};
    use halfshake::openssl::{Options, attach};

    let version = match version.version {
        rustls::ProtocolVersion::TLSv1_3 => SslVersion::TLS1_3,
        _ => SslVersion::TLS1_2,
    };
    let mut context =
        SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("a context");
    context.set_certificate_chain_file(files.cert()).expect("a certificate");
    context.set_private_key_file(files.key(), SslFiletype::PEM).expect("a key");
    context.set_min_proto_version(Some(version)).expect("a version of OpenSSL's own");
    context.set_max_proto_version(Some(version)).expect("a version of OpenSSL's own");
    attach(&mut context, cache, Options::new(namespace)).expect("it is attached");
    context.build().into_context()
}

/// Serves one connection after another for as long as the test runs; each gets the line of the
/// program's page that says whether it was resumed.
pub(crate) fn start(config: Config) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            serve(tcp.expect("a connection"), &config).expect("a client that speaks TLS");
        }
    });
    address
}

fn serve(tcp: TcpStream, config: &Config) -> io::Result<()> {
    tcp.set_read_timeout(Some(BOUND))?;
    match config {
        Config::Rustls(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            let mut stream = read_request(StreamOwned::new(connection, tcp))?;
            let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
            answer(&mut stream, resumed)?;
            stream.conn.send_close_notify();
            stream.flush()
        }
        #[cfg(feature = "openssl")]
        Config::OpenSsl(context) => {
            let ssl = ::openssl::ssl::Ssl::new(context)?;
            let stream = ssl.accept(tcp).map_err(io::Error::other)?;
            let mut stream = read_request(stream)?;
            let resumed = stream.ssl().session_reused();
            answer(&mut stream, resumed)?;
            stream.shutdown().map_err(io::Error::other).map(drop)
        }
    }
}

fn read_request<S: Read>(stream: S) -> io::Result<S> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(reader.into_inner())
}

fn answer(stream: &mut impl Write, resumed: bool) -> io::Result<()> {
    let page = if resumed { "resumed: yes\n" } else { "resumed: no\n" };
    stream.write_all(page.as_bytes())
}
