//! Expiry: everything expires at once and is removed in slices; and passes that find nothing.

use super::{Scale, fresh_salt, writes};
use crate::clock::{Watch, thread_time};
use crate::contestants::caches::Moka;
use crate::contestants::ours::{Bytes, Kept, Pairs};
use crate::contestants::{Contestant, TIMEOUT};
use crate::rounds::{Entrant, Sample, Tail};
use std::time::{Duration, Instant};

/// Removals in one slice.
const SLICE: usize = 512;

pub(super) fn entrants(scale: Scale) -> Vec<Entrant> {
    let entries = scale.entries;
    let bytes = move |listener| move || Bytes::new(entries, Kept::ByCaller, listener);
    vec![
        Entrant::new("halfshake, bytes", move || drained(entries, bytes(false))),
        Entrant::new("halfshake, bytes, listener", move || drained(entries, bytes(true))),
        Entrant::new("halfshake, pairs", move || {
            drained(entries, move || Pairs::new(entries, Kept::ByCaller, false))
        }),
        Entrant::new("halfshake, bytes, nothing expired", move || idle(entries, bytes(false))),
        Entrant::new("moka, Arc", move || moka(entries)),
    ]
}

/// Passes over what lives: what sweeping costs while nothing expires.
pub(super) fn idlers(scale: Scale) -> Vec<Entrant> {
    let entries = scale.entries;
    let bytes = move || Bytes::new(entries, Kept::ByCaller, false);
    vec![Entrant::new("halfshake, bytes", move || idle(entries, bytes))]
}

/// A cache of ours whose clock the caller moves.
trait Swept: Contestant {
    fn pass(&self, removals: usize) -> halfshake::Progress;
    fn expire_all(&self);
}

impl Swept for Bytes {
    fn pass(&self, removals: usize) -> halfshake::Progress {
        self.cache.run_maintenance(removals)
    }
    fn expire_all(&self) {
        self.clock.advance(TIMEOUT);
    }
}

impl Swept for Pairs {
    fn pass(&self, removals: usize) -> halfshake::Progress {
        self.cache.run_maintenance(removals)
    }
    fn expire_all(&self) {
        self.clock.advance(TIMEOUT);
    }
}

fn drained<C: Swept>(entries: u64, make: impl Fn() -> C) -> impl FnMut(u64) -> Sample {
    move |_| {
        let contestant = make();
        writes::insert(&mut contestant.handle(), fresh_salt(), entries);
        contestant.expire_all();
        let (mut removed, mut slices) = (0, Vec::new());
        let watch = Watch::start();
        let mut before = thread_time();
        loop {
            let progress = contestant.pass(SLICE);
            let after = thread_time();
            slices.push(after - before);
            before = after;
            removed += progress.expired;
            if progress.complete {
                break;
            }
        }
        let spent = watch.spent();
        Sample { operations: removed, spent, tail: Some(Tail::of(slices)), ..Sample::default() }
    }
}

fn idle(entries: u64, make: impl Fn() -> Bytes) -> impl FnMut(u64) -> Sample {
    let contestant = make();
    writes::insert(&mut contestant.handle(), fresh_salt(), entries);
    let passes = ((1 << 20) / entries).max(1);
    move |_| {
        let watch = Watch::start();
        for _ in 0..passes {
            while !contestant.pass(SLICE).complete {}
        }
        let spent = watch.spent();
        let live = contestant.cache.len();
        let figures = vec![
            ("ms for each pass", millis(spent.thread) / millis(passes * 1_000_000)),
            ("live entries", millis(live * 1_000_000)),
        ];
        Sample { operations: passes * entries, spent, figures, ..Sample::default() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of minutes are exact in a double")]
fn millis(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// moka's clock can't be moved, so this waits until the last entry has expired.
fn moka(entries: u64) -> impl FnMut(u64) -> Sample {
    let timeout = Duration::from_millis(500) + Duration::from_micros(entries * 5);
    move |_| {
        let contestant = Moka::with_timeout(entries, timeout);
        writes::insert(&mut contestant.handle(), fresh_salt(), entries);
        contestant.run_pending();
        let last = Instant::now();
        while last.elapsed() <= timeout {
            std::thread::sleep(Duration::from_millis(1));
        }
        let watch = Watch::start();
        let removed = contestant.run_pending();
        let spent = watch.spent();
        let tail = Some(Tail::of(vec![spent.thread]));
        Sample { operations: removed, spent, tail, ..Sample::default() }
    }
}
