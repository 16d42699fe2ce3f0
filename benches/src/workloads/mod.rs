//! What is done with the contestants.

mod cycle;
mod reads;
mod rosters;
mod sweep;
mod tails;
mod threads;
mod writes;

use crate::contestants::Contestant;
use crate::rounds::Entrant;
use clap::ValueEnum;
use serde::Serialize;

/// A workload by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Look-ups that find, each key depending on the value before.
    Hit,
    /// Look-ups that find nothing.
    Miss,
    /// Sixteen look-ups at a time; counted singly.
    Batch,
    /// The first fill of an empty cache.
    Fill,
    /// Inserts of new keys at the limit: each evicts.
    Insert,
    /// The same, two at a time; counted singly.
    InsertTwo,
    /// Inserts of keys that are there.
    Replace,
    /// Takes of keys that are there.
    Take,
    /// What TLS 1.3 does at the limit: two inserts, and half a take of a ticket 25 to 31 % of the
    /// capacity old.
    Cycle,
    /// The same while time goes by: a life of the cache takes 285 s and the timeout is 300 s, so
    /// some entries expire. Only ours is asked to sweep, once a second.
    CycleTimed,
    /// Each insert of a first fill measured by itself.
    FillTail,
    /// Each insert at the limit measured by itself.
    InsertTail,
    /// Removal of what has expired, and passes over what has not; counted in entries.
    Expire,
    /// `Hit` by one thread, and by two.
    HitThreads,
    /// `Insert` by one thread, and by two.
    InsertThreads,
}

/// How much of a workload is done.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Entries in the cache, a power of two.
    pub entries: u64,
    /// Operations in a round.
    pub operations: u64,
}

/// A workload for any contestant.
trait Work {
    /// Announces the contestant; `make` builds an empty one. `slowness` divides the operations
    /// of contestants that would take minutes.
    fn enter<C: Contestant>(
        &self,
        name: &str,
        slowness: u64,
        make: impl Fn() -> C + 'static,
    ) -> Entrant;
}

impl Workload {
    /// Everybody who takes part, ready to run.
    #[must_use]
    pub fn entrants(self, scale: Scale) -> Vec<Entrant> {
        use rosters::{cyclers, readers, writers};
        use writes::Kind;
        let reads = |kind| readers(&reads::Reads { scale, kind }, scale.entries);
        let writes = |kind| writes::Writes { scale, kind };
        let limit = scale.entries;
        match self {
            Self::Hit => reads(reads::Kind::Hit),
            Self::Miss => reads(reads::Kind::Miss),
            Self::Batch => reads(reads::Kind::Batch),
            Self::Fill => writers(&writes(Kind::Fill), slack(limit)),
            Self::Insert => writers(&writes(Kind::Insert), limit),
            Self::InsertTwo => writers(&writes(Kind::InsertTwo), limit),
            Self::Replace => writers(&writes(Kind::Replace), slack(limit)),
            Self::Take => writers(&writes(Kind::Take), slack(limit)),
            Self::Cycle => cyclers(&cycle::Cycle { scale, timed: false }, limit),
            Self::CycleTimed => cyclers(&cycle::Cycle { scale, timed: true }, limit),
            Self::FillTail => writers(&tails::Tails { scale, full: false }, slack(limit)),
            Self::InsertTail => writers(&tails::Tails { scale, full: true }, limit),
            Self::Expire => sweep::entrants(scale),
            Self::HitThreads => threads::hits(scale),
            Self::InsertThreads => threads::inserts(scale),
        }
    }

    /// Whether the workload makes sense at this size.
    #[must_use]
    pub fn suits(self, entries: u64) -> bool {
        let needs_many = matches!(
            self,
            Self::Take | Self::Cycle | Self::CycleTimed | Self::FillTail | Self::Expire
        );
        entries >= 1024 || !needs_many
    }
}

/// A limit under which `entries` entries stay, also where each of 16 parts has a limit.
fn slack(entries: u64) -> u64 {
    entries + entries / 8 + 128
}

/// A part of the numbers that keys are made of, which no other contestant uses.
fn fresh_salt() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed) << 40
}
