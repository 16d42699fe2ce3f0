//! The caches alone, doing what TLS 1.3 asks of them when every connection resumes: two puts and
//! a take.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::server::StoresServerSessions;
use tokio::time::Instant;

use super::contestant::{Contestant, random_bytes};

const TIME: Duration = Duration::from_millis(1000);
const VALUE_BYTES: usize = 81;
/// A client uses its tickets soon, not at once.
const TICKETS_AHEAD: usize = 64;

/// Cycles in a second, all threads together.
#[derive(Debug)]
pub(super) struct Bare {
    pub(super) threads: usize,
    pub(super) halfshake: f64,
    pub(super) rustls: f64,
}

pub(super) async fn compare(halfshake: &Contestant, rustls: &Contestant) -> Bare {
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let stores = [halfshake.bare_store(), rustls.bare_store()];
    let measured =
        tokio::task::spawn_blocking(move || stores.map(|store| cycles_per_second(&store, threads)))
            .await;
    // A panic in the cycles has been printed already; nothing was measured then.
    let [halfshake, rustls] = measured.unwrap_or_default();
    Bare { threads, halfshake, rustls }
}

fn cycles_per_second(store: &Arc<dyn StoresServerSessions>, threads: usize) -> f64 {
    let begin = Instant::now();
    let end = begin + TIME;
    let cycles: u64 = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| scope.spawn(move || cycle_until(&**store, index as u64, end)))
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
    });
    cycles as f64 / begin.elapsed().as_secs_f64()
}

fn cycle_until(store: &dyn StoresServerSessions, seed: u64, end: Instant) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tickets = VecDeque::with_capacity(TICKETS_AHEAD + 2);
    let mut cycles = 0;
    while Instant::now() < end {
        for _ in 0..2 {
            let key = random_bytes(&mut random, 32);
            tickets.push_back(key.clone());
            store.put(key, random_bytes(&mut random, VALUE_BYTES));
        }
        if tickets.len() >= TICKETS_AHEAD {
            let oldest = tickets.pop_front();
            std::hint::black_box(oldest.and_then(|key| store.take(&key)));
            // Its sibling is never used, as with a client that takes its newest ticket.
            tickets.pop_front();
        }
        cycles += 1;
    }
    cycles
}
