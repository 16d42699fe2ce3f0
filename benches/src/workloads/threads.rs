//! One thread against more, up to the number of processors, in processor time for each operation:
//! what they cost one another.

use super::cycle::{self, Tickets};
use super::reads::{self, ABSENT};
use super::{Scale, fresh_salt, slack, writes};
use crate::contestants::caches::{Lru, Moka, Quick};
use crate::contestants::maps::{Dashmap, Papaya};
use crate::contestants::ours::{Bytes, Kept, Pairs, Reading};
use crate::contestants::{Contestant, Operations};
use crate::keys::Value;
use crate::rounds::{Entrant, Sample};
use std::sync::Barrier;

#[derive(Clone, Copy)]
enum Kind {
    Hit,
    Miss,
    Insert,
    Cycle,
}

pub(super) fn hits(scale: Scale) -> Vec<Entrant> {
    lookups(scale, Kind::Hit)
}

pub(super) fn misses(scale: Scale) -> Vec<Entrant> {
    lookups(scale, Kind::Miss)
}

fn lookups(scale: Scale, kind: Kind) -> Vec<Entrant> {
    let room = slack(scale.entries);
    let n = usize::try_from(room).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    let by = Kept::ByThread;
    let add = &mut all;
    let reader = move || Reading(Bytes::new(room, by, false));
    both(add, "halfshake reader, bytes", reader, scale, kind);
    let reader = move || Reading(Pairs::new(room, by, false));
    both(add, "halfshake reader, pairs", reader, scale, kind);
    both(add, "halfshake cache, bytes", move || Bytes::new(room, by, false), scale, kind);
    both(add, "papaya, guard held", move || Papaya::new(n), scale, kind);
    both(add, "dashmap", move || Dashmap::new(n), scale, kind);
    both(add, "quick_cache", move || Quick::<Value>::new(n), scale, kind);
    both(add, "16 mutexes of lru", move || Lru::<Value>::new(n), scale, kind);
    both(add, "moka, Arc", move || Moka::new(room), scale, kind);
    all
}

pub(super) fn inserts(scale: Scale) -> Vec<Entrant> {
    changes(scale, Kind::Insert)
}

pub(super) fn cycles(scale: Scale) -> Vec<Entrant> {
    changes(scale, Kind::Cycle)
}

fn changes(scale: Scale, kind: Kind) -> Vec<Entrant> {
    let limit = scale.entries;
    let n = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    let by = Kept::ByCaller;
    let add = &mut all;
    both(add, "halfshake, bytes", move || Bytes::new(limit, by, false), scale, kind);
    both(add, "halfshake, pairs", move || Pairs::new(limit, by, false), scale, kind);
    both(add, "16 mutexes of lru", move || Lru::<Value>::new(n), scale, kind);
    both(add, "quick_cache", move || Quick::<Value>::new(n), scale, kind);
    let slower = Scale { operations: scale.operations / 4, ..scale };
    both(add, "moka, Arc", move || Moka::new(limit), slower, kind);
    all
}

/// As many as there are processors; two in any case.
fn counts() -> impl Iterator<Item = u64> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    [1, 2, 4, 8, 16].into_iter().filter(move |n| usize::try_from(*n).is_ok_and(|n| n <= processors))
}

/// Adds the contestant with one thread, and with more, which are compared with the former.
fn both<C: Contestant>(
    all: &mut Vec<Entrant>,
    name: &str,
    make: impl Fn() -> C + Copy + 'static,
    scale: Scale,
    kind: Kind,
) {
    let first = match kind {
        Kind::Hit | Kind::Miss => scale.entries,
        Kind::Insert | Kind::Cycle => scale.entries + scale.entries / 4,
    };
    let alone = all.len();
    for threads in counts() {
        let name = format!("{name}, {threads} thread{}", if threads == 1 { "" } else { "s" });
        let prepare = move || {
            let (made, salt) = (make(), fresh_salt());
            writes::insert(&mut made.handle(), salt, first);
            move |seed| together(&made, threads, salt, seed, scale, kind)
        };
        all.push(Entrant::new(name, prepare).against(alone));
    }
}

fn together<C: Contestant>(
    shared: &C,
    threads: u64,
    salt: u64,
    seed: u64,
    scale: Scale,
    kind: Kind,
) -> Sample {
    let barrier = Barrier::new(usize::try_from(threads).unwrap_or(1));
    let one = |thread: u64| {
        let mut handle = shared.handle();
        let seed = seed ^ thread;
        let mut fresh = fresh_salt();
        let mut tickets = Tickets::new(scale.entries / threads);
        if let Kind::Cycle = kind {
            tickets.issue(&mut handle, None);
        }
        let mut pass = |seed, operations| match kind {
            Kind::Hit => reads::singles(handle.held(), salt, scale.entries, seed, operations),
            Kind::Miss => {
                reads::singles(handle.held(), salt + ABSENT, scale.entries, seed, operations)
            }
            Kind::Insert => {
                fresh += operations;
                writes::insert(&mut handle, fresh, operations)
            }
            Kind::Cycle => cycle::handshakes(&mut handle, &mut tickets, operations, None),
        };
        pass(!seed, scale.operations / 2);
        barrier.wait();
        pass(seed, scale.operations)
    };
    let samples: Vec<Sample> = std::thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..threads).map(|t| scope.spawn(move || one(t))).collect();
        running.into_iter().map(|r| r.join().expect("no operation panics")).collect()
    });
    samples.iter().fold(Sample::default(), |mut sum, s| {
        sum.operations += s.operations;
        sum.spent.thread += s.spent.thread;
        sum.spent.wall = sum.spent.wall.max(s.spent.wall);
        sum.asked += s.asked;
        sum.found += s.found;
        sum
    })
}
