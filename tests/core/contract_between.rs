//! What others do just between two steps of an operation: the cache's clock does it, when it is
//! read.

use crate::sessions::{BEGIN, Cache, Rig, namespace, rig_with};
use crate::world::until;
use halfshake::RemovalCause::{Evicted, Flushed, Removed, Replaced};
use halfshake::session::{Answer, Compat, Modes};
use halfshake::{Clock, Maintenance, ManualClock};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Act = Box<dyn FnOnce() + Send>;

/// A clock that does something once, when the cache is as `due` says; what comes `then`, it does at
/// the next looks.
struct Hook {
    clock: Arc<ManualClock>,
    /// Emptied when it has acted: the cache owns its clock.
    cache: Mutex<Option<Cache>>,
    act: Mutex<Option<Act>>,
    due: fn(&Cache) -> bool,
    has_begun: AtomicBool,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Clock for Hook {
    fn now(&self) -> Duration {
        // Taken out meanwhile: whatever is asked of the cache reads the clock.
        let cache = self.cache.lock().expect("no test panics under it").take();
        let is_due = |cache| self.has_begun.load(SeqCst) || (self.due)(cache);
        if cache.as_ref().is_some_and(is_due) {
            self.has_begun.store(true, SeqCst);
            let act = self.act.lock().expect("no test panics under it").take();
            act.into_iter().for_each(|act| act());
        } else if cache.is_some() {
            *self.cache.lock().expect("no test panics under it") = cache;
        }
        self.clock.now()
    }
}

fn hooked(due: fn(&Cache) -> bool) -> (Rig, Arc<Hook>) {
    hooked_with(Compat::strict(), due)
}

fn hooked_with(compat: Compat, due: fn(&Cache) -> bool) -> (Rig, Arc<Hook>) {
    let clock = ManualClock::new();
    clock.set(BEGIN);
    let (cache, act) = (Mutex::default(), Mutex::default());
    let hook = Arc::new(Hook { clock, cache, act, due, has_begun: AtomicBool::new(false) });
    let rig = rig_with(|builder| {
        builder.clock(hook.clone()).maintenance(Maintenance::Embedder).compat(compat)
    });
    *hook.cache.lock().expect("no test panics under it") = Some(rig.cache.clone());
    (rig, hook)
}

#[test]
fn nothing_is_stored_once_storing_was_switched_off() {
    let (rig, hook) = hooked(|_| true);
    rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
    let cache = rig.cache.clone();
    // The look-up has read the modes, and reads the clock.
    let off = move || assert_eq!(cache.set_modes(Modes::OFF), Modes::SERVER);
    *hook.act.lock().unwrap() = Some(Box::new(off));
    assert_eq!(rig.resume(1), Some(true));
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did nothing");
    assert_eq!(rig.cache.len(), 0, "stored after caching was off");
}

#[test]
fn those_who_join_get_what_was_put_meanwhile() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    let (cache, session) = (rig.cache.clone(), rig.session(1));
    let (send, joined) = std::sync::mpsc::channel();
    // One is out, and has not looked inside again. Another one joins, and the session is put.
    let act = move || {
        let joins = cache.clone();
        let resume = move || joins.resume(&3, &namespace(), &[1; 32]).is_some();
        send.send(std::thread::spawn(resume)).unwrap();
        while cache.stats().joined == 0 {
            std::thread::yield_now();
        }
        cache.add(&session).unwrap();
    };
    *hook.act.lock().unwrap() = Some(Box::new(act));
    assert_eq!(rig.resume(1), Some(false));
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did nothing");
    assert!(joined.recv().unwrap().join().unwrap(), "a miss, and it was there");
    assert_eq!(rig.world.calls(), [], "nobody had to be asked");
}

/// One after the other, each when the clock is read.
fn then(hook: &Arc<Hook>, cache: Cache, mut acts: VecDeque<Act>) {
    let Some(act) = acts.pop_front() else { return };
    let (again, next) = (hook.clone(), cache.clone());
    let act = move || {
        act();
        then(&again, next, acts);
    };
    *hook.act.lock().expect("no test panics under it") = Some(Box::new(act));
    *hook.cache.lock().expect("no test panics under it") = Some(cache);
}

#[test]
fn look_up_that_answers_later_ends_also_if_its_session_came_and_went() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    rig.cache.set_async_get_callback(|_, _| async { Answer::unknown() });
    let (cache, session) = (rig.cache.clone(), rig.session(1));
    let puts = move || cache.add(&session).unwrap();
    let cache = rig.cache.clone();
    let removes = move || assert!(cache.remove(&namespace(), &[1; 32]));
    // It is on the board: it looks whether there is one, copies it, and looks once more.
    let acts: [Act; 3] = [Box::new(puts), Box::new(|| {}), Box::new(removes)];
    then(&hook, rig.cache.clone(), acts.into());
    assert_eq!(rig.resume(1), None, "removed, and found");
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did not do all");
    assert_eq!(looked(&rig), [0, 1, 0], "one look-up");
    assert_eq!(rig.cache.stats().in_flight, 0, "still on its way");
    assert_eq!(rig.resume(1), None, "the answer of a look-up that is over");
}

/// Look-ups inside: hits, misses, and what had expired.
fn looked(rig: &Rig) -> [u64; 3] {
    let stats = rig.cache.stats();
    [stats.internal_hits, stats.internal_misses, stats.internal_expired]
}

#[test]
fn look_up_whose_session_came_and_went_is_one_miss() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    let (cache, session) = (rig.cache.clone(), rig.session(1));
    let puts = move || cache.add(&session).unwrap();
    let cache = rig.cache.clone();
    let removes = move || assert!(cache.remove(&namespace(), &[1; 32]));
    // It is there when the look-up asks whether it is, and gone when it is to be copied.
    then(&hook, rig.cache.clone(), VecDeque::from([Box::new(puts) as Act, Box::new(removes)]));
    assert_eq!(rig.resume(1), None);
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did not do all");
    assert_eq!(looked(&rig), [0, 1, 0], "one look-up");
}

#[test]
fn look_up_that_found_an_expired_session_and_then_one_put_since_is_a_hit_alone() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    let session = rig.session(1);
    rig.cache.add(&session).unwrap();
    // By the cache's clock alone: by the other one it may be put again.
    hook.clock.advance(Duration::from_secs(101));
    assert_eq!(rig.resume(2), None);
    assert_eq!(looked(&rig), [0, 1, 0]);
    let cache = rig.cache.clone();
    let puts = move || cache.add(&session).unwrap();
    then(&hook, rig.cache.clone(), VecDeque::from([Box::new(puts) as Act]));
    assert_eq!(rig.resume(1), Some(false));
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did not do all");
    assert_eq!(looked(&rig), [1, 1, 0], "two look-ups");
}

#[test]
fn look_up_of_an_expired_session_that_was_put_and_removed_is_one_miss() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    let session = rig.session(1);
    rig.cache.add(&session).unwrap();
    hook.clock.advance(Duration::from_secs(101));
    let cache = rig.cache.clone();
    let puts = move || cache.add(&session).unwrap();
    let cache = rig.cache.clone();
    let removes = move || assert!(cache.remove(&namespace(), &[1; 32]));
    let acts: [Act; 3] = [Box::new(puts), Box::new(|| {}), Box::new(removes)];
    then(&hook, rig.cache.clone(), acts.into());
    assert_eq!(rig.resume(1), None);
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did not do all");
    assert_eq!(looked(&rig), [0, 1, 0], "one look-up, whose last look found nothing");
}

#[test]
fn what_a_removal_looks_for_itself_is_no_look_up() {
    for seconds in [0, 101] {
        let rig = rig_with(|builder| builder);
        rig.cache.add(&rig.session(1)).unwrap();
        let (outside, clock) = (rig.session(1), rig.clock.clone());
        rig.cache.set_get_callback(move |_, _| Answer::borrowed(&outside));
        let once = AtomicBool::new(false);
        rig.cache.set_remove_callback(move |gone| {
            if once.swap(true, SeqCst) {
                return;
            }
            let cache = gone.cache().clone();
            let resume = move || cache.resume(&9, &namespace(), &[1; 32]).is_some();
            assert!(std::thread::spawn(resume).join().unwrap(), "the store has it");
            // What has landed is looked for when this removal has been told of.
            clock.advance(Duration::from_secs(seconds));
        });
        assert!(rig.cache.remove(&namespace(), &[1; 32]));
        assert_eq!(looked(&rig), [0, 1, 0], "one look-up, after {seconds} s");
        rig.cache.clear_remove_callback();
    }
}

#[test]
fn those_who_join_get_what_is_outside_if_what_was_put_meanwhile_has_left() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
    let (cache, session) = (rig.cache.clone(), rig.session(1));
    let (send, joined) = std::sync::mpsc::channel();
    let puts = move || {
        let joins = cache.clone();
        let resume = move || joins.resume(&3, &namespace(), &[1; 32]).is_some();
        send.send(std::thread::spawn(resume)).unwrap();
        until("another one has joined", || cache.stats().joined == 1);
        cache.add(&session).unwrap();
    };
    let cache = rig.cache.clone();
    let removes = move || assert!(cache.remove(&namespace(), &[1; 32]));
    // It is there when the look-up asks whether it is, and gone when it is to be copied.
    then(&hook, rig.cache.clone(), VecDeque::from([Box::new(puts) as Act, Box::new(removes)]));
    assert_eq!(rig.resume(1), Some(true));
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did not do all");
    assert!(joined.recv().unwrap().join().unwrap(), "a miss, and it was outside");
    assert_eq!(rig.cache.stats().asked, 1, "once for both");
}

#[test]
fn look_up_that_nobody_has_joined_joins_another_if_what_was_put_meanwhile_has_left() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    let session = rig.session(1);
    rig.cache.set_get_callback(move |_, asked| {
        let has_come = || asked.cache().stats().joined + asked.cache().stats().asked == 2;
        until("the other one has joined, or asks", has_come);
        Answer::borrowed(&session)
    });
    let (cache, session) = (rig.cache.clone(), rig.session(1));
    let puts = move || cache.add(&session).unwrap();
    let cache = rig.cache.clone();
    let (send, other) = std::sync::mpsc::channel();
    // It is off the board, and another one comes.
    let removes = move || {
        assert!(cache.remove(&namespace(), &[1; 32]));
        let begins = cache.clone();
        let resume = move || begins.resume(&3, &namespace(), &[1; 32]).is_some();
        send.send(std::thread::spawn(resume)).unwrap();
        until("it has asked", || cache.stats().asked == 1);
    };
    then(&hook, rig.cache.clone(), VecDeque::from([Box::new(puts) as Act, Box::new(removes)]));
    assert_eq!(rig.resume(1), Some(true));
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did not do all");
    assert!(other.recv().unwrap().join().unwrap());
    assert_eq!(rig.cache.stats().asked, 1, "once for both");
}

#[test]
fn look_up_that_others_have_joined_joins_none_itself() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    let session = rig.session(1);
    rig.cache.set_get_callback(move |_, asked| {
        let has_come = || asked.cache().stats().joined + asked.cache().stats().asked == 3;
        until("the first one asks, too, or has joined", has_come);
        Answer::borrowed(&session)
    });
    let (send, others) = std::sync::mpsc::channel();
    let begin = |cache: &Cache| {
        let (begins, send) = (cache.clone(), send.clone());
        move || {
            let resume = move || begins.resume(&3, &namespace(), &[1; 32]).is_some();
            send.send(std::thread::spawn(resume)).unwrap();
        }
    };
    let (cache, session, joins) = (rig.cache.clone(), rig.session(1), begin(&rig.cache));
    let puts = move || {
        joins();
        until("another one has joined", || cache.stats().joined == 1);
        cache.add(&session).unwrap();
    };
    let (cache, asks) = (rig.cache.clone(), begin(&rig.cache));
    // It is off the board, and a third one comes.
    let removes = move || {
        assert!(cache.remove(&namespace(), &[1; 32]));
        asks();
        until("it has asked", || cache.stats().asked == 1);
    };
    then(&hook, rig.cache.clone(), VecDeque::from([Box::new(puts) as Act, Box::new(removes)]));
    assert_eq!(rig.resume(1), Some(true));
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did not do all");
    for _ in 0..2 {
        assert!(others.recv().unwrap().join().unwrap(), "a miss, and it was outside");
    }
    assert_eq!((rig.cache.stats().asked, rig.cache.stats().joined), (2, 1));
}

#[test]
fn look_up_goes_by_the_modes_once_it_may_be_joined() {
    // It has read the modes, and missed.
    let (rig, hook) = hooked(|cache| cache.stats().internal_misses == 1);
    let (cache, session) = (rig.cache.clone(), rig.session(1));
    let act = move || {
        cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_LOOKUP);
        cache.add(&session).unwrap();
    };
    *hook.act.lock().unwrap() = Some(Box::new(act));
    assert_eq!(rig.resume(1), None, "who joins it may have begun afterwards");
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did nothing");
    assert_eq!(rig.cache.stats().asked, 1);
}

#[test]
fn none_that_looks_inside_is_joined_once_that_was_switched_off() {
    let (rig, hook) = hooked(|cache| cache.stats().in_flight == 1);
    let (cache, session) = (rig.cache.clone(), rig.session(1));
    let (send, resumes) = std::sync::mpsc::channel();
    // One is on the board, and has not looked inside again.
    let act = move || {
        cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_LOOKUP);
        let begins = cache.clone();
        let resume = move || begins.resume(&3, &namespace(), &[1; 32]).is_some();
        send.send(std::thread::spawn(resume)).unwrap();
        until("it has joined, or asked", || cache.stats().joined + cache.stats().asked == 1);
        cache.add(&session).unwrap();
    };
    *hook.act.lock().unwrap() = Some(Box::new(act));
    assert_eq!(rig.resume(1), Some(false), "it began before");
    assert!(hook.cache.lock().unwrap().is_none(), "the clock did nothing");
    assert!(!resumes.recv().unwrap().join().unwrap(), "from inside, and that is switched off");
}

/// A cache whose session 1 is to be removed exactly, by its handle; between the look of that and
/// its removal `act` is done.
fn exactly_removed_while(compat: Compat, act: fn(&Rig)) -> Rig {
    let (rig, hook) = hooked_with(compat, |_| true);
    rig.begin(1);
    let handle = rig.cache.find(&namespace(), &[1; 32]).and_then(|found| found.handle());
    let handle = handle.expect("it is inside");
    rig.world.calls();
    let rig = Arc::new(rig);
    let acts = rig.clone();
    // The look reads the clock, and so does the removal.
    let acts: [Act; 2] = [Box::new(|| {}), Box::new(move || act(&acts))];
    then(&hook, rig.cache.clone(), acts.into());
    assert!(!rig.cache.remove_exact(&handle), "it had left");
    assert!(
        hook.cache.lock().expect("no test panics under it").is_none(),
        "the clock did not do all"
    );
    Arc::into_inner(rig).expect("the clock has done all")
}

#[test]
fn exact_removal_leaves_an_equal_session_that_is_put_just_then() {
    for compat in [Compat::strict(), Compat::REMOVE_TELLS_OF_ABSENT] {
        let rig = exactly_removed_while(compat, |rig| rig.cache.add(&rig.session(1)).unwrap());
        assert!(rig.holds(1), "a handle never means another session");
        assert_eq!(rig.removals(1), [Replaced], "{compat:?}");
    }
}

#[test]
fn exact_removal_leaves_an_equal_session_that_a_look_up_brings_just_then() {
    let rig = exactly_removed_while(Compat::strict(), |rig| {
        // Full for a moment: it is evicted.
        rig.cache.set_capacity(1).unwrap();
        rig.cache.add(&rig.session(2)).unwrap();
        rig.cache.set_capacity(100).unwrap();
        rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
        assert_eq!(rig.resume(1), Some(true));
    });
    assert!(rig.holds(1), "a handle never means another session");
    assert_eq!(rig.removals(1), [Evicted]);
}

#[test]
fn exact_removal_tells_of_a_session_that_leaves_just_then() {
    let flush: fn(&Rig) = |rig| assert_eq!(rig.cache.flush_all(), 1);
    let rig = exactly_removed_while(Compat::strict(), flush);
    assert_eq!(rig.removals(1), [Flushed]);
    let rig = exactly_removed_while(Compat::REMOVE_TELLS_OF_ABSENT, flush);
    assert_eq!(rig.removals(1), [Flushed, Removed], "the store may have it still");
}
