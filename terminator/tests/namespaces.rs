//! Two server configurations over one cache: what they share is up to their namespaces.

mod harness;

use std::io::{Read, Write};
use std::sync::Arc;

use halfshake::session::SessionCache;
use harness::tls_server::config as server;
use harness::{CertFiles, client};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

/// A whole connection in memory, tickets and close included.
fn connect(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("a vector takes everything");
        }
        let mut unread = &wire[..];
        while !unread.is_empty() {
            server.read_tls(&mut unread).expect("there is something");
            server.process_new_packets().expect("the client speaks TLS");
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("a vector takes everything");
        }
        let mut unread = &wire[..];
        while !unread.is_empty() {
            client.read_tls(&mut unread).expect("there is something");
            client.process_new_packets().expect("the server speaks TLS");
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking(), "the handshake is over");
    let kind = server.handshake_kind().expect("a handshake");
    assert_eq!(client.handshake_kind(), Some(kind), "both sides agree");
    exchange(&mut client, &mut server);
    kind
}

/// The keys agree as well.
fn exchange(client: &mut ClientConnection, server: &mut ServerConnection) {
    client.writer().write_all(b"hello").expect("buffered");
    let mut wire = Vec::new();
    client.write_tls(&mut wire).expect("a vector takes everything");
    server.read_tls(&mut &wire[..]).expect("there is something");
    server.process_new_packets().expect("the server can read it");
    let mut text = [0; 5];
    server.reader().read_exact(&mut text).expect("it is there");
    assert_eq!(&text, b"hello");
}

#[test]
fn configurations_of_different_namespaces_do_not_share_sessions() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let files = CertFiles::new("localhost");
        let cache = SessionCache::builder().capacity(1024).build().expect("a cache");
        let client = client::config(&files);
        let open = server(&files, version, &cache, b"no client certificates");
        let strict = server(&files, version, &cache, b"client certificates");

        assert_eq!(connect(&client, &open), HandshakeKind::Full, "{version:?}: the first");
        assert_eq!(connect(&client, &open), HandshakeKind::Resumed, "{version:?}: the same");
        assert_eq!(connect(&client, &strict), HandshakeKind::Full, "{version:?}: another");
        assert_eq!(connect(&client, &strict), HandshakeKind::Resumed, "{version:?}: its own");
    }
}

#[test]
fn configurations_of_one_namespace_share_sessions() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let files = CertFiles::new("localhost");
        let cache = SessionCache::builder().capacity(1024).build().expect("a cache");
        let client = client::config(&files);
        let before = server(&files, version, &cache, b"the host");
        assert_eq!(connect(&client, &before), HandshakeKind::Full, "{version:?}");
        drop(before);
        let after = server(&files, version, &cache, b"the host");
        assert_eq!(connect(&client, &after), HandshakeKind::Resumed, "{version:?}");
    }
}
