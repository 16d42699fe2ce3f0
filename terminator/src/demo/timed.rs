//! A wrapper that times each call of a session store, the same for every cache.
//!
//! What a connection's calls took is kept with the connection and added up when it ends, so that
//! the timing shares no lock with the calls that it times.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use halfshake::rustls::Namespace;
use hdrhistogram::Histogram;
use rustls::server::StoresServerSessions;
use tokio::time::Instant;

use crate::sessions::{ConnectionStore, Sessions};

/// Nanoseconds, to three digits, up to ten seconds.
const MOST_NANOS: u64 = 10_000_000_000;
const DIGITS: u8 = 3;

/// How long the calls took, in nanoseconds. `look_up` is rustls's `take` and `get`.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub(super) put: Histogram<u64>,
    pub(super) look_up: Histogram<u64>,
}

impl Times {
    fn new() -> Self {
        let new = || {
            Histogram::new_with_bounds(1, MOST_NANOS, DIGITS)
                .expect("the bounds are constants that fit")
        };
        Self { put: new(), look_up: new() }
    }

    /// All calls together.
    pub(super) fn total(&self) -> Duration {
        let nanos = [&self.put, &self.look_up]
            .map(|times| times.mean() * times.len() as f64)
            .iter()
            .sum::<f64>();
        Duration::from_secs_f64(nanos / 1e9)
    }
}

/// A cache whose calls are timed.
#[derive(Debug)]
pub(super) struct TimedSessions {
    inner: Arc<dyn Sessions>,
    times: Arc<Mutex<Times>>,
}

impl TimedSessions {
    pub(super) fn new(inner: Arc<dyn Sessions>) -> Self {
        Self { inner, times: Arc::new(Mutex::new(Times::new())) }
    }

    pub(super) fn times(&self) -> Times {
        lock(&self.times).clone()
    }

    pub(super) fn forget(&self) {
        *lock(&self.times) = Times::new();
    }
}

impl Sessions for TimedSessions {
    fn for_connection(&self, namespace: &Namespace) -> Arc<dyn ConnectionStore> {
        Arc::new(TimedStore {
            inner: self.inner.for_connection(namespace),
            calls: Mutex::default(),
            times: Arc::clone(&self.times),
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Put,
    LookUp,
}

#[derive(Debug)]
struct TimedStore {
    inner: Arc<dyn ConnectionStore>,
    /// Only this connection's task comes here: the lock is never waited for.
    calls: Mutex<Vec<(Call, Duration)>>,
    times: Arc<Mutex<Times>>,
}

impl TimedStore {
    fn timed<T>(&self, call: Call, run: impl FnOnce(&dyn StoresServerSessions) -> T) -> T {
        let begin = Instant::now();
        let result = run(&*self.inner);
        let took = begin.elapsed();
        lock(&self.calls).push((call, took));
        result
    }
}

impl StoresServerSessions for TimedStore {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.timed(Call::Put, |inner| inner.put(key, value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.timed(Call::LookUp, |inner| inner.get(key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.timed(Call::LookUp, |inner| inner.take(key))
    }

    fn can_cache(&self) -> bool {
        self.inner.can_cache()
    }
}

impl ConnectionStore for TimedStore {
    fn over_budget(&self) -> u64 {
        self.inner.over_budget()
    }
}

impl Drop for TimedStore {
    fn drop(&mut self) {
        let mut times = lock(&self.times);
        for &(call, took) in lock(&self.calls).iter() {
            let histogram = match call {
                Call::Put => &mut times.put,
                Call::LookUp => &mut times.look_up,
            };
            histogram
                .saturating_record(u64::try_from(took.as_nanos()).unwrap_or(MOST_NANOS).max(1));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Recording a number leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
