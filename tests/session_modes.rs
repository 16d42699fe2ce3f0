//! Modes, times, removals and namespaces of a session cache, one claim a test.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod sessions;

use halfshake::RemovalCause;
use halfshake::session::{
    Answer, Established, Modes, Namespace, NewSession, NotStored, Session, Verdict,
};
use sessions::{EPOCH, SECOND, World, new, session, times};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn off_stores_nothing_and_looks_nowhere_inside_but_asks_the_get_callback() {
    let world = World::new();
    world.negotiate(b"inside");
    assert_eq!(world.cache.set_modes(Modes::OFF), Modes::SERVER);
    world.cache.set_new_callback(|_, _| panic!("was called"));
    assert_eq!(world.negotiate(b"id"), Established::Off);
    world.cache.set_get_callback(|_, wanted| {
        Some(Answer::Owned(session(b"www", wanted.id(), times(0, 100))))
    });
    for id in [&b"inside"[..], b"id"] {
        assert!(world.cache.resume(&1, id).unwrap().is_external());
        assert!(world.cache.take(&1, id).unwrap().is_external());
    }
    assert_eq!(world.cache.add(&session(b"www", b"x", times(0, 100))), Err(NotStored::Mode));
    assert_eq!(world.cache.len(), 1, "what was inside stays until it is removed or expires");
    world.cache.set_modes(Modes::SERVER);
    assert!(!world.cache.resume(&1, b"inside").unwrap().is_external());
}

#[test]
fn no_internal_lookup_asks_outside_and_stores_all_the_same() {
    let world = World::new();
    world.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_LOOKUP);
    assert!(matches!(world.negotiate(b"id"), Established::Stored(_)));
    assert!(world.cache.resume(&1, b"id").is_none(), "nobody outside knows it");
    world.cache.set_get_callback(|_, wanted| {
        Some(Answer::Owned(session(b"www", wanted.id(), times(0, 100))))
    });
    assert!(world.cache.resume(&1, b"other").unwrap().is_external());
    assert_eq!(world.cache.len(), 2);
    let numbers = world.cache.stats().numbers();
    assert_eq!((numbers.misses, numbers.cb_hits, numbers.hits), (0, 1, 1));
}

#[test]
fn no_internal_store_announces_and_uses_and_stores_nothing_but_what_is_added() {
    let world = World::new();
    world.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_STORE);
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    world.cache.set_new_callback(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Verdict::Keep
    });
    assert_eq!(world.negotiate(b"id"), Established::NotStored(NotStored::Mode));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    world.cache.set_get_callback(|_, wanted| {
        Some(Answer::Owned(session(b"www", wanted.id(), times(0, 100))))
    });
    assert!(world.cache.resume(&1, b"id").unwrap().is_external());
    assert!(world.cache.is_empty());
    world.cache.add(&session(b"www", b"added", times(0, 100))).unwrap();
    assert!(!world.cache.resume(&1, b"added").unwrap().is_external());
}

#[test]
fn a_client_stores_only_if_its_side_is_on() {
    let world = World::new();
    let clients = world.cache.for_clients();
    assert_eq!(clients.new_session(&1, &new(b"id")), Ok(Established::Off));
    world.cache.set_modes(Modes::BOTH);
    assert!(matches!(clients.new_session(&1, &new(b"id")), Ok(Established::Stored(_))));
    world.cache.set_modes(Modes::CLIENT);
    assert!(clients.resume(&1, b"id").is_some());
    assert!(world.cache.resume(&1, b"id").is_none(), "the server's side is off");
}

#[test]
fn update_time_renews_an_answer_but_never_past_its_authentication() {
    let world = World::new();
    world.cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME);
    world.cache.set_get_callback(|_, wanted| {
        Some(Answer::Owned(session(b"www", wanted.id(), times(0, 20))))
    });
    world.advance(SECOND * 10);
    assert!(world.cache.resume(&1, b"id").unwrap().is_external());
    world.cache.clear_get_callback();
    let renewed = world.cache.resume(&1, b"id").unwrap().session().times();
    assert_eq!((renewed.created, renewed.not_after), (EPOCH + SECOND * 10, EPOCH + SECOND * 310));
    // 1000 s is the end of the authentication.
    world.cache.set_timeout(SECOND * 5000);
    world.cache.set_get_callback(|_, wanted| {
        Some(Answer::Owned(session(b"www", wanted.id(), times(0, 20))))
    });
    world.cache.resume(&1, b"id2").unwrap();
    let renewed = world.cache.resume(&1, b"id2").unwrap().session().times();
    assert_eq!(renewed.not_after, EPOCH + SECOND * 1000);
}

#[test]
fn a_session_lives_for_its_timeout_and_no_longer_than_its_authentication() {
    let world = World::new();
    let put = |id: &[u8], new: NewSession| {
        world.cache.new_session(&1, &new).unwrap();
        world.cache.resume(&1, id).map(|found| found.session().times().not_after)
    };
    assert_eq!(put(b"own", new(b"own").timeout(SECOND)), Some(EPOCH + SECOND));
    let renewed = new(b"renewed").auth_not_after(EPOCH + SECOND * 100);
    assert_eq!(put(b"renewed", renewed), Some(EPOCH + SECOND * 100));
    assert_eq!(put(b"zero", new(b"zero").timeout(Duration::ZERO)), None);
    assert_eq!(put(b"late", new(b"late").auth_not_after(EPOCH)), None);
    let week = EPOCH + SECOND * 7 * 24 * 3600;
    assert_eq!(put(b"max", new(b"max").timeout(Duration::MAX)), Some(week));
    world.cache.set_timeout(SECOND * 7);
    assert_eq!(put(b"new", new(b"new")), Some(EPOCH + SECOND * 7));
}

#[test]
fn of_any_number_of_takers_one_gets_the_session() {
    let world = World::new();
    for round in 0..200u32 {
        let id = round.to_be_bytes();
        world.negotiate(&id);
        let got = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let found = world.cache.take(&1, &id);
                    got.fetch_add(u64::from(found.is_some()), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(got.into_inner(), 1);
    }
    assert!(world.removals().iter().all(|(_, cause)| *cause == RemovalCause::Taken));
}

#[test]
fn an_answer_for_single_use_is_not_stored() {
    let world = World::new();
    world.cache.set_get_callback(|_, wanted| {
        assert!(wanted.single_use());
        Some(Answer::Owned(session(wanted.namespace(), wanted.id(), times(0, 100))))
    });
    assert!(world.cache.take(&1, b"id").unwrap().is_external());
    assert!(world.cache.is_empty());
}

#[test]
fn each_removal_has_its_cause() {
    let world = World::new();
    for id in [b"1", b"2", b"3", b"4", b"5", b"6", b"7"] {
        world.negotiate(id);
    }
    let handle = world.cache.resume(&1, b"7").unwrap().handle().unwrap();
    assert!(world.cache.remove(b"1") && !world.cache.remove(b"1"));
    assert!(world.cache.connection_failed(b"2"));
    assert!(world.cache.take(&1, b"3").is_some());
    world.negotiate(b"4");
    assert!(world.cache.remove_exact(&handle) && !world.cache.remove_exact(&handle));
    world.advance(SECOND * 299);
    world.negotiate(b"late");
    world.advance(SECOND);
    assert_eq!(world.cache.flush_sessions(Duration::ZERO), 3, "all that has expired");
    assert_eq!(world.cache.flush_sessions(EPOCH + SECOND * 600), 1, "what will have expired");
    let mut removals = world.removals();
    removals[5..8].sort();
    use RemovalCause::{Expired, Faulty, Flushed, Removed, Replaced, Taken};
    let causes = [
        (b"1".to_vec(), Removed),
        (b"2".to_vec(), Faulty),
        (b"3".to_vec(), Taken),
        (b"4".to_vec(), Replaced),
        (b"7".to_vec(), Removed),
        (b"4".to_vec(), Expired),
        (b"5".to_vec(), Expired),
        (b"6".to_vec(), Expired),
        (b"late".to_vec(), Flushed),
    ];
    assert_eq!(removals, causes);
}

#[test]
fn namespaces_share_the_cache_and_no_session() {
    let world = World::new();
    let other = world.cache.with_namespace(Namespace::new(b"other").unwrap());
    world.negotiate(b"id");
    other.new_session(&1, &new(b"id")).unwrap();
    other.new_session(&1, &new(b"id2")).unwrap();
    assert!(world.cache.resume(&1, b"id2").is_none());
    assert!(!world.cache.remove(b"id2"));
    assert_eq!(other.flush_namespace(), 2);
    assert!(world.cache.resume(&1, b"id").is_some() && other.is_empty() == world.cache.is_empty());
    let both: Vec<_> = world.removals();
    assert_eq!(both.len(), 2);
    assert!(both.iter().all(|(_, cause)| *cause == RemovalCause::Flushed));
    world.cache.flush_all();
    assert!(world.cache.is_empty());
}

#[test]
fn each_255th_new_session_clears_unless_that_is_off() {
    for (modes, cleared) in [(Modes::SERVER, true), (Modes::SERVER | Modes::NO_AUTO_CLEAR, false)] {
        let world = World::new();
        world.cache.set_modes(modes);
        world.negotiate(b"old");
        world.advance(SECOND * 300);
        for n in 0..254u32 {
            world.cache.new_session(&1, &new(&n.to_be_bytes()).timeout(Duration::ZERO)).unwrap();
        }
        let old = (b"old".to_vec(), RemovalCause::Expired);
        assert_eq!(world.removals().contains(&old), cleared);
    }
}

#[test]
fn a_session_goes_to_disk_and_comes_back() {
    let world = World::new();
    let disk = Arc::new(Mutex::new(std::collections::HashMap::new()));
    let (store, load, delete) = (disk.clone(), disk.clone(), disk.clone());
    world.cache.set_new_callback(move |_, session| {
        let bytes = session.to_bytes().unwrap().to_vec();
        store.lock().unwrap().insert(session.id().to_vec(), bytes);
        Verdict::Keep
    });
    world.cache.set_get_callback(move |_, wanted| {
        let bytes = load.lock().unwrap().get(wanted.id()).cloned()?;
        Session::from_bytes(&bytes).ok().map(Answer::Owned)
    });
    world.cache.set_remove_callback(move |gone| {
        if gone.cause() != RemovalCause::Evicted {
            delete.lock().unwrap().remove(gone.session().id());
        }
    });
    for n in 0..500u32 {
        world.negotiate(&n.to_be_bytes());
    }
    assert!(world.cache.len() <= 100 && disk.lock().unwrap().len() == 500);
    for n in 0..500u32 {
        let found = world.cache.resume(&1, &n.to_be_bytes()).unwrap();
        assert_eq!(found.session().payload(), b"payload");
    }
    assert!(world.cache.stats().answered >= 400);
    assert!(world.cache.remove(&499u32.to_be_bytes()));
    assert!(world.cache.resume(&1, &499u32.to_be_bytes()).is_none());
}
