//! Single look-ups and inserts on the wall, while something goes on besides: the curves of their
//! latency. The list's first, who does nothing, shows what the clock and preemption add.

use super::{Scale, fresh_salt, writes};
use crate::clock::Watch;
use crate::contestants::caches::Quick;
use crate::contestants::each::MokaEach;
use crate::contestants::{Contestant, Nobody, Operations, TIMEOUT};
use crate::keys::{Key, Sequence, Value, key, value, word};
use crate::processors::Apart;
use crate::rounds::{Entrant, Sample};
use halfshake::BytesCache;
use hdrhistogram::Histogram;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What another thread does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    /// Inserts at the limit.
    Churn,
    /// Inserts what expires soon after, all at once.
    Storm,
    /// Looks through the whole cache for what has expired, again and again.
    Sweeps,
    /// Holds a look-up's result and does not come back.
    Stalled,
}

impl Meanwhile {
    const ALL: [Self; 4] = [Self::Churn, Self::Storm, Self::Sweeps, Self::Stalled];

    fn name(self) -> &'static str {
        match self {
            Self::Churn => "churn",
            Self::Storm => "expiry storm",
            Self::Sweeps => "sweeps",
            Self::Stalled => "stalled reader",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Insert,
}

/// A contestant to which these things can happen; nothing does where it has no such thing.
trait Troubled: Contestant {
    fn can(what: Meanwhile) -> bool;
    /// Inserts what expires after [`BRIEF`].
    fn insert_brief(&self, n: u64);
    /// Looks for what has expired.
    fn sweep(&self);
    /// Holds what a look-up found until the end.
    fn stall(&self, key: &Key, until: &dyn Fn() -> bool);
}

/// How long the entries of a storm live, and from one storm to the next.
const BRIEF: Duration = Duration::from_millis(50);
/// Between two steps of the other thread: it must leave processors to the measured one.
const PAUSE: Duration = Duration::from_micros(50);

pub(super) fn entrants(scale: Scale, kind: Kind) -> Vec<Entrant> {
    let limit = scale.entries;
    let n = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    add(&mut all, "(nobody)", || Nobody, scale, kind);
    add(&mut all, "halfshake, bytes", move || Ours::new(limit), scale, kind);
    add(&mut all, "quick_cache, Arc", move || Quick::<Arc<[u8]>>::new(n), scale, kind);
    let slower = Scale { operations: scale.operations / 4, ..scale };
    add(&mut all, "moka, Arc", move || MokaEach::new(limit, false), slower, kind);
    all
}

/// Adds the contestant in all that can happen to it; the same one, since what is over is over.
fn add<C: Troubled>(
    all: &mut Vec<Entrant>,
    name: &str,
    make: impl Fn() -> C + Copy + 'static,
    scale: Scale,
    kind: Kind,
) {
    let shared: Rc<OnceCell<C>> = Rc::default();
    for what in Meanwhile::ALL.into_iter().filter(|what| C::can(*what)) {
        let shared = shared.clone();
        let prepare = move || {
            shared.get_or_init(|| {
                let made = make();
                writes::insert(&mut made.handle(), fresh_salt(), scale.entries * 5 / 4);
                made
            });
            move |seed| measured(shared.get().expect("just made"), what, seed, scale, kind)
        };
        all.push(Entrant::new(format!("{name}, {}", what.name()), prepare));
    }
}

fn measured<C: Troubled>(
    shared: &C,
    what: Meanwhile,
    seed: u64,
    scale: Scale,
    kind: Kind,
) -> Sample {
    let salt = fresh_salt();
    let known = (scale.entries / 4).max(16);
    writes::insert(&mut shared.handle(), salt, known);
    let over = AtomicBool::new(false);
    // On one processor, the other thread's wake-ups would be what is measured.
    let apart = Apart::new();
    let _stay = apart.as_ref().map(Apart::measured);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stay = apart.as_ref().map(Apart::besides);
            trouble(shared, what, salt, &over);
        });
        let mut handle = shared.handle();
        let (mut numbers, mut next) = (Sequence::new(seed), fresh_salt());
        let mut single = Histogram::new(3).expect("three digits");
        let watch = Watch::start();
        for _ in 0..scale.operations {
            // Both, so that there is churn in any case; only one of them is measured.
            let wanted = key(salt + numbers.below(known, 0));
            next += 1;
            let (new, filled) = (key(next), value(next));
            let before = Instant::now();
            if kind == Kind::Get {
                std::hint::black_box(handle.get(&wanted));
            } else {
                std::hint::black_box(handle.insert(new, filled));
            }
            let took = u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX);
            single.record(took).expect("it grows");
            if kind == Kind::Get && next.is_multiple_of(4) {
                handle.insert(new, filled);
            }
        }
        let spent = watch.spent();
        over.store(true, Relaxed);
        let operations = scale.operations;
        Sample { operations, spent, latencies: Some(single), ..Sample::default() }
    })
}

/// What the other thread does until it is over.
fn trouble<C: Troubled>(shared: &C, what: Meanwhile, salt: u64, over: &AtomicBool) {
    let mut next = fresh_salt();
    if what == Meanwhile::Stalled {
        shared.stall(&key(salt), &|| over.load(Relaxed));
        return;
    }
    while !over.load(Relaxed) {
        match what {
            Meanwhile::Churn => {
                writes::insert(&mut shared.handle(), next, 32);
                next += 32;
            }
            Meanwhile::Storm => {
                (next..next + 4096).for_each(|n| shared.insert_brief(n));
                next += 4096;
                std::thread::sleep(BRIEF);
                shared.sweep();
            }
            Meanwhile::Sweeps => shared.sweep(),
            Meanwhile::Stalled => {}
        }
        std::thread::sleep(PAUSE);
    }
}

fn wait(until: &dyn Fn() -> bool) {
    while !until() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ours as it comes, with its own thread.
struct Ours(BytesCache);

impl Ours {
    fn new(entries: u64) -> Self {
        let builder = BytesCache::builder().capacity(entries).time_to_live(TIMEOUT);
        Self(builder.build().expect("good settings"))
    }
}

impl Contestant for Ours {
    type Handle<'c> = OursHandle<'c>;
    fn handle(&self) -> OursHandle<'_> {
        OursHandle(&self.0)
    }
}

struct OursHandle<'c>(&'c BytesCache);

impl Operations for OursHandle<'_> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(&key[..]).map(|v| word(&v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(&key, &value).is_ok()
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.take(&key[..]).map(|v| word(&v))
    }
}

impl Troubled for Ours {
    fn can(_: Meanwhile) -> bool {
        true
    }
    fn insert_brief(&self, n: u64) {
        // A refusal is an answer, too.
        let _refused = self.0.insert_with_timeout(&key(n), &value(n), BRIEF);
    }
    fn sweep(&self) {
        self.0.run_maintenance(usize::MAX);
    }
    fn stall(&self, key: &Key, until: &dyn Fn() -> bool) {
        let mut reader = self.0.reader();
        let found = reader.get(&key[..]);
        wait(until);
        std::hint::black_box(&found);
    }
}

impl Troubled for Nobody {
    fn can(what: Meanwhile) -> bool {
        what == Meanwhile::Churn
    }
    fn insert_brief(&self, _: u64) {}
    fn sweep(&self) {}
    fn stall(&self, _: &Key, until: &dyn Fn() -> bool) {
        wait(until);
    }
}

impl Troubled for Quick<Arc<[u8]>> {
    fn can(what: Meanwhile) -> bool {
        matches!(what, Meanwhile::Churn | Meanwhile::Stalled)
    }
    fn insert_brief(&self, _: u64) {}
    fn sweep(&self) {}
    fn stall(&self, key: &Key, until: &dyn Fn() -> bool) {
        let found = self.found(key);
        wait(until);
        std::hint::black_box(&found);
    }
}

impl Troubled for MokaEach {
    fn can(_: Meanwhile) -> bool {
        true
    }
    fn insert_brief(&self, n: u64) {
        self.insert_for(key(n), n, BRIEF);
    }
    fn sweep(&self) {
        self.cache.run_pending_tasks();
    }
    fn stall(&self, key: &Key, until: &dyn Fn() -> bool) {
        let found = self.cache.get(key);
        wait(until);
        std::hint::black_box(&found);
    }
}
