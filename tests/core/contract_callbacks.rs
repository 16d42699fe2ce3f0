//! The six functions of `SSL_CTX_sess_set_get_cb(3)`, sentence by sentence.

use crate::sessions;
use crate::sessions::{Call, Rig, id, namespace, rig, rig_with};
use halfshake::RemovalCause::{Evicted, Expired, Faulty, Flushed, RefusedByNew, Removed};
use halfshake::RemovalCause::{Replaced, Shutdown, Taken};
use halfshake::session::{
    Answer, Modes, Namespace, Newly, NotStored, Purpose, Rejection, Side, Verdict,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn new_callback_is_called_once_for_every_new_session_with_its_connection() {
    let rig = rig();
    assert_eq!(rig.begin(1), Newly::Stored);
    assert_eq!(rig.world.calls(), [Call::New(1, 1)]);
    assert_eq!(rig.cache.new_session(&7, Side::Server, &rig.session(2)), Newly::Stored);
    assert_eq!(rig.world.calls(), [Call::New(7, 2)]);
}

#[test]
fn new_callback_is_not_called_for_a_resumption() {
    let rig = rig();
    rig.begin(1);
    rig.world.calls();
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.world.calls(), []);
}

#[test]
fn new_session_is_findable_while_its_callback_runs() {
    let rig = rig();
    rig.cache.set_new_callback(|_, new| {
        assert!(new.is_stored());
        assert!(new.cache().find(&namespace(), new.session().id().as_bytes()).is_some());
        Verdict::Keep
    });
    assert_eq!(rig.begin(1), Newly::Stored);
}

#[test]
fn refused_new_session_leaves_at_once_with_one_event() {
    let rig = rig();
    *rig.world.refuses.lock().unwrap() = true;
    assert_eq!(rig.begin(1), Newly::Refused);
    assert!(!rig.holds(1));
    assert_eq!(rig.world.calls(), [Call::New(1, 1), Call::Remove(1, RefusedByNew)]);
}

#[test]
fn refusal_does_not_touch_another_session_that_took_the_id_meanwhile() {
    let rig = rig();
    let other = rig.cache.make(&namespace(), id(1), sessions::TLS12, b"another one");
    rig.cache.set_new_callback(move |_, new| {
        new.cache().add(&other).unwrap();
        Verdict::Refuse
    });
    assert_eq!(rig.begin(1), Newly::Refused);
    assert_eq!(rig.cache.find(&namespace(), &[1; 32]).unwrap().payload(), b"another one");
    assert_eq!(rig.world.calls(), [Call::Remove(1, Replaced)]);
}

#[test]
fn refusal_of_a_session_that_was_removed_meanwhile_delivers_nothing_more() {
    let rig = rig();
    rig.cache.set_new_callback(|_, new| {
        assert!(new.cache().remove(&namespace(), &[1; 32]));
        Verdict::Refuse
    });
    assert_eq!(rig.begin(1), Newly::Refused);
    assert_eq!(rig.world.calls(), [Call::Remove(1, Removed)]);
}

#[test]
fn panic_of_the_new_callback_comes_before_that_of_the_remove_callback() {
    let rig = rig();
    rig.cache.set_new_callback(|_, _| panic!("new"));
    rig.cache.set_remove_callback(|_| panic!("remove"));
    let begins = catch_unwind(AssertUnwindSafe(|| rig.begin(1)));
    assert_eq!(begins.unwrap_err().downcast_ref(), Some(&"new"));
    let stats = rig.cache.stats();
    assert_eq!((stats.new_panics, stats.new_refusals), (1, 1));
    assert_eq!((stats.engine.listener_panics, rig.holds(1)), (1, false));
    rig.cache.clear_remove_callback();
}

#[test]
fn panic_of_the_new_callback_is_a_refusal_and_goes_to_the_caller() {
    let rig = rig();
    rig.cache.set_new_callback(|_, _| panic!("injected"));
    let panic = catch_unwind(AssertUnwindSafe(|| rig.begin(1))).unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "injected");
    assert!(!rig.holds(1));
    assert_eq!(rig.world.calls(), [Call::Remove(1, RefusedByNew)]);
    assert_eq!((rig.cache.stats().new_panics, rig.cache.stats().new_refusals), (1, 1));
}

#[test]
fn new_callback_is_called_also_if_the_session_was_not_stored() {
    let rig = rig();
    rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_STORE);
    assert_eq!(rig.begin(1), Newly::NotStored(NotStored::NoInternalStore));
    rig.cache.set_modes(Modes::SERVER);
    rig.cache.shutdown();
    let closed = NotStored::Refused(halfshake::Refusal::Closed);
    assert_eq!(rig.begin(2), Newly::NotStored(closed));
    assert_eq!(rig.world.calls(), [Call::New(1, 1), Call::New(1, 2)]);
}

#[test]
fn new_callback_is_called_only_for_the_side_whose_caching_is_on() {
    let rig = rig();
    for (modes, side, called) in [
        (Modes::OFF, Side::Server, false),
        (Modes::OFF, Side::Client, false),
        (Modes::CLIENT, Side::Server, false),
        (Modes::CLIENT, Side::Client, true),
        (Modes::SERVER, Side::Server, true),
        (Modes::SERVER, Side::Client, false),
        (Modes::BOTH, Side::Server, true),
        (Modes::BOTH, Side::Client, true),
    ] {
        rig.cache.set_modes(modes);
        rig.cache.new_session(&1, side, &rig.session(1));
        let calls = rig.world.calls();
        assert_eq!(calls.contains(&Call::New(1, 1)), called, "{modes:?} {side:?}");
        assert_eq!(rig.holds(1), called, "{modes:?} {side:?}");
        rig.cache.remove(&namespace(), &[1; 32]);
        rig.world.calls();
    }
}

#[test]
fn remove_callback_is_called_exactly_once_for_every_way_out() {
    let rig = rig();
    let away = |first: u8, how: &dyn Fn(&Rig), cause| {
        rig.cache.add(&rig.session(first)).unwrap();
        how(&rig);
        assert!(!rig.holds(first) || cause == Replaced);
        assert_eq!(rig.world.calls(), [Call::Remove(first, cause)]);
    };
    let name = namespace();
    away(1, &|rig| assert!(rig.cache.remove(&name, &[1; 32])), Removed);
    away(2, &|rig| assert!(rig.cache.connection_failed(&name, &[2; 32])), Faulty);
    away(3, &|rig| assert!(rig.cache.take(&1, &name, &[3; 32]).is_some()), Taken);
    away(4, &|rig| assert_eq!(rig.cache.flush_namespace(&name), 1), Flushed);
    away(5, &|rig| assert_eq!(rig.cache.flush_all(), 1), Flushed);
    let exact = |rig: &Rig| {
        let handle = rig.cache.find(&name, &[6; 32]).unwrap().handle().unwrap();
        assert!(rig.cache.remove_exact(&handle));
        assert!(!rig.cache.remove_exact(&handle));
    };
    away(6, &exact, Removed);
    away(7, &|rig| rig.cache.add(&rig.session(7)).unwrap(), Replaced);
    rig.cache.remove(&name, &[7; 32]);
    rig.world.calls();
    let expire = |rig: &Rig| {
        rig.advance(100);
        assert_eq!(rig.cache.run_maintenance(usize::MAX).expired, 1);
    };
    away(8, &expire, Expired);
    away(9, &|rig| rig.cache.shutdown(), Shutdown);
}

#[test]
fn eviction_calls_the_remove_callback() {
    let rig = rig_with(|builder| builder.capacity(1));
    rig.cache.add(&rig.session(1)).unwrap();
    rig.cache.add(&rig.session(2)).unwrap();
    assert_eq!(rig.world.calls(), [Call::Remove(1, Evicted)]);
    assert!(rig.holds(2) && !rig.holds(1));
}

#[test]
fn removing_what_is_not_there_calls_nobody() {
    let rig = rig();
    assert!(!rig.cache.remove(&namespace(), &[1; 32]));
    assert!(!rig.cache.connection_failed(&namespace(), &[1; 32]));
    assert_eq!(rig.cache.flush_all(), 0);
    assert_eq!(rig.world.calls(), []);
}

#[test]
fn dropping_the_last_handle_calls_the_remove_callback_for_all_that_is_left() {
    let rig = rig();
    rig.begin(1);
    rig.begin(2);
    let world = rig.world.clone();
    world.calls();
    drop(rig);
    let mut calls = world.calls();
    calls.sort_by_key(|call| format!("{call:?}"));
    assert_eq!(calls, [Call::Remove(1, Shutdown), Call::Remove(2, Shutdown)]);
}

#[test]
fn get_callback_is_called_for_an_id_that_is_absent() {
    let rig = rig();
    assert_eq!(rig.resume(1), None);
    assert_eq!(rig.world.calls(), [Call::Get(2, 1, Purpose::Resume)]);
}

#[test]
fn get_callback_is_called_for_an_id_that_has_expired_inside() {
    let rig = rig();
    rig.begin(1);
    rig.advance(100);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
    rig.world.calls();
    assert_eq!(rig.resume(1), Some(true), "an expired session hid the fresh one outside");
    assert_eq!(rig.world.calls(), [Call::Get(2, 1, Purpose::Resume), Call::Remove(1, Expired)]);
    assert_eq!(rig.resume(1), Some(false));
}

#[test]
fn get_callback_is_not_called_for_what_is_inside() {
    let rig = rig();
    rig.begin(1);
    rig.world.calls();
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.world.calls(), []);
}

#[test]
fn get_callback_is_called_also_while_caching_is_off_and_its_session_used_and_not_stored() {
    let rig = rig();
    rig.begin(1);
    rig.cache.set_modes(Modes::OFF);
    rig.world.calls();
    assert_eq!(rig.resume(1), None, "off, and found inside");
    rig.world.keeps_outside(2, Answer::handed_over(rig.session(2)));
    assert_eq!(rig.resume(2), Some(true));
    assert!(!rig.holds(2), "off, and stored");
    let asked = |first| Call::Get(2, first, Purpose::Resume);
    assert_eq!(rig.world.calls(), [asked(1), asked(2)]);
}

#[test]
fn get_callback_is_called_without_internal_lookup_for_what_is_stored() {
    let rig = rig();
    rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_LOOKUP);
    rig.begin(1);
    assert!(rig.holds(1), "NO_INTERNAL_LOOKUP stores");
    rig.world.calls();
    assert_eq!(rig.resume(1), None);
    assert_eq!(rig.world.calls(), [Call::Get(2, 1, Purpose::Resume)]);
    assert_eq!(rig.cache.stats().ssl().misses, 0, "nothing was looked for");
}

#[test]
fn what_the_get_callback_finds_is_stored_unless_the_modes_say_otherwise() {
    for (modes, stored) in [
        (Modes::SERVER, true),
        (Modes::SERVER | Modes::NO_INTERNAL_LOOKUP, true),
        (Modes::SERVER | Modes::NO_INTERNAL_STORE, false),
        (Modes::SERVER | Modes::NO_INTERNAL, false),
        (Modes::CLIENT, false),
    ] {
        let rig = rig_with(|builder| builder.modes(modes));
        rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
        assert_eq!(rig.resume(1), Some(true));
        assert_eq!(rig.holds(1), stored, "{modes:?}");
    }
}

#[test]
fn borrowed_session_stays_with_the_callback_and_a_handed_over_one_does_not() {
    let rig = rig();
    let session = rig.session(1);
    rig.world.keeps_outside(1, Answer::borrowed(&session));
    assert_eq!(session.references(), 2, "the answer has a reference of its own");
    assert_eq!(rig.resume(1), Some(true));
    assert_eq!(session.references(), 2, "references are balanced after the look-up");
    let handed = rig.session(2);
    let watch = handed.clone();
    rig.cache.set_get_callback(move |_, _| Answer::handed_over(handed.clone()));
    let found = rig.cache.resume(&1, &namespace(), &[2; 32]).unwrap();
    assert!(found.to_session().is_same(&watch), "the very session is used");
    drop(found);
    rig.cache.clear_get_callback();
    assert_eq!(watch.references(), 1);
}

#[test]
fn getters_give_the_callback_that_is_set_or_none() {
    let rig = rig();
    let new = rig.cache.new_callback().unwrap();
    let get = rig.cache.get_callback().unwrap();
    let remove = rig.cache.remove_callback().unwrap();
    assert!(Arc::ptr_eq(&new, &rig.cache.clear_new_callback().unwrap()));
    assert!(Arc::ptr_eq(&get, &rig.cache.clear_get_callback().unwrap()));
    assert!(Arc::ptr_eq(&remove, &rig.cache.clear_remove_callback().unwrap()));
    assert!(rig.cache.new_callback().is_none());
    assert!(rig.cache.get_callback().is_none());
    assert!(rig.cache.remove_callback().is_none());
    rig.begin(1);
    rig.resume(2);
    rig.cache.remove(&namespace(), &[1; 32]);
    assert_eq!(rig.world.calls(), [], "a callback that was cleared was called");
}

#[test]
fn callback_may_replace_itself_and_is_dropped_after_it_has_run() {
    let rig = rig();
    let alive = Arc::new(());
    let mine = alive.clone();
    rig.cache.set_get_callback(move |_, asked| {
        asked.cache().set_get_callback(|_, _| Answer::failed());
        assert_eq!(Arc::strong_count(&mine), 2, "dropped while it runs");
        Answer::unknown()
    });
    assert_eq!(rig.resume(1), None);
    assert_eq!(Arc::strong_count(&alive), 1, "not dropped after it has run");
    assert_eq!(rig.resume(2), None);
    assert_eq!(rig.cache.stats().failed, 1);
}

#[test]
fn what_an_adapter_rejects_is_counted_by_its_reason() {
    let rig = rig();
    rig.cache.reject(Rejection::Namespace);
    rig.cache.reject(Rejection::Malformed);
    rig.cache.reject(Rejection::Malformed);
    let stats = rig.cache.stats();
    let counts = [Rejection::Namespace, Rejection::Malformed].map(|why| stats.rejected_for(why));
    assert_eq!((counts, stats.rejected.iter().sum::<u64>()), ([1, 2], 3));
}

#[test]
fn ids_of_an_impossible_length_are_counted_and_reach_nobody() {
    let rig = rig();
    for len in [0, 33, 255, 70_000] {
        assert!(rig.cache.resume(&1, &namespace(), &vec![1; len]).is_none());
        assert!(rig.cache.take(&1, &namespace(), &vec![1; len]).is_none());
    }
    let stats = rig.cache.stats();
    assert_eq!(stats.rejected_for(Rejection::IdLength), 8);
    assert_eq!((stats.engine.lookups(), stats.asked), (0, 0));
    assert_eq!(rig.world.calls(), []);
}

#[test]
fn modes_are_replaced_whole_and_the_old_set_is_told() {
    let rig = rig();
    assert_eq!(rig.cache.set_modes(Modes::NO_INTERNAL_LOOKUP), Modes::SERVER);
    assert_eq!(rig.cache.set_modes(Modes::BOTH), Modes::NO_INTERNAL_LOOKUP);
    assert_eq!(rig.cache.modes(), Modes::BOTH);
}

#[test]
fn statistics_work_per_namespace() {
    let rig = rig();
    let other = Namespace::new(b"other").unwrap();
    for (name, of, payload) in [(namespace(), 1, 10), (namespace(), 2, 30), (other.clone(), 3, 7)] {
        let session = rig.cache.make(&name, id(of), sessions::TLS12, &vec![0; payload]);
        rig.cache.add(&session).unwrap();
        rig.advance(1);
    }
    let first = sessions::BEGIN + Duration::from_secs(100);
    let of = |name: &Namespace| {
        let stats = rig.cache.namespace_stats(name);
        (stats.sessions, stats.payload_bytes, stats.next_expiry)
    };
    assert_eq!(of(&namespace()), (2, 40, Some(first)));
    assert_eq!(of(&other), (1, 7, Some(first + Duration::from_secs(2))));
    assert_eq!(of(&Namespace::new(b"none").unwrap()), (0, 0, None));
    rig.advance(97);
    assert_eq!(of(&namespace()).0, 1, "what has expired does not count");
}

#[test]
fn flush_of_a_namespace_leaves_what_has_expired_in_another() {
    let rig = rig_with(|builder| builder.modes(Modes::SERVER | Modes::NO_AUTO_CLEAR));
    let other = Namespace::new(b"other").unwrap();
    for name in [namespace(), other] {
        rig.cache.add(&rig.cache.make(&name, id(1), sessions::TLS12, b"")).unwrap();
    }
    rig.advance(100);
    assert_eq!(rig.cache.flush_namespace(&namespace()), 1);
    assert_eq!(rig.world.calls(), [Call::Remove(1, Expired)]);
    assert_eq!(rig.cache.len(), 1, "the other one is not of this namespace");
}

#[test]
fn no_auto_clear_leaves_what_has_expired_to_the_flush() {
    let rig = rig_with(|builder| builder.modes(Modes::SERVER | Modes::NO_AUTO_CLEAR));
    rig.begin(1);
    rig.advance(200);
    rig.world.calls();
    assert_eq!(rig.cache.run_maintenance(usize::MAX).expired, 0);
    assert!(!rig.holds(1), "found, though expired");
    assert_eq!(rig.cache.len(), 1);
    assert_eq!(rig.cache.flush_sessions(rig.cache.wall_now()), 1);
    assert_eq!(rig.world.calls(), [Call::Remove(1, Expired)]);
    rig.begin(2);
    rig.cache.set_modes(Modes::SERVER);
    rig.advance(200);
    assert_eq!(rig.cache.run_maintenance(usize::MAX).expired, 1);
}

#[test]
fn timeout_applies_to_sessions_made_from_now_on() {
    let rig = rig();
    rig.begin(1);
    assert_eq!(rig.cache.set_timeout(Duration::from_secs(10)), Duration::from_secs(100));
    rig.begin(2);
    rig.advance(10);
    assert!(rig.holds(1) && !rig.holds(2));
    rig.cache.set_timeout(Duration::MAX);
    rig.cache.add(&rig.session(3)).unwrap();
    rig.advance(999);
    assert!(rig.holds(3), "an enormous timeout is cut to the maximum lifetime");
    rig.advance(1);
    assert!(!rig.holds(3));
}

#[test]
fn new_callback_is_called_also_if_the_remove_callback_panics_before() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    rig.cache.set_remove_callback(|_| panic!("remove"));
    let begins = catch_unwind(AssertUnwindSafe(|| rig.begin(1)));
    assert_eq!(begins.unwrap_err().downcast_ref(), Some(&"remove"));
    assert!(rig.holds(1));
    assert_eq!(rig.world.calls(), [Call::New(1, 1)]);
    rig.cache.clear_remove_callback();
}

#[test]
fn take_of_what_nobody_has_is_a_miss() {
    let misses = |rig: &Rig| {
        for _ in 0..5 {
            assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none());
        }
        rig.cache.stats().ssl().misses
    };
    let (with, without) = (rig(), rig());
    without.cache.clear_get_callback();
    without.cache.clear_new_callback();
    assert_eq!((misses(&with), misses(&without)), (5, 5));
}

#[test]
fn new_callback_is_called_also_if_an_automatic_flush_panics_before() {
    use halfshake::session::Compat;
    let rig = rig_with(|b| b.capacity(1000).compat(Compat::FLUSHES_BY_NEW_SESSIONS));
    for n in 0..254 {
        rig.begin(n);
    }
    rig.advance(200);
    rig.cache.set_remove_callback(|_| panic!("remove"));
    rig.world.calls();
    assert!(catch_unwind(AssertUnwindSafe(|| rig.begin(254))).is_err(), "nothing was flushed");
    rig.cache.clear_remove_callback();
    assert_eq!(rig.world.calls(), [Call::New(1, 254)]);
}

#[test]
fn new_callback_is_not_told_that_an_expired_session_is_stored_whatever_panics() {
    for panics in [false, true] {
        let rig = rig();
        rig.cache.add(&rig.session(1)).unwrap();
        rig.cache.set_remove_callback(move |_| assert!(!panics, "remove"));
        let (says, said) = std::sync::mpsc::channel();
        rig.cache.set_new_callback(move |_, new| {
            says.send((new.is_stored(), new.has_left())).unwrap();
            Verdict::Keep
        });
        let expired = rig.session_from_to(1, -100, 0);
        let begins = || rig.cache.new_session(&1, Side::Server, &expired);
        assert_eq!(catch_unwind(AssertUnwindSafe(begins)).is_err(), panics);
        rig.cache.clear_remove_callback();
        assert_eq!((said.try_recv(), rig.holds(1)), (Ok((false, false)), false));
    }
}
