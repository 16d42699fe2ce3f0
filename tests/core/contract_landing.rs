//! What comes from outside while its id is removed or flushed, or others have to go for it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::sessions;
use crate::sessions::{BEGIN, Call, Rig, TLS12, id, namespace, rig, rig_with};
use crate::world::until;
use halfshake::RemovalCause::{Expired, Replaced};
use halfshake::session::{Answer, Compat, Modes, SessionHandle};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// The store has session 1, says that it was asked, and answers when it is told to.
fn answers_later(rig: &Rig) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((asks, asked), (go, goes)) = (mpsc::channel(), mpsc::channel());
    let (session, goes) = (rig.session(1), Mutex::new(goes));
    rig.cache.set_get_callback(move |_, _| {
        asks.send(()).unwrap();
        goes.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
        Answer::borrowed(&session)
    });
    (asked, go)
}

/// `leave` takes session `first` out, and while that is told a look-up of id 1 that was outside
/// since before lands in the same set; `then` happens before the remove callback ends. If
/// session `first` is replaced, what replaces it expires before the look-up lands.
fn landing(
    first: u8,
    leave: impl FnOnce(&Rig),
    then: impl Fn(&sessions::Cache) + Send + Sync + 'static,
) -> Rig {
    let modes = Modes::SERVER | Modes::NO_INTERNAL_LOOKUP;
    let rig = rig_with(|builder| builder.capacity(8).fewest_sets(1).modes(modes));
    rig.cache.add(&rig.session_from_to(first, 0, 20)).unwrap();
    let (asked, go) = answers_later(&rig);
    let go = Mutex::new(Some(go));
    let clock = rig.clock.clone();
    rig.cache.set_remove_callback(move |gone| {
        let go = go.lock().unwrap().take().filter(|_| gone.id()[0] == first);
        if let Some(go) = go {
            if gone.cause() == Replaced {
                clock.advance(Duration::from_secs(50));
            }
            go.send(()).unwrap();
            let landed = || gone.cache().find(&namespace(), &[1; 32]).is_some();
            until("the look-up has landed", landed);
            then(gone.cache());
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(rig.resume(1), Some(true)));
        asked.recv_timeout(Duration::from_secs(60)).unwrap();
        leave(&rig);
    });
    rig.set_remove();
    rig
}

#[test]
fn what_lands_while_its_id_is_removed_or_flushed_leaves_with_it() {
    let flushes: [fn(&Rig) -> u64; 3] = [
        |rig| rig.cache.flush_all(),
        |rig| rig.cache.flush_namespace(&namespace()),
        |rig| rig.cache.flush_sessions(BEGIN + Duration::from_secs(100)),
    ];
    for flush in flushes {
        let rig = landing(2, |rig| assert_eq!(flush(rig), 2), |_| ());
        assert!(!rig.holds(1));
    }
    let remove = |rig: &Rig| assert!(rig.cache.remove(&namespace(), &[1; 32]));
    assert!(!landing(1, remove, |_| ()).holds(1));
}

#[test]
fn what_lands_while_its_id_is_renewed_is_older_and_leaves() {
    let renew = |rig: &Rig| {
        rig.cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME);
        rig.advance(10);
        assert_eq!(rig.resume(1), None, "the renewed one has expired, and nobody is asked");
    };
    let rig = landing(1, renew, |cache| drop(cache.clear_get_callback()));
    assert!(!rig.holds(1));
    let engine = rig.cache.stats().engine;
    // The one that was renewed, and the late one; the renewed one has expired.
    assert_eq!((engine.removed_by(Replaced), engine.removed_by(Expired)), (2, 1));
    assert_eq!((engine.inserts, engine.entries), (3, 0));
}

#[test]
fn what_lands_while_others_are_flushed_stays() {
    let rig = landing(
        2,
        |rig| assert_eq!(rig.cache.flush_sessions(BEGIN + Duration::from_secs(99)), 1),
        |_| (),
    );
    assert!(rig.holds(1), "it lasts a second longer");
}

#[test]
fn what_is_put_while_its_id_is_removed_or_flushed_stays() {
    fn put(cache: &sessions::Cache) {
        cache.add(&cache.make(&namespace(), id(1), TLS12, b"newer")).unwrap();
    }
    let flush = |rig: &Rig| assert_eq!(rig.cache.flush_all(), 1);
    let remove = |rig: &Rig| assert!(rig.cache.remove(&namespace(), &[1; 32]));
    for rig in [landing(2, flush, put), landing(1, remove, put)] {
        assert_eq!(rig.cache.find(&namespace(), &[1; 32]).unwrap().payload(), b"newer");
    }
}

/// Session 1 leaves by way of `leave`, and while that is told, a copy of it lands that is in the
/// store, too. While it is told that this one leaves in turn, another look-up gets the copy, before
/// the store is told to delete it; it lands once `leave` has returned.
fn asked_for_while_late(panics: bool, leave: impl FnOnce(&Rig)) -> Rig {
    let modes = Modes::SERVER | Modes::NO_INTERNAL_LOOKUP;
    let rig = rig_with(|builder| builder.capacity(8).fewest_sets(1).modes(modes));
    rig.cache.add(&rig.session_from_to(1, 0, 20)).unwrap();
    let (asked, go) = answers_later(&rig);
    let resumes = |cache: &sessions::Cache| {
        let cache = cache.clone();
        std::thread::spawn(move || cache.resume(&7, &namespace(), &[1; 32]).is_some())
    };
    let first = resumes(&rig.cache);
    asked.recv_timeout(Duration::from_secs(60)).unwrap();
    let (first, second) = (Mutex::new(Some(first)), Arc::new(Mutex::new(None)));
    let (late, asked, lands) = (second.clone(), Mutex::new(asked), go.clone());
    rig.cache.set_remove_callback(move |gone| {
        if let Some(first) = first.lock().unwrap().take() {
            lands.send(()).unwrap();
            assert!(first.join().unwrap());
            return;
        }
        *late.lock().unwrap() = Some(resumes(gone.cache()));
        asked.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(!panics, "late");
    });
    leave(&rig);
    go.send(()).unwrap();
    let second = second.lock().unwrap().take().expect("what had landed has left");
    assert!(second.join().unwrap(), "it has a copy, and began before");
    rig.set_remove();
    rig
}

#[test]
fn what_is_asked_for_while_a_late_landing_leaves_does_not_come_back() {
    let leaves: [fn(&Rig) -> bool; 5] = [
        |rig| rig.cache.remove(&namespace(), &[1; 32]),
        |rig| rig.cache.connection_failed(&namespace(), &[1; 32]),
        |rig| rig.cache.flush_all() == 2,
        |rig| rig.cache.flush_namespace(&namespace()) == 2,
        |rig| rig.cache.flush_sessions(BEGIN + Duration::from_secs(100)) == 2,
    ];
    for leave in leaves {
        let rig = asked_for_while_late(false, |rig| assert!(leave(rig)));
        assert!(!rig.holds(1), "removed, and back");
        assert_eq!(rig.cache.stats().not_stored_changed, 1);
        let rig = asked_for_while_late(true, |rig| {
            let panic = std::panic::catch_unwind(AssertUnwindSafe(|| leave(rig))).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"late"));
        });
        assert!(!rig.holds(1), "removed with a panic, and back");
    }
}

#[test]
fn what_is_asked_for_while_an_absent_one_is_told_of_does_not_come_back() {
    type Leave = fn(&Rig, &SessionHandle) -> bool;
    let leaves: [Leave; 3] = [
        |rig, _| rig.cache.remove(&namespace(), &[1; 32]),
        |rig, _| rig.cache.connection_failed(&namespace(), &[1; 32]),
        |rig, handle| rig.cache.remove_exact(handle),
    ];
    for leave in leaves {
        let compat = Compat::strict().with(Compat::REMOVE_TELLS_OF_ABSENT);
        let rig = rig_with(|builder| builder.compat(compat));
        rig.cache.add(&rig.session(1)).unwrap();
        let handle = rig.cache.find(&namespace(), &[1; 32]).unwrap().handle().unwrap();
        rig.cache.flush_all();
        let (asked, go) = answers_later(&rig);
        let (flies, asked) = (Arc::new(Mutex::new(None)), Mutex::new(asked));
        let began = flies.clone();
        rig.cache.set_remove_callback(move |gone| {
            let cache = gone.cache().clone();
            let resume = move || cache.resume(&7, &namespace(), &[1; 32]).is_some();
            *began.lock().unwrap() = Some(std::thread::spawn(resume));
            asked.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
        });
        assert!(!leave(&rig, &handle), "it was not here");
        rig.cache.clear_remove_callback();
        go.send(()).unwrap();
        assert!(flies.lock().unwrap().take().expect("it was told of").join().unwrap());
        assert!(!rig.holds(1), "deleted outside, and back");
        rig.set_remove();
    }
}

#[test]
fn what_is_exactly_removed_does_not_land_also_if_it_has_left_here() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    let handle = rig.cache.find(&namespace(), &[1; 32]).unwrap().handle().unwrap();
    rig.cache.flush_all();
    let session = rig.session(1);
    rig.cache.set_get_callback(move |_, asked| {
        assert!(!asked.cache().remove_exact(&handle), "it is not here");
        Answer::borrowed(&session)
    });
    assert_eq!(rig.resume(1), Some(true), "it was asked for before");
    assert!(!rig.holds(1), "removed, and back");
}

#[test]
fn what_goes_for_an_answer_is_told_once_the_look_up_is_over_also_if_there_is_no_room() {
    // Of three sessions, and of as many that are retired while somebody reads.
    let one = rig();
    one.cache.add(&one.session(1)).unwrap();
    let weight = one.cache.stats().engine.bytes;
    let rig = rig_with(|builder| builder.capacity_bytes(3 * weight));
    let fill =
        |ids: std::ops::Range<u8>| ids.for_each(|id| rig.cache.add(&rig.session(id)).unwrap());
    fill(2..5);
    let (reading, reads) = mpsc::channel();
    let (done, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let cache = &rig.cache;
        scope.spawn(move || {
            let found = cache.find(&namespace(), &[2; 32]);
            reading.send(found.is_some()).unwrap();
            ended.recv().unwrap_err();
        });
        assert!(reads.recv().unwrap());
        (2..5).for_each(|first| assert!(rig.cache.remove(&namespace(), &[first; 32])));
        fill(5..8);
        let told = rig.world.clone();
        rig.cache.set_remove_callback(move |gone| {
            // It needs what the look-up held while it stored its answer.
            assert!(!gone.cache().remove(&namespace(), &[1; 32]));
            told.note(Call::Remove(gone.id()[0], gone.cause()));
        });
        rig.world.calls();
        rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
        assert_eq!(rig.resume(1), Some(true));
        let stats = rig.cache.stats();
        assert_eq!(stats.engine.refused_no_room, 1, "no room, but one has gone for it");
        let removed = rig.world.calls().iter().filter(|c| matches!(c, Call::Remove(..))).count();
        assert_eq!(removed, 1);
        drop(done);
    });
}
