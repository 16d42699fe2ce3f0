//! One key that everybody reads while a writer replaces it.

use super::{Scale, fresh_salt};
use crate::clock::{Spent, Watch};
use crate::contestants::caches::{Lru, Moka, Quick};
use crate::contestants::maps::{Dashmap, Papaya, PapayaPinning};
use crate::contestants::ours::{Bytes, Kept, Reading};
use crate::contestants::scc::Index;
use crate::contestants::{Contestant, Operations};
use crate::keys::{Value, key, value};
use crate::processors::Apart;
use crate::rounds::{Entrant, Sample};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// From one replacement to the next.
const PACE: Duration = Duration::from_micros(10);

pub(super) fn entrants(scale: Scale) -> Vec<Entrant> {
    let room = scale.entries;
    let n = usize::try_from(room).unwrap_or(usize::MAX);
    let by = Kept::ByThread;
    let mut all = Vec::new();
    let add = &mut all;
    let operations = scale.operations;
    let reader = move || Reading(Bytes::new(room, by, false));
    both(add, "halfshake reader, bytes", reader, operations);
    both(add, "halfshake cache, bytes", move || Bytes::new(room, by, false), operations);
    both(add, "papaya, pin each", move || PapayaPinning(Papaya::new(n)), operations);
    both(add, "scc HashIndex", move || Index::new(n), operations);
    both(add, "dashmap", move || Dashmap::new(n), operations);
    both(add, "quick_cache, Arc", move || Quick::<Arc<[u8]>>::new(n), operations);
    both(add, "16 mutexes of lru", move || Lru::<Value>::new(n), operations);
    both(add, "moka, Arc", move || Moka::new(room), operations / 4);
    all
}

/// Adds the contestant read by one thread alone, and while another one writes.
fn both<C: Contestant>(
    all: &mut Vec<Entrant>,
    name: &str,
    make: impl Fn() -> C + Copy + 'static,
    operations: u64,
) {
    let alone = all.len();
    let prepare = move |written: bool| {
        move || {
            let (contestant, hot) = (make(), fresh_salt());
            contestant.handle().insert(key(hot), value(hot));
            move |_| {
                let pass = |n| {
                    if written { contended(&contestant, hot, n) } else { read(&contestant, hot, n) }
                };
                pass(operations / 2);
                pass(operations)
            }
        }
    };
    all.push(Entrant::new(format!("{name}, alone"), prepare(false)).against(alone));
    all.push(Entrant::new(format!("{name}, with a writer"), prepare(true)).against(alone));
}

fn read<C: Contestant>(shared: &C, hot: u64, operations: u64) -> Sample {
    let apart = Apart::new();
    let _stay = apart.as_ref().map(Apart::measured);
    let mut handle = shared.handle();
    let (wanted, mut found) = (key(hot), 0);
    let watch = Watch::start();
    for _ in 0..operations {
        found += u64::from(handle.get(std::hint::black_box(&wanted)).is_some());
    }
    Sample { operations, spent: watch.spent(), asked: operations, found, ..Sample::default() }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a moment")]
fn contended<C: Contestant>(shared: &C, hot: u64, operations: u64) -> Sample {
    let (over, writing) = (AtomicBool::new(false), AtomicBool::new(false));
    let apart = Apart::new();
    std::thread::scope(|scope| {
        let (over, writing) = (&over, &writing);
        let writer = scope.spawn(|| {
            let _stay = apart.as_ref().map(Apart::besides);
            write(shared, hot, over, writing)
        });
        while !writing.load(Relaxed) {
            std::thread::yield_now();
        }
        let mut sample = read(shared, hot, operations);
        over.store(true, Relaxed);
        sample.figures = writer.join().expect("no operation panics");
        let Spent { thread, wall, .. } = sample.spent;
        let off = 1.0 - thread as f64 / wall as f64;
        sample.figures.push(("of the time the reader has no processor", off.max(0.0)));
        sample
    })
}

fn write<C: Contestant>(
    shared: &C,
    hot: u64,
    over: &AtomicBool,
    writing: &AtomicBool,
) -> Vec<(&'static str, f64)> {
    let mut handle = shared.handle();
    let (mut written, mut refused) = (0u32, 0u32);
    let begin = Instant::now();
    let mut next = begin;
    while !over.load(Relaxed) {
        let stored = handle.insert(key(hot), value(hot));
        written += 1;
        refused += u32::from(!stored);
        writing.store(true, Relaxed);
        next += PACE;
        while Instant::now() < next && !over.load(Relaxed) {
            std::hint::spin_loop();
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let refused = f64::from(refused) / f64::from(written.max(1));
    vec![("replaced a second", f64::from(written) / seconds), ("refused", refused)]
}
