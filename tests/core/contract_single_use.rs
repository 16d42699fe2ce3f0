//! What is taken is taken once, whatever lies inside, outside, or between the two.

use crate::sessions::{Cache, Rig, TLS12, id, namespace, rig_with};
use halfshake::RemovalCause::{Removed, Taken};
use halfshake::session::{Answer, Newly, Purpose, Side, Verdict};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

/// An external store of session 1, or nothing.
type Store = Arc<Mutex<Option<Answer>>>;

fn take(cache: &Cache) -> bool {
    cache.take(&1, &namespace(), &[1; 32]).is_some()
}

fn resume(cache: &Cache) -> bool {
    cache.resume(&2, &namespace(), &[1; 32]).is_some()
}

fn takes_elsewhere(cache: &Cache) -> bool {
    let cache = cache.clone();
    spawn(move || take(&cache)).join().expect("no panic")
}

/// A cache whose store holds session 1, and deletes what is taken, there or here.
fn single_use() -> (Rig, Store) {
    let rig = rig_with(|builder| builder);
    let session = rig.cache.make(&namespace(), id(1), TLS12, &[1; 100]);
    let store = Store::new(Mutex::new(Some(Answer::borrowed(&session))));
    let asked = store.clone();
    rig.cache.set_get_callback(move |_, question| answer(&asked, question.purpose()));
    let told = store.clone();
    rig.cache.set_remove_callback(move |_| *told.lock().expect("no test panics under it") = None);
    (rig, store)
}

fn answer(store: &Store, purpose: Purpose) -> Answer {
    let mut held = store.lock().expect("no test panics under it");
    let answer = match purpose {
        Purpose::Resume => held.clone(),
        _ => held.take(),
    };
    answer.unwrap_or_else(Answer::unknown)
}

/// Acts when it is dropped.
struct AtTheEnd(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|act| act());
    }
}

#[test]
fn session_is_taken_once_also_where_nobody_is_asked_or_told() {
    let (rig, _store) = single_use();
    rig.cache.clear_get_callback();
    rig.cache.clear_new_callback();
    rig.cache.add(&rig.session(1)).expect("room");
    assert!(take(&rig.cache) && !take(&rig.cache));
    assert_eq!(rig.cache.stats().internal_hits, 1);
}

#[test]
fn look_up_that_departs_beside_a_take_brings_nothing_that_could_be_taken_again() {
    let (rig, store) = single_use();
    let (cache, again) = (rig.cache.clone(), Arc::new(AtomicBool::new(false)));
    let (go, goes) = channel::<()>();
    let goes = Mutex::new(goes);
    let looking_up: Arc<Mutex<Option<JoinHandle<bool>>>> = Arc::default();
    // When the take is over, but for the end of its callback, the look-up arrives.
    let (ends, taken_again) = (looking_up.clone(), again.clone());
    let at_the_end = AtTheEnd(Some(Box::new({
        let cache = cache.clone();
        move || {
            go.send(()).expect("it waits");
            let looks_up = ends.lock().expect("no test panics under it").take();
            assert!(looks_up.expect("it was begun").join().expect("no panic"), "the store had it");
            taken_again.store(takes_elsewhere(&cache), SeqCst);
        }
    })));
    let goes = Arc::new(goes);
    rig.cache.set_get_callback(move |_, _| {
        let _ = &at_the_end;
        // Another callback is set, a look-up departs, and reads the store before this one's delete.
        let (read, goes) = (store.clone(), goes.clone());
        let (has_read, was_read) = channel::<()>();
        let has_read = Mutex::new(has_read);
        cache.set_get_callback(move |_, question| {
            let answer = answer(&read, question.purpose());
            if question.purpose() == Purpose::Resume {
                has_read.lock().expect("no test panics under it").send(()).expect("it waits");
                goes.lock().expect("no test panics under it").recv().expect("it is told");
            }
            answer
        });
        let looks_up = cache.clone();
        *looking_up.lock().expect("no test panics under it") =
            Some(spawn(move || resume(&looks_up)));
        was_read.recv().expect("the look-up reads the store");
        answer(&store, Purpose::Take)
    });
    assert!(take(&rig.cache), "the store has it");
    assert!(!again.load(SeqCst), "taken twice");
    assert!(!rig.holds(1), "taken, and back");
}

#[test]
fn what_lands_while_the_taking_is_told_of_is_not_taken_again() {
    let (rig, store) = single_use();
    rig.cache.add(&rig.session(1)).unwrap();
    let (again, first) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(true));
    let taken_again = again.clone();
    rig.cache.set_remove_callback(move |gone| {
        if first.swap(false, SeqCst) {
            // It is in the store still: it is looked up, and taken.
            let cache = gone.cache().clone();
            assert!(spawn(move || resume(&cache)).join().unwrap(), "the store has it");
            taken_again.store(takes_elsewhere(gone.cache()), SeqCst);
        }
        *store.lock().unwrap() = None;
    });
    let taken = take(&rig.cache);
    assert!(taken ^ again.load(SeqCst), "by one: first {taken}, second {again:?}");
    assert!(!take(&rig.cache) && !rig.holds(1), "taken, and back");
}

#[test]
fn session_is_taken_once_also_if_the_get_callback_is_set_meanwhile() {
    let (rig, store) = single_use();
    rig.cache.clear_get_callback();
    rig.cache.add(&rig.session(1)).unwrap();
    let again = Arc::new(AtomicBool::new(false));
    let taken_again = again.clone();
    rig.cache.set_remove_callback(move |gone| {
        let asked = store.clone();
        gone.cache().set_get_callback(move |_, question| answer(&asked, question.purpose()));
        if gone.cause() == Taken && !taken_again.swap(true, SeqCst) {
            let cache = gone.cache().clone();
            assert!(spawn(move || resume(&cache)).join().unwrap(), "the store has it");
            taken_again.store(takes_elsewhere(gone.cache()), SeqCst);
        }
        *store.lock().unwrap() = None;
    });
    let taken = take(&rig.cache);
    assert!(taken ^ again.load(SeqCst), "by one: first {taken}, second {again:?}");
    assert!(!take(&rig.cache), "taken, and back");
}

#[test]
fn new_session_is_resumed_and_not_taken_before_the_new_callback_has_ended() {
    let (rig, store) = single_use();
    *store.lock().unwrap() = None;
    let written = store.clone();
    rig.cache.set_new_callback(move |_, new| {
        let cache = new.cache().clone();
        assert!(spawn(move || resume(&cache)).join().unwrap(), "it is there");
        assert!(!takes_elsewhere(new.cache()), "it will be outside, too");
        *written.lock().unwrap() = Some(Answer::borrowed(new.session()));
        assert!(!takes_elsewhere(new.cache()), "it may be written again");
        Verdict::Keep
    });
    assert_eq!(rig.cache.new_session(&1, Side::Server, &rig.session(1)), Newly::Stored);
    assert!(take(&rig.cache));
    assert!(!take(&rig.cache), "taken twice");
}

#[test]
fn take_that_is_out_when_a_new_session_begins_does_not_get_it() {
    let (rig, store) = single_use();
    *store.lock().unwrap() = None;
    let (cache, session, asked) = (rig.cache.clone(), rig.session(1), store.clone());
    let written = store.clone();
    rig.cache.set_new_callback(move |_, new| {
        *written.lock().unwrap() = Some(Answer::borrowed(new.session()));
        Verdict::Keep
    });
    let first = AtomicBool::new(true);
    rig.cache.set_get_callback(move |_, question| {
        if first.swap(false, SeqCst) {
            let (cache, session) = (cache.clone(), session.clone());
            let begins = move || cache.new_session(&1, Side::Server, &session);
            assert_eq!(spawn(begins).join().unwrap(), Newly::Stored);
        }
        answer(&asked, question.purpose())
    });
    let taken = take(&rig.cache);
    let again = take(&rig.cache);
    assert!(taken ^ again, "by one: first {taken}, second {again}");
    assert!(!take(&rig.cache), "taken twice");
    rig.cache.clear_get_callback();
}

#[test]
fn session_that_lies_inside_and_outside_is_taken_once_without_internal_lookup() {
    use halfshake::session::Modes;
    let (rig, _store) = single_use();
    rig.cache.add(&rig.session(1)).unwrap();
    rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_LOOKUP);
    assert!(take(&rig.cache));
    rig.cache.set_modes(Modes::SERVER);
    assert!(!take(&rig.cache), "taken twice");
}

#[test]
fn new_callback_sees_that_its_session_has_left_meanwhile() {
    let (rig, store) = single_use();
    *store.lock().unwrap() = None;
    let written = store.clone();
    rig.cache.set_new_callback(move |_, new| {
        let lookups = || new.cache().stats().engine.lookups();
        let before = lookups();
        assert!(!new.has_left());
        assert_eq!(lookups(), before, "nobody's hit");
        let cache = new.cache().clone();
        let removes = move || cache.remove(&namespace(), &[1; 32]);
        assert!(spawn(removes).join().unwrap());
        // The event has come before this.
        *written.lock().unwrap() = Some(Answer::borrowed(new.session()));
        assert!(new.has_left());
        *written.lock().unwrap() = None;
        Verdict::Keep
    });
    let (causes, noted) = channel();
    rig.cache.set_remove_callback(move |gone| causes.send(gone.cause()).unwrap());
    rig.cache.new_session(&1, Side::Server, &rig.session(1));
    assert_eq!(noted.try_iter().collect::<Vec<_>>(), [Removed]);
    assert_eq!(rig.resume(1), None, "removed, and back");
}

#[test]
fn what_is_taken_beside_takes_and_news_of_other_sessions_is_not_lost() {
    let rig = rig_with(|builder| builder.capacity(4_000).max_capacity(4_000));
    let name = namespace();
    let add = |cache: &Cache, n: u32| {
        let id = halfshake::session::SessionId::new(&n.to_be_bytes()).unwrap();
        cache.add(&cache.make(&namespace(), id, TLS12, b"another")).unwrap();
    };
    rig.cache.clear_get_callback();
    rig.cache.add(&rig.session(1)).unwrap();
    // While one is told of, others are taken, and more of them negotiated, whose keys share all
    // stripes.
    rig.cache.set_new_callback(move |_, new| {
        for n in 0..300 {
            add(new.cache(), n);
            new.cache().take(&1, &namespace(), &n.to_be_bytes());
        }
        Verdict::Keep
    });
    let first = AtomicBool::new(true);
    rig.cache.set_remove_callback(move |gone| {
        if gone.id() == [1; 32] && first.swap(false, SeqCst) {
            for n in 1_000u32..1_400 {
                let id = halfshake::session::SessionId::new(&n.to_be_bytes()).unwrap();
                let session = gone.cache().make(&namespace(), id, TLS12, b"new");
                gone.cache().new_session(&1, Side::Server, &session);
            }
        }
    });
    assert!(rig.cache.take(&1, &name, &[1; 32]).is_some(), "lost");
}

#[test]
fn new_session_that_begins_and_is_told_of_during_a_take_is_taken_once() {
    let (rig, store) = single_use();
    *store.lock().unwrap() = None;
    rig.cache.clear_get_callback();
    rig.cache.add(&rig.session(1)).unwrap();
    // The new callback is set while the taking is told of; another thread negotiates and writes.
    let (written, first) = (store.clone(), AtomicBool::new(true));
    rig.cache.set_remove_callback(move |gone| {
        *store.lock().unwrap() = None;
        if gone.cause() == Taken && first.swap(false, SeqCst) {
            let written = written.clone();
            gone.cache().set_new_callback(move |_, new| {
                *written.lock().unwrap() = Some(Answer::borrowed(new.session()));
                Verdict::Keep
            });
            let (cache, session) = (gone.cache().clone(), gone.to_session());
            let begins = move || cache.new_session(&1, Side::Server, &session);
            assert_eq!(spawn(begins).join().unwrap(), Newly::Stored);
        }
    });
    let taken = take(&rig.cache);
    let again = take(&rig.cache);
    assert!(taken ^ again, "by one: first {taken}, second {again}");
}
