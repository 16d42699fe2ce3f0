//! What a server over an external store does, row by row: how OpenSSL 3.0 was measured to do, and
//! how it does with a cache attached. The rows that need no more than an adapter are tests in
//! `openssl_adapter.rs`.
//!
//! | row | OpenSSL, its callbacks over a table of bytes | here |
//! | --- | --- | --- |
//! | A | TLS 1.2, `NO_TICKET`: resumed 5 times of 5 | so; `tls12_session_is_resumed_as_often_…` |
//! | B | TLS 1.3, `NO_TICKET`: one ticket, resumed twice | if wanted; `tls13_session_is_reused_…` |
//! | C | the same, the callback takes: resumed once | so; `tls13_session_is_resumed_once` |
//! | D | TLS 1.3 with tickets: each one is stored, and none ever asked for | none is stored |
//! | E | early data: never resumed, and the table is emptied | F |
//! | F | early data, no protection: accepted once | so; `early_data_is_accepted_once_…` |
//! | G | early data, OpenSSL stores, too: its end removes all | so |
//! | H | TLS 1.2, expired: OpenSSL has it removed | so |
//! | I | TLS 1.3, expired: nobody removes it | the cache does |
//! | J | no `SSL_shutdown`: removed; of TLS 1.3 the last one alone | so |

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::openssl_handshakes::{BOTH, Client, End, TLS12, TLS13, bare_server, name, server};
use halfshake::openssl::{Options, attach, library_counters};
use halfshake::session::{Answer, Session, SessionCache, Verdict};
use halfshake::{Maintenance, ManualClock, RemovalCause};
use openssl::ssl::{SslContext, SslOptions, SslSessionCacheMode};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A cache, and why sessions have left it.
fn watched() -> (SessionCache<()>, Arc<Mutex<Vec<RemovalCause>>>) {
    let cache = SessionCache::builder().capacity(100).timeout(Duration::from_secs(300)).build();
    let cache: SessionCache<()> = cache.unwrap();
    let causes: Arc<Mutex<Vec<RemovalCause>>> = Arc::default();
    let noted = causes.clone();
    cache.set_remove_callback(move |gone| noted.lock().unwrap().push(gone.cause()));
    (cache, causes)
}

/// A context that was changed after a cache was attached to it.
fn changed(
    cache: &SessionCache<()>,
    change: impl FnOnce(&mut openssl::ssl::SslContextBuilder),
) -> SslContext {
    let mut context = bare_server();
    attach(&mut context, cache, Options::new(&name("www"))).unwrap();
    change(&mut context);
    context.build()
}

#[test]
fn d_tickets_that_are_switched_on_again_fill_no_cache() {
    for version in BOTH {
        for early_data in [0, 4096] {
            let (cache, causes) = watched();
            let server = changed(&cache, |context| {
                context.clear_options(SslOptions::NO_TICKET);
                context.set_max_early_data(early_data).unwrap();
            });
            let client = Client::new(version);
            let first = client.connect(&server, None);
            for _ in 0..3 {
                assert!(client.connect(&server, Some(&first.sessions[0])).resumed, "by a ticket");
            }
            let stats = cache.stats();
            assert_eq!((stats.engine.inserts, stats.engine.hits, stats.engine.misses()), (0, 0, 0));
            assert!(causes.lock().unwrap().is_empty());
        }
    }
}

/// OpenSSL protects from replays then, by its own cache; and keeps sessions, tickets or not.
#[test]
fn g_early_data_is_accepted_once_where_openssl_stores_sessions_too() {
    for options in [SslOptions::empty(), SslOptions::NO_TICKET] {
        let (cache, causes) = watched();
        let server = changed(&cache, |context| {
            let no_anti_replay = SslOptions::from_bits_retain(1 << 24);
            context.clear_options(SslOptions::NO_TICKET | no_anti_replay);
            context.set_options(options);
            context.set_session_cache_mode(
                SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL_LOOKUP,
            );
            context.set_max_early_data(4096).unwrap();
        });
        let client = Client::new(TLS13);
        client.says_early_once(&server);
        let held = cache.len();
        assert_eq!(held, library_counters(&server).number, "each has what the other has");
        drop(server);
        assert_eq!(cache.len(), 0, "the context has taken its sessions along");
        let causes = causes.lock().unwrap();
        let of = |cause| causes.iter().filter(|c| **c == cause).count() as u64;
        assert_eq!((of(RemovalCause::Taken), of(RemovalCause::Faulty)), (1, held), "{causes:?}");
    }
}

/// The bytes of a session whose time-out has passed: its time is a tagged INTEGER of four bytes.
fn long_ago(bytes: &[u8]) -> Vec<u8> {
    let at = bytes.windows(4).position(|window| window == [0xa1, 6, 2, 4]).expect("its time");
    let mut older = bytes.to_vec();
    older[at + 4..at + 8].copy_from_slice(&1_000_000_000_u32.to_be_bytes());
    older
}

/// The store's record says that it is good, and the bytes in it that they are not.
#[test]
fn h_session_that_openssl_finds_expired_is_removed() {
    for version in BOTH {
        let (cache, causes) = watched();
        let kept: Arc<Mutex<Option<Session>>> = Arc::default();
        let keeps = kept.clone();
        cache.set_new_callback(move |(), new| {
            keeps.lock().unwrap().get_or_insert(new.session().clone());
            Verdict::Keep
        });
        let server = server(&cache, Options::new(&name("www")));
        let client = Client::new(version);
        let first = client.connect(&server, None);
        cache.clear_new_callback();
        cache.flush_all();
        causes.lock().unwrap().clear();
        cache.set_get_callback(move |(), asked| {
            let kept = kept.lock().unwrap();
            let of = kept.as_ref().filter(|session| session.id().as_bytes() == asked.id());
            of.map_or_else(Answer::unknown, |of| {
                let payload = long_ago(of.payload());
                let cache = asked.cache();
                Answer::handed_over(cache.make(&name("www"), *of.id(), of.version(), &payload))
            })
        });
        let again = client.connect(&server, Some(&first.sessions[0]));
        assert_eq!((again.resumed, cache.stats().used), (false, 1));
        assert_eq!(library_counters(&server).timeouts, 1);
        let expected: &[RemovalCause] =
            if version == TLS12 { &[RemovalCause::Faulty] } else { &[] };
        assert_eq!(*causes.lock().unwrap(), expected, "one of TLS 1.3 was never inside");
        assert_eq!(cache.len(), again.sessions.len() as u64, "the new ones alone");
    }
}

#[test]
fn i_session_that_nobody_asks_for_again_leaves_when_it_expires() {
    let clock = ManualClock::new();
    clock.set(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap());
    let cache: SessionCache<()> = SessionCache::builder()
        .capacity(100)
        .timeout(Duration::from_secs(300))
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    let causes: Arc<Mutex<Vec<RemovalCause>>> = Arc::default();
    let noted = causes.clone();
    cache.set_remove_callback(move |gone| noted.lock().unwrap().push(gone.cause()));
    let server = server(&cache, Options::new(&name("www")));
    Client::new(TLS13).connect(&server, None);
    clock.advance(Duration::from_secs(299));
    cache.run_maintenance(usize::MAX);
    assert_eq!((cache.len(), causes.lock().unwrap().len()), (2, 0));
    clock.advance(Duration::from_secs(2));
    cache.run_maintenance(usize::MAX);
    assert_eq!(cache.len(), 0);
    assert_eq!(*causes.lock().unwrap(), [RemovalCause::Expired; 2]);
}

#[test]
fn j_last_session_of_a_connection_that_was_not_shut_down_is_removed() {
    let (cache, causes) = watched();
    let server = server(&cache, Options::new(&name("www")));
    let client = Client::new(TLS13);
    let first = client.connect_with(&server, None, b"", End::Drops);
    assert_eq!((first.sessions.len(), cache.len()), (2, 1));
    assert_eq!(*causes.lock().unwrap(), [RemovalCause::Faulty]);
    assert!(!client.connect(&server, Some(&first.sessions[1])).resumed, "the last one");
    assert!(client.connect(&server, Some(&first.sessions[0])).resumed, "the other one");
}
