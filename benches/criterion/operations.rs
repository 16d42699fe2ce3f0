//! Every operation by itself, in processor time of the thread: for finding out what a change of
//! ours costs. For the comparison with others see `src/bin/compare.rs`.
//!
//! `cargo bench --manifest-path benches/Cargo.toml -- --quick hit` runs the look-ups in a minute.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halfshake_benches::clock::thread_time;
use halfshake_benches::contestants::ours::{Bytes, Kept, Reading};
use halfshake_benches::contestants::{Contestant, Operations, TIMEOUT};
use halfshake_benches::keys::{Key, Sequence, key, value};
use std::hint::black_box;
use std::time::Duration;

const SIZES: [u64; 3] = [64, 65_536, 1_048_576];
/// Numbers of keys that are not there begin here.
const ABSENT: u64 = 1 << 40;

type Bench<'a> = criterion::BenchmarkGroup<'a, ThreadTime>;

/// Processor time of the measuring thread: the rest of a shared machine does not count.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = u64;
    type Value = Duration;
    fn start(&self) -> u64 {
        thread_time()
    }
    fn end(&self, start: u64) -> Duration {
        Duration::from_nanos(thread_time() - start)
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// What `work` takes, on the processor.
fn timed(work: impl FnOnce()) -> Duration {
    let start = thread_time();
    work();
    Duration::from_nanos(thread_time() - start)
}

/// A cache with room for all of its entries, or with none to spare.
fn filled(entries: u64, spare: bool) -> Bytes {
    let room = if spare { entries + entries / 4 } else { entries };
    let made = Bytes::new(room, Kept::ByCaller, false);
    let mut handle = made.handle();
    // At the limit every set has to have had its share of evictions.
    let inserts = if spare { entries } else { 2 * entries };
    (0..inserts).for_each(|n| assert!(handle.insert(key(n), value(n))));
    drop(handle);
    made
}

fn operations(c: &mut Criterion<ThreadTime>) {
    for (name, bench) in [
        ("hit", hit as fn(&mut Bench<'_>, u64)),
        ("miss", miss),
        ("batch", batch),
        ("insert", insert),
        ("evict", evict),
        ("replace", replace),
        ("take", take),
        ("expire", expire),
        ("threads", threads),
    ] {
        let mut group = c.benchmark_group(name);
        SIZES.iter().for_each(|n| bench(&mut group, *n));
        group.finish();
    }
}

/// Look-ups of random keys, each of which depends on the value before.
fn look_up(
    group: &mut Bench<'_>,
    name: &str,
    entries: u64,
    from: u64,
    handle: &mut impl Operations,
) {
    group.bench_function(BenchmarkId::new(name, entries), |b| {
        let (mut numbers, mut read) = (Sequence::new(1), 0);
        b.iter(|| {
            let found = handle.get(&key(from + numbers.below(entries, read)));
            read = found.unwrap_or(0);
            found
        });
    });
}

fn hit(group: &mut Bench<'_>, entries: u64) {
    let made = Reading(filled(entries, true));
    look_up(group, "reader", entries, 0, &mut made.handle());
    look_up(group, "cache", entries, 0, &mut made.0.handle());
}

fn miss(group: &mut Bench<'_>, entries: u64) {
    let made = Reading(filled(entries, true));
    look_up(group, "reader", entries, ABSENT, &mut made.handle());
    look_up(group, "cache", entries, ABSENT, &mut made.0.handle());
}

fn batch(group: &mut Bench<'_>, entries: u64) {
    fn bench(group: &mut Bench<'_>, name: &str, entries: u64, handle: &mut impl Operations) {
        group.bench_function(BenchmarkId::new(name, entries), |b| {
            let mut numbers = Sequence::new(2);
            b.iter(|| {
                let keys: [Key; 16] = std::array::from_fn(|_| key(numbers.below(entries, 0)));
                handle.get_batch(&keys, |word| {
                    black_box(word);
                });
            });
        });
    }
    let made = Reading(filled(entries, true));
    group.throughput(Throughput::Elements(16));
    bench(group, "reader", entries, &mut made.handle());
    bench(group, "cache", entries, &mut made.0.handle());
}

/// Below the limit: new caches, filled to the number of entries at most.
fn insert(group: &mut Bench<'_>, entries: u64) {
    group.bench_function(BenchmarkId::new("below_the_limit", entries), |b| {
        b.iter_custom(|inserts| {
            let (mut left, mut spent) = (inserts, Duration::ZERO);
            while left != 0 {
                let made = Bytes::new(entries, Kept::ByCaller, false);
                let (mut handle, now) = (made.handle(), left.min(entries));
                spent += timed(|| {
                    (0..now).for_each(|n| {
                        handle.insert(key(n), value(n));
                    });
                });
                left -= now;
            }
            spent
        });
    });
}

fn evict(group: &mut Bench<'_>, entries: u64) {
    let made = filled(entries, false);
    let (mut handle, mut next) = (made.handle(), ABSENT);
    group.bench_function(BenchmarkId::new("insert", entries), |b| {
        b.iter(|| {
            next += 1;
            handle.insert(key(next), value(next))
        });
    });
    group.bench_function(BenchmarkId::new("insert_two", entries), |b| {
        b.iter(|| {
            next += 2;
            handle.insert_two([next - 1, next].map(|n| (key(n), value(n))))
        });
    });
}

fn replace(group: &mut Bench<'_>, entries: u64) {
    let made = filled(entries, true);
    let (mut handle, mut numbers) = (made.handle(), Sequence::new(3));
    group.bench_function(BenchmarkId::new("insert", entries), |b| {
        b.iter(|| {
            let n = numbers.below(entries, 0);
            handle.insert(key(n), value(n))
        });
    });
}

/// Takes some, and puts them back unmeasured.
fn take(group: &mut Bench<'_>, entries: u64) {
    let made = filled(entries, true);
    let (mut handle, mut first) = (made.handle(), 0);
    let some = (entries / 4).min(1024);
    group.bench_function(BenchmarkId::new("take", entries), |b| {
        b.iter_custom(|takes| {
            let (mut left, mut spent) = (takes, Duration::ZERO);
            while left != 0 {
                let now = left.min(some);
                let keys: Vec<Key> = (first..first + now).map(|n| key(n % entries)).collect();
                // A few are gone: their sets were full before the cache was.
                spent += timed(|| {
                    for key in &keys {
                        black_box(handle.take(key));
                    }
                });
                keys.iter().for_each(|key| assert!(handle.insert(*key, value(first))));
                (first, left) = (first + now, left - now);
            }
            spent
        });
    });
}

/// Everything expires, and is removed in slices: counted in entries.
fn expire(group: &mut Bench<'_>, entries: u64) {
    group.throughput(Throughput::Elements(entries));
    group.bench_function(BenchmarkId::new("sweep", entries), |b| {
        b.iter_custom(|sweeps| {
            let sweep = |_| {
                let made = filled(entries, true);
                made.clock.advance(TIMEOUT);
                timed(|| while !made.cache.run_maintenance(4096).complete {})
            };
            (0..sweeps).map(sweep).sum()
        });
    });
}

/// What an operation of one thread costs while another one does the same.
fn threads(group: &mut Bench<'_>, entries: u64) {
    let made = Reading(filled(entries, true));
    group.bench_function(BenchmarkId::new("hit", entries), |b| {
        b.iter_custom(|n| {
            by_two(n, |seed, n| {
                let (mut handle, mut numbers) = (made.handle(), Sequence::new(seed));
                timed(|| {
                    (0..n).for_each(|_| {
                        black_box(handle.get(&key(numbers.below(entries, 0))));
                    });
                })
            })
        });
    });
    let made = filled(entries, false);
    let mut block = 0;
    group.bench_function(BenchmarkId::new("evict", entries), |b| {
        b.iter_custom(|n| {
            block += 2;
            by_two(n, |thread, n| {
                let (mut handle, first) = (made.handle(), (block + thread) << 32);
                timed(|| {
                    (first..first + n).for_each(|n| {
                        handle.insert(key(n), value(n));
                    });
                })
            })
        });
    });
}

/// The mean of two threads.
fn by_two(operations: u64, work: impl Fn(u64, u64) -> Duration + Sync) -> Duration {
    let work = &work;
    std::thread::scope(|scope| {
        let other = scope.spawn(move || work(1, operations));
        let own = work(0, operations);
        (own + other.join().expect("no operation panics")) / 2
    })
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    targets = operations
}
criterion_main!(all);
