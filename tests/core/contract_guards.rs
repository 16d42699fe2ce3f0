//! What keeps look-ups outside from hurting: unknown ids are remembered for a moment, a store that
//! fails is left alone for a while, foreign ids are told before anything is looked up.

use crate::sessions;
use crate::sessions::{Rig, TLS12, namespace, rig, rig_with};
use halfshake::session::{
    Answer, BreakerState, IdTagKey, IdTags, Modes, Namespace, NotStored, Rejection, Side, Verdict,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

fn asked(rig: &Rig) -> u64 {
    rig.cache.stats().asked
}

fn wait(rig: &Rig, milliseconds: u64) {
    rig.clock.advance(Duration::from_millis(milliseconds));
}

#[test]
fn unknown_id_is_asked_for_once_a_second() {
    let rig = rig();
    for _ in 0..10 {
        assert_eq!(rig.resume(1), None);
        assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none());
    }
    assert_eq!((asked(&rig), rig.cache.stats().remembered), (1, 19));
    assert_eq!(rig.resume(2), None);
    assert_eq!(asked(&rig), 2, "another id");
    wait(&rig, 1_000);
    assert_eq!(rig.resume(1), None);
    assert_eq!(asked(&rig), 3);
}

#[test]
fn unknown_id_is_remembered_for_two_seconds_at_most() {
    let rig = rig_with(|builder| builder.remember_unknown(100, Duration::from_secs(3600)));
    rig.resume(1);
    wait(&rig, 1_900);
    rig.resume(1);
    assert_eq!(asked(&rig), 1);
    wait(&rig, 100);
    rig.resume(1);
    assert_eq!(asked(&rig), 2);
}

#[test]
fn memory_for_unknown_ids_can_be_switched_off() {
    for (ids, time) in [(0, Duration::from_secs(1)), (100, Duration::ZERO)] {
        let rig = rig_with(|builder| builder.remember_unknown(ids, time));
        (0..10).for_each(|_| assert_eq!(rig.resume(1), None));
        assert_eq!(asked(&rig), 10);
    }
}

#[test]
fn put_clears_what_was_remembered() {
    let rig = rig();
    assert_eq!(rig.resume(1), None);
    rig.cache.add(&rig.session(1)).unwrap();
    assert_eq!(rig.resume(1), Some(false));
    rig.cache.remove(&namespace(), &[1; 32]);
    rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
    assert_eq!(rig.resume(1), Some(true), "still taken for unknown");
}

#[test]
fn new_session_that_only_the_callback_keeps_is_known_at_once() {
    let rig = rig_with(|builder| builder.modes(Modes::SERVER | Modes::NO_INTERNAL_STORE));
    assert_eq!(rig.resume(1), None);
    let world = rig.world.clone();
    rig.cache.set_new_callback(move |_, new| {
        // Asked while the store does not have it yet.
        let name = namespace();
        assert!(new.cache().resume(&1, &name, new.session().id().as_bytes()).is_none());
        world.keeps_outside(1, Answer::borrowed(new.session()));
        Verdict::Keep
    });
    rig.begin(1);
    assert_eq!(rig.resume(1), Some(true));
}

#[test]
fn failures_are_never_remembered() {
    let rig = rig_with(|builder| builder.breaker(0, Duration::ZERO));
    let answers = [
        Answer::failed(),
        Answer::serialised(b"garbage".to_vec()),
        Answer::handed_over(rig.session_from_to(1, -9, -5)),
        Answer::handed_over(rig.session(2)),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        rig.world.keeps_outside(1, answer);
        assert_eq!(rig.resume(1), None);
        assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none());
        assert_eq!(asked(&rig), 2 * (n as u64 + 1));
    }
    rig.cache.set_get_callback(|_, _| panic!("injected"));
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| rig.resume(1))).is_err());
    }
    assert_eq!(rig.cache.stats().remembered, 0);
}

#[test]
fn miss_of_an_id_that_was_changed_meanwhile_is_not_remembered() {
    type Change = fn(&sessions::Cache);
    let changes: [Change; 4] = [
        |cache| assert!(!cache.remove(&namespace(), &[1; 32])),
        |cache| assert_eq!(cache.flush_all(), 0),
        |cache| {
            let session = cache.make(&namespace(), sessions::id(1), TLS12, b"");
            cache.add(&session).expect("there is room");
            cache.remove(&namespace(), &[1; 32]);
        },
        |cache| {
            let cache = cache.clone();
            let take = move || cache.take(&1, &namespace(), &[1; 32]).is_none();
            assert!(std::thread::spawn(take).join().expect("no panic"));
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let rig = rig();
        let changed = AtomicBool::new(false);
        rig.cache.set_get_callback(move |_, asked| {
            // Only the first miss could be remembered.
            if changed.swap(true, SeqCst) {
                return Answer::failed();
            }
            change(asked.cache());
            Answer::unknown()
        });
        assert_eq!(rig.resume(1), None);
        let before = asked(&rig);
        assert_eq!(rig.resume(1), None);
        assert_eq!(asked(&rig), before + 1, "change {n} and the miss was remembered");
    }
}

#[test]
fn miss_of_an_id_that_a_new_session_got_meanwhile_is_not_remembered() {
    let rig = rig_with(|builder| builder.modes(Modes::SERVER | Modes::NO_INTERNAL_STORE));
    let is_new = AtomicBool::new(false);
    rig.cache.set_get_callback(move |_, asked| {
        if is_new.swap(true, SeqCst) {
            return Answer::failed();
        }
        let cache = asked.cache();
        let session = cache.make(&namespace(), sessions::id(1), TLS12, b"");
        // Its callback writes it to the store, which did not know it when it was asked.
        cache.new_session(&1, Side::Server, &session);
        Answer::unknown()
    });
    assert_eq!(rig.resume(1), None);
    let before = asked(&rig);
    assert_eq!(rig.resume(1), None);
    assert_eq!(asked(&rig), before + 1, "it was taken for unknown");
}

#[test]
fn many_unknown_ids_take_bounded_memory_and_each_is_a_miss() {
    let rig = rig_with(|builder| builder.remember_unknown(64, Duration::from_secs(2)));
    for n in 0..10_000u32 {
        assert!(rig.cache.resume(&1, &namespace(), &n.to_be_bytes()).is_none());
    }
    assert_eq!(asked(&rig), 10_000);
    let again = |n: &u32| rig.cache.resume(&1, &namespace(), &n.to_be_bytes()).is_none();
    assert_eq!((0..10_000u32).filter(again).count(), 10_000);
    let remembered = rig.cache.stats().remembered;
    assert!(remembered <= 64, "{remembered} of 64");
}

#[test]
fn store_that_fails_is_left_alone_for_a_while() {
    let rig = rig_with(|builder| builder.breaker(3, Duration::from_secs(1)));
    for first in 1..=20 {
        rig.world.keeps_outside(first, Answer::failed());
        assert_eq!(rig.resume(first), None);
    }
    let stats = rig.cache.stats();
    assert_eq!((stats.asked, stats.refused_by_breaker, stats.breaker_opened), (3, 17, 1));
    assert_eq!(stats.breaker, BreakerState::Open);
    assert_eq!(rig.begin(50), halfshake::session::Newly::Stored, "what is inside works on");
    assert_eq!(rig.resume(50), Some(false));
    wait(&rig, 1_000);
    assert_eq!(rig.cache.stats().breaker, BreakerState::HalfOpen);
    assert_eq!((rig.resume(1), rig.resume(2)), (None, None));
    assert_eq!(asked(&rig), 4, "one tries, and fails");
    wait(&rig, 1_000);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
    assert_eq!(rig.resume(1), Some(true));
    assert_eq!(rig.cache.stats().breaker, BreakerState::Closed);
    rig.resume(2);
    rig.resume(3);
    assert_eq!(asked(&rig), 7);
}

#[test]
fn store_that_knows_nothing_or_gives_rubbish_has_not_failed() {
    let rig = rig_with(|builder| builder.breaker(1, Duration::from_secs(1)));
    for first in 1..=50 {
        if first % 2 == 0 {
            rig.world.keeps_outside(first, Answer::serialised(b"rubbish".to_vec()));
        }
        assert_eq!(rig.resume(first), None);
    }
    assert_eq!((asked(&rig), rig.cache.stats().breaker), (50, BreakerState::Closed));
}

#[test]
fn panics_and_slow_answers_open_the_breaker() {
    let rig = rig_with(|builder| builder.breaker(2, Duration::from_secs(1)));
    rig.cache.set_get_callback(|_, _| panic!("injected"));
    for _ in 0..2 {
        let take = || rig.cache.take(&1, &namespace(), &[1; 32]).is_some();
        assert!(catch_unwind(AssertUnwindSafe(take)).is_err());
    }
    assert_eq!(rig.cache.stats().breaker, BreakerState::Open);
    assert_eq!(rig.resume(1), None, "no panic any more");

    let slow = rig_with(|b| b.breaker(1, Duration::from_secs(1)).lookup_timeout(Duration::ZERO));
    let answer = Answer::handed_over(slow.session(1));
    slow.cache.set_get_callback(move |_, _| {
        // What takes less than a microsecond counts as none.
        std::thread::park_timeout(Duration::from_millis(1));
        answer.clone()
    });
    assert_eq!(slow.resume(1), Some(true), "late, and used");
    assert_eq!(slow.cache.stats().breaker, BreakerState::Open);
    assert!(slow.cache.stats().external_time > Duration::ZERO);
}

fn tagged() -> (Rig, Arc<IdTags>) {
    let tags = Arc::new(IdTags::new(IdTagKey::new(&[3; 16]), 2));
    let given = tags.clone();
    (rig_with(|builder| builder.id_tags(given)), tags)
}

#[test]
fn foreign_ids_are_refused_without_a_look_up() {
    let (rig, tags) = tagged();
    let name = namespace();
    let id = tags.mint(&name).unwrap();
    let session = rig.cache.make(&name, id, TLS12, b"secret");
    rig.cache.add(&session).unwrap();
    for bit in 0..256 {
        let mut foreign: [u8; 32] = id.as_bytes().try_into().unwrap();
        foreign[bit / 8] ^= 1 << (bit % 8);
        assert!(rig.cache.resume(&1, &name, &foreign).is_none(), "bit {bit}");
        assert!(rig.cache.take(&1, &name, &foreign).is_none(), "bit {bit}");
    }
    assert!(rig.cache.resume(&1, &name, &id.as_bytes()[..31]).is_none());
    let stats = rig.cache.stats();
    assert_eq!((stats.asked, stats.rejected_for(Rejection::ForeignId)), (0, 513));
    assert_eq!(stats.engine.misses_unknown, 0, "the table was asked");
    assert_eq!(rig.cache.resume(&1, &name, id.as_bytes()).unwrap().payload(), b"secret");
}

#[test]
fn minted_id_belongs_to_its_namespace() {
    let (rig, tags) = tagged();
    let (name, other) = (namespace(), Namespace::new(b"other").unwrap());
    let id = tags.mint(&name).unwrap();
    assert!(tags.recognises(&name, id.as_bytes()) && !tags.recognises(&other, id.as_bytes()));
    let session = rig.cache.make(&other, id, TLS12, b"");
    assert_eq!(rig.cache.add(&session), Err(NotStored::Rejected(Rejection::ForeignId)));
    assert_eq!(rig.cache.add(&rig.session(1)), Err(NotStored::Rejected(Rejection::ForeignId)));
    assert!(rig.cache.is_empty());
}

#[test]
fn tags_rotate_and_ids_of_the_keys_that_are_kept_are_recognised() {
    let (_rig, tags) = tagged();
    let name = namespace();
    let old = tags.mint(&name).unwrap();
    let (second, third) = (IdTagKey::random().unwrap(), IdTagKey::random().unwrap());
    let other = IdTags::new(second.clone(), 2);
    assert!(!tags.recognises(&name, other.mint(&name).unwrap().as_bytes()));
    tags.accept(&second);
    assert!(tags.recognises(&name, other.mint(&name).unwrap().as_bytes()));
    assert!(!other.recognises(&name, tags.mint(&name).unwrap().as_bytes()), "it mints already");
    tags.rotate(&second);
    assert!(other.recognises(&name, tags.mint(&name).unwrap().as_bytes()));
    assert!(tags.recognises(&name, old.as_bytes()));
    tags.rotate(&third);
    assert!(!tags.recognises(&name, old.as_bytes()), "the oldest key has gone");
    assert!(!format!("{tags:?} {third:?}").contains('['), "a secret is printed");
}

#[test]
fn minted_ids_differ() {
    let (_rig, tags) = tagged();
    let ids: std::collections::HashSet<Vec<u8>> =
        (0..1_000).map(|_| tags.mint(&namespace()).unwrap().as_bytes().to_vec()).collect();
    assert_eq!(ids.len(), 1_000);
}
