//! A rustls server that resumes from a shared cache: `cargo run --example rustls`.
//!
//! Client and server shake hands in memory, twice. The second time the client resumes, although the
//! server's configuration was made anew in between, as it is after a reload of certificates.

use halfshake::rustls::{Namespace, SessionStore, session_store};
use halfshake::session::SessionCache;
use rustls_0_23::client::ClientConnection;
use rustls_0_23::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_0_23::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let cert = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;

    // The cache outlives every configuration.
    let cache =
        SessionCache::builder().capacity(10_000).timeout(Duration::from_secs(7200)).build()?;
    let store = session_store(&cache, &Namespace::new(b"localhost, no client certs")?);

    let client = client_config(&cert)?;
    for reload in 0..2 {
        let server = server_config(&cert, key.clone_key(), &store)?;
        println!("configuration {reload}: {:?} handshake", shake_hands(&client, server)?);
    }
    println!("sessions in the cache: {}", cache.len());
    Ok(())
}

fn server_config(
    cert: &CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    store: &Arc<SessionStore>,
) -> Done<ServerConfig> {
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.clone()], key)?;
    config.session_storage = store.clone();
    Ok(config)
}

fn client_config(cert: &CertificateDer<'static>) -> Done<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone())?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

/// Lets both sides talk until neither has anything to say, tickets included.
fn shake_hands(client: &Arc<ClientConfig>, server: ServerConfig) -> Done<HandshakeKind> {
    let mut client = ClientConnection::new(client.clone(), "localhost".try_into()?)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire)?;
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            server.read_tls(&mut sent)?;
        }
        server.process_new_packets()?;
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire)?;
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            client.read_tls(&mut sent)?;
        }
        client.process_new_packets()?;
    }
    server.handshake_kind().ok_or_else(|| "the handshake did not end".into())
}
