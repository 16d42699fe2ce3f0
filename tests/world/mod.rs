//! What most tests need: a cache with a clock that they move and a listener that they can read,
//! values that are counted, and waiting for a condition.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use halfshake::{Builder, Cache, Maintenance, ManualClock, RemovalCause};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Key, value and cause of an event.
pub(crate) type Event = (u64, u64, RemovalCause);

/// The events that were delivered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub(crate) fn push(&self, event: Event) {
        lock(&self.0).push(event);
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    pub(crate) fn contains(&self, event: Event) -> bool {
        lock(&self.0).contains(&event)
    }

    /// Takes them out, sorted.
    pub(crate) fn sorted(&self) -> Vec<Event> {
        let mut all = std::mem::take(&mut *lock(&self.0));
        all.sort_unstable();
        all
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cache of numbers that the test maintains itself.
pub(crate) fn builder(capacity: u64) -> (Builder<u64, u64>, Arc<ManualClock>) {
    let clock = ManualClock::new();
    let builder =
        Cache::builder().capacity(capacity).clock(clock.clone()).maintenance(Maintenance::Embedder);
    (builder, clock)
}

/// As `builder`, with a listener that only writes down.
pub(crate) fn logged(capacity: u64) -> (Builder<u64, u64>, Arc<ManualClock>, Events) {
    let (builder, clock) = builder(capacity);
    let events = Events::default();
    let log = events.clone();
    let builder = builder.removal_listener(move |r| log.push((*r.key(), *r.value(), r.cause())));
    (builder, clock, events)
}

/// Waits for a condition; the bound is far beyond what a loaded machine needs.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        std::thread::park_timeout(MILLISECOND);
    }
    panic!("waited in vain until {what}");
}

/// A place where a listener stops until it is let go.
pub(crate) struct Gate {
    pub(crate) entered: Receiver<()>,
    pub(crate) go: Sender<()>,
}

pub(crate) fn gate() -> (Gate, impl Fn() + Send + Sync) {
    let ((enter, entered), (go, gone)) = (channel(), channel());
    let (enter, gone) = (Mutex::new(enter), Mutex::new(gone));
    let stop = move || {
        lock(&enter).send(()).expect("the test waits");
        lock(&gone).recv().expect("the test lets go");
    };
    (Gate { entered, go }, stop)
}

/// Objects that are alive: clones of one of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alive(Arc<()>);

impl Alive {
    /// How many, but for this one.
    pub(crate) fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// Runs what is expected to panic, and says with which message.
#[track_caller]
pub(crate) fn panic_of(f: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    let panic = panic.expect_err("a panic was expected");
    panic.downcast_ref::<&str>().map_or_else(
        || panic.downcast_ref::<String>().cloned().unwrap_or_default(),
        |text| (*text).to_owned(),
    )
}
