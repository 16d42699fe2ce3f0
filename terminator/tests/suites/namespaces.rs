//! Two server configurations over one cache: what they share is up to their namespaces.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use halfshake::session::SessionCache;
use rustls::{ClientConfig, HandshakeKind};

use crate::harness::tls_server::{config, start};
use crate::harness::{CertFiles, client};

/// A whole connection, tickets and close included; both sides must agree.
fn connect(client: &Arc<ClientConfig>, server: SocketAddr) -> HandshakeKind {
    let mut stream = client::connect(server, client).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a request");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a clean close");
    let kind = stream.conn.handshake_kind().expect("a handshake");
    let resumed = if kind == HandshakeKind::Resumed { "yes" } else { "no" };
    assert_eq!(page, format!("resumed: {resumed}\n"));
    kind
}

#[test]
fn configurations_of_different_namespaces_do_not_share_sessions() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let files = CertFiles::new("localhost");
        let cache = SessionCache::builder().capacity(1024).build().expect("a cache");
        let client = client::config(&files);
        let open = start(config(&files, version, &cache, b"no client certificates"));
        let strict = start(config(&files, version, &cache, b"client certificates"));

        assert_eq!(connect(&client, open), HandshakeKind::Full, "{version:?}: the first");
        assert_eq!(connect(&client, open), HandshakeKind::Resumed, "{version:?}: the same");
        assert_eq!(connect(&client, strict), HandshakeKind::Full, "{version:?}: another");
        assert_eq!(connect(&client, strict), HandshakeKind::Resumed, "{version:?}: its own");
    }
}

#[test]
fn configurations_of_one_namespace_share_sessions() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let files = CertFiles::new("localhost");
        let cache = SessionCache::builder().capacity(1024).build().expect("a cache");
        let client = client::config(&files);
        let before = start(config(&files, version, &cache, b"the host"));
        assert_eq!(connect(&client, before), HandshakeKind::Full, "{version:?}");
        let after = start(config(&files, version, &cache, b"the host"));
        assert_eq!(connect(&client, after), HandshakeKind::Resumed, "{version:?}");
    }
}
