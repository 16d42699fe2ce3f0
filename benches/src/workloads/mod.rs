//! What is done with the contestants.

mod crowd;
mod cycle;
mod footprint;
mod hot;
mod latency;
mod mix;
mod reads;
mod rosters;
mod storm;
mod sweep;
mod tails;
mod threads;
mod writes;

use crate::contestants::Contestant;
use crate::rounds::Entrant;
use clap::ValueEnum;
pub(crate) use crowd::WALL;
pub use footprint::{Footprint, alone};
use serde::{Deserialize, Serialize};
pub use writes::REFUSED;

/// A workload by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Look-ups that find, each key depending on the value before.
    Hit,
    /// Look-ups that find nothing.
    Miss,
    /// Sixteen look-ups at a time; counted singly.
    Batch,
    /// Sixteen look-ups at a time that find nothing; counted singly.
    MissBatch,
    /// The first fill of an empty cache.
    Fill,
    /// Inserts of new keys at the limit: each evicts.
    Insert,
    /// The same, two at a time; counted singly.
    InsertTwo,
    /// The same, one at a time, beside a reader that stands still.
    InsertStalled,
    /// Inserts of keys that are there.
    Replace,
    /// Takes of keys that are there.
    Take,
    /// What TLS 1.3 does at the limit: two inserts, and half a take of a ticket 25 to 31 % of the
    /// capacity old.
    Cycle,
    /// The same while time goes by: the timeout is 300 s, and the limit evicts what is 248 s old.
    /// Only ours is asked to sweep, once a second.
    CycleTimed,
    /// The same, but the timeout comes before the limit: all that is not taken expires.
    CycleExpiring,
    /// What TLS 1.2 does: 80 look-ups of live sessions, 15 inserts, 5 look-ups of expired ones.
    Mix,
    /// Each insert of a first fill measured by itself.
    FillTail,
    /// Each insert at the limit measured by itself.
    InsertTail,
    /// Removal of what has expired, and passes over what has not; counted in entries.
    Expire,
    /// Passes over what lives.
    IdleSweep,
    /// Everything expires within a second while somebody reads what stays; counted in entries.
    Storm,
    /// Inserts and look-ups by two threads, and by 64.
    Crowd,
    /// The same, with other work after each operation.
    BusyCrowd,
    /// Look-ups of one key while a writer replaces it, and while none does.
    HotKey,
    /// Bytes beyond key and value after the cache was renewed three times.
    Footprint,
    /// The same in this process, for one contestant.
    #[value(skip)]
    FootprintAlone,
    /// Single look-ups on the wall while something goes on besides.
    GetLatency,
    /// Single inserts on the wall while something goes on besides.
    InsertLatency,
    /// `Hit` by one thread, and by more.
    HitThreads,
    /// `Miss` by one thread, and by more.
    MissThreads,
    /// `Insert` by one thread, and by more.
    InsertThreads,
    /// `Cycle` by one thread, and by more, each with tickets of its own.
    CycleThreads,
}

/// How much of a workload is done.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Entries in the cache.
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
        use reads::Reads;
        use rosters::{batchers, cyclers, footprints, readers, timed, writers};
        use writes::Kind;
        let reads = |kind| readers(&Reads { scale, kind }, scale.entries);
        let writes = |kind| writes::Writes { scale, kind };
        let limit = scale.entries;
        match self {
            Self::Hit => reads(reads::Kind::Hit),
            Self::Miss => reads(reads::Kind::Miss),
            Self::Batch => batchers(&Reads { scale, kind: reads::Kind::Batch }, limit),
            Self::MissBatch => batchers(&Reads { scale, kind: reads::Kind::MissBatch }, limit),
            Self::Fill => writers(&writes(Kind::Fill), slack(limit)),
            Self::Insert => writers(&writes(Kind::Insert), limit),
            Self::InsertTwo => writers(&writes(Kind::InsertTwo), limit),
            Self::InsertStalled => writers(&writes(Kind::Stalled), limit),
            Self::Replace => writers(&writes(Kind::Replace), slack(limit)),
            Self::Take => writers(&writes(Kind::Take), slack(limit)),
            Self::Cycle => cyclers(&cycle::Cycle { scale, life: None }, limit),
            Self::CycleTimed => cyclers(&cycle::Cycle { scale, life: Some(cycle::LIMITED) }, limit),
            Self::CycleExpiring => {
                cyclers(&cycle::Cycle { scale, life: Some(cycle::EXPIRING) }, limit)
            }
            Self::FillTail => writers(&tails::Tails { scale, full: false }, slack(limit)),
            Self::InsertTail => writers(&tails::Tails { scale, full: true }, limit),
            Self::Expire => sweep::entrants(scale),
            Self::Mix => timed(&mix::Mix { scale }, limit),
            Self::IdleSweep => sweep::idlers(scale),
            Self::Storm => storm::entrants(scale),
            Self::Crowd => crowd::entrants(scale, false),
            Self::BusyCrowd => crowd::entrants(scale, true),
            Self::HotKey => hot::entrants(scale),
            Self::Footprint => footprint::entrants(scale),
            Self::FootprintAlone => footprints(scale),
            Self::GetLatency => latency::entrants(scale, latency::Kind::Get),
            Self::InsertLatency => latency::entrants(scale, latency::Kind::Insert),
            Self::MissThreads => threads::misses(scale),
            Self::HitThreads => threads::hits(scale),
            Self::InsertThreads => threads::inserts(scale),
            Self::CycleThreads => threads::cycles(scale),
        }
    }

    /// Whether the workload makes sense at this size.
    #[must_use]
    pub fn suits(self, entries: u64) -> bool {
        let needs_many = matches!(
            self,
            Self::Take
                | Self::Cycle
                | Self::CycleThreads
                | Self::CycleTimed
                | Self::CycleExpiring
                | Self::Mix
                | Self::FillTail
                | Self::Expire
                | Self::Storm
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
