//! The callbacks of a session cache as its documentation, and the manual page, describe them, one
//! claim a test.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod sessions;

use halfshake::session::{
    Answer, Established, Namespace, NotStored, Rejection, Session, SessionId, SessionIdLength,
    Times, Verdict,
};
use halfshake::{Maintenance, RemovalCause};
use sessions::{Cache, EPOCH, Removals, SECOND, World, new, session, times};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a_new_session_is_found_with_all_that_it_consists_of() {
    let world = World::new();
    assert!(matches!(world.negotiate(b"id"), Established::Stored(_)));
    let found = world.cache.resume(&2, b"id").unwrap();
    let session = found.session();
    assert!(!found.is_external());
    assert_eq!((session.namespace(), session.id()), (&b"www"[..], &b"id"[..]));
    assert_eq!((session.version(), session.payload()), (0x0303, &b"payload"[..]));
    let Times { created, not_after, auth_not_after } = session.times();
    assert_eq!((created, not_after), (EPOCH, EPOCH + SECOND * 300));
    assert_eq!(auth_not_after, EPOCH + SECOND * 7 * 24 * 3600);
    drop(found);
    assert!(world.cache.resume(&2, b"other").is_none());
}

#[test]
fn the_new_callback_sees_the_connection_and_a_session_that_can_be_found() {
    let world = World::new();
    let (seen, inside) = (Arc::new(Mutex::new(Vec::new())), world.cache.clone());
    let log = seen.clone();
    world.cache.set_new_callback(move |connection: &u32, session| {
        let found = inside.resume(connection, session.id()).is_some();
        log.lock().unwrap().push((*connection, session.id().to_vec(), found));
        Verdict::Keep
    });
    assert!(matches!(world.negotiate(b"id"), Established::Stored(_)));
    assert_eq!(*seen.lock().unwrap(), [(1, b"id".to_vec(), true)]);
    assert!(world.removals().is_empty());
    world.cache.clear_new_callback();
}

#[test]
fn a_session_that_the_new_callback_refuses_leaves_with_one_event() {
    let world = World::new();
    world.cache.set_new_callback(|_, _| Verdict::Refuse);
    assert_eq!(world.negotiate(b"id"), Established::Refused);
    assert_eq!(world.removals(), [(b"id".to_vec(), RemovalCause::RefusedByNew)]);
    assert!(world.cache.resume(&1, b"id").is_none());
    assert_eq!(world.cache.stats().refused_by_new, 1);
}

#[test]
fn a_refusal_takes_out_that_very_session_and_not_a_later_one() {
    let world = World::new();
    let inside = world.cache.clone();
    world.cache.set_new_callback(move |connection, session| {
        inside.clear_new_callback();
        // Another handshake negotiates the same id meanwhile.
        inside.new_session(connection, &new(session.id())).unwrap();
        Verdict::Refuse
    });
    assert_eq!(world.negotiate(b"id"), Established::Refused);
    assert_eq!(world.removals(), [(b"id".to_vec(), RemovalCause::Replaced)]);
    assert!(world.cache.resume(&1, b"id").is_some());
}

#[test]
fn a_panic_of_the_new_callback_is_a_refusal_and_goes_on_to_the_caller() {
    let world = World::new();
    world.cache.set_new_callback(|_, _| panic!("in the new callback"));
    let panic = catch_unwind(AssertUnwindSafe(|| world.negotiate(b"id"))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"in the new callback"));
    assert_eq!(world.removals(), [(b"id".to_vec(), RemovalCause::RefusedByNew)]);
    assert_eq!(world.cache.stats().new_panics, 1);
    world.cache.clear_new_callback();
    assert!(matches!(world.negotiate(b"id"), Established::Stored(_)), "the cache goes on");
}

#[test]
fn the_get_callback_is_asked_for_what_is_absent_or_expired() {
    let world = World::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    world.cache.set_get_callback(move |connection, wanted| {
        log.lock().unwrap().push((*connection, wanted.id().to_vec(), wanted.single_use()));
        None
    });
    world.negotiate(b"id");
    assert!(world.cache.resume(&2, b"id").is_some() && asked.lock().unwrap().is_empty());
    assert!(world.cache.resume(&3, b"absent").is_none());
    world.advance(SECOND * 300);
    assert!(world.cache.resume(&4, b"id").is_none());
    assert!(world.cache.take(&5, b"id").is_none());
    let wanted = |n: u32, id: &[u8], single| (n, id.to_vec(), single);
    let all = [wanted(3, b"absent", false), wanted(4, b"id", false), wanted(5, b"id", true)];
    assert_eq!(*asked.lock().unwrap(), all);
}

#[test]
fn an_answer_is_used_and_stored_shared_or_handed_over() {
    for shared in [true, false] {
        let world = World::new();
        let own = Arc::new(session(b"www", b"id", times(0, 100)));
        let given = own.clone();
        world.cache.set_get_callback(move |_, _| {
            let answer = Answer::Shared(given.clone());
            Some(if shared { answer } else { Answer::Owned(Session::clone(&given)) })
        });
        let found = world.cache.resume(&1, b"id").unwrap();
        assert!(found.is_external());
        assert_eq!(found.session(), own.view());
        drop(found);
        world.cache.clear_get_callback();
        let again = world.cache.resume(&1, b"id").unwrap();
        assert!(!again.is_external());
        assert_eq!(again.session(), own.view(), "stored as it came, times and all");
        drop(again);
        assert_eq!(Arc::strong_count(&own), 1, "no reference is left");
        world.advance(SECOND * 100);
        assert!(world.cache.resume(&1, b"id").is_none(), "expires when it says");
    }
}

#[test]
fn what_is_not_sound_is_a_counted_miss_and_is_not_stored() {
    let mut large = session(b"www", b"id", times(0, 100));
    large = Session::new(
        Namespace::new(b"www").unwrap(),
        SessionId::new(b"id").unwrap(),
        large.view().version(),
        large.view().times(),
        vec![0; (64 << 10) + 1],
    );
    let bad = [
        (session(b"www2", b"id", times(0, 100)), Rejection::Namespace),
        (session(b"www", b"id2", times(0, 100)), Rejection::OtherId),
        (session(b"www", b"id", times(0, 10)), Rejection::Expired),
        (session(b"www", b"id", times(11, 100)), Rejection::Future),
        (large, Rejection::Size),
    ];
    for (session, why) in bad {
        let world = World::new();
        world.advance(SECOND * 10);
        world.cache.set_get_callback(move |_, _| Some(Answer::Owned(session.clone())));
        assert!(world.cache.resume(&1, b"id").is_none(), "{why:?}");
        assert!(world.cache.take(&1, b"id").is_none(), "{why:?}");
        let stats = world.cache.stats();
        assert_eq!((stats.rejected(why), stats.answered, stats.internal.inserts), (2, 0, 0));
    }
}

#[test]
fn an_id_of_no_possible_length_reaches_nobody() {
    let world = World::new();
    world.cache.set_get_callback(|_, _| panic!("was asked"));
    for len in [0, 33, 64, 65, 70_000] {
        let id = vec![1; len];
        assert!(world.cache.resume(&1, &id).is_none() && world.cache.take(&1, &id).is_none());
        assert!(!world.cache.remove(&id));
    }
    assert_eq!(world.cache.stats().rejected(Rejection::IdLength), 10);
    let long = world.cache.new_session(&1, &new(&[1; 33]));
    assert_eq!(long, Err(SessionIdLength { len: 33, most: 32 }));
}

#[test]
fn what_was_changed_while_the_get_callback_was_asked_does_not_come_back() {
    type Change = fn(&Cache);
    let changes: [(&str, Change); 7] = [
        ("remove", |cache| assert!(!cache.remove(b"id"))),
        ("fail", |cache| assert!(!cache.connection_failed(b"id"))),
        ("take", |cache| {
            let before = cache.get_callback();
            cache.clear_get_callback();
            assert!(cache.take(&2, b"id").is_none() && before.is_some());
        }),
        ("put and remove", |cache| {
            cache.new_session(&2, &new(b"id")).unwrap();
            assert!(cache.remove(b"id"));
        }),
        ("put with timeout 0", |cache| {
            let put = cache.new_session(&2, &new(b"id").timeout(Duration::ZERO));
            assert_eq!(put, Ok(Established::NotStored(NotStored::Expired)));
        }),
        ("flush of the namespace", |cache| assert_eq!(cache.flush_namespace(), 0)),
        ("flush of everything", Cache::flush_all),
    ];
    for (name, change) in changes {
        let world = World::new();
        let inside = world.cache.clone();
        world.cache.set_get_callback(move |_, _| {
            change(&inside);
            Some(Answer::Owned(session(b"www", b"id", times(0, 100))))
        });
        assert!(world.cache.resume(&1, b"id").is_some(), "{name}: used");
        world.cache.clear_get_callback();
        assert!(world.cache.resume(&1, b"id").is_none(), "{name}: came back");
        let stats = world.cache.stats();
        assert_eq!((stats.answers_outdated, stats.answers_stored), (1, 0), "{name}");
    }
}

#[test]
fn a_session_that_was_put_meanwhile_is_not_displaced_by_the_answer() {
    let world = World::new();
    let inside = world.cache.clone();
    world.cache.set_get_callback(move |_, _| {
        inside.new_session(&2, &new(b"id")).unwrap();
        Some(Answer::Owned(session(b"www", b"id", times(0, 100))))
    });
    let found = world.cache.resume(&1, b"id").unwrap();
    assert_eq!(found.session().payload(), b"from elsewhere");
    drop(found);
    let now = world.cache.resume(&1, b"id").unwrap();
    assert_eq!(now.session().payload(), b"payload");
    drop(now);
    assert!(world.removals().is_empty());
}

#[test]
fn a_panic_of_the_get_callback_changes_nothing_and_goes_on_to_the_caller() {
    let world = World::new();
    world.cache.set_get_callback(|_, _| panic!("in the get callback"));
    let ask = || world.cache.resume(&1, b"id").is_some();
    let panic = catch_unwind(AssertUnwindSafe(ask)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"in the get callback"));
    let stats = world.cache.stats();
    assert_eq!((stats.asked, stats.get_panics, stats.answered), (1, 1, 0));
}

#[test]
fn the_getters_give_what_is_set() {
    let world = World::new();
    assert!(world.cache.new_callback().is_none() && world.cache.get_callback().is_none());
    assert!(world.cache.remove_callback().is_some());
    world.cache.set_new_callback(|_, _| Verdict::Refuse);
    world.cache.set_get_callback(|_, _| None);
    let set = session(b"www", b"id", times(0, 1));
    let new = world.cache.new_callback().unwrap();
    assert_eq!(new(&1, &set.view()), Verdict::Refuse);
    world.cache.clear_new_callback();
    world.cache.clear_get_callback();
    world.cache.clear_remove_callback();
    assert!(world.cache.new_callback().is_none() && world.cache.get_callback().is_none());
    assert!(world.cache.remove_callback().is_none());
    world.negotiate(b"id");
    world.cache.remove(b"id");
    assert!(world.removals().is_empty(), "a cleared callback is not called");
}

#[test]
fn the_remove_callback_may_call_the_cache_and_sees_the_end_of_it() {
    let world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    world.cache.set_remove_callback(move |gone| {
        let found = gone.cache().map(|cache| cache.resume(&9, gone.session().id()).is_some());
        log.lock().unwrap().push((gone.cause(), found));
    });
    world.negotiate(b"1");
    world.negotiate(b"2");
    world.cache.remove(b"1");
    world.cache.shutdown();
    assert_eq!(
        *seen.lock().unwrap(),
        [(RemovalCause::Removed, Some(false)), (RemovalCause::Shutdown, Some(false))]
    );
    assert!(matches!(world.negotiate(b"3"), Established::NotStored(NotStored::Refused(_))));
}

#[test]
fn the_last_handle_dropped_tells_of_what_is_left() {
    let (log, removals) = (Removals::default(), Removals::default());
    let cache = Cache::builder()
        .capacity(10)
        .maintenance(Maintenance::Embedder)
        .build(Namespace::new(b"www").unwrap())
        .unwrap();
    let told = log.clone();
    cache.set_remove_callback(move |gone| {
        assert!(gone.cache().is_none(), "the cache is ending");
        told.lock().unwrap().push((gone.session().id().to_vec(), gone.cause()));
    });
    cache.new_session(&1, &new(b"id")).unwrap();
    let other = cache.with_namespace(Namespace::new(b"other").unwrap());
    drop(cache);
    assert_eq!(*log.lock().unwrap(), *removals.lock().unwrap());
    drop(other);
    assert_eq!(*log.lock().unwrap(), [(b"id".to_vec(), RemovalCause::Shutdown)]);
}
