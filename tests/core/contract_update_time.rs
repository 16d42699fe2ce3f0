//! The mode `UPDATE_TIME`: strict as SSL_CTX_set_session_cache_mode(3) has it, and as it really is.

use crate::sessions;
use crate::sessions::{BEGIN, Call, Connection, Rig, namespace, rig_with};
use halfshake::ManualClock;
use halfshake::RemovalCause::{Removed, Replaced, Taken};
use halfshake::session::{Answer, Compat, Modes, Newly, SessionBuilder, Side, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const UPDATE: Modes = Modes::UPDATE_TIME;

fn renewing() -> Rig {
    renewing_with(|builder| builder)
}

fn renewing_with(
    set_up: impl FnOnce(SessionBuilder<Connection>) -> SessionBuilder<Connection>,
) -> Rig {
    rig_with(|builder| set_up(builder.modes(Modes::SERVER | UPDATE)))
}

/// Until when the session of the internal cache is good, in seconds of the test.
fn good_until(rig: &Rig, first: u8) -> Option<u64> {
    let name = namespace();
    let found = rig.cache.find(&name, &[first; 32])?;
    Some((found.times().not_after() - BEGIN).as_secs())
}

#[test]
fn session_that_is_used_lives_on_from_its_last_use() {
    let rig = renewing();
    rig.begin(1);
    for _ in 0..5 {
        rig.advance(90);
        assert_eq!(rig.resume(1), Some(false), "its timeout is 100 s, and it was used 90 s ago");
    }
    assert_eq!(good_until(&rig, 1), Some(5 * 90 + 100));
    rig.advance(100);
    assert_eq!(rig.resume(1), None, "100 s after its last use");
}

#[test]
fn without_the_mode_use_does_not_renew() {
    let rig = rig_with(|builder| builder);
    rig.begin(1);
    rig.advance(90);
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(good_until(&rig, 1), Some(100));
}

#[test]
fn session_is_renewed_at_most_once_in_an_eighth_of_its_timeout() {
    let rig = renewing();
    rig.begin(1);
    rig.world.calls();
    rig.clock.advance(Duration::from_millis(12_499));
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!((good_until(&rig, 1), rig.world.calls().len()), (Some(100), 0));
    rig.clock.advance(Duration::from_millis(1));
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(good_until(&rig, 1), Some(112));
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.world.calls(), [Call::Remove(1, Replaced)], "once");
}

#[test]
fn renewal_on_use_never_passes_the_end_of_the_first_authentication() {
    let rig = renewing_with(|builder| builder.max_lifetime(Duration::from_secs(250)));
    rig.begin(1);
    for good_until_then in [190, 250, 250] {
        rig.advance(if good_until_then == 190 { 90 } else { 60 });
        assert_eq!(rig.resume(1), Some(false));
        assert_eq!(good_until(&rig, 1), Some(good_until_then));
    }
    rig.advance(40);
    assert_eq!(rig.resume(1), None, "however often it was used");
}

#[test]
fn renewal_is_a_replacement_with_one_event_for_the_old_entry() {
    let rig = renewing();
    rig.begin(1);
    rig.advance(50);
    rig.world.calls();
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.world.calls(), [Call::Remove(1, Replaced)]);
    let engine = rig.cache.stats().engine;
    assert_eq!((engine.inserts, engine.removed_by(Replaced), engine.entries), (2, 1, 1));
    rig.cache.remove(&namespace(), &[1; 32]);
    assert_eq!(rig.world.calls(), [Call::Remove(1, Removed)]);
}

#[test]
fn renewed_session_is_findable_while_its_event_is_delivered() {
    let rig = renewing();
    rig.begin(1);
    rig.advance(50);
    let world = rig.world.clone();
    rig.cache.set_remove_callback(move |gone| {
        assert!(gone.cache().find(&namespace(), gone.id()).is_some(), "absent in between");
        world.note(Call::Remove(gone.id()[0], gone.cause()));
    });
    rig.world.calls();
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.world.calls(), [Call::Remove(1, Replaced)]);
}

#[test]
fn renewal_changes_nothing_of_the_session_but_its_times() {
    let rig = renewing();
    rig.begin(1);
    let before = rig.cache.find(&namespace(), &[1; 32]).unwrap().to_session();
    rig.advance(50);
    let after = rig.cache.resume(&1, &namespace(), &[1; 32]).unwrap().to_session();
    assert_eq!(after.with_times(before.times()), before);
    assert_eq!(after.times().created(), BEGIN + Duration::from_secs(50));
    assert_eq!(after.times().auth_not_after(), before.times().auth_not_after());
}

#[test]
fn renewal_counts_one_hit_and_calls_no_new_callback() {
    let rig = renewing();
    rig.begin(1);
    rig.advance(50);
    rig.world.calls();
    rig.cache.clear_remove_callback();
    assert_eq!(rig.resume(1), Some(false));
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.hits, ssl.misses, ssl.cb_hits), (1, 0, 0));
    assert_eq!(rig.world.calls(), []);
}

#[test]
fn session_that_leaves_while_it_is_renewed_does_not_come_back() {
    type Leave = fn(&sessions::Cache);
    let leaves: [(Leave, halfshake::RemovalCause); 2] = [
        (|cache| assert!(cache.remove(&namespace(), &[1; 32])), Removed),
        (|cache| assert!(cache.take(&9, &namespace(), &[1; 32]).is_some()), Taken),
    ];
    for (leave, cause) in leaves {
        let rig = renewing();
        rig.begin(1);
        rig.advance(50);
        let world = rig.world.clone();
        rig.cache.set_remove_callback(move |gone| {
            world.note(Call::Remove(gone.id()[0], gone.cause()));
            if gone.cause() == Replaced {
                leave(gone.cache());
            }
        });
        rig.world.calls();
        assert_eq!(rig.resume(1), None);
        assert!(rig.world.calls().contains(&Call::Remove(1, cause)));
        assert!(!rig.holds(1));
    }
}

#[test]
fn resumption_whose_session_leaves_meanwhile_asks_outside() {
    let rig = renewing();
    rig.begin(1);
    rig.advance(50);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
    rig.cache.set_remove_callback(|gone| {
        if gone.cause() == Replaced {
            gone.cache().remove(&namespace(), gone.id());
        }
    });
    assert_eq!(rig.resume(1), Some(true));
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.hits, ssl.misses, ssl.cb_hits), (1, 1, 1), "a miss inside, a hit outside");
}

#[test]
fn panic_of_the_remove_callback_leaves_the_session_renewed() {
    let rig = renewing();
    rig.begin(1);
    rig.advance(50);
    rig.cache.set_remove_callback(|_| panic!("injected"));
    assert!(catch_unwind(AssertUnwindSafe(|| rig.resume(1))).is_err());
    assert_eq!(good_until(&rig, 1), Some(150));
    rig.cache.clear_remove_callback();
}

#[test]
fn concurrent_uses_renew_once() {
    let rig = renewing();
    rig.begin(1);
    rig.world.calls();
    rig.advance(50);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(rig.resume(1), Some(false)));
        }
    });
    assert_eq!(rig.world.calls(), [Call::Remove(1, Replaced)]);
    assert_eq!(rig.cache.stats().ssl().hits, 8);
}

#[test]
fn uses_never_resurrect_what_takers_have_taken() {
    const ROUNDS: u64 = 500;
    let rig = Arc::new(renewing());
    rig.cache.clear_get_callback();
    for round in 0..ROUNDS {
        rig.begin(1);
        rig.advance(50);
        let taken = std::thread::scope(|scope| {
            let users: Vec<_> = (0..2).map(|_| scope.spawn(|| rig.resume(1))).collect();
            let take = || u64::from(rig.cache.take(&9, &namespace(), &[1; 32]).is_some());
            let takers: Vec<_> = (0..2).map(|_| scope.spawn(take)).collect();
            users.into_iter().for_each(|user| _ = user.join().unwrap());
            takers.into_iter().map(|taker| taker.join().unwrap()).sum::<u64>()
        });
        assert_eq!(taken, 1, "round {round}");
        assert!(!rig.holds(1), "taken, and back: round {round}");
    }
    assert_eq!(rig.cache.stats().engine.removed_by(Taken), ROUNDS);
}

#[test]
fn renewal_marks_look_ups_outside_as_a_put_does() {
    let rig = Arc::new(renewing());
    rig.cache.set_modes(Modes::SERVER | UPDATE | Modes::NO_INTERNAL_LOOKUP);
    rig.begin(1);
    rig.advance(50);
    let session = rig.session(1);
    let weak = Arc::downgrade(&rig);
    rig.cache.set_get_callback(move |_, _| {
        // It is used inside, renewed by that, and evicted: what is outside is older.
        let rig = weak.upgrade().expect("the test holds it");
        rig.cache.set_modes(Modes::SERVER | UPDATE);
        let cache = rig.cache.clone();
        let used = move || cache.resume(&3, &namespace(), &[1; 32]).is_some();
        assert!(std::thread::spawn(used).join().unwrap());
        rig.cache.set_capacity(1).unwrap();
        rig.begin(2);
        Answer::borrowed(&session)
    });
    assert_eq!(rig.resume(1), Some(true));
    assert!(!rig.holds(1), "stored, though its id was renewed meanwhile");
    assert_eq!(rig.cache.stats().not_stored_changed, 1);
    rig.cache.clear_get_callback();
}

#[test]
fn what_comes_from_outside_keeps_its_times_until_it_is_used_again() {
    let rig = renewing();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -50, 50)));
    assert_eq!(rig.resume(1), Some(true));
    assert_eq!(good_until(&rig, 1), Some(50));
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(good_until(&rig, 1), Some(100), "its own timeout, from now on");
}

#[test]
fn expired_session_from_outside_is_not_brought_back_to_life() {
    let rig = renewing();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -50, 0)));
    assert_eq!(rig.resume(1), None);
    assert_eq!(rig.cache.len(), 0);
}

#[test]
fn looking_without_using_renews_nothing() {
    let rig = renewing();
    rig.begin(1);
    rig.advance(50);
    assert!(rig.holds(1));
    assert_eq!(good_until(&rig, 1), Some(100));
}

#[test]
fn hello_renews_as_the_cache_does() {
    let rig = renewing();
    rig.begin(1);
    rig.advance(50);
    let name = namespace();
    assert!(rig.cache.hello(&1, &name).resume(&[1; 32]).is_some());
    assert_eq!(good_until(&rig, 1), Some(150));
}

#[test]
fn renewal_under_silent_replacement_calls_nobody() {
    let rig = renewing_with(|builder| builder.compat(Compat::REPLACEMENT_SILENT));
    rig.begin(1);
    rig.advance(50);
    rig.world.calls();
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.world.calls(), []);
    assert_eq!(good_until(&rig, 1), Some(150));
}

#[test]
fn openssl_3_renews_what_is_stored_and_not_what_is_used() {
    // 1.4: an internal hit moves nothing [E moved 0 s]; 1.5: time = now on each add, only then.
    let rig = renewing_with(|builder| builder.compat(Compat::openssl_3()));
    let name = namespace();
    let old = rig.session(1);
    rig.advance(30);
    rig.cache.add(&old).unwrap();
    assert_eq!(good_until(&rig, 1), Some(130), "when it was added");
    rig.advance(50);
    assert!(rig.cache.resume(&2, &name, &[1; 32]).is_some());
    assert_eq!(good_until(&rig, 1), Some(130), "moved by a hit");
}

#[test]
fn openssl_3_brings_expired_sessions_from_outside_back_to_life() {
    // 1.4: get_cb expired + UPDATE_TIME: inserted with time=now, accepted [E reused=1], no remove.
    let rig = renewing_with(|builder| builder.compat(Compat::openssl_3()));
    let name = namespace();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -100, -50)));
    assert!(rig.cache.resume(&2, &name, &[1; 32]).is_some());
    assert_eq!(good_until(&rig, 1), Some(50));
    assert!(!rig.world.calls().iter().any(|call| matches!(call, Call::Remove(..))));
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.misses, ssl.cb_hits, ssl.timeouts), (1, 1, 0));
}

#[test]
fn openssl_3_renews_nothing_from_outside_that_is_not_stored() {
    // SSL_CTX_add_session moves the time; SSL_SESS_CACHE_NO_INTERNAL_STORE skips it.
    let rig = renewing_with(|builder| builder.compat(Compat::openssl_3()));
    rig.cache.set_modes(Modes::SERVER | UPDATE | Modes::NO_INTERNAL_STORE);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -100, -50)));
    assert_eq!(rig.resume(1), None, "it has expired");
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.misses, ssl.cb_hits, ssl.timeouts), (1, 1, 1));
}

#[test]
fn openssl_3_renews_no_new_session_that_is_not_stored() {
    let rig = renewing_with(|builder| builder.compat(Compat::openssl_3()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    rig.cache.set_new_callback(move |_, new| {
        sees.lock().unwrap().push(new.session().times().created() - BEGIN);
        Verdict::Keep
    });
    rig.advance(30);
    let old = rig.session_from_to(1, 10, 100);
    for modes in [Modes::NO_INTERNAL_STORE, Modes::SERVER] {
        rig.cache.set_modes(Modes::SERVER | UPDATE | modes);
        rig.cache.new_session(&1, Side::Server, &old);
    }
    assert_eq!(*seen.lock().unwrap(), [10, 30].map(Duration::from_secs));
}

#[test]
fn session_whose_end_the_wall_clock_has_jumped_over_keeps_its_deadline() {
    let wall = ManualClock::new();
    wall.set(BEGIN);
    let rig = renewing_with(|builder| builder.wall_clock(wall.clone()));
    rig.begin(1);
    rig.world.calls();
    // A step of the system's time; the cache's own clock stands still.
    wall.set(BEGIN + Duration::from_secs(5_000));
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.world.calls(), [], "nothing has replaced it");
    assert_eq!(good_until(&rig, 1), Some(100));
}

#[test]
fn update_time_means_nothing_to_the_others() {
    // 1.9: the flag exists in OpenSSL 3.0 and later alone.
    for compat in [Compat::openssl_1_1_1(), Compat::libressl(), Compat::boringssl()] {
        let rig = renewing_with(|builder| builder.compat(compat));
        let name = namespace();
        let old = rig.session(1);
        rig.advance(30);
        rig.cache.add(&old).unwrap();
        assert!(rig.cache.resume(&2, &name, &[1; 32]).is_some());
        let found = rig.cache.find(&name, &[1; 32]).unwrap();
        assert_eq!(found.times(), old.times(), "{compat:?}");
    }
}

#[test]
fn modes_tell_update_time_and_none_of_the_cache_s_own_bits() {
    for compat in [Compat::strict(), Compat::openssl_1_1_1()] {
        let rig = renewing_with(|builder| builder.compat(compat));
        assert_eq!(rig.cache.modes().bits(), 0x402);
        assert_eq!(rig.cache.set_modes(Modes::OFF).bits(), 0x402);
        assert_eq!(rig.cache.modes().bits(), 0);
    }
    assert_eq!(Modes::from_bits(0x400), Some(Modes::UPDATE_TIME));
    assert_eq!(Modes::from_bits(1 << 31), None);
    assert_eq!(format!("{:?}", Modes::SERVER | UPDATE), "SERVER|UPDATE_TIME");
}

#[test]
fn refused_session_goes_also_if_it_was_renewed_while_the_callback_ran() {
    let rig = rig_with(|builder| builder.modes(Modes::SERVER | Modes::UPDATE_TIME));
    let clock = rig.clock.clone();
    rig.cache.set_new_callback(move |_, new| {
        clock.advance(Duration::from_secs(30));
        assert!(new.cache().resume(&2, &namespace(), &[1; 32]).is_some());
        Verdict::Refuse
    });
    assert_eq!(rig.begin(1), Newly::Refused);
    assert!(!rig.holds(1), "refused, and there");
}
