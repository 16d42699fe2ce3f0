//! What the callbacks of a session cache see of rustls, and what rustls sees of them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::handshakes::{BOTH, fresh_client, resumes, server};
use halfshake::rustls::{Namespace, SessionStore, session_store, session_store_for};
use halfshake::session::{Answer, Modes, Purpose, Session, SessionBuilder, SessionCache, Verdict};
use halfshake::{Maintenance, RemovalCause};
use rustls::ServerConfig;
use rustls::server::StoresServerSessions;
use rustls::version::{TLS12, TLS13};
use rustls_0_23 as rustls;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

/// The name of a connection.
type Peer = &'static str;

fn builder<C>() -> SessionBuilder<C> {
    SessionCache::builder().capacity(1_000).maintenance(Maintenance::Embedder)
}

fn name() -> Namespace {
    Namespace::new(b"www.example.org").unwrap()
}

/// A configuration for one connection of a peer.
fn of_peer(shared: &Arc<ServerConfig>, store: &Arc<SessionStore<Peer>>, peer: Peer) -> Server {
    let mut config = (**shared).clone();
    config.session_storage = store.connection(peer);
    Arc::new(config)
}

type Server = Arc<ServerConfig>;

/// Sessions outside, by their ids.
type Outside = Arc<Mutex<HashMap<Vec<u8>, Session>>>;

/// A cache whose callbacks keep sessions in a map.
fn with_outside<C>(outside: &Outside, builder: SessionBuilder<C>) -> SessionCache<C> {
    let (kept, found) = (outside.clone(), outside.clone());
    builder
        .new_callback(move |_, new| {
            let id = new.session().id().as_bytes().to_vec();
            kept.lock().unwrap().insert(id, new.session().clone());
            Verdict::Keep
        })
        .get_callback(move |_, asked| {
            let mut found = found.lock().unwrap();
            let session = match asked.purpose() {
                Purpose::Take => found.remove(asked.id()),
                _ => found.get(asked.id()).cloned(),
            };
            session.map_or_else(Answer::unknown, Answer::handed_over)
        })
        .build()
        .unwrap()
}

#[test]
fn the_callbacks_are_told_whose_session_it_is_and_of_which_version() {
    for (version, number) in [(&TLS12, 0x0303), (&TLS13, 0x0304)] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (new, get) = (heard.clone(), heard.clone());
        let cache = builder()
            .new_callback(move |peer: &Peer, n| {
                new.lock().unwrap().push(("new", *peer, n.session().version()));
                Verdict::Keep
            })
            .get_callback(move |peer, _| {
                get.lock().unwrap().push(("get", *peer, 0));
                Answer::unknown()
            })
            .build()
            .unwrap();
        let store = session_store_for(&cache, &name(), "nobody");
        let (shared, client) = (server(store.clone()), fresh_client(version));
        assert!(!resumes(&client, &of_peer(&shared, &store, "first")));
        cache.flush_all();
        assert!(!resumes(&client, &of_peer(&shared, &store, "second")));
        let mut heard = heard.lock().unwrap();
        heard.dedup();
        let expected = [("new", "first", number), ("get", "second", 0), ("new", "second", number)];
        assert_eq!(*heard, expected, "{version:?}");
        cache.validate();
    }
}

#[test]
fn a_session_that_is_only_outside_is_resumed() {
    for version in BOTH {
        let outside = Outside::default();
        let client = fresh_client(version);
        let before = with_outside(&outside, builder::<()>());
        assert!(!resumes(&client, &server(session_store(&before, &name()))));
        drop(before);
        let after = with_outside(&outside, builder::<()>());
        assert!(resumes(&client, &server(session_store(&after, &name()))), "{version:?}");
        assert_eq!(after.stats().used, 1, "{version:?}");
        after.validate();
    }
}

#[test]
fn without_an_internal_cache_the_callbacks_are_the_store() {
    for version in BOTH {
        let outside = Outside::default();
        let cache =
            with_outside(&outside, builder::<()>().modes(Modes::SERVER | Modes::NO_INTERNAL));
        let (server, client) = (server(session_store(&cache, &name())), fresh_client(version));
        assert!(!resumes(&client, &server));
        assert!(resumes(&client, &server) && resumes(&client, &server), "{version:?}");
        assert_eq!((cache.len(), cache.stats().used), (0, 2));
        cache.validate();
    }
}

#[test]
fn a_session_that_nobody_can_find_again_is_not_promised() {
    let put = |cache: &SessionCache<()>| {
        let store = session_store(cache, &name());
        store.put(vec![7; 32], vec![0, 3, 4])
    };
    let nowhere = Modes::SERVER | Modes::NO_INTERNAL_STORE;
    assert!(put(&builder().build().unwrap()));
    assert!(!put(&builder().modes(Modes::OFF).build().unwrap()), "off");
    assert!(!put(&builder().modes(nowhere).build().unwrap()), "nobody keeps it");
    let refusing = builder().new_callback(|&(), _| Verdict::Refuse).build().unwrap();
    assert!(!put(&refusing), "refused");
    assert_eq!(refusing.stats().engine.removed_by(RemovalCause::RefusedByNew), 1);
    let no_return = builder().modes(nowhere).new_callback(|&(), _| Verdict::Keep).build().unwrap();
    assert!(!put(&no_return), "nobody would bring it back");
    let outside = with_outside(&Outside::default(), builder().modes(nowhere));
    assert!(put(&outside));
    outside.shutdown();
    assert!(put(&outside), "the internal cache is closed, the other one is not");
    let later = builder().modes(nowhere).new_callback(|&(), _| Verdict::Keep);
    let later = later.async_get_callback(|_, _| async { Answer::unknown() }).build().unwrap();
    assert!(put(&later), "it would be brought back later");
    let timeless = builder().timeout(std::time::Duration::ZERO).build().unwrap();
    assert!(!put(&timeless), "it expires at once");
}

#[test]
fn a_refused_session_is_not_resumed_and_gives_a_tls13_client_no_ticket() {
    for version in BOTH {
        let cache = builder::<()>().new_callback(|_, _| Verdict::Refuse).build().unwrap();
        let (server, client) = (server(session_store(&cache, &name())), fresh_client(version));
        assert!(!resumes(&client, &server) && !resumes(&client, &server), "{version:?}");
        // A TLS 1.2 client has got its id before the session is put.
        let offered = u64::from(std::ptr::eq(version, &TLS12));
        assert_eq!((cache.len(), cache.stats().internal_misses), (0, offered), "{version:?}");
        cache.validate();
    }
}

#[test]
fn no_panic_of_a_callback_comes_out_of_a_store() {
    for version in BOTH {
        let cache = builder::<()>()
            .new_callback(|_, new| if new.is_stored() { Verdict::Keep } else { panic!("new") })
            .get_callback(|_, _| panic!("get"))
            .remove_callback(|_| panic!("remove"))
            .build()
            .unwrap();
        let (server, client) = (server(session_store(&cache, &name())), fresh_client(version));
        assert!(!resumes(&client, &server), "{version:?}: the first");
        // A TLS 1.3 session is taken, which the remove callback breaks off: it is lost.
        assert_eq!(resumes(&client, &server), std::ptr::eq(version, &TLS12), "{version:?}");
        let unwound = std::panic::catch_unwind(AssertUnwindSafe(|| cache.flush_all()));
        assert!(unwound.is_err(), "here it does come out");
        assert!(!resumes(&client, &server), "{version:?}: get panics");
        cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL);
        assert!(!resumes(&client, &server), "{version:?}: get and new panic");
        let stats = cache.stats();
        assert!(stats.get_panics >= 2 && stats.new_panics >= 1, "{version:?}: {stats:?}");
        assert_eq!(stats.in_flight, 0);
        cache.set_remove_callback(|_| ());
        cache.validate();
    }
}

#[test]
fn a_connection_that_offers_hundreds_of_sessions_goes_outside_four_times() {
    let cache = builder::<()>().get_callback(|_, _| Answer::unknown()).build().unwrap();
    let scope = session_store(&cache, &name()).connection(());
    for n in 0..1_600_u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        assert_eq!(if n.is_multiple_of(2) { scope.get(&id) } else { scope.take(&id) }, None);
    }
    assert_eq!((cache.stats().asked, scope.refused(), scope.context()), (4, 1_596, &()));
    cache.validate();
}

#[test]
fn what_the_version_cannot_be_told_of_is_kept_all_the_same() {
    for (value, number) in [
        (&[][..], 0),
        (&[0, 3, 3], 0x0303),
        (&[0, 3, 4, 9], 0x0304),
        (&[0, 3], 0),
        (&[0, 3, 5], 0),
        (&[1, 2, b'a', b'b', 3, 4], 0x0304),
        (&[1, 2, b'a', b'b', 3], 0),
        (&[1, 200, 3, 4], 0),
        (&[1], 0),
        (&[2, 3, 4], 0),
    ] {
        let cache = builder::<()>().build().unwrap();
        let store = session_store(&cache, &name());
        assert!(store.put(vec![7; 32], value.to_vec()), "{value:?}");
        let found = cache.find(store.namespace(), &[7; 32]).map(|found| found.version());
        assert_eq!(found, Some(number), "{value:?}");
        assert_eq!(store.get(&[7; 32]).as_deref(), Some(value));
    }
}
