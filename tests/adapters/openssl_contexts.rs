//! A cache, and several contexts: those that share it, and those that a callback switches to.

use crate::openssl_handshakes::{
    BOTH, Client, End, TLS12, TLS13, bare_server, cache, name, server,
};
use halfshake::openssl::Options;
use halfshake::session::Rejection;
use openssl::ssl::ClientHelloResponse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

fn options() -> Options<()> {
    Options::new(&name("www"))
}

#[test]
fn contexts_of_one_namespace_share_sessions_and_others_do_not() {
    for version in BOTH {
        let cache = cache();
        let one = server(&cache, options());
        let same = server(&cache, options());
        let other = server(&cache, Options::new(&name("mTLS")));
        let client = Client::new(version);
        let first = client.connect(&one, None);
        assert!(!client.connect(&other, Some(&first.sessions[0])).resumed, "of another namespace");
        assert!(client.connect(&same, Some(&first.sessions[0])).resumed, "of another context");
    }
}

#[test]
fn context_that_a_server_name_switches_to_needs_no_cache() {
    for version in BOTH {
        let cache = cache();
        let other = bare_server().build();
        let mut context = bare_server();
        halfshake::openssl::attach(&mut context, &cache, options()).unwrap();
        let switched = Arc::new(AtomicBool::new(false));
        let switches = switched.clone();
        context.set_servername_callback(move |ssl, _| {
            ssl.set_ssl_context(&other).unwrap();
            switches.store(true, SeqCst);
            Ok(())
        });
        let server = context.build();
        let client = Client::new(version);
        let first = client.connect(&server, None);
        assert!(switched.load(SeqCst));
        assert!(client.connect(&server, Some(&first.sessions[0])).resumed, "{version:?}");
    }
}

/// How a server that chooses its context by the ClientHello does: the connection then has the id
/// context of the one that was chosen.
#[test]
fn context_that_a_client_hello_switches_to_has_sessions_of_its_own() {
    for (version, objects) in [(TLS12, 0), (TLS13, 0), (TLS12, 10), (TLS13, 10)] {
        let (cache, others) = (cache(), cache());
        let chosen = [
            server(&cache, options()),
            server(&cache, Options::new(&name("a"))),
            server(&others, Options::new(&name("b"))),
        ];
        let mut context = bare_server();
        halfshake::openssl::attach(&mut context, &cache, options().objects(objects)).unwrap();
        let (choice, chosen) = (Arc::new(AtomicUsize::new(0)), Arc::new(chosen));
        let chooses = choice.clone();
        context.set_client_hello_callback(move |ssl, _| {
            ssl.set_ssl_context(&chosen[chooses.load(SeqCst)])?;
            Ok(ClientHelloResponse::SUCCESS)
        });
        let server = context.build();
        let client = Client::new(version);
        for own in 0..3 {
            choice.store(own, SeqCst);
            let first = client.connect(&server, None);
            choice.store((own + 1) % 3, SeqCst);
            assert!(!client.connect(&server, Some(&first.sessions[0])).resumed, "of another one");
            choice.store(own, SeqCst);
            assert!(client.connect(&server, Some(&first.sessions[0])).resumed, "{own}: its own");
        }
        assert_eq!(cache.stats().rejected_for(Rejection::Namespace), 0);
        // A connection that fails takes along the session that lies under that name.
        choice.store(1, SeqCst);
        cache.flush_all();
        let failed = client.connect_with(&server, None, b"", End::Drops);
        assert_eq!(cache.len() + 1, failed.sessions.len() as u64);
        assert!(!client.connect(&server, failed.sessions.last()).resumed, "its last one");
        assert_eq!(others.stats().engine.inserts, 0, "one cache is asked");
    }
}

/// What its id context is, OpenSSL does not say when a session is looked for.
#[test]
fn sessions_of_a_connection_with_an_id_context_of_its_own_are_not_stored() {
    for version in BOTH {
        let cache = cache();
        let mut context = bare_server();
        halfshake::openssl::attach(&mut context, &cache, options()).unwrap();
        // To a context which is not attached: it has none, and its connections then have none.
        let bare = bare_server().build();
        context.set_client_hello_callback(move |ssl, _| {
            ssl.set_ssl_context(&bare)?;
            Ok(ClientHelloResponse::SUCCESS)
        });
        let server = context.build();
        let first = Client::new(version).connect(&server, None);
        let stats = cache.stats();
        assert_eq!(stats.engine.inserts, 0);
        assert_eq!(stats.rejected_for(Rejection::Namespace), first.sessions.len() as u64);
    }
}
