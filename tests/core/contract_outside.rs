//! What comes from outside: it is checked before anything else, and never brings back what left.

use crate::sessions;
use crate::sessions::{BEGIN, Call, Rig, TLS12, id, namespace, rig, rig_with};
use halfshake::RemovalCause::{Removed, Taken};
use halfshake::session::{Answer, Modes, Namespace, Purpose, Rejection, Session, SessionId, Times};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

/// Proposes id 1, whose answer is given: it must be a counted miss that leaves nothing behind.
#[track_caller]
fn rejects(rig: &Rig, answer: Answer, why: Rejection) {
    let before = rig.cache.stats().rejected_for(why);
    rig.world.keeps_outside(1, answer);
    assert_eq!(rig.resume(1), None, "{why:?}");
    assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none(), "{why:?}");
    let stats = rig.cache.stats();
    assert_eq!(stats.rejected_for(why), before + 2);
    assert_eq!((rig.cache.len(), stats.engine.inserts), (0, 0), "{why:?} was stored");
}

#[test]
fn session_of_another_namespace_is_rejected() {
    let rig = rig();
    let other = Namespace::new(b"other").unwrap();
    let session = rig.cache.make(&other, id(1), TLS12, b"");
    rejects(&rig, Answer::borrowed(&session), Rejection::Namespace);
    rejects(&rig, Answer::serialised(session.to_bytes().to_vec()), Rejection::Namespace);
}

#[test]
fn session_with_another_id_is_rejected() {
    let rig = rig();
    rejects(&rig, Answer::handed_over(rig.session(2)), Rejection::Id);
    let shorter = SessionId::new(&[1; 31]).unwrap();
    let session = rig.cache.make(&namespace(), shorter, TLS12, b"");
    rejects(&rig, Answer::handed_over(session), Rejection::Id);
}

#[test]
fn session_that_has_expired_is_rejected_at_the_very_deadline() {
    let rig = rig();
    rejects(&rig, Answer::handed_over(rig.session_from_to(1, -10, 0)), Rejection::Expired);
    rejects(&rig, Answer::handed_over(rig.session_from_to(1, -10, -5)), Rejection::Expired);
    let last = Times::new(BEGIN, BEGIN + Duration::from_millis(1), BEGIN + Duration::from_secs(9));
    let session = Session::new(&namespace(), id(1), TLS12, last, &[1; 100]);
    rig.world.keeps_outside(1, Answer::handed_over(session));
    assert_eq!(rig.resume(1), Some(true), "one millisecond before the deadline");
    rig.clock.advance(Duration::from_millis(1));
    assert_eq!(rig.resume(1), None);
}

#[test]
fn session_from_the_future_is_rejected_beyond_the_skew() {
    let rig = rig_with(|builder| builder.clock_skew(Duration::from_secs(5)));
    rejects(&rig, Answer::handed_over(rig.session_from_to(1, 6, 100)), Rejection::FromTheFuture);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, 5, 100)));
    assert_eq!(rig.resume(1), Some(true));
    let rig = rig_with(|builder| builder.clock_skew(Duration::from_secs(7)));
    rejects(&rig, Answer::handed_over(rig.session_from_to(1, 8, 100)), Rejection::FromTheFuture);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, 7, 100)));
    assert_eq!(rig.resume(1), Some(true));
}

#[test]
fn session_that_is_too_large_is_rejected() {
    let rig = rig_with(|builder| builder.max_payload_bytes(99));
    rejects(&rig, Answer::handed_over(rig.session(1)), Rejection::TooLarge);
    let rig = rig_with(|builder| builder.max_payload_bytes(100));
    rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
    assert_eq!(rig.resume(1), Some(true), "as large as may be");
}

#[test]
fn garbage_is_rejected() {
    let rig = rig();
    rejects(&rig, Answer::serialised(b"garbage".to_vec()), Rejection::Malformed);
    rejects(&rig, Answer::serialised(Vec::new()), Rejection::Malformed);
    let mut cut = rig.session(1).to_bytes().to_vec();
    cut.pop();
    rejects(&rig, Answer::serialised(cut), Rejection::Malformed);
    rig.world.keeps_outside(1, Answer::serialised(rig.session(1).to_bytes().to_vec()));
    assert_eq!(rig.resume(1), Some(true));
}

#[test]
fn imported_session_keeps_its_own_deadline() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -50, 20)));
    assert_eq!(rig.resume(1), Some(true));
    rig.world.keeps_outside(1, Answer::unknown());
    rig.advance(19);
    assert_eq!(rig.resume(1), Some(false));
    rig.advance(1);
    assert_eq!(rig.resume(1), None, "storing it made it live longer");
}

#[test]
fn renewal_never_passes_the_end_of_the_first_authentication() {
    let rig = rig();
    let mut session = rig.session(1);
    for _ in 0..50 {
        rig.advance(50);
        let times = session.times().renewed(rig.cache.wall_now(), Duration::from_secs(100));
        session = session.with_times(times);
        assert!(session.times().not_after() <= BEGIN + Duration::from_secs(1000));
    }
    assert!(rig.cache.add(&session).is_err(), "alive long after the first authentication ended");
}

#[test]
fn wall_clock_that_steps_back_resurrects_nothing() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -10, 50)));
    rig.advance(50);
    assert_eq!(rig.resume(1), None);
    rig.clock.set(BEGIN);
    assert_eq!(rig.resume(1), None);
}

/// What may happen to id 1 while a look-up of it is outside, and whether its answer may be stored.
fn meanwhile(change: impl Fn(&Rig) + Send + Sync + 'static) -> Rig {
    let rig = Arc::new(rig());
    let session = rig.session(1);
    let weak = Arc::downgrade(&rig);
    rig.cache.set_get_callback(move |_, _| {
        change(&weak.upgrade().expect("the test holds it"));
        Answer::borrowed(&session)
    });
    assert_eq!(rig.resume(1), Some(true), "it is used all the same");
    rig.cache.clear_get_callback();
    Arc::into_inner(rig).expect("nobody else")
}

#[test]
fn answer_is_stored_if_nothing_happened_meanwhile() {
    let rig = meanwhile(|_| ());
    assert!(rig.holds(1));
    assert_eq!(rig.cache.stats().not_stored_changed, 0);
}

#[test]
fn answer_is_not_stored_if_its_id_was_changed_meanwhile() {
    let name = namespace;
    type Change = fn(&Rig);
    let changes: [(&str, Change); 7] = [
        ("removed", |rig| assert!(!rig.cache.remove(&namespace(), &[1; 32]))),
        ("failed", |rig| assert!(!rig.cache.connection_failed(&namespace(), &[1; 32]))),
        ("taken", |rig| assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none())),
        ("flushed", |rig| assert_eq!(rig.cache.flush_all(), 0)),
        ("flushed by namespace", |rig| assert_eq!(rig.cache.flush_namespace(&namespace()), 0)),
        ("flushed by time", |rig| assert_eq!(rig.cache.flush_sessions(BEGIN), 0)),
        ("switched off", |rig| assert_eq!(rig.cache.set_modes(Modes::OFF), Modes::SERVER)),
    ];
    for (what, change) in changes {
        let rig = meanwhile(change);
        assert!(rig.cache.find(&name(), &[1; 32]).is_none(), "{what}, and stored");
        assert_eq!(rig.cache.stats().not_stored_changed, 1, "{what}");
    }
}

#[test]
fn answer_is_not_stored_if_its_id_was_put_and_left_meanwhile() {
    let rig = meanwhile(|rig| {
        rig.cache.add(&rig.session_from_to(1, 0, 1)).unwrap();
        rig.advance(1);
    });
    assert!(!rig.holds(1));
}

#[test]
fn answer_never_replaces_what_was_put_meanwhile() {
    let rig = meanwhile(|rig| {
        let newer = rig.cache.make(&namespace(), id(1), TLS12, b"newer");
        rig.cache.add(&newer).unwrap();
    });
    assert_eq!(rig.cache.find(&namespace(), &[1; 32]).unwrap().payload(), b"newer");
}

#[test]
fn change_of_another_id_or_namespace_does_not_keep_an_answer_from_being_stored() {
    let rig = meanwhile(|rig| {
        for other in 2..200 {
            rig.cache.remove(&namespace(), &[other; 32]);
        }
        let other = Namespace::new(b"other").unwrap();
        rig.cache.remove(&other, &[1; 32]);
        rig.cache.flush_namespace(&other);
    });
    assert!(rig.holds(1));
}

#[test]
fn take_that_may_not_ask_leaves_a_look_up_alone() {
    let rig = meanwhile(|rig| {
        let name = namespace();
        assert!(rig.cache.hello_with_budget(&2, &name, 0).take(&[1; 32]).is_none());
    });
    assert!(rig.holds(1));
    assert_eq!(rig.cache.stats().not_stored_changed, 0);
}

#[test]
fn removal_whose_callback_panics_marks_the_look_up_all_the_same() {
    let rig = meanwhile(|rig| {
        rig.cache.add(&rig.session(1)).unwrap();
        rig.cache.set_remove_callback(|_| panic!("injected"));
        let remove = || rig.cache.remove(&namespace(), &[1; 32]);
        assert!(catch_unwind(AssertUnwindSafe(remove)).is_err());
    });
    assert!(!rig.holds(1));
}

#[test]
fn take_outside_is_not_stored_and_the_store_is_told_that_it_is_a_take() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
    let taken = rig.cache.take(&3, &namespace(), &[1; 32]).unwrap();
    assert!(taken.is_external());
    assert_eq!(rig.world.calls(), [Call::Get(3, 1, Purpose::Take)]);
    assert!(!rig.holds(1));
}

#[test]
fn take_outside_takes_the_copy_that_is_not_looked_for_with_it() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
    rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_LOOKUP);
    assert_eq!(rig.resume(1), Some(true));
    assert!(rig.holds(1));
    assert!(rig.cache.take(&3, &namespace(), &[1; 32]).unwrap().is_external());
    rig.cache.set_modes(Modes::SERVER);
    assert!(!rig.holds(1), "taken, and there");
    assert_eq!(rig.world.calls().last(), Some(&Call::Remove(1, Taken)));
}

#[test]
fn take_inside_asks_nobody_and_happens_once() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    let taken = rig.cache.take(&3, &namespace(), &[1; 32]).unwrap();
    assert_eq!(taken.payload(), &[1; 100]);
    drop(taken);
    assert_eq!(rig.world.calls(), [Call::Remove(1, Taken)]);
    assert!(rig.cache.take(&3, &namespace(), &[1; 32]).is_none());
}

#[test]
fn nothing_lands_while_a_take_of_its_id_is_outside() {
    let rig = rig();
    let session = rig.session(1);
    rig.cache.set_get_callback(move |connection, asked| {
        if asked.purpose() == Purpose::Take {
            // Another thread resumes the same id, and finds it outside.
            let (cache, connection) = (asked.cache().clone(), *connection);
            let resume = move || cache.resume(&connection, &namespace(), &[1; 32]).is_some();
            assert!(std::thread::spawn(resume).join().unwrap());
            assert!(asked.cache().find(&namespace(), &[1; 32]).is_none(), "a copy landed");
        }
        Answer::borrowed(&session)
    });
    assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_some());
    assert!(!rig.holds(1), "taken, and still there");
}

#[test]
fn session_that_is_taken_inside_while_a_take_is_outside_is_taken_once() {
    let rig = rig();
    let session = rig.session(1);
    rig.cache.set_get_callback(move |_, asked| {
        let (cache, session) = (asked.cache().clone(), session.clone());
        let inside = {
            let session = session.clone();
            move || {
                cache.add(&session).unwrap();
                cache.take(&7, &namespace(), &[1; 32]).is_some()
            }
        };
        assert!(std::thread::spawn(inside).join().unwrap());
        Answer::handed_over(session)
    });
    assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none(), "taken inside and outside");
}

#[test]
fn concurrent_misses_of_one_id_ask_once_and_share_the_answer() {
    let rig = rig_with(|builder| builder.lookup_timeout(Duration::from_secs(600)));
    let session = rig.session(1);
    rig.cache.set_get_callback(move |_, asked| {
        // Answered when all the others have joined: a later one would find it inside.
        while asked.cache().stats().joined < 7 {
            std::thread::yield_now();
        }
        Answer::borrowed(&session)
    });
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| rig.resume(1))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(true));
        }
    });
    let stats = rig.cache.stats();
    assert_eq!((stats.asked, stats.joined, stats.used, stats.timed_out), (1, 7, 8, 0));
}

#[test]
fn panic_of_the_one_who_asks_strands_nobody() {
    let rig = rig_with(|builder| builder.lookup_timeout(Duration::from_secs(600)));
    rig.cache.set_get_callback(|_, asked| {
        while asked.cache().stats().joined < 3 {
            std::thread::yield_now();
        }
        panic!("injected")
    });
    let ended = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| rig.resume(1))).collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    assert_eq!(ended.iter().filter(|ended| ended.is_none()).count(), 1, "the panic has one caller");
    assert_eq!(ended.iter().filter(|ended| **ended == Some(None)).count(), 3);
    assert_eq!(rig.cache.stats().get_panics, 1);
}

#[test]
fn one_who_joins_gives_up_after_the_timeout() {
    let rig = rig_with(|builder| builder.lookup_timeout(Duration::from_millis(1)));
    let (done, is_done) = mpsc::channel::<()>();
    let is_done = std::sync::Mutex::new(is_done);
    let outside = Arc::new(Barrier::new(2));
    let reached = outside.clone();
    rig.cache.set_get_callback(move |_, _| {
        reached.wait();
        is_done.lock().unwrap().recv().unwrap();
        Answer::unknown()
    });
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(rig.resume(1), None));
        outside.wait();
        assert_eq!(rig.resume(1), None);
        assert_eq!(rig.cache.stats().timed_out, 1);
        done.send(()).unwrap();
    });
}

#[test]
fn look_up_that_began_after_a_removal_does_not_join_one_from_before() {
    let rig = rig_with(|builder| builder.lookup_timeout(Duration::from_secs(600)));
    let session = rig.session(1);
    rig.cache.set_get_callback(move |connection, asked| {
        if *connection == 2 {
            // `Rig::resume` is connection 2: the id is removed, then another one asks.
            let cache = asked.cache().clone();
            cache.remove(&namespace(), &[1; 32]);
            let after = move || cache.resume(&5, &namespace(), &[1; 32]).is_none();
            assert!(std::thread::spawn(after).join().unwrap(), "it got the answer from before");
            return Answer::borrowed(&session);
        }
        Answer::unknown()
    });
    assert_eq!(rig.resume(1), Some(true));
    assert_eq!(rig.cache.stats().joined, 0);
}

#[test]
fn get_callback_that_asks_for_its_own_id_gets_a_counted_miss() {
    let rig = rig();
    let session = rig.session(1);
    rig.cache.set_get_callback(move |connection, asked| {
        assert!(asked.cache().resume(connection, &namespace(), asked.id()).is_none());
        Answer::borrowed(&session)
    });
    assert_eq!(rig.resume(1), Some(true));
    assert_eq!(rig.cache.stats().nested, 1);
}

#[test]
fn client_that_proposes_a_thousand_sessions_costs_four_look_ups_outside() {
    let rig = rig();
    rig.begin(9);
    let name = namespace();
    let hello = rig.cache.hello(&1, &name);
    for first in 10..=255 {
        assert!(hello.resume(&[first; 32]).is_none());
        assert!(hello.take(&[first; 31]).is_none());
    }
    assert_eq!(hello.left(), 0);
    assert!(hello.resume(&[9; 32]).is_some(), "what is inside costs nothing");
    let stats = rig.cache.stats();
    assert_eq!((stats.asked, stats.over_budget), (4, 2 * 246 - 4));
    assert_eq!(rig.cache.hello(&1, &name).left(), 4, "the next one has a budget of its own");
}

#[test]
fn budget_is_not_spent_where_nobody_can_be_asked() {
    let rig = rig();
    rig.cache.clear_get_callback();
    let name = namespace();
    let hello = rig.cache.hello_with_budget(&1, &name, 1);
    assert!(hello.resume(&[1; 32]).is_none() && hello.take(&[]).is_none());
    assert_eq!((hello.left(), rig.cache.stats().over_budget), (1, 0));
}

#[test]
fn counters_have_the_meanings_of_the_manual_page() {
    let rig = rig();
    rig.begin(1);
    rig.resume(1);
    rig.resume(2);
    rig.world.keeps_outside(3, Answer::handed_over(rig.session(3)));
    rig.resume(3);
    rig.world.keeps_outside(4, Answer::handed_over(rig.session_from_to(4, -10, 0)));
    rig.resume(4);
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.number, ssl.hits, ssl.misses, ssl.cb_hits, ssl.timeouts), (2, 2, 3, 2, 1));
    rig.cache.remove(&namespace(), &[1; 32]);
    assert!(rig.world.calls().contains(&Call::Remove(1, Removed)));
    assert_eq!(rig.cache.stats().ssl().number, 1);
}

/// Looks a session up when its thread ends.
struct AtTheEnd(std::cell::RefCell<Option<(sessions::Cache, std::sync::mpsc::Sender<[bool; 2]>)>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        if let Some((cache, said)) = self.0.take() {
            let resumed = cache.resume(&1, &namespace(), &[1; 32]).is_some();
            let taken = cache.take(&1, &namespace(), &[1; 32]).is_some();
            said.send([resumed, taken]).expect("the test listens");
        }
    }
}

#[test]
fn look_ups_work_at_the_very_end_of_a_thread() {
    thread_local! {
        static LATE: AtTheEnd = const { AtTheEnd(std::cell::RefCell::new(None)) };
    }
    let rig = rig_with(|builder| builder);
    rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
    let (cache, (say, said)) = (rig.cache.clone(), std::sync::mpsc::channel());
    let looks_up = move || {
        LATE.with(|late| late.0.replace(Some((cache.clone(), say))));
        // What the cache keeps for the thread is made after that, and goes before.
        assert!(cache.resume(&1, &namespace(), &[2; 32]).is_none());
    };
    std::thread::spawn(looks_up).join().unwrap();
    assert_eq!(said.recv().unwrap(), [true, true]);
}
