//! `EXTERNAL_STORED_UNCHECKED`: what the get callback gives is stored, whatever it is.

use crate::sessions::{Call, Rig, namespace, rig_with};
use crate::world::until;
use halfshake::RemovalCause::{Evicted, Expired};
use halfshake::session::{Answer, Compat, Modes, Purpose};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

fn rig() -> Rig {
    rig_with(|builder| builder.compat(Compat::EXTERNAL_STORED_UNCHECKED))
}

fn asked(first: u8) -> Call {
    Call::Get(2, first, Purpose::Resume)
}

#[test]
fn external_session_of_another_id_is_stored_under_its_own() {
    // 1.4, 3.6.3 [E ok=1 reused=0 number=2].
    let rig = rig();
    rig.begin(9);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session(2)));
    assert_eq!(rig.resume(1), None);
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.number, ssl.misses, ssl.cb_hits, ssl.hits), (2, 1, 1, 0));
    assert!(rig.holds(2) && !rig.holds(1));
    assert_eq!(rig.world.calls(), [Call::New(1, 9), asked(1)], "no remove_cb");
}

#[test]
fn external_session_that_has_expired_reaches_the_remove_callback() {
    // 1.4: inserted, then removed: remove_cb 1; misses, cb_hits, timeouts.
    let rig = rig();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -10, 0)));
    assert_eq!(rig.resume(1), None);
    assert_eq!(rig.world.calls(), [asked(1), Call::Remove(1, Expired)]);
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.number, ssl.misses, ssl.cb_hits, ssl.timeouts, ssl.hits), (0, 1, 1, 1, 0));
}

#[test]
fn external_session_is_stored_also_while_caching_is_off() {
    // 1.9 [E number=1 in OFF mode]; NO_INTERNAL_STORE alone prevents it.
    for (modes, number) in
        [(Modes::OFF, 1), (Modes::SERVER, 1), (Modes::SERVER | Modes::NO_INTERNAL_STORE, 0)]
    {
        let rig = rig();
        rig.cache.set_modes(modes);
        rig.world.keeps_outside(1, Answer::serialised(rig.session(1).to_bytes().to_vec()));
        assert_eq!(rig.resume(1), Some(true), "{modes:?}");
        assert_eq!(rig.cache.len(), number, "{modes:?}");
    }
}

#[test]
fn remove_callback_that_hears_of_an_external_session_may_look_it_up() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -10, 0)));
    rig.cache.set_remove_callback(|gone| {
        let same = gone.cache().resume(&3, &namespace(), &[1; 32]).is_none();
        let other = gone.cache().resume(&4, &namespace(), &[5; 32]).is_none();
        assert!(same && other, "neither is there");
    });
    assert_eq!(rig.resume(1), None);
    assert_eq!(rig.world.calls(), [asked(1), Call::Get(4, 5, Purpose::Resume)]);
    let stats = rig.cache.stats();
    assert_eq!((stats.joined, stats.timed_out), (0, 0), "it waited for itself");
}

/// Two look up one id, and what the get callback gives evicts another session: the first one's
/// remove callback does what it is given, which is told whether the second one is done. Whether
/// that got the session.
fn joined_while_told(told: fn(&AtomicBool)) -> bool {
    let rig = rig_with(|builder| {
        let builder = builder.compat(Compat::EXTERNAL_STORED_UNCHECKED).capacity(1);
        builder.lookup_timeout(Duration::from_secs(600))
    });
    rig.begin(9);
    let session = rig.session(1);
    rig.cache.set_get_callback(move |_, asked| {
        until("another one has joined", || asked.cache().stats().joined == 1);
        Answer::borrowed(&session)
    });
    let is_done = Arc::new(AtomicBool::new(false));
    let done = is_done.clone();
    rig.cache.set_remove_callback(move |gone| {
        if gone.cause() == Evicted {
            told(&done);
        }
    });
    let resume = |by| rig.cache.resume(&by, &namespace(), &[1; 32]).is_some();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| resume(1));
        let second = scope.spawn(|| {
            until("one is out", || rig.cache.stats().in_flight == 1);
            let found = resume(2);
            is_done.store(true, SeqCst);
            found
        });
        let _perhaps_panicked = first.join();
        second.join().expect("no callback of its own panics")
    })
}

#[test]
fn nobody_waits_for_what_is_told_when_an_external_session_is_stored() {
    let told = |is_done: &AtomicBool| until("the other one is done", || is_done.load(SeqCst));
    assert!(joined_while_told(told));
}

#[test]
fn panic_of_the_remove_callback_hides_no_external_session_from_others() {
    assert!(joined_while_told(|_| panic!("injected")));
}
