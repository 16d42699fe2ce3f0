//! Where callbacks run: on which thread, with what, and holding nothing of the cache's.

use crate::sessions;
use crate::sessions::{BEGIN, Call, TLS12, id, namespace, rig, rig_with};
use crate::world::{gate, until};
use halfshake::RemovalCause::{Evicted, Expired, Removed};
use halfshake::session::{Answer, Purpose, SessionCache, Side, Verdict};
use halfshake::{Delivery, Maintenance, ManualClock};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

/// The threads on which the remove callback has run.
fn threads(cache: &sessions::Cache) -> Arc<Mutex<Vec<ThreadId>>> {
    let threads = Arc::new(Mutex::new(Vec::new()));
    let told = threads.clone();
    cache.set_remove_callback(move |_| {
        told.lock().expect("no panic under it").push(std::thread::current().id());
    });
    threads
}

#[test]
fn remove_callback_runs_on_the_thread_whose_operation_unlinked() {
    let rig = rig();
    let threads = threads(&rig.cache);
    rig.cache.add(&rig.session(1)).unwrap();
    rig.cache.remove(&namespace(), &[1; 32]);
    assert_eq!(*threads.lock().unwrap(), [std::thread::current().id()]);
}

#[test]
fn remove_callback_runs_before_the_operation_returns() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    rig.cache.remove(&namespace(), &[1; 32]);
    assert_eq!(rig.world.calls(), [Call::Remove(1, Removed)]);
}

#[test]
fn delivery_thread_runs_the_remove_callback_if_it_is_asked_for() {
    let rig = rig_with(|builder| builder.delivery(Delivery::Thread));
    let threads = threads(&rig.cache);
    rig.cache.add(&rig.session(1)).unwrap();
    rig.cache.remove(&namespace(), &[1; 32]);
    until("the event is delivered", || !threads.lock().unwrap().is_empty());
    assert_ne!(threads.lock().unwrap()[0], std::thread::current().id());
    rig.cache.shutdown();
}

#[test]
fn what_the_cache_s_own_thread_expires_is_told_of_on_the_delivery_thread() {
    let clock = ManualClock::new();
    clock.set(BEGIN);
    let cache = SessionCache::<u64>::builder()
        .capacity(10)
        .timeout(Duration::from_secs(10))
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .maintenance(Maintenance::Thread)
        .build()
        .unwrap();
    let names = Arc::new(Mutex::new(Vec::new()));
    let told = names.clone();
    cache.set_remove_callback(move |gone| {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        told.lock().unwrap().push((thread, gone.cause()));
    });
    cache.add(&cache.make(&namespace(), id(1), TLS12, b"")).unwrap();
    clock.advance(Duration::from_secs(12));
    until("it is swept, though nobody calls", || !names.lock().unwrap().is_empty());
    assert_eq!(*names.lock().unwrap(), [("halfshake-events".to_owned(), Expired)]);
    cache.validate();
}

#[test]
fn connection_reaches_the_new_and_the_get_callback() {
    let rig = rig();
    rig.cache.new_session(&41, Side::Server, &rig.session(1));
    rig.cache.resume(&42, &namespace(), &[2; 32]);
    rig.cache.take(&43, &namespace(), &[3; 32]);
    let calls =
        [Call::New(41, 1), Call::Get(42, 2, Purpose::Resume), Call::Get(43, 3, Purpose::Take)];
    assert_eq!(rig.world.calls(), calls);
}

#[test]
fn get_callback_is_given_cache_namespace_and_id() {
    let rig = rig();
    rig.cache.set_get_callback(|_, asked| {
        assert_eq!((asked.namespace(), asked.id()), (&namespace(), &[1; 32][..]));
        assert_eq!(asked.cache().capacity(), 100);
        Answer::unknown()
    });
    assert_eq!(rig.resume(1), None);
    assert_eq!(rig.cache.stats().asked, 1);
}

#[test]
fn remove_callback_is_given_cache_session_and_cause() {
    let rig = rig();
    let session = rig.session(1);
    let expected = session.clone();
    let told = Arc::new(AtomicU64::new(0));
    let counts = told.clone();
    rig.cache.set_remove_callback(move |gone| {
        assert_eq!(gone.to_session(), expected);
        assert_eq!((gone.times(), gone.cause()), (expected.times(), Removed));
        assert_eq!((gone.id(), gone.namespace()), (&[1; 32][..], &b"www"[..]));
        assert_eq!(gone.cache().capacity(), 100);
        counts.fetch_add(1, SeqCst);
    });
    rig.cache.add(&session).unwrap();
    rig.cache.remove(&namespace(), &[1; 32]);
    assert_eq!(told.load(SeqCst), 1);
}

#[test]
fn remove_callback_that_blocks_holds_back_no_memory() {
    let rig = rig();
    (1..=2).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    let (gate, stop) = gate();
    rig.cache.set_remove_callback(move |gone| {
        if gone.id()[0] == 1 {
            stop();
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| rig.cache.remove(&namespace(), &[1; 32]));
        gate.entered.recv().unwrap();
        for _ in 0..200 {
            assert!(rig.cache.remove(&namespace(), &[2; 32]));
            rig.cache.add(&rig.session(2)).unwrap();
        }
        until("all but the blocked one are reclaimed", || {
            rig.cache.run_maintenance(usize::MAX);
            rig.cache.stats().engine.retired_entries == 0
        });
        gate.go.send(()).unwrap();
    });
}

#[test]
fn eviction_in_a_landing_is_told_of_under_no_lock() {
    let rig = rig_with(|builder| builder.capacity(1));
    rig.begin(1);
    rig.world.keeps_outside(2, Answer::handed_over(rig.session(2)));
    let world = rig.world.clone();
    rig.cache.set_remove_callback(move |gone| {
        // It would wait for itself, were the lock of the landing still held.
        let cache = gone.cache();
        (3..=200).for_each(|first| _ = cache.remove(&namespace(), &[first; 32]));
        world.note(Call::Remove(gone.id()[0], gone.cause()));
    });
    rig.world.calls();
    assert_eq!(rig.resume(2), Some(true));
    assert_eq!(rig.world.calls(), [Call::Get(2, 2, Purpose::Resume), Call::Remove(1, Evicted)]);
}

#[test]
fn session_that_its_user_still_reads_may_be_removed_by_the_same_thread() {
    let rig = rig();
    rig.begin(1);
    let found = rig.cache.resume(&1, &namespace(), &[1; 32]).unwrap();
    assert!(rig.cache.remove(&namespace(), &[1; 32]), "the pin is the user's, not the cache's");
    assert_eq!(found.payload(), &[1; 100]);
    assert_eq!(rig.world.calls(), [Call::New(1, 1), Call::Remove(1, Removed)]);
}

#[test]
fn operation_uses_the_callback_that_it_saw_when_it_began() {
    let rig = rig();
    (1..=3).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    let first = Arc::new(AtomicU64::new(0));
    let counts = first.clone();
    rig.cache.set_remove_callback(move |gone| {
        counts.fetch_add(1, SeqCst);
        gone.cache().clear_remove_callback();
    });
    assert_eq!(rig.cache.flush_all(), 3);
    assert!(rig.cache.remove_callback().is_none());
    assert_eq!(first.load(SeqCst), 3, "it was cleared while the flush was under way");
    rig.cache.add(&rig.session(4)).unwrap();
    rig.cache.flush_all();
    assert_eq!(first.load(SeqCst), 3, "a callback that was cleared was called");
}

#[test]
fn new_callback_that_blocks_keeps_nobody_from_resuming_its_session() {
    let rig = rig();
    let (gate, stop) = gate();
    rig.cache.set_new_callback(move |_, _| {
        stop();
        Verdict::Keep
    });
    std::thread::scope(|scope| {
        scope.spawn(|| rig.begin(1));
        gate.entered.recv().unwrap();
        assert_eq!(rig.resume(1), Some(false));
        gate.go.send(()).unwrap();
    });
}

#[test]
fn shutdown_waits_for_callbacks_that_run_elsewhere() {
    let rig = rig();
    rig.cache.add(&rig.session(1)).unwrap();
    let (gate, stop) = gate();
    rig.cache.set_remove_callback(move |gone| {
        if gone.id()[0] == 1 {
            stop();
        }
    });
    let over = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| rig.cache.remove(&namespace(), &[1; 32]));
        gate.entered.recv().unwrap();
        let ends = scope.spawn(|| {
            rig.cache.shutdown();
            over.fetch_add(1, SeqCst);
        });
        until("nothing can be added any more", || rig.cache.add(&rig.session(2)).is_err());
        assert_eq!(over.load(SeqCst), 0, "it returned while a callback ran");
        gate.go.send(()).unwrap();
        ends.join().unwrap();
    });
    assert_eq!(over.load(SeqCst), 1);
}
