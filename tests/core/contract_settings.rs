//! Time, capacity, namespaces, modes and counters, sentence by sentence.

use crate::sessions::{BEGIN, Call, TLS12, id, namespace, rig, rig_with};
use crate::world::until;
use halfshake::RemovalCause::{self, Evicted, Expired, Flushed, Replaced};
use halfshake::session::{Answer, Modes, Namespace, Newly, NotStored, SessionCache, SessionId};
use halfshake::session::{Rejection, Side, Stage, Times};
use halfshake::{BadSetting, Maintenance, ManualClock, Refusal};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn session_is_expired_at_its_deadline_swept_or_not() {
    let rig = rig();
    rig.begin(1);
    rig.clock.advance(Duration::from_millis(99_999));
    assert_eq!(rig.resume(1), Some(false));
    rig.clock.advance(Duration::from_millis(1));
    assert_eq!(rig.resume(1), None);
    assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none());
    assert_eq!(rig.cache.len(), 1, "not swept");
}

#[test]
fn session_that_nobody_sets_times_for_lives_two_hours_and_renewed_a_week() {
    let builder = SessionCache::<()>::builder().capacity(1).maintenance(Maintenance::Embedder);
    let cache = builder.build().unwrap();
    let times = cache.make(&namespace(), id(1), TLS12, b"").times();
    let lives = |until: Duration| (until - times.created()).as_secs();
    assert_eq!([times.not_after(), times.auth_not_after()].map(lives), [7_200, 604_800]);
}

#[test]
fn monotonic_clock_that_steps_back_resurrects_nothing() {
    let rig = rig();
    rig.begin(1);
    rig.advance(100);
    assert!(!rig.holds(1));
    rig.clock.set(BEGIN);
    assert!(!rig.holds(1));
    assert_eq!(rig.resume(1), None);
}

#[test]
fn timeout_of_0_stores_nothing_and_the_old_session_of_the_id_goes() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    rig.cache.set_timeout(Duration::ZERO);
    assert_eq!(rig.cache.add(&rig.session(1)), Err(NotStored::Expired));
    assert_eq!(rig.world.calls(), [Call::Remove(1, Replaced)]);
    assert_eq!(rig.cache.len(), 0);
}

#[test]
fn new_session_with_a_timeout_of_0_is_told_to_the_new_callback() {
    let rig = rig();
    rig.cache.set_timeout(Duration::ZERO);
    assert_eq!(rig.begin(1), Newly::NotStored(NotStored::Expired));
    assert_eq!(rig.world.calls(), [Call::New(1, 1)]);
}

#[test]
fn namespaces_are_keys_of_maps_by_their_names() {
    let names: HashSet<Namespace> =
        [&b"a"[..], b"b", b"a"].map(|name| Namespace::new(name).unwrap()).into();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&Namespace::new(b"b").unwrap()), "found again");
    assert!(!names.contains(&Namespace::new(b"ab").unwrap()));
    assert_ne!(Namespace::new(b"a").unwrap(), Namespace::new(b"b").unwrap());
}

#[test]
fn ids_are_as_long_as_was_allowed_and_no_longer() {
    for (most, rig) in [
        (16, rig_with(|builder| builder.max_id_bytes(16))),
        (32, rig()),
        (64, rig_with(|builder| builder.max_id_bytes(64))),
        (64, rig_with(|builder| builder.max_id_bytes(1_000))),
    ] {
        for len in [1, 16, 17, 32, 33, 64] {
            let id = vec![7; len];
            let session_id = SessionId::new(&id).unwrap();
            let stored = rig.cache.add(&rig.cache.make(&namespace(), session_id, TLS12, b""));
            let expected = Err(NotStored::Rejected(Rejection::IdLength));
            assert_eq!(stored, if len <= most { Ok(()) } else { expected }, "{len} of {most}");
            assert_eq!(rig.cache.find(&namespace(), &id).is_some(), len <= most);
        }
    }
}

#[test]
fn settings_of_the_engine_reach_it() {
    let builder = || SessionCache::<u64>::builder().capacity(10);
    let bad = builder().sweep_interval(Duration::ZERO).build().unwrap_err();
    assert_eq!(bad.settings(), [BadSetting::SweepInterval]);
    let bad = builder().preallocate(u64::MAX).build().unwrap_err();
    assert!(matches!(bad.settings(), [BadSetting::Memory { .. }]), "{bad}");
}

#[test]
fn enormous_times_saturate() {
    let rig = rig();
    let forever = Times::new(BEGIN, Duration::MAX, Duration::MAX);
    let session = rig.session(1).with_times(forever);
    rig.cache.add(&session).unwrap();
    rig.clock.set(Duration::from_secs(10_000_000_000));
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.cache.flush_sessions(Duration::MAX), 0, "it never ends");
    assert_eq!(rig.cache.flush_all(), 1);
}

#[test]
fn each_session_has_a_timeout_of_its_own() {
    let rig = rig();
    for (first, end) in [(1, 10), (2, 30), (3, 20)] {
        rig.cache.add(&rig.session_from_to(first, 0, end)).unwrap();
    }
    for (seconds, left) in [(10, [false, true, true]), (20, [false, true, false])] {
        rig.clock.set(BEGIN + Duration::from_secs(seconds));
        assert_eq!([1, 2, 3].map(|first| rig.holds(first)), left, "{seconds} s");
    }
}

#[test]
fn sweep_delivers_expired_once_for_each() {
    let rig = rig();
    (1..=9).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    rig.advance(100);
    assert_eq!(rig.cache.run_maintenance(usize::MAX).expired, 9);
    assert_eq!(rig.cache.run_maintenance(usize::MAX).expired, 0);
    let calls = rig.world.calls();
    let expired: HashSet<u8> = calls
        .iter()
        .map(|call| match call {
            Call::Remove(first, Expired) => *first,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((calls.len(), expired.len()), (9, 9));
}

#[test]
fn cache_sweeps_by_itself() {
    let clock = ManualClock::new();
    clock.set(BEGIN);
    let cache = SessionCache::<u64>::builder()
        .capacity(10)
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .maintenance(Maintenance::Thread)
        .build()
        .unwrap();
    cache.add(&cache.make(&namespace(), id(1), TLS12, b"")).unwrap();
    clock.advance(Duration::from_secs(7202));
    until("what has expired is gone", || cache.is_empty());
    assert_eq!(cache.stats().engine.removed_by(Expired), 1);
    cache.validate();
}

#[test]
fn flush_by_time_removes_what_ends_by_then_and_nothing_else() {
    let rig = rig();
    for (first, end) in [(1, 10), (2, 20), (3, 30)] {
        rig.cache.add(&rig.session_from_to(first, 0, end)).unwrap();
    }
    let at = |seconds| rig.cache.flush_sessions(BEGIN + Duration::from_secs(seconds));
    assert_eq!((at(9), at(10), at(19), at(25), at(30)), (0, 1, 0, 1, 1));
    let causes: Vec<_> = rig.world.calls();
    let flushed = [1, 2, 3].map(|first| Call::Remove(first, Flushed));
    assert_eq!(causes, flushed);
}

#[test]
fn flush_of_what_has_expired_says_expired() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    rig.advance(100);
    assert_eq!(rig.cache.flush_sessions(rig.cache.wall_now()), 1);
    assert_eq!(rig.world.calls(), [Call::Remove(1, Expired)]);
}

#[test]
fn causes_say_whether_the_session_could_still_be_used() {
    let dead = [RemovalCause::Expired, RemovalCause::Faulty, RemovalCause::RefusedByNew];
    for cause in RemovalCause::ALL {
        assert_eq!(cause.was_live(), !dead.contains(&cause), "{cause}");
    }
}

#[test]
fn capacity_is_what_is_held_and_1_holds_1() {
    for capacity in 1..=12 {
        let rig = rig_with(|builder| builder.capacity(capacity));
        for first in 1..=40 {
            rig.begin(first);
            assert!(rig.cache.len() <= capacity);
            assert!(rig.holds(first), "the new one made room for itself");
        }
        assert_eq!(rig.cache.len(), capacity);
    }
}

#[test]
fn limit_is_reached_and_not_passed_by_many_threads() {
    let rig = Arc::new(rig_with(|builder| builder.capacity(50)));
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let rig = &rig;
            scope.spawn(move || {
                for n in 0..1000u16 {
                    let [a, b] = n.to_be_bytes();
                    let id = SessionId::new(&[thread, a, b]).unwrap();
                    let made = rig.cache.make(&namespace(), id, TLS12, b"");
                    // A preempted reader may hold a set back: then it is refused.
                    let added = rig.cache.add(&made);
                    let no_room = Err(NotStored::Refused(Refusal::NoRoom));
                    assert!(added.is_ok() || added == no_room, "{added:?}");
                }
            });
        }
    });
    (1..=50).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    assert_eq!(rig.cache.len(), 50);
}

#[test]
fn lowered_capacity_is_in_force_when_it_returns() {
    let rig = rig_with(|builder| builder.capacity(20));
    (1..=20).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    assert_eq!(rig.cache.set_capacity(5).unwrap().pending, 0);
    assert_eq!((rig.cache.len(), rig.cache.capacity()), (5, 5));
    let calls = rig.world.calls();
    assert!(calls.len() == 15 && calls.iter().all(|c| matches!(c, Call::Remove(_, Evicted))));
}

#[test]
fn capacity_can_be_raised_up_to_what_was_allocated() {
    let rig = rig_with(|builder| builder.capacity(2).max_capacity(4));
    rig.cache.set_capacity(4).unwrap();
    (1..=4).for_each(|first| _ = rig.begin(first));
    assert_eq!(rig.cache.len(), 4);
    assert!(rig.cache.set_capacity(5).is_err());
    assert_eq!(rig.cache.capacity(), 4);
}

#[test]
fn capacity_of_0_or_beyond_memory_is_a_mistake() {
    let build = |capacity| SessionCache::<u64>::builder().capacity(capacity).build();
    assert!(build(0).is_err());
    assert!(build(u64::MAX).is_err());
    assert!(rig().cache.set_capacity(0).is_err());
}

#[test]
fn limit_in_bytes_holds() {
    let rig = rig_with(|builder| builder.capacity_bytes(2000));
    for first in 1..=50 {
        rig.cache.add(&rig.session(first)).unwrap();
        assert!(rig.cache.stats().engine.bytes <= 2000);
    }
    assert!(rig.cache.len() >= 2);
    let large = rig.cache.make(&namespace(), id(60), TLS12, &[0; 3000]);
    let refused = rig.cache.add(&large);
    assert!(matches!(refused, Err(NotStored::Refused(Refusal::TooLarge { .. }))), "{refused:?}");
}

#[test]
fn cache_that_is_shut_down_refuses_and_says_so() {
    let rig = rig();
    rig.cache.shutdown();
    assert_eq!(rig.cache.add(&rig.session(1)), Err(NotStored::Refused(Refusal::Closed)));
    rig.cache.shutdown();
    assert_eq!((rig.cache.len(), rig.resume(1)), (0, None));
}

fn other() -> Namespace {
    Namespace::new(b"other").expect("short").proposing(TLS12)
}

#[test]
fn one_id_in_two_namespaces_is_two_sessions() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    rig.cache.add(&rig.cache.make(&other(), id(1), TLS12, b"other")).unwrap();
    assert_eq!(rig.cache.len(), 2);
    assert_eq!(rig.cache.resume(&1, &other(), &[1; 32]).unwrap().payload(), b"other");
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.world.calls(), []);
}

#[test]
fn no_operation_reaches_into_another_namespace() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    assert!(rig.cache.find(&other(), &[1; 32]).is_none());
    assert!(rig.cache.take(&1, &other(), &[1; 32]).is_none());
    assert!(!rig.cache.remove(&other(), &[1; 32]));
    assert!(!rig.cache.connection_failed(&other(), &[1; 32]));
    assert_eq!(rig.cache.flush_namespace(&other()), 0);
    assert!(rig.holds(1));
}

#[test]
fn flush_of_a_namespace_leaves_the_others() {
    let rig = rig();
    (1..=3).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    rig.cache.add(&rig.cache.make(&other(), id(1), TLS12, b"")).unwrap();
    assert_eq!(rig.cache.flush_namespace(&namespace()), 3);
    assert_eq!(rig.cache.len(), 1);
    assert!(rig.cache.find(&other(), &[1; 32]).is_some());
}

#[test]
fn every_set_of_modes_does_what_its_bits_say() {
    for bits in (0..0x800).filter_map(Modes::from_bits) {
        let rig = rig();
        rig.cache.set_modes(bits);
        let on = bits.contains(Modes::SERVER);
        let stores = on && !bits.contains(Modes::NO_INTERNAL_STORE);
        let looks = on && !bits.contains(Modes::NO_INTERNAL_LOOKUP);
        rig.begin(1);
        let called = rig.world.calls() == [Call::New(1, 1)];
        assert_eq!((called, rig.holds(1)), (on, stores), "{bits:?}");
        assert_eq!(rig.resume(1).is_some(), stores && looks, "{bits:?}");
        rig.world.keeps_outside(2, Answer::handed_over(rig.session(2)));
        assert_eq!(rig.resume(2), Some(true), "{bits:?}: the get callback is always asked");
        assert_eq!(rig.holds(2), stores, "{bits:?}");
        let added = rig.cache.add(&rig.session(3)).is_ok();
        let caches = on || bits.contains(Modes::CLIENT);
        assert_eq!((added, rig.holds(3)), (caches, caches), "{bits:?}");
    }
}

#[test]
fn unknown_bits_are_no_modes() {
    for bit in (0..32).map(|n| 1u32 << n) {
        let known = [0x1, 0x2, 0x80, 0x100, 0x200, 0x400].contains(&bit);
        assert_eq!(Modes::from_bits(bit).is_some(), known, "{bit:#x}");
    }
    assert_eq!(Modes::SERVER | Modes::SERVER, Modes::SERVER);
}

#[test]
fn switched_off_and_on_again_the_cache_has_what_it_had() {
    let rig = rig();
    rig.begin(1);
    rig.cache.set_modes(Modes::OFF);
    assert_eq!(rig.resume(1), None);
    assert_eq!(rig.cache.add(&rig.session(2)), Err(NotStored::Off));
    rig.cache.set_modes(Modes::SERVER);
    assert_eq!(rig.resume(1), Some(false));
}

#[test]
fn client_finds_its_sessions_by_names_of_its_own() {
    let rig = rig_with(|builder| builder.modes(Modes::CLIENT));
    assert_eq!(rig.cache.new_session(&1, Side::Client, &rig.session(1)), Newly::Stored);
    assert!(rig.holds(1));
    assert_eq!(rig.resume(1), None, "and no server's client finds them");
}

#[test]
fn handshakes_are_counted_by_side_and_stage() {
    let rig = rig();
    for (side, stage, times) in [
        (Side::Client, Stage::Started, 1),
        (Side::Client, Stage::Finished, 2),
        (Side::Client, Stage::Renegotiated, 3),
        (Side::Server, Stage::Started, 4),
        (Side::Server, Stage::Finished, 5),
        (Side::Server, Stage::Renegotiated, 6),
    ] {
        (0..times).for_each(|_| rig.cache.note(side, stage));
    }
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.connect, ssl.connect_good, ssl.connect_renegotiate), (1, 2, 3));
    assert_eq!((ssl.accept, ssl.accept_good, ssl.accept_renegotiate), (4, 5, 6));
}

#[test]
fn removals_are_counted_by_cause() {
    let rig = rig_with(|builder| builder.capacity(3));
    (1..=4).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    rig.cache.remove(&namespace(), &[4; 32]);
    rig.cache.connection_failed(&namespace(), &[3; 32]);
    rig.cache.flush_all();
    let engine = rig.cache.stats().engine;
    let counts = [Evicted, RemovalCause::Removed, RemovalCause::Faulty, Flushed]
        .map(|cause| engine.removed_by(cause));
    assert_eq!((counts, engine.removed_total()), ([1, 1, 1, 1], 4));
}

#[test]
fn ids_that_no_memory_is_for_are_a_bad_setting_beside_the_others() {
    let second = Duration::from_secs(1);
    let most = 1 << 20;
    for ids in [most + 1, usize::MAX / 2 + 2, usize::MAX] {
        let build = || SessionCache::<()>::builder().remember_unknown(ids, second);
        let bad = BadSetting::UnknownIds { ids, most };
        let Err(error) = build().capacity(10).build() else { panic!("{ids} ids") };
        assert_eq!(error.settings(), std::slice::from_ref(&bad));
        assert!(error.to_string().contains(&ids.to_string()), "{error}");
        let Err(error) = build().build() else { panic!("{ids} ids") };
        assert_eq!(error.settings(), [BadSetting::NoCapacity, bad]);
    }
    let off = Duration::ZERO;
    for (ids, time) in
        [(0, second), (1, second), (most, second), (most + 1, off), (usize::MAX, off)]
    {
        let build = SessionCache::<()>::builder().remember_unknown(ids, time);
        build.capacity(10).build().unwrap().validate();
    }
}
