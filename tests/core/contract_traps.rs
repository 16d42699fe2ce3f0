//! The traps in which real session caches were caught.

use crate::sessions::{BEGIN, Call, TLS12, id, namespace, rig, rig_with};
use halfshake::RemovalCause::{Expired, Removed, Replaced, Shutdown, Taken};
use halfshake::session::{Answer, Modes, Newly, NotStored, Rejection, SessionId};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn same_id_stored_by_many_threads_ends_each_but_one_with_replaced() {
    const THREADS: u8 = 8;
    let rig = rig();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| rig.cache.add(&rig.session(1)).unwrap());
        }
    });
    let calls = rig.world.calls();
    assert_eq!(calls, vec![Call::Remove(1, Replaced); usize::from(THREADS) - 1]);
    assert_eq!(rig.cache.len(), 1);
}

#[test]
fn removal_of_an_old_session_leaves_the_one_that_took_its_id() {
    let rig = rig();
    rig.begin(1);
    let old = rig.cache.find(&namespace(), &[1; 32]).unwrap().handle().unwrap();
    rig.begin(1);
    assert!(!rig.cache.remove_exact(&old));
    assert!(rig.holds(1));
}

#[test]
fn handle_outlives_its_session_and_never_means_another_one() {
    let rig = rig();
    rig.begin(1);
    let handle = rig.cache.find(&namespace(), &[1; 32]).unwrap().handle().unwrap();
    assert!(rig.cache.remove_exact(&handle));
    for _ in 0..100 {
        rig.begin(1);
        assert!(!rig.cache.remove_exact(&handle));
        rig.cache.remove(&namespace(), &[1; 32]);
        rig.cache.run_maintenance(usize::MAX);
    }
}

#[test]
fn eviction_does_not_touch_a_session_in_use() {
    let rig = rig_with(|builder| builder.capacity(1));
    rig.begin(1);
    let used = rig.cache.resume(&1, &namespace(), &[1; 32]).unwrap();
    rig.begin(2);
    assert!(!rig.holds(1), "evicted");
    assert_eq!((used.payload(), used.version()), (&[1; 100][..], TLS12));
    assert_eq!(used.to_session().id(), &id(1));
}

#[test]
fn taken_session_is_readable_whatever_happens_to_the_cache() {
    let rig = rig();
    rig.begin(1);
    let taken = rig.cache.take(&1, &namespace(), &[1; 32]).unwrap();
    rig.begin(1);
    rig.cache.flush_all();
    rig.cache.shutdown();
    rig.cache.run_maintenance(usize::MAX);
    assert_eq!(taken.payload(), &[1; 100]);
}

#[test]
fn session_is_never_changed_and_other_times_make_another_session() {
    let rig = rig();
    let session = rig.session(1);
    let times = session.times();
    let renewed =
        session.with_times(times.renewed(BEGIN + Duration::from_secs(50), times.not_after()));
    assert_eq!(session.times(), times);
    assert!(!renewed.is_same(&session) && renewed.payload() == session.payload());
    rig.cache.add(&session).unwrap();
    assert_eq!(rig.cache.find(&namespace(), &[1; 32]).unwrap().times(), times);
}

#[test]
fn ids_of_no_bytes_do_not_exist() {
    let rig = rig_with(|builder| builder.capacity(3));
    assert!(SessionId::new(&[]).is_err());
    assert!(!rig.cache.remove(&namespace(), &[]));
    assert!(rig.cache.find(&namespace(), &[]).is_none());
    (1..=50).for_each(|first| _ = rig.begin(first));
    assert_eq!((rig.cache.len(), rig.cache.stats().ssl().cache_full), (3, 47));
}

#[test]
fn ids_with_a_common_prefix_spread_over_the_whole_cache() {
    const SESSIONS: u32 = 20_000;
    let rig = rig_with(|builder| builder.capacity(u64::from(SESSIONS)));
    for n in 0..SESSIONS {
        let mut bytes = [b'w'; 32];
        bytes[28..].copy_from_slice(&n.to_be_bytes());
        let session = rig.cache.make(&namespace(), SessionId::new(&bytes).unwrap(), TLS12, b"");
        rig.cache.add(&session).unwrap();
    }
    // A set that is full evicts although the cache is not: few do, unless all ids share some.
    assert!(rig.cache.len() > u64::from(SESSIONS) * 98 / 100, "{}", rig.cache.len());
}

#[test]
fn of_many_takers_exactly_one_gets_the_session() {
    let rig = rig();
    for round in 0..50 {
        rig.begin(1);
        let got = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let taken = rig.cache.take(&1, &namespace(), &[1; 32]).is_some();
                    got.fetch_add(u64::from(taken), SeqCst);
                });
            }
        });
        assert_eq!(got.load(SeqCst), 1, "round {round}");
    }
    assert_eq!(rig.cache.stats().engine.removed_by(Taken), 50);
}

#[test]
fn nobody_gets_a_session_whose_store_can_not_be_reached() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::failed());
    assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none());
    assert_eq!(rig.resume(1), None, "a failed store is a miss, and no failed handshake");
    assert_eq!(rig.cache.stats().failed, 2);
}

#[test]
fn failure_of_the_store_is_not_remembered() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::failed());
    assert_eq!(rig.resume(1), None);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
    assert_eq!(rig.resume(1), Some(true));
}

#[test]
fn remove_callback_changes_nothing_of_what_is_stored() {
    let (with, without) = (rig(), rig());
    without.cache.clear_remove_callback();
    for rig in [&with, &without] {
        rig.begin(1);
        rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_STORE);
        rig.begin(2);
        assert!(rig.holds(1) && !rig.holds(2));
    }
}

#[test]
fn new_session_can_be_resumed_as_soon_as_it_was_begun() {
    let rig = rig();
    for first in 1..=50 {
        assert_eq!(rig.begin(first), Newly::Stored);
        assert_eq!(rig.resume(first), Some(false), "stored after the handshake was over");
    }
}

#[test]
fn session_that_is_too_large_is_refused_and_counted() {
    let rig = rig();
    let of = |len: usize| rig.cache.make(&namespace(), id(1), TLS12, &vec![7; len]);
    assert_eq!(rig.cache.add(&of(16 << 10)), Ok(()), "a chain of client certificates fits");
    assert_eq!(rig.cache.add(&of(64 << 10)), Ok(()));
    let too_large = Err(NotStored::Rejected(Rejection::TooLarge));
    assert_eq!(rig.cache.add(&of((64 << 10) + 1)), too_large);
    assert_eq!(rig.cache.stats().rejected_for(Rejection::TooLarge), 1);
    assert!(rig.holds(1), "a refusal has changed nothing");
}

#[test]
fn callbacks_find_the_cache_usable_at_its_end() {
    let rig = rig();
    (1..=3).for_each(|first| _ = rig.begin(first));
    let world = rig.world.clone();
    rig.cache.set_remove_callback(move |gone| {
        let cache = gone.cache();
        assert!(cache.find(&namespace(), gone.id()).is_none());
        assert!(cache.resume(&7, &namespace(), &[9; 32]).is_none());
        assert!(cache.stats().ssl().number <= 3);
        world.note(Call::Remove(gone.id()[0], gone.cause()));
    });
    rig.world.calls();
    rig.cache.shutdown();
    let ended = |call: &&Call| matches!(call, Call::Remove(_, Shutdown));
    assert_eq!(rig.world.calls().iter().filter(ended).count(), 3);
}

#[test]
fn maintenance_works_in_slices_that_are_bounded() {
    let rig = rig_with(|builder| builder.capacity(5000));
    for n in 0..4000u16 {
        let id = SessionId::new(&n.to_be_bytes()).unwrap();
        rig.cache.add(&rig.cache.make(&namespace(), id, TLS12, b"")).unwrap();
    }
    let stored = rig.cache.len();
    rig.advance(100);
    let first = rig.cache.run_maintenance(1).expired;
    // One step of 64 sets of 15 sessions at most.
    assert!((1..=960).contains(&first), "{first} in one slice");
    let rest: u64 = (0..2000).map(|_| rig.cache.run_maintenance(1).expired).sum();
    assert_eq!((first + rest, rig.cache.len()), (stored, 0));
}

#[test]
fn counters_are_exact_after_many_threads_have_counted() {
    const THREADS: u64 = 4;
    const EACH: u64 = 2000;
    let rig = rig();
    rig.begin(1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    assert_eq!(rig.resume(1), Some(false));
                    assert_eq!(rig.resume(2), None);
                }
            });
        }
    });
    let stats = rig.cache.stats();
    let ssl = stats.ssl();
    assert_eq!((ssl.hits, ssl.misses), (THREADS * EACH, THREADS * EACH));
    assert_eq!(stats.asked + stats.joined + stats.remembered, THREADS * EACH);
}

#[test]
fn session_from_outside_that_is_expired_is_not_brought_to_life_by_storing_it() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -200, -100)));
    for _ in 0..3 {
        assert_eq!(rig.resume(1), None);
    }
    assert_eq!((rig.cache.len(), rig.cache.stats().rejected_for(Rejection::Expired)), (0, 3));
}

#[test]
fn expired_session_makes_room_before_one_that_is_good() {
    let rig = rig_with(|builder| builder.capacity(2));
    rig.cache.add(&rig.session_from_to(1, 0, 500)).unwrap();
    rig.cache.add(&rig.session_from_to(2, 0, 10)).unwrap();
    rig.advance(10);
    rig.cache.add(&rig.session(3)).unwrap();
    assert_eq!(rig.world.calls(), [Call::Remove(2, Expired)]);
    assert!(rig.holds(1) && rig.holds(3));
}

#[test]
fn remove_tells_whether_there_was_something_and_tells_the_callback_only_then() {
    let rig = rig();
    rig.begin(1);
    rig.world.calls();
    assert!(rig.cache.remove(&namespace(), &[1; 32]));
    assert!(!rig.cache.remove(&namespace(), &[1; 32]));
    assert_eq!(rig.world.calls(), [Call::Remove(1, Removed)]);
}
