//! What a look-up brings back between a removal and its event goes with what was removed.

use crate::sessions;
use crate::sessions::{BEGIN, Rig, TLS12, id, namespace, rig_with};
use halfshake::RemovalCause::{Expired, RefusedByNew, Removed, Replaced};
use halfshake::session::{Answer, Modes, Newly, NotStored, Purpose, Side, Times, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

/// A cache over a store that gives whatever is asked for; each first removal of session 1 makes
/// another thread resume it before the event is over. `panics`: then the callback panics.
fn late(payload: &'static [u8], panics: bool) -> Rig {
    let rig = rig_with(|builder| builder);
    let outside = rig.cache.make(&namespace(), id(1), TLS12, payload);
    rig.cache.set_get_callback(move |_, asked| match asked.purpose() {
        Purpose::Resume => Answer::borrowed(&outside),
        _ => Answer::unknown(),
    });
    let landed = AtomicBool::new(false);
    let world = rig.world.clone();
    rig.cache.set_remove_callback(move |gone| {
        world.note(sessions::Call::Remove(gone.id()[0], gone.cause()));
        if landed.swap(true, SeqCst) {
            return;
        }
        let cache = gone.cache().clone();
        let resume = move || cache.resume(&9, &namespace(), &[1; 32]).is_some();
        assert!(
            std::thread::spawn(resume).join().expect("it has no callbacks that panic"),
            "the store has it"
        );
        assert!(!panics, "injected");
    });
    rig
}

#[test]
fn refused_session_that_a_look_up_brings_back_goes_again() {
    let rig = late(&[1; 100], false);
    rig.cache.set_new_callback(|_, _| Verdict::Refuse);
    assert_eq!(rig.begin(1), Newly::Refused);
    assert!(!rig.holds(1), "refused, and back");
    assert_eq!(rig.removals(1), [RefusedByNew, RefusedByNew]);
}

#[test]
fn refused_session_that_was_stored_nowhere_does_not_land() {
    let rig = rig_with(|builder| builder.modes(Modes::SERVER | Modes::NO_INTERNAL_STORE));
    let session = rig.session(1);
    let (outside, refused) = (session.clone(), Arc::new(Barrier::new(2)));
    let until = refused.clone();
    rig.cache.set_get_callback(move |_, _| {
        until.wait();
        Answer::borrowed(&outside)
    });
    // While the callback is asked, storing is switched on, and another thread looks outside.
    let (send, asked) = std::sync::mpsc::channel();
    rig.cache.set_new_callback(move |_, new| {
        let cache = new.cache().clone();
        cache.set_modes(Modes::SERVER);
        let ask = cache.clone();
        let resume = move || ask.resume(&9, &namespace(), &[1; 32]).is_some();
        send.send(std::thread::spawn(resume)).unwrap();
        while cache.stats().in_flight == 0 {
            std::thread::yield_now();
        }
        Verdict::Refuse
    });
    assert_eq!(rig.cache.new_session(&1, Side::Server, &session), Newly::Refused);
    refused.wait();
    assert!(asked.recv().unwrap().join().unwrap(), "the store had it");
    assert!(!rig.holds(1), "refused, and stored");
}

#[test]
fn exactly_removed_session_that_a_look_up_brings_back_goes_again() {
    let rig = late(&[1; 100], false);
    rig.cache.add(&rig.session(1)).unwrap();
    let handle = rig.cache.find(&namespace(), &[1; 32]).unwrap().handle().unwrap();
    assert!(rig.cache.remove_exact(&handle));
    assert!(!rig.holds(1), "removed, and back");
    assert_eq!(rig.removals(1), [Removed, Removed]);
}

#[test]
fn removal_that_finds_what_has_expired_says_if_a_look_up_has_brought_it_back() {
    let rig = late(&[1; 100], false);
    rig.cache.add(&rig.session_from_to(1, 0, 5)).unwrap();
    rig.advance(6);
    assert!(rig.cache.remove(&namespace(), &[1; 32]), "what was brought back lived");
    assert!(!rig.holds(1), "removed, and back");
    assert_eq!(rig.removals(1), [Expired, Removed]);
}

#[test]
fn exact_removal_leaves_another_session_that_a_look_up_brings() {
    let rig = late(b"another", false);
    rig.cache.add(&rig.session(1)).unwrap();
    let handle = rig.cache.find(&namespace(), &[1; 32]).unwrap().handle().unwrap();
    assert!(rig.cache.remove_exact(&handle));
    assert_eq!(rig.cache.find(&namespace(), &[1; 32]).unwrap().payload(), b"another");
    assert!(!rig.cache.remove_exact(&handle), "a handle never means another session");
    assert_eq!(rig.removals(1), [Removed]);
}

#[test]
fn session_whose_taking_ends_in_a_panic_does_not_come_back() {
    let rig = late(&[1; 100], true);
    rig.cache.add(&rig.session(1)).unwrap();
    let take = || rig.cache.take(&1, &namespace(), &[1; 32]).is_some();
    assert!(catch_unwind(AssertUnwindSafe(take)).is_err());
    assert!(!rig.holds(1), "taken, and back");
}

#[test]
fn add_of_an_expired_session_leaves_no_older_one_of_its_id() {
    for panics in [false, true] {
        let rig = late(&[1; 100], panics);
        let session = rig.session(1);
        rig.cache.add(&session).unwrap();
        let expired = session.with_times(Times::new(BEGIN, BEGIN, BEGIN + Duration::from_secs(9)));
        match catch_unwind(AssertUnwindSafe(|| rig.cache.add(&expired))) {
            Ok(added) => assert_eq!(added, Err(NotStored::Expired)),
            Err(_) => assert!(panics),
        }
        assert!(!rig.holds(1), "replaced by nothing, and back");
        assert_eq!(rig.removals(1), [Replaced, Replaced]);
    }
}

#[test]
fn what_has_landed_too_late_goes_also_if_it_was_renewed() {
    let rig = rig_with(|builder| builder.modes(Modes::SERVER | Modes::UPDATE_TIME));
    let session = rig.session(1);
    rig.cache.add(&session).unwrap();
    // A look-up is out, with its answer, before the removal begins.
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    rig.cache.set_get_callback(move |_, _| {
        goes.lock().unwrap().recv().unwrap();
        Answer::borrowed(&session)
    });
    let alone = Modes::SERVER | Modes::UPDATE_TIME;
    rig.cache.set_modes(alone | Modes::NO_INTERNAL_LOOKUP);
    let cache = rig.cache.clone();
    let resume = move || cache.resume(&9, &namespace(), &[1; 32]).is_some();
    let flies = std::thread::spawn(resume.clone());
    while rig.cache.stats().asked < 1 {
        std::thread::yield_now();
    }
    rig.cache.set_modes(alone);
    let (flies, clock) = (Mutex::new(Some(flies)), rig.clock.clone());
    rig.cache.set_remove_callback(move |gone| {
        let flies = if gone.cause() == Removed { flies.lock().unwrap().take() } else { None };
        if let Some(flies) = flies {
            go.send(()).unwrap();
            assert!(flies.join().unwrap(), "the store has it");
            clock.advance(Duration::from_secs(50));
            assert!(resume(), "it has landed");
        }
    });
    assert!(rig.cache.remove(&namespace(), &[1; 32]));
    assert!(!rig.holds(1), "removed, and back");
    rig.cache.clear_get_callback();
    rig.cache.clear_remove_callback();
}
