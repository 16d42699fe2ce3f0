//! The panic matrix: each callback panics at its n-th call, for each n up to 200, under load.

use crate::sessions;
use crate::sessions::{BEGIN, TLS12};
use crate::tried::{amount, silence_injected, tried};
use halfshake::session::{
    Answer, Compat, Modes, Namespace, Session, SessionCache, SessionId, Side, Verdict,
};
use halfshake::{Maintenance, ManualClock, RemovalCause};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const THREADS: u64 = 2;
const IDS: u64 = 12;
/// Far beyond what any case takes.
const STEPS: u64 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    New,
    Get,
    Remove,
}

/// The calls of the callback that panics, and at which one it does.
struct Fuse {
    who: Who,
    at: u64,
    calls: AtomicU64,
}

impl Fuse {
    fn called(&self, who: Who) {
        if who == self.who && self.calls.fetch_add(1, SeqCst) + 1 == self.at {
            panic!("injected");
        }
    }

    /// Whether it was called often enough after it has panicked.
    fn is_over(&self) -> bool {
        self.calls.load(SeqCst) > self.at + 10
    }
}

fn name() -> Namespace {
    Namespace::new(b"www").expect("short").proposing(TLS12)
}

fn id(of: u64) -> [u8; 32] {
    [u8::try_from(of).expect("few"); 32]
}

fn session(cache: &SessionCache<u64>, of: u64, number: u64) -> Session {
    let id = SessionId::new(&id(of)).expect("32 bytes");
    cache.make(&name(), id, TLS12, &number.to_le_bytes())
}

/// By number and time of creation, for a renewal makes another entry of the same session.
type Events = Arc<Mutex<HashMap<(u64, Duration), u32>>>;

fn cache(fuse: &Arc<Fuse>, events: &Events, clock: &Arc<ManualClock>) -> SessionCache<u64> {
    let (new, get, remove, told) = (fuse.clone(), fuse.clone(), fuse.clone(), events.clone());
    SessionCache::<u64>::builder()
        .capacity(6)
        .timeout(Duration::from_millis(50))
        .modes(Modes::SERVER | Modes::UPDATE_TIME)
        .maintenance(Maintenance::Embedder)
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .new_callback(move |number, _| {
            new.called(Who::New);
            if number.is_multiple_of(5) { Verdict::Refuse } else { Verdict::Keep }
        })
        .get_callback(move |number, asked| {
            get.called(Who::Get);
            let of = u64::from(asked.id()[0]);
            match number % 3 {
                0 => Answer::unknown(),
                _ => Answer::handed_over(session(asked.cache(), of, number | 1 << 60)),
            }
        })
        .remove_callback(move |gone| {
            let number = u64::from_le_bytes(gone.payload().try_into().expect("a number"));
            let entry = (number, gone.times().created());
            *told.lock().expect("no panic under it").entry(entry).or_default() += 1;
            remove.called(Who::Remove);
        })
        .build()
        .expect("good settings")
}

fn step(cache: &SessionCache<u64>, clock: &ManualClock, number: u64) {
    let of = number * 7 % IDS;
    match number % 16 {
        0..5 => drop(cache.new_session(&number, Side::Server, &session(cache, of, number))),
        5..10 => drop(cache.resume(&number, &name(), &id((of + number / 3) % IDS))),
        10 => drop(cache.take(&number, &name(), &id(of))),
        11 => drop(cache.remove(&name(), &id(of))),
        12 => drop(cache.add(&session(cache, of, number))),
        13 => drop(cache.connection_failed(&name(), &id(of))),
        14 => clock.advance(Duration::from_millis(11)),
        _ if number % 64 == 15 => drop(cache.flush_all()),
        _ => drop(cache.run_maintenance(usize::MAX)),
    }
}

fn case(who: Who, at: u64) {
    let fuse = Arc::new(Fuse { who, at, calls: AtomicU64::new(0) });
    let (clock, events) = (ManualClock::new(), Events::default());
    clock.set(BEGIN);
    let cache = cache(&fuse, &events, &clock);
    let panics = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, clock, fuse, panics) = (&cache, &clock, &fuse, &panics);
            scope.spawn(move || {
                let ended = (1..STEPS).find(|i| {
                    let step = || step(cache, clock, i * THREADS + thread);
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(step)) {
                        assert_eq!(panic.downcast_ref::<&str>(), Some(&"injected"));
                        panics.fetch_add(1, SeqCst);
                    }
                    fuse.is_over()
                });
                assert!(ended.is_some(), "{who:?} is not called {at} times");
            });
        }
    });
    assert_eq!(panics.load(SeqCst), 1, "{who:?} {at}: the panic has one caller");
    let stats = cache.stats();
    let told = (stats.new_panics, stats.get_panics, stats.engine.listener_panics);
    assert_eq!(
        told,
        match who {
            Who::New => (1, 0, 0),
            Who::Get => (0, 1, 0),
            Who::Remove => (0, 0, 1),
        }
    );
    works(&cache, &format!("{who:?} {at}"));
    cache.shutdown();
    let events = events.lock().expect("no panic under it");
    assert!(events.values().all(|times| *times == 1), "{who:?} {at}: told of twice");
    assert_eq!(cache.stats().engine.inserts, events.len() as u64, "{who:?} {at}");
    assert_eq!((cache.len(), cache.stats().in_flight), (0, 0));
    cache.validate();
}

/// Nothing is poisoned, and every callback is still set.
fn works(cache: &SessionCache<u64>, what: &str) {
    assert!(cache.new_callback().is_some() && cache.get_callback().is_some(), "{what}");
    assert!(cache.remove_callback().is_some(), "{what}");
    let before = cache.stats();
    cache.flush_all();
    cache.new_session(&1, Side::Server, &session(cache, 1, 1 << 40));
    assert!(cache.resume(&1, &name(), &id(1)).is_some(), "{what}");
    assert!(cache.take(&1, &name(), &id(1)).is_some(), "{what}");
    // An id that nobody has asked for yet: unknown ones are remembered.
    assert!(cache.resume(&3, &name(), &id(200)).is_none(), "{what}");
    let after = cache.stats();
    assert_eq!((after.new_calls, after.asked), (before.new_calls + 1, before.asked + 1), "{what}");
    assert_eq!(
        after.engine.removed_by(RemovalCause::Taken),
        before.engine.removed_by(RemovalCause::Taken) + 1,
        "{what}"
    );
}

fn every_case(who: Who, name: &str) {
    silence_injected();
    let most = amount(200, 1_000);
    (1..=most).for_each(|at| case(who, at));
    tried(
        "5",
        &format!("the {name} callback panics at its n-th call"),
        &format!("every n up to {most}, {THREADS} threads"),
        "one caller hears of it; each session is told of once; every callback stays set, and works",
    );
}

#[test]
fn new_callback_may_panic_at_any_call() {
    every_case(Who::New, "new");
}

#[test]
fn get_callback_may_panic_at_any_call() {
    every_case(Who::Get, "get");
}

#[test]
fn remove_callback_may_panic_at_any_call() {
    every_case(Who::Remove, "remove");
}

#[test]
fn panic_goes_on_after_all_events_of_its_operation() {
    silence_injected();
    let rig = sessions::rig();
    (1..=9).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    let told = Arc::new(AtomicU64::new(0));
    let counts = told.clone();
    rig.cache.set_remove_callback(move |_| {
        counts.fetch_add(1, SeqCst);
        panic!("injected");
    });
    assert!(catch_unwind(AssertUnwindSafe(|| rig.cache.flush_all())).is_err());
    assert_eq!((told.load(SeqCst), rig.cache.stats().engine.listener_panics), (9, 9));
    assert_eq!(rig.cache.len(), 0);
}

#[test]
fn panic_never_leaves_the_drop_of_the_last_handle() {
    silence_injected();
    let told = Arc::new(AtomicU64::new(0));
    let counts = told.clone();
    let cache = SessionCache::<u64>::builder()
        .capacity(10)
        .remove_callback(move |_| {
            counts.fetch_add(1, SeqCst);
            panic!("injected");
        })
        .build()
        .unwrap();
    (1..=3).for_each(|of| cache.add(&session(&cache, of, of)).unwrap());
    drop(cache);
    assert_eq!(told.load(SeqCst), 3);
}

#[test]
fn panic_while_telling_of_what_is_absent_leaves_the_next_telling_intact() {
    silence_injected();
    let compat = Compat::REMOVE_TELLS_OF_ABSENT;
    let rig = sessions::rig_with(|builder| builder.compat(compat));
    rig.cache.set_remove_callback(|_| panic!("injected"));
    let remove = || rig.cache.remove(&name(), &id(1));
    assert!(catch_unwind(AssertUnwindSafe(remove)).is_err());
    rig.set_remove();
    assert!(!remove());
    assert_eq!(rig.world.calls(), [sessions::Call::Remove(1, RemovalCause::Removed)]);
}
