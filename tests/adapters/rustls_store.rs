//! The session store of rustls, through real handshakes in memory.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::handshakes::{BOTH, answers, fresh_client, hello, resumes, server};
use crate::world::SECOND;
use halfshake::rustls::{Namespace, NamespaceLength, SessionStore, session_store};
use halfshake::session::{Rejection, SessionCache};
use halfshake::{Maintenance, ManualClock, RemovalCause};
use rustls::HandshakeKind;
use rustls::server::StoresServerSessions;
use rustls::version::{TLS12, TLS13};
use rustls_0_23 as rustls;
use std::sync::Arc;
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(300);

fn cache() -> (SessionCache<()>, Arc<ManualClock>) {
    let clock = ManualClock::new();
    let cache = SessionCache::builder()
        .capacity(1_000)
        .timeout(LIFETIME)
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    (cache, clock)
}

fn store(cache: &SessionCache<()>) -> Arc<SessionStore> {
    session_store(cache, &Namespace::new(b"www.example.org").unwrap())
}

#[test]
fn tls12_resumes_as_often_as_the_client_wants() {
    let (cache, _) = cache();
    let (server, client) = (server(store(&cache)), fresh_client(&TLS12));
    assert!(!resumes(&client, &server));
    for _ in 0..5 {
        assert!(resumes(&client, &server));
    }
    cache.validate();
}

#[test]
fn tls13_resumes_with_each_ticket_that_it_was_given() {
    let (cache, _) = cache();
    let (server, client) = (server(store(&cache)), fresh_client(&TLS13));
    assert!(!resumes(&client, &server));
    assert_eq!(cache.len(), 2, "two tickets a connection");
    for _ in 0..5 {
        assert!(resumes(&client, &server));
    }
    assert_eq!(cache.stats().engine.removed_by(RemovalCause::Taken), 5);
    assert_eq!(cache.len(), 2 + 5 * 2 - 5);
    cache.validate();
}

#[test]
fn a_tls13_ticket_is_good_for_one_resumption() {
    let (cache, _) = cache();
    let (server, client) = (server(store(&cache)), fresh_client(&TLS13));
    assert!(!resumes(&client, &server));
    let hello = hello(&client);
    assert_eq!(answers(&server, &hello), Some(HandshakeKind::Resumed));
    for _ in 0..3 {
        assert_eq!(answers(&server, &hello), Some(HandshakeKind::Full), "the same ticket again");
    }
    cache.validate();
}

#[test]
fn a_session_past_the_timeout_is_not_resumed() {
    for version in BOTH {
        let (cache, clock) = cache();
        let (server, client) = (server(store(&cache)), fresh_client(version));
        assert!(!resumes(&client, &server));
        clock.advance(LIFETIME - Duration::from_millis(1));
        assert!(resumes(&client, &server), "{version:?}: still good");
        // TLS 1.2 goes on with its first session; TLS 1.3 has got new ones.
        clock.advance(LIFETIME);
        assert!(!resumes(&client, &server), "{version:?}: too old");
        cache.run_maintenance(usize::MAX);
        assert!(cache.stats().engine.removed_by(RemovalCause::Expired) > 0);
        assert!(resumes(&client, &server), "{version:?}: a session of the last handshake");
        cache.validate();
    }
}

#[test]
fn a_session_of_one_namespace_is_none_of_another() {
    for version in BOTH {
        let (cache, _) = cache();
        let of = |name: &[u8]| server(session_store(&cache, &Namespace::new(name).unwrap()));
        let (here, there) = (of(b"www.example.org"), of(b"www.example.org, clients known"));
        let client = fresh_client(version);
        assert!(!resumes(&client, &here));
        assert!(!resumes(&client, &there), "{version:?}");
        assert!(resumes(&client, &there), "{version:?}: but of its own");
        cache.validate();
    }
}

#[test]
fn sessions_survive_a_reload_of_the_configuration() {
    for version in BOTH {
        let (cache, _) = cache();
        let client = fresh_client(version);
        let before = server(store(&cache));
        assert!(!resumes(&client, &before));
        drop(before);
        let after = server(store(&cache));
        assert!(resumes(&client, &after), "{version:?}");
        cache.validate();
    }
}

#[test]
fn a_connection_knows_its_own_look_ups() {
    for version in BOTH {
        let (cache, _) = cache();
        let store = store(&cache);
        let (shared, client) = (server(store.clone()), fresh_client(version));
        for hits in [0, 1, 1] {
            let scope = store.connection(());
            let mut config = (*shared).clone();
            config.session_storage = scope.clone();
            assert_eq!(resumes(&client, &Arc::new(config)), hits == 1, "{version:?}");
            assert_eq!((scope.lookups(), scope.hits(), scope.refused()), (hits, hits, 0));
        }
        cache.validate();
    }
}

#[test]
fn look_ups_beyond_the_budget_cost_nothing_and_find_nothing() {
    let (cache, _) = cache();
    let scope = store(&cache).connection(());
    for n in 0..6 {
        assert!(scope.put(vec![n; 32], vec![n]), "puts are no look-ups");
    }
    let by_turns =
        |n: u8| if n.is_multiple_of(2) { scope.get(&[n; 32]) } else { scope.take(&[n; 32]) };
    let found: Vec<_> = (0..6).map(by_turns).collect();
    assert_eq!(found[..4], [Some(vec![0]), Some(vec![1]), Some(vec![2]), Some(vec![3])]);
    assert_eq!(found[4..], [None, None]);
    assert_eq!((scope.lookups(), scope.hits(), scope.refused()), (6, 4, 2));
    assert_eq!((cache.stats().engine.lookups(), cache.len()), (4, 4));
    let narrow = store(&cache).connection_with_budget((), 0);
    assert_eq!((narrow.get(&[0; 32]), narrow.refused()), (None, 1));
    cache.validate();
}

#[test]
fn ids_of_other_lengths_are_counted_and_never_reach_the_table() {
    let (cache, _) = cache();
    let store = store(&cache);
    for len in (0..100).filter(|len| *len != 32) {
        assert!(!store.put(vec![1; len], vec![2]));
        assert_eq!((store.get(&vec![1; len]), store.take(&vec![1; len])), (None, None));
    }
    let stats = cache.stats();
    assert_eq!((stats.engine.lookups(), stats.engine.inserts), (0, 0));
    assert_eq!(stats.rejected_for(Rejection::IdLength), 3 * 99);
    assert!(store.put(vec![1; 32], vec![2]) && store.can_cache());
    assert_eq!((store.take(&[1; 32]), store.take(&[1; 32])), (Some(vec![2]), None));
    cache.validate();
}

#[test]
fn no_two_pairs_of_namespace_and_id_share_a_key() {
    let (cache, _) = cache();
    // Were the two just joined, the second would begin with the rest of the first's name.
    let (short, long) = ([7; 1], [7; 32]);
    let of = |name: &[u8]| session_store(&cache, &Namespace::new(name).unwrap());
    assert!(of(&short).put(vec![7; 32], vec![1]) && of(&long).put(vec![7; 32], vec![2]));
    assert_eq!(cache.len(), 2);
    assert_eq!(of(&short).get(&[7; 32]), Some(vec![1]));
    assert_eq!(of(&long).get(&[7; 32]), Some(vec![2]));
    assert_eq!(of(&[7; 31]).get(&[7; 32]), None);
    assert_eq!(Namespace::new(b""), Err(NamespaceLength { len: 0 }));
    assert_eq!(Namespace::new(&[0; 33]), Err(NamespaceLength { len: 33 }));
    cache.validate();
}

#[test]
fn a_cache_that_refuses_is_no_failed_handshake() {
    for version in BOTH {
        let (cache, _) = cache();
        let (server, client) = (server(store(&cache)), fresh_client(version));
        cache.shutdown();
        assert!(!resumes(&client, &server) && !resumes(&client, &server));
        assert!(cache.stats().engine.refused_closed > 0);
        cache.validate();
    }
}

#[test]
fn a_store_shows_no_secret() {
    let (cache, clock) = cache();
    let store = store(&cache);
    assert!(store.put(b"the id of a session, 32 bytes....".to_vec()[..32].to_vec(), vec![222; 9]));
    clock.advance(SECOND);
    for shown in [format!("{store:?}"), format!("{:?}", store.connection(())), format!("{cache:?}")]
    {
        assert!(!shown.contains("222") && !shown.contains("the id"), "{shown}");
    }
    cache.validate();
}
