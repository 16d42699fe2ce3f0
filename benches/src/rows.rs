//! The rows of the comparison: which workloads, at which sizes, with whom, and how much of it.

use crate::contestants::layouts::{A, B2, Layout};
use crate::workloads::Workload;
use clap::ValueEnum;

/// A row of the comparison's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// Hits, one after another.
    W1,
    /// Batches of sixteen.
    W2,
    /// Unknown ids.
    W3,
    /// The cycle of TLS 1.3.
    W4,
    /// The mix of TLS 1.2.
    W5,
    /// Many threads.
    W6,
    /// A storm of expiry.
    W7,
    /// Idle sweeps.
    W8,
    /// Memory.
    W9,
    /// A hot key.
    W10,
    /// Inserts over threads.
    W11,
    /// The longest inserts.
    W12,
    /// Latencies while something goes on besides.
    L,
    /// Every change by itself.
    O,
    /// What a session cache costs.
    S,
    /// Entries in place, the layout that was not taken.
    B,
}

/// A part of a row.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What is done.
    pub workload: Workload,
    /// Entries in the cache, in the full run.
    pub entries: u64,
    /// The same in the quick run, if it is done there.
    pub quick_entries: Option<u64>,
    /// Operations of a round.
    pub operations: u64,
    /// Rounds in the full run.
    pub rounds: usize,
    /// Who takes part; everybody but those apart if there is nobody here.
    pub who: &'static [&'static str],
}

/// Rounds in the quick run, at most.
pub const QUICK_ROUNDS: usize = 3;

const READERS: &[&str] = &[
    "(nobody)",
    "halfshake pinned, bytes",
    "halfshake pinned, pairs",
    "(one line)",
    "(two lines)",
    "papaya, guard held",
    "scc HashIndex, guard held",
    "scc HashCache",
    "dashmap",
    "quick_cache",
    "16 mutexes of lru",
    "foyer",
    "TinyUFO",
    "segcache",
    "mini-moka, Arc",
    "moka, Arc",
];

/// Where memory is short.
const FEW_READERS: &[&str] = &[
    "(nobody)",
    "halfshake pinned, bytes",
    "halfshake pinned, pairs",
    "(one line)",
    "(two lines)",
    "papaya, guard held",
    "scc HashIndex, guard held",
    "dashmap",
    "quick_cache",
    "segcache",
    "moka, Arc",
];

const BATCHERS: &[&str] = &[
    "(nobody)",
    "halfshake reader, bytes",
    "halfshake reader, pairs",
    "halfshake pinned, bytes, one by one",
    "(one line)",
    "(two lines)",
    "papaya, guard held",
    "scc HashIndex, guard held",
    "dashmap",
    "quick_cache",
    "segcache",
    "moka, Arc",
];

/// Who looks for what is not there reads a line of an index alone.
const MISSERS: &[&str] = &[
    "(nobody)",
    "halfshake pinned, bytes",
    "halfshake pinned, pairs",
    "(one line of an index)",
    "papaya, guard held",
    "scc HashIndex, guard held",
    "dashmap",
    "quick_cache",
    "segcache",
    "moka, Arc",
];

const MISS_BATCHERS: &[&str] = &[
    "(nobody)",
    "halfshake reader, bytes",
    "halfshake reader, pairs",
    "halfshake pinned, bytes, one by one",
    "(one line of an index)",
    "papaya, guard held",
    "scc HashIndex, guard held",
    "dashmap",
    "quick_cache",
    "segcache",
    "moka, Arc",
];

const CYCLERS: &[&str] = &[
    "(nobody)",
    "halfshake, bytes, listener",
    "halfshake, pairs, listener",
    "halfshake's store of rustls",
    "16 mutexes of lru",
    "16 mutexes of lru, Vec",
    "quick_cache",
    "quick_cache, Arc",
    "papaya and a queue",
    "scc HashCache",
    "foyer",
    "segcache",
    "moka, Arc",
    "moka, Arc, LRU",
    "rustls's own store",
];

const WRITERS: &[&str] = &[
    "(nobody)",
    "halfshake, bytes",
    "halfshake, bytes, listener",
    "halfshake, bytes, own thread",
    "16 mutexes of lru",
    "quick_cache, Arc",
    "papaya and a queue",
    "foyer",
    "segcache",
    "moka, Arc",
];

const SESSIONS: &[&str] = &["halfshake cache, a session's bytes", "halfshake sessions"];

/// Entries in place beside ours, each in its fastest way, and the peer that ours is judged by.
const B_READERS: &[&str] = &[
    "(nobody)",
    "halfshake pinned, bytes",
    "halfshake pinned, pairs",
    A::NAME,
    B2::NAME,
    "papaya, guard held",
    "(one line)",
    "(two lines)",
];

const B_BATCHERS: &[&str] = &[
    "(nobody)",
    "halfshake reader, bytes",
    "halfshake reader, pairs",
    A::NAME,
    B2::NAME,
    "(one line)",
    "(two lines)",
];

const B_MISSERS: &[&str] = &[
    "(nobody)",
    "halfshake pinned, bytes",
    "halfshake pinned, pairs",
    A::NAME,
    B2::NAME,
    "(one line of an index)",
];

const B_MISS_BATCHERS: &[&str] = &[
    "(nobody)",
    "halfshake reader, bytes",
    "halfshake reader, pairs",
    A::NAME,
    B2::NAME,
    "(one line of an index)",
];

const B_WRITERS: &[&str] =
    &["(nobody)", "halfshake, bytes, listener", "halfshake, pairs, listener", A::NAME, B2::NAME];

const B_FOOTPRINTS: &[&str] = &["halfshake, bytes", "halfshake, pairs", A::NAME, B2::NAME];

/// Who takes part only where they are named.
const APART: &[&str] = &[A::NAME, B2::NAME];

/// Sizes at which operations are measured by themselves.
const SIZES: [u64; 3] = [64, 1 << 16, 1 << 20];

const MILLION: u64 = 1_000_000;

fn step(workload: Workload, entries: u64, operations: u64) -> Step {
    Step { workload, entries, quick_entries: Some(entries), operations, rounds: 9, who: &[] }
}

impl Step {
    fn by(self, who: &'static [&'static str]) -> Self {
        Self { who, ..self }
    }
    fn smaller(self, quick: u64) -> Self {
        Self { quick_entries: Some(quick), ..self }
    }
    fn only_full(self) -> Self {
        Self { quick_entries: None, ..self }
    }
    fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }
}

/// Whether a contestant takes part, of a step's list and of what the command line asks for.
#[must_use]
pub fn takes_part(name: &str, who: &[&str], only: &[String]) -> bool {
    let named = only.iter().any(|some| name.contains(some.as_str()));
    let listed = if who.is_empty() { named || !APART.contains(&name) } else { who.contains(&name) };
    listed && (named || only.is_empty())
}

impl Row {
    /// What is done for the row.
    #[must_use]
    pub fn steps(self) -> Vec<Step> {
        use Workload as W;
        match self {
            Self::W1 => vec![
                step(W::Hit, 64, 200_000).by(READERS),
                step(W::Hit, 300_000, 100_000).by(READERS),
                step(W::Hit, MILLION, 100_000).by(READERS),
                step(W::Hit, 4 * MILLION, 100_000).by(FEW_READERS).only_full(),
            ],
            Self::W2 => {
                vec![step(W::Batch, 2 * MILLION, 200_000).by(BATCHERS).smaller(MILLION)]
            }
            Self::W3 => vec![
                step(W::Miss, 4 * MILLION, 200_000).by(MISSERS).smaller(MILLION),
                step(W::MissBatch, 4 * MILLION, 200_000).by(MISS_BATCHERS).smaller(MILLION),
            ],
            Self::W4 => vec![
                step(W::CycleTimed, 1 << 16, 100_000).by(CYCLERS),
                step(W::CycleTimed, 1 << 20, 100_000).by(CYCLERS),
                step(W::CycleExpiring, 1 << 16, 100_000).by(CYCLERS).only_full(),
                step(W::CycleExpiring, 1 << 20, 100_000).by(CYCLERS).only_full(),
                step(W::Cycle, 1 << 16, 100_000).by(CYCLERS).only_full(),
                step(W::Cycle, 1 << 20, 100_000).by(CYCLERS).only_full(),
                step(W::CycleThreads, 1 << 20, 100_000).only_full(),
            ],
            Self::W5 => vec![step(W::Mix, 2 * MILLION, 400_000).smaller(300_000)],
            Self::W6 => vec![
                step(W::BusyCrowd, MILLION, 100_000).rounds(5).smaller(300_000),
                step(W::Crowd, MILLION, 400_000).rounds(5).smaller(300_000),
                step(W::BusyCrowd, 1 << 16, 100_000).rounds(5).only_full(),
                step(W::Crowd, 1 << 16, 400_000).rounds(5),
            ],
            Self::W7 => vec![step(W::Storm, 5 * MILLION, 0).rounds(3).smaller(300_000)],
            Self::W8 => vec![step(W::IdleSweep, 10 * MILLION, 0).smaller(2 * MILLION)],
            Self::W9 => vec![step(W::Footprint, MILLION, 0).rounds(3).smaller(250_000)],
            Self::W10 => vec![step(W::HotKey, 65_536, 8 * MILLION)],
            Self::W11 => vec![
                step(W::InsertThreads, 1 << 16, 200_000),
                step(W::InsertThreads, 1 << 20, 200_000).only_full(),
                step(W::HitThreads, 1 << 20, 200_000).only_full(),
                step(W::MissThreads, 1 << 20, 200_000).only_full(),
            ],
            Self::W12 => vec![
                step(W::FillTail, MILLION, 0).by(WRITERS).smaller(300_000),
                step(W::InsertTail, MILLION, 300_000).by(WRITERS).smaller(300_000),
            ],
            Self::L => vec![
                step(W::GetLatency, MILLION, 500_000).rounds(5).smaller(300_000),
                step(W::InsertLatency, MILLION, 500_000).rounds(5).smaller(300_000),
            ],
            Self::O => [W::Insert, W::InsertTwo, W::Replace, W::Take]
                .into_iter()
                .flat_map(|w| SIZES.map(|entries| step(w, entries, 100_000).only_full()))
                .filter(|step| step.workload.suits(step.entries))
                .collect(),
            Self::B => entries_in_place(),
            Self::S => SIZES.map(|entries| step(W::Hit, entries, 100_000).by(SESSIONS)).to_vec(),
        }
    }
}

fn entries_in_place() -> Vec<Step> {
    use Workload as W;
    const SMALL: u64 = 1 << 16;
    let hits = [SMALL, 300_000, MILLION].map(|n| step(W::Hit, n, 100_000).by(B_READERS));
    let mut all = vec![step(W::Hit, 64, 200_000).by(B_READERS)];
    all.extend(hits);
    all.push(step(W::Hit, 4 * MILLION, 100_000).by(B_READERS).only_full());
    all.push(step(W::Batch, 2 * MILLION, 200_000).by(B_BATCHERS).only_full());
    all.push(step(W::Miss, 4 * MILLION, 200_000).by(B_MISSERS).only_full());
    all.push(step(W::MissBatch, 4 * MILLION, 200_000).by(B_MISS_BATCHERS).only_full());
    for workload in [W::Fill, W::Insert, W::InsertTwo, W::Replace, W::Take, W::CycleTimed] {
        all.push(step(workload, SMALL, 100_000).by(B_WRITERS));
        all.push(step(workload, 1 << 20, 100_000).by(B_WRITERS).only_full());
    }
    // As many as an eighth of the entries: nothing that leaves is freed meanwhile.
    for entries in [SMALL, 1 << 20] {
        all.push(step(W::InsertStalled, entries, entries / 8).by(B_WRITERS));
    }
    all.push(step(W::Footprint, MILLION, 0).rounds(3).by(B_FOOTPRINTS).smaller(250_000));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_apart_takes_part_only_where_it_is_named() {
        let only = |some: &str| vec![some.to_owned()];
        assert!(!takes_part(B2::NAME, &[], &[]));
        assert!(!takes_part(B2::NAME, &["(nobody)"], &only("layout")));
        assert!(!takes_part(B2::NAME, B_WRITERS, &only("halfshake")));
        assert!(takes_part(B2::NAME, B_WRITERS, &[]));
        assert!(takes_part(B2::NAME, &[], &only("layout B2")));
        assert!(takes_part("(nobody)", &[], &[]) && !takes_part("(nobody)", &[], &only("lru")));
    }

    #[test]
    fn everybody_who_is_named_is_there() {
        use clap::ValueEnum;
        for row in Row::value_variants() {
            for Step { workload, who, .. } in row.steps().iter().filter(|s| !s.who.is_empty()) {
                let scale = crate::workloads::Scale { entries: 1024, operations: 16 };
                let all = workload.entrants(scale);
                let missing = who.iter().find(|name| all.iter().all(|e| e.name != **name));
                assert_eq!(missing, None, "{row:?}, {workload:?}");
            }
        }
    }
}
