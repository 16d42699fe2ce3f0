//! Inserts, replacements, takes.

use super::{Scale, Work, fresh_salt};
use crate::clock::Watch;
use crate::contestants::{Contestant, Operations};
use crate::keys::{Sequence, key, value};
use crate::rounds::{Entrant, Sample};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fill,
    Insert,
    InsertTwo,
    Replace,
    Take,
    /// As `Insert`, beside a reader that stands still while it is measured.
    Stalled,
}

pub(super) struct Writes {
    pub(super) scale: Scale,
    pub(super) kind: Kind,
}

impl Work for Writes {
    fn enter<C: Contestant>(
        &self,
        name: &str,
        slowness: u64,
        make: impl Fn() -> C + 'static,
    ) -> Entrant {
        let Scale { entries, operations } = self.scale;
        let (operations, kind) = (operations / slowness, self.kind);
        if kind == Kind::Fill {
            return filler(name, entries, make);
        }
        Entrant::new(name, move || {
            let (contestant, salt) = (make(), fresh_salt());
            let at_limit = matches!(kind, Kind::Insert | Kind::InsertTwo | Kind::Stalled);
            let first = entries + if at_limit { entries / 4 } else { 0 };
            age(&mut contestant.handle(), entries);
            insert(&mut contestant.handle(), salt, first);
            let mut next = salt + first;
            move |seed: u64| {
                let mut handle = contestant.handle();
                let mut pass = |seed, operations, measured| {
                    let _stalled = (kind == Kind::Stalled && measured)
                        .then(|| contestant.reader_that_stalls());
                    let refused = contestant.refused();
                    let mut sample = match kind {
                        Kind::Fill | Kind::Insert | Kind::Stalled => {
                            insert(&mut handle, next, operations)
                        }
                        Kind::InsertTwo => insert_two(&mut handle, next, operations / 2),
                        Kind::Replace => replace(&mut handle, salt, entries, seed, operations),
                        Kind::Take => take(&mut handle, salt, entries, seed, operations),
                    };
                    next += operations;
                    sample.figures.extend(refusals(&contestant, refused, operations));
                    sample
                };
                pass(!seed, operations / 2, false);
                pass(seed, operations, true)
            }
        })
    }
}

/// The share of some inserts that were refused since so many had been, if any was.
pub(super) fn refusals<C: Contestant>(
    contestant: &C,
    before: Option<u64>,
    inserts: u64,
) -> Option<(&'static str, f64)> {
    let refused = contestant.refused()? - before?;
    (refused != 0).then(|| (REFUSED, part(refused) / part(inserts)))
}

/// The name of that figure.
pub const REFUSED: &str = "refused, share of inserts";

fn part(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Fills the contestant and takes everything out in random order. The memory of a server that has
/// run for a while is shuffled; in that of a first fill the oldest entries lie one after another,
/// and whoever evicts in that order finds them fetched by the processor.
pub(super) fn age(handle: &mut impl Operations, entries: u64) {
    let salt = fresh_salt();
    insert(handle, salt, entries);
    let mut numbers: Vec<u64> = (salt..salt + entries).collect();
    fastrand::Rng::with_seed(salt).shuffle(&mut numbers);
    for n in numbers {
        handle.take(&key(n));
    }
}

/// A new cache in each round. Small ones are filled again and again, for the clock's sake.
fn filler<C: Contestant>(name: &str, entries: u64, make: impl Fn() -> C + 'static) -> Entrant {
    let caches = (4096 / entries).max(1);
    let round = move |_| {
        let mut sum = Sample::default();
        for _ in 0..caches {
            let contestant = make();
            let sample = insert(&mut contestant.handle(), fresh_salt(), entries);
            sum.operations += sample.operations;
            sum.spent.thread += sample.spent.thread;
            sum.spent.process += sample.spent.process;
            sum.spent.wall += sample.spent.wall;
            sum.asked += sample.asked;
            sum.found += sample.found;
        }
        sum
    };
    Entrant::new(name, || round)
}

/// Inserts of numbers that were never used.
pub(super) fn insert(handle: &mut impl Operations, first: u64, operations: u64) -> Sample {
    let mut stored = 0;
    let watch = Watch::start();
    for n in first..first + operations {
        stored += u64::from(handle.insert(key(n), value(n)));
    }
    Sample {
        operations,
        spent: watch.spent(),
        asked: operations,
        found: stored,
        ..Sample::default()
    }
}

fn insert_two(handle: &mut impl Operations, first: u64, pairs: u64) -> Sample {
    let watch = Watch::start();
    for n in (first..first + 2 * pairs).step_by(2) {
        handle.insert_two([(key(n), value(n)), (key(n + 1), value(n + 1))]);
    }
    Sample { operations: 2 * pairs, spent: watch.spent(), ..Sample::default() }
}

fn replace(
    handle: &mut impl Operations,
    salt: u64,
    entries: u64,
    seed: u64,
    operations: u64,
) -> Sample {
    let mut numbers = Sequence::new(seed);
    let watch = Watch::start();
    for _ in 0..operations {
        let n = salt + numbers.below(entries, 0);
        handle.insert(key(n), value(n));
    }
    Sample { operations, spent: watch.spent(), ..Sample::default() }
}

/// Takes a quarter of the entries at most, and puts them back when the watch has stopped.
fn take(
    handle: &mut impl Operations,
    salt: u64,
    entries: u64,
    seed: u64,
    operations: u64,
) -> Sample {
    let operations = operations.min(entries / 4);
    let mut random = fastrand::Rng::with_seed(seed);
    let count = usize::try_from(operations).unwrap_or(usize::MAX);
    let mut some = random.choose_multiple(0..entries, count);
    random.shuffle(&mut some);
    let mut found = 0;
    let watch = Watch::start();
    for n in &some {
        found += u64::from(handle.take(&key(salt + *n)).is_some());
    }
    let spent = watch.spent();
    // In another order: else allocators would give neighbours in time neighbouring places.
    random.shuffle(&mut some);
    for n in &some {
        handle.insert(key(salt + *n), value(salt + *n));
    }
    Sample { operations, spent, asked: operations, found, ..Sample::default() }
}
