//! A cache that is attached to servers on the `openssl` crate, with real handshakes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::openssl_handshakes::{
    BOTH, Client, End, TLS12, TLS13, bare_server, cache, name, server, store_outside,
};
use halfshake::openssl::{Options, library_counters, library_timeout};
use halfshake::session::{Answer, Namespace, Purpose, Rejection, Session, SessionCache, Verdict};
use halfshake::{ManualClock, RemovalCause};
use openssl::ssl::{SslOptions, SslSession, SslVersion};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn options() -> Options<()> {
    Options::new(&name("www"))
}

fn causes(cache: &SessionCache<()>) -> Arc<Mutex<Vec<RemovalCause>>> {
    let causes: Arc<Mutex<Vec<RemovalCause>>> = Arc::default();
    let noted = causes.clone();
    cache.set_remove_callback(move |gone| noted.lock().unwrap().push(gone.cause()));
    causes
}

#[test]
fn tls12_session_is_resumed_as_often_as_it_is_proposed() {
    for objects in [0, 10] {
        let cache = cache();
        let server = server(&cache, options().objects(objects));
        let client = Client::new(TLS12);
        let first = client.connect(&server, None);
        assert!(!first.resumed && first.sessions.len() == 1);
        for _ in 0..5 {
            assert!(client.connect(&server, Some(&first.sessions[0])).resumed);
        }
        let library = library_counters(&server);
        assert_eq!((library.cb_hits, library.number, library.hits), (5, 0, 5));
        assert_eq!((cache.stats().engine.hits, cache.len()), (5, 1));
        assert_eq!(library_timeout(&server), Duration::from_secs(301), "the cache's decides");
    }
}

#[test]
fn tls13_session_is_resumed_once() {
    for objects in [0, 10] {
        let cache = cache();
        let server = server(&cache, options().objects(objects));
        let client = Client::new(TLS13);
        let first = client.connect(&server, None);
        assert_eq!((first.resumed, first.sessions.len(), cache.len()), (false, 2, 2));
        let second = client.connect(&server, Some(&first.sessions[0]));
        assert!(second.resumed && !second.sessions.is_empty());
        assert!(!client.connect(&server, Some(&first.sessions[0])).resumed, "again");
        assert!(client.connect(&server, Some(&first.sessions[1])).resumed, "the other ticket");
        assert!(client.connect(&server, Some(&second.sessions[0])).resumed, "the next one");
    }
}

/// A server that knows none of the key shares that a client sends asks for a second ClientHello.
#[test]
fn tls13_session_is_resumed_once_also_with_a_second_client_hello() {
    for (is_outside, options) in [
        (false, options()),
        (false, options().objects(10)),
        (true, options()),
        (true, options().look_up_first()),
    ] {
        let what = format!("outside: {is_outside}, {options:?}");
        let cache = cache();
        if is_outside {
            store_outside(&cache);
        }
        let mut context = bare_server();
        context.set_groups_list("X25519").unwrap();
        halfshake::openssl::attach(&mut context, &cache, options).unwrap();
        let server = context.build();
        let client = Client::with(TLS13, |context| {
            context.set_groups_list("P-521:X25519").unwrap();
        });
        let first = client.connect(&server, None);
        for session in &first.sessions {
            assert!(client.connect(&server, Some(session)).resumed, "{what}");
            assert!(!client.connect(&server, Some(session)).resumed, "{what}: again");
        }
        let taken = if is_outside { cache.stats().used } else { cache.stats().engine.hits };
        assert_eq!(taken, 2, "{what}: asked for once in a handshake");
    }
}

#[test]
fn tls13_session_is_reused_where_that_is_wanted() {
    let cache = cache();
    let server = server(&cache, options().reuse_tls13());
    let client = Client::new(TLS13);
    let first = client.connect(&server, None);
    for _ in 0..3 {
        assert!(client.connect(&server, Some(&first.sessions[0])).resumed);
    }
}

#[test]
fn sessions_lie_in_the_cache_and_not_with_the_clients() {
    for version in BOTH {
        let cache = cache();
        let server = server(&cache, options());
        let client = Client::new(version);
        let first = client.connect(&server, None);
        cache.flush_all();
        assert!(!client.connect(&server, Some(&first.sessions[0])).resumed, "a ticket");
    }
}

#[test]
fn early_data_is_accepted_once_and_its_replay_refused() {
    for objects in [0, 10] {
        let cache = cache();
        let mut context = bare_server();
        halfshake::openssl::attach(&mut context, &cache, options().objects(objects)).unwrap();
        context.set_max_early_data(4096).unwrap();
        let server = context.build();
        let client = Client::new(TLS13);
        let second = client.says_early_once(&server);
        let third = client.says_early(&server, &second.sessions[0]);
        assert_eq!((third.resumed, &third.early[..]), (true, &b"GET /"[..]), "by another one");
    }
}

#[test]
fn expired_session_is_not_resumed() {
    for version in BOTH {
        let clock = ManualClock::new();
        clock.set(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap());
        let cache = SessionCache::<()>::builder()
            .capacity(100)
            .timeout(Duration::from_secs(300))
            .clock(clock.clone())
            .wall_clock(clock.clone())
            .build()
            .unwrap();
        let server = server(&cache, options().objects(10));
        let client = Client::new(version);
        let first = client.connect(&server, None);
        clock.advance(Duration::from_secs(301));
        assert!(!client.connect(&server, Some(&first.sessions[0])).resumed);
    }
}

/// OpenSSL's time is in whole seconds, and its sessions begin at the last one.
#[test]
fn session_lives_as_long_as_the_cache_says() {
    for version in BOTH {
        for timeout in [1, 700, 1500, 3999].map(Duration::from_millis) {
            let cache = SessionCache::<()>::builder().capacity(100).timeout(timeout).build();
            let cache = cache.unwrap();
            let lives: Arc<Mutex<Vec<Duration>>> = Arc::default();
            let noted = lives.clone();
            cache.set_new_callback(move |(), new| {
                let times = new.session().times();
                noted.lock().unwrap().push(times.not_after() - times.created());
                Verdict::Keep
            });
            Client::new(version).connect(&server(&cache, options()), None);
            assert!(!lives.lock().unwrap().is_empty());
            assert!(lives.lock().unwrap().iter().all(|lives| *lives == timeout), "{lives:?}");
        }
    }
}

#[test]
fn session_of_a_connection_that_was_not_shut_down_is_removed() {
    for version in BOTH {
        let cache = cache();
        let causes = causes(&cache);
        let server = server(&cache, options().objects(10));
        let client = Client::new(version);
        let first = client.connect_with(&server, None, b"", End::Drops);
        let last = first.sessions.last().unwrap();
        assert!(!client.connect(&server, Some(last)).resumed);
        assert_eq!(causes.lock().unwrap().first(), Some(&RemovalCause::Faulty));
    }
}

#[test]
fn panic_of_a_callback_reaches_no_frame_of_openssl() {
    for version in BOTH {
        let cache = cache();
        let server = server(&cache, options());
        let client = Client::new(version);
        cache.set_new_callback(|(), _| panic!("new"));
        cache.set_get_callback(|(), _| panic!("get"));
        cache.set_remove_callback(|_| panic!("remove"));
        let first = client.connect(&server, None);
        assert!(!client.connect(&server, Some(&first.sessions[0])).resumed, "it was refused");
        let stats = cache.stats();
        assert!(stats.new_panics > 0 && stats.get_panics > 0 && stats.engine.listener_panics > 0);
        cache.clear_new_callback();
        let next = client.connect_with(&server, None, b"", End::Drops);
        assert!(!next.resumed);
    }
}

/// A server over a store outside that gives whatever the test says, of a session that a client has.
fn swapped(
    version: SslVersion,
    answer: impl Fn(&SessionCache<()>, &Session) -> Session + Send + Sync + 'static,
) -> (bool, SessionCache<()>) {
    let cache = cache();
    let kept: Arc<Mutex<Vec<Session>>> = Arc::default();
    let keeps = kept.clone();
    cache.set_new_callback(move |(), new| {
        keeps.lock().unwrap().push(new.session().clone());
        Verdict::Keep
    });
    cache.set_get_callback(move |(), asked| {
        let kept = kept.lock().unwrap();
        let found = kept.iter().find(|session| session.id().as_bytes() == asked.id());
        let swapped = found.map(|session| answer(asked.cache(), session));
        swapped.map_or_else(Answer::unknown, Answer::handed_over)
    });
    let server = server(&cache, options());
    let client = Client::new(version);
    let first = client.connect(&server, None);
    cache.clear_new_callback();
    cache.clear_remove_callback();
    cache.flush_all();
    let second = client.connect(&server, Some(&first.sessions[0]));
    (second.resumed, cache)
}

fn made(cache: &SessionCache<()>, of: &Session, namespace: &Namespace, payload: &[u8]) -> Session {
    cache.make(namespace, *of.id(), of.version(), payload)
}

#[test]
fn what_comes_from_outside_is_compared_before_it_is_used() {
    for version in BOTH {
        let (resumed, _) = swapped(version, |_, session| session.clone());
        assert!(resumed, "the session itself");
        let rejected = |why: Rejection, (resumed, cache): (bool, SessionCache<()>)| {
            assert!(!resumed, "{why:?}");
            assert_eq!(cache.stats().rejected_for(why), 1, "{why:?}");
        };
        rejected(
            Rejection::Malformed,
            swapped(version, |cache, session| made(cache, session, &name("www"), b"garbage")),
        );
        // The bytes of another session under the id of this one.
        let other = negotiated(version, &name("www"));
        rejected(
            Rejection::Id,
            swapped(version, move |cache, session| made(cache, session, &name("www"), &other)),
        );
        rejected(
            Rejection::Version,
            swapped(version, |cache, session| {
                cache.make(&name("www"), *session.id(), 0x0302, session.payload())
            }),
        );
    }
    // The version in the bytes.
    let id = Arc::new(Mutex::new(None));
    let seen = id.clone();
    let (resumed, cache) = swapped(TLS12, move |cache, session| {
        *seen.lock().unwrap() = Some(*session.id());
        let older = with_version(session.payload(), 0x0302);
        made(cache, session, &name("www"), &older)
    });
    assert!(!resumed && id.lock().unwrap().is_some());
    assert_eq!(cache.stats().rejected_for(Rejection::Version), 1);
    // The id context in the bytes.
    let (resumed, cache) = swapped(TLS12, |cache, session| {
        let at = session.payload().windows(3).position(|window| window == b"www").unwrap();
        let mut other = session.payload().to_vec();
        other[at] = b'v';
        made(cache, session, &name("www"), &other)
    });
    assert!(!resumed);
    assert_eq!(cache.stats().rejected_for(Rejection::Namespace), 1);
}

/// The bytes of some session.
fn negotiated(version: SslVersion, namespace: &Namespace) -> Vec<u8> {
    let cache = cache();
    let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
    let kept = bytes.clone();
    cache.set_new_callback(move |(), new| {
        *kept.lock().unwrap() = new.session().payload().to_vec();
        Verdict::Keep
    });
    Client::new(version).connect(&server(&cache, Options::new(namespace)), None);
    let bytes = bytes.lock().unwrap().clone();
    assert!(!bytes.is_empty());
    bytes
}

/// The DER of a session begins: SEQUENCE, INTEGER 1, INTEGER version.
fn with_version(bytes: &[u8], version: u16) -> Vec<u8> {
    let at = bytes.windows(4).position(|window| window == [2, 2, 3, 3]).expect("its version");
    let mut other = bytes.to_vec();
    other[at + 2..at + 4].copy_from_slice(&version.to_be_bytes());
    other
}

#[test]
fn store_outside_is_asked_for_tls13_to_delete_what_it_gives() {
    let purposes: Arc<Mutex<Vec<Purpose>>> = Arc::default();
    for version in BOTH {
        let cache = cache();
        let asked = purposes.clone();
        cache.set_get_callback(move |(), question| {
            asked.lock().unwrap().push(question.purpose());
            Answer::unknown()
        });
        let server = server(&cache, options());
        let client = Client::new(version);
        let first = client.connect(&server, None);
        cache.flush_all();
        purposes.lock().unwrap().clear();
        client.connect(&server, Some(&first.sessions[0]));
        let expected = if version == TLS13 { Purpose::Take } else { Purpose::Resume };
        assert_eq!(*purposes.lock().unwrap(), [expected]);
    }
}

#[test]
fn resumption_makes_no_authentication_younger() {
    for version in BOTH {
        let clock = ManualClock::new();
        clock.set(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap());
        let cache = SessionCache::<()>::builder()
            .capacity(100)
            .timeout(Duration::from_secs(300))
            .max_lifetime(Duration::from_secs(400))
            .clock(clock.clone())
            .wall_clock(clock.clone())
            .build()
            .unwrap();
        let ends: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let noted = ends.clone();
        cache.set_new_callback(move |(), new| {
            noted.lock().unwrap().push(new.session().times().auth_not_after());
            Verdict::Keep
        });
        let server = server(&cache, options());
        let client = Client::new(version);
        let first = client.connect(&server, None);
        clock.advance(Duration::from_secs(200));
        let second = client.connect(&server, Some(&first.sessions[0]));
        assert!(second.resumed);
        let ends = ends.lock().unwrap();
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    }
}

#[test]
fn connection_is_described_to_the_callbacks() {
    let cache = SessionCache::<Option<String>>::builder().capacity(100).build().unwrap();
    let names: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let noted = names.clone();
    cache.set_new_callback(move |name, _| {
        noted.lock().unwrap().push(name.clone());
        Verdict::Keep
    });
    let describe = |ssl: &openssl::ssl::SslRef| {
        ssl.servername(openssl::ssl::NameType::HOST_NAME).map(str::to_owned)
    };
    let server = server(&cache, Options::with_connection(&name("www"), describe));
    Client::new(TLS12).connect(&server, None);
    assert_eq!(*names.lock().unwrap(), [Some("localhost".to_owned())]);
}

#[test]
fn attaching_sets_what_single_use_needs() {
    let cache = cache();
    let mut context = bare_server();
    halfshake::openssl::attach(&mut context, &cache, options()).unwrap();
    assert!(context.options().contains(SslOptions::NO_TICKET));
    let most = options().objects(u64::MAX);
    let error = halfshake::openssl::attach(&mut bare_server(), &cache, most).unwrap_err();
    assert!(error.to_string().contains("objects"), "{error}");
}

/// Connections of each thread: more of them by hand, in release.
fn connections() -> usize {
    let set = std::env::var("HALFSHAKE_CONNECTIONS").ok();
    set.map_or(20, |set| set.parse().expect("HALFSHAKE_CONNECTIONS is a number"))
}

#[test]
fn every_session_has_one_event_after_connections_on_many_threads() {
    let cache =
        SessionCache::<()>::builder().capacity(64).timeout(Duration::from_secs(300)).build();
    let cache = cache.unwrap();
    let causes = causes(&cache);
    let contexts = [server(&cache, options()), server(&cache, options().objects(16))];
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let server = &contexts[thread % 2];
            scope.spawn(move || {
                let client = Client::new(BOTH[thread / 2 % 2]);
                let mut session: Option<SslSession> = None;
                for i in 0..connections() {
                    let end = if i % 7 == 6 { End::Drops } else { End::ShutsDown };
                    let went = client.connect_with(server, session.as_ref(), b"", end);
                    session = went.sessions.into_iter().next_back().or(session);
                }
            });
        }
    });
    drop(contexts);
    cache.shutdown();
    let stats = cache.stats();
    let events = causes.lock().unwrap().len() as u64;
    assert_eq!(stats.engine.inserts, events);
    assert!(events > 100);
    // Seen by hand (`ci/soak`).
    println!(
        "8 threads, {} connections each: {} resumed, {events} sessions stored, as many removed",
        connections(),
        stats.engine.hits
    );
}
