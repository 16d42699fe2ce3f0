//! Many more threads than processors: any of them may be preempted in the middle of anything.

use super::{Scale, fresh_salt, writes};
use crate::clock::{Spent, thread_time};
use crate::contestants::caches::{Lru, Moka, Quick};
use crate::contestants::ours::{Bytes, Kept};
use crate::contestants::{Contestant, Operations};
use crate::keys::{Value, key, mix, value};
use crate::rounds::{Entrant, Sample};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::{Duration, Instant};

const THREADS: [u64; 2] = [2, 64];
/// Time of the clock on the wall, for an operation: in it waiting counts, and what a contestant's
/// own threads do.
pub(crate) const WALL: &str = "ns on the wall";
/// What a server does besides, after each operation.
const OTHER_WORK_NS: u64 = 5_000;

/// Everybody with two threads and with 64; `busy` is whether they do other work, too.
pub(super) fn entrants(scale: Scale, busy: bool) -> Vec<Entrant> {
    let limit = scale.entries;
    let n = usize::try_from(limit).unwrap_or(usize::MAX);
    let slower = Scale { operations: scale.operations / 8, ..scale };
    let mut all = Vec::new();
    let add = &mut all;
    let ours = move || Bytes::new(limit, Kept::ByThread, false);
    both(add, "halfshake, bytes, own thread", ours, scale, busy);
    both(add, "16 mutexes of lru", move || Lru::<Value>::new(n), scale, busy);
    both(add, "quick_cache, Arc", move || Quick::<Arc<[u8]>>::new(n), scale, busy);
    both(add, "moka, Arc", move || Moka::new(limit), slower, busy);
    all
}

fn both<C: Contestant>(
    all: &mut Vec<Entrant>,
    name: &str,
    make: impl Fn() -> C + Copy + 'static,
    scale: Scale,
    busy: bool,
) {
    let few = all.len();
    for threads in THREADS {
        let prepare = move || {
            let contestant = make();
            writes::insert(&mut contestant.handle(), fresh_salt(), scale.entries * 5 / 4);
            move |_| {
                together(&contestant, threads, Scale { operations: 4096, ..scale }, busy);
                together(&contestant, threads, scale, busy)
            }
        };
        all.push(Entrant::new(format!("{name}, {threads} threads"), prepare).against(few));
    }
}

/// How often a number is mixed in the time of the other work.
fn other_work() -> u64 {
    static TIMES: OnceLock<u64> = OnceLock::new();
    *TIMES.get_or_init(|| {
        let (times, before) = (1 << 22, thread_time());
        think(times);
        (times * OTHER_WORK_NS / (thread_time() - before).max(1)).max(1)
    })
}

fn think(times: u64) {
    let mut n = 1;
    for _ in 0..times {
        n = mix(std::hint::black_box(n));
    }
}

/// What one thread did, and when. (Whoever waits for it may get a processor late.)
#[derive(Clone, Copy)]
struct Done {
    begun: Instant,
    ended: Instant,
    spent_ns: u64,
    /// Of that, the other work.
    thinking_ns: u64,
    stored: u64,
}

fn one<C: Contestant>(shared: &C, barriers: [&Barrier; 2], operations: u64, times: u64) -> Done {
    let mut handle = shared.handle();
    let first = fresh_salt();
    let [start, end] = barriers;
    start.wait();
    let begun = Instant::now();
    let mut stored = 0;
    let before = thread_time();
    for n in first..first + operations / 2 {
        stored += u64::from(handle.insert(key(n), value(n)));
        think(times);
        std::hint::black_box(handle.get(&key(n)));
        think(times);
    }
    let spent_ns = thread_time() - before;
    let ended = Instant::now();
    // Nobody measures his other work beside operations of others.
    end.wait();
    // As long as before: it is most of the time, and the difference of the two is what is told.
    let before = thread_time();
    (0..operations).for_each(|_| think(times));
    let thinking_ns = thread_time() - before;
    Done { begun, ended, spent_ns, thinking_ns, stored }
}

#[expect(clippy::cast_precision_loss, reason = "counts of seconds")]
fn together<C: Contestant>(shared: &C, threads: u64, scale: Scale, busy: bool) -> Sample {
    let times = if busy { other_work() } else { 0 };
    let each = (scale.operations / threads).max(2) / 2 * 2;
    let count = usize::try_from(threads).unwrap_or(1);
    let (start, end) = (Barrier::new(count + 1), Barrier::new(count));
    let over = AtomicBool::new(false);
    let (done, wall, retired) = std::thread::scope(|scope| {
        let (start, end, over) = (&start, &end, &over);
        let run = move || one(shared, [start, end], each, times);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let watching = scope.spawn(move || most_retired(shared, over));
        start.wait();
        let done = running.into_iter().map(|r| r.join().expect("no operation panics"));
        let done: Vec<Done> = done.collect();
        over.store(true, Relaxed);
        let begun = done.iter().map(|d| d.begun).min().expect("there are threads");
        let ended = done.iter().map(|d| d.ended).max().expect("there are threads");
        let wall = ended - begun;
        (done, wall, watching.join().expect("nothing here panics"))
    });
    let operations = each * threads;
    let sum = |part: fn(&Done) -> u64| done.iter().map(part).sum::<u64>();
    let thread = sum(|d| d.spent_ns);
    let own = thread as f64 - sum(|d| d.thinking_ns) as f64;
    let mut figures = vec![("ns without other work", own / operations as f64)];
    figures.push((WALL, wall.as_nanos() as f64 / operations as f64));
    if let Some(most) = retired {
        figures.push(("retired at most, of all entries", most as f64 / scale.entries as f64));
    }
    let wall = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
    Sample {
        operations,
        spent: Spent { thread, process: thread, wall },
        asked: operations / 2,
        found: sum(|d| d.stored),
        figures,
        ..Sample::default()
    }
}

/// Looks every millisecond how many removed entries wait for readers.
fn most_retired<C: Contestant>(shared: &C, over: &AtomicBool) -> Option<u64> {
    let mut most = None;
    while !over.load(Relaxed) {
        most = most.max(shared.retired());
        std::thread::sleep(Duration::from_millis(1));
    }
    most
}
