//! What the comparison is meant to show, and whether it does.

use super::{Row, Spread, Table};
use crate::rows::Row as Name;
use crate::workloads::{WALL, Workload};

/// A claim that a table either bears out or does not.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The row of the comparison.
    pub row: Name,
    /// Of its tables, that of this workload,
    pub workload: Workload,
    /// meant for so many entries.
    pub entries: u64,
    /// In words.
    pub claim: &'static str,
    ours: &'static str,
    measure: Measure,
    against: Against,
    /// What is wanted.
    pub bound: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Measure {
    /// Processor time of an operation.
    Time,
    /// A figure of the workload's own.
    Figure(&'static str),
    /// The same of the round in which it was largest.
    MostOf(&'static str),
    /// What was found or stored.
    Found,
    /// The longest operation.
    Worst,
    /// One in ten thousand takes longer.
    P9999,
}

#[derive(Clone, Copy, Debug)]
enum Against {
    /// The measure itself.
    Nothing,
    /// As a ratio.
    Named(&'static str),
    /// As a ratio to the fastest one that is none of ours and no limit.
    Fastest,
    /// What it is more than that of the control, in nanoseconds.
    Beyond(&'static str),
}

/// Which values are good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Ours, as a multiple of the other.
    AtMost(f64),
    /// The other, as a multiple of ours.
    AtLeast(f64),
}

/// What came of a goal.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Which goal.
    pub goal: Goal,
    /// Entries that were there; fewer than the goal's in a quick run.
    pub entries: u64,
    /// What was measured.
    pub value: Spread,
    /// With whom it was compared, if only the measurement tells.
    pub rival: Option<String>,
    /// What that one finds, if it is much less than ours.
    pub finds: Option<f64>,
}

impl Verdict {
    /// By which factor the goal is missed; at most one if it is met.
    #[must_use]
    pub fn short_by(&self) -> f64 {
        match self.goal.bound {
            Bound::AtMost(bound) => self.value.median / bound,
            Bound::AtLeast(bound) => bound / self.value.median,
        }
    }

    /// Whether the goal is met.
    #[must_use]
    pub fn met(&self) -> bool {
        match self.goal.bound {
            Bound::AtMost(bound) => self.value.median <= bound,
            Bound::AtLeast(bound) => self.value.median >= bound,
        }
    }
}

const M: u64 = 1_000_000;
const PINNED: &str = "halfshake pinned, bytes";
const READER: &str = "halfshake reader, bytes";
const LISTENER: &str = "halfshake, bytes, listener";
const BYTES: &str = "halfshake, bytes";
const DEFAULT: &str = "halfshake, bytes, own thread";
const CROWD: &str = "halfshake, bytes, own thread, 64 threads";
const FEW: &str = "halfshake, bytes, own thread, 2 threads";

/// All goals.
#[must_use]
pub(super) fn goals() -> Vec<Goal> {
    let mut all = lookups();
    all.extend(sessions());
    all.extend(crowds());
    all.extend(rest());
    all.extend(scaling());
    all
}

use Against::{Beyond, Fastest, Named, Nothing};
use Bound::{AtLeast, AtMost};
use Measure::{Figure, Found, MostOf, P9999, Time, Worst};

#[expect(clippy::too_many_arguments, reason = "the columns of a table")]
fn goal(
    row: Name,
    workload: Workload,
    entries: u64,
    claim: &'static str,
    ours: &'static str,
    measure: Measure,
    against: Against,
    bound: Bound,
) -> Goal {
    Goal { row, workload, entries, claim, ours, measure, against, bound }
}

fn lookups() -> Vec<Goal> {
    use Name::{W1, W2, W3};
    use Workload::{Batch, Hit, Miss, MissBatch};
    let one = Named("(one line)");
    let two = Named("(two lines)");
    let papaya = Named("papaya, guard held");
    let alone = Named("halfshake pinned, bytes, one by one");
    vec![
        goal(W1, Hit, 64, "of papaya's time", PINNED, Time, papaya, AtMost(1.2)),
        goal(W1, Hit, 300_000, "of the one-line limit", PINNED, Time, one, AtMost(1.3)),
        goal(W1, Hit, 300_000, "the fastest peer takes", PINNED, Time, Fastest, AtLeast(2.0)),
        goal(W1, Hit, M, "of the two-line limit", PINNED, Time, two, AtMost(1.15)),
        goal(W1, Hit, M, "the fastest peer takes", PINNED, Time, Fastest, AtLeast(1.25)),
        goal(W1, Hit, 4 * M, "of the two-line limit", PINNED, Time, two, AtMost(1.15)),
        goal(W1, Hit, 4 * M, "the fastest peer takes", PINNED, Time, Fastest, AtLeast(1.25)),
        goal(W2, Batch, 2 * M, "one by one takes", READER, Time, alone, AtLeast(3.0)),
        goal(W2, Batch, 2 * M, "papaya's loop takes", READER, Time, papaya, AtLeast(4.0)),
        goal(W3, Miss, 4 * M, "the fastest peer takes", PINNED, Time, Fastest, AtLeast(1.3)),
        goal(W3, MissBatch, 4 * M, "the fastest peer takes", READER, Time, Fastest, AtLeast(4.0)),
    ]
}

fn sessions() -> Vec<Goal> {
    use Name::{W4, W5};
    use Workload::{CycleTimed, Mix};
    let rustls = Named("rustls's own store");
    // As it comes, it does not let in most of what is asked for later.
    let moka = Named("moka, Arc, LRU");
    let mut all = Vec::new();
    for (entries, times) in [(1 << 16, 150.0), (1 << 20, 3000.0)] {
        let mut add = |claim, against, times| {
            all.push(goal(W4, CycleTimed, entries, claim, LISTENER, Time, against, AtLeast(times)));
        };
        add("rustls's own store takes", rustls, times);
        add("16 mutexes of lru take", Named("16 mutexes of lru"), 2.0);
        add("the same with vectors take", Named("16 mutexes of lru, Vec"), 3.0);
        add("quick_cache takes", Named("quick_cache"), 2.0);
        add("quick_cache with shared values takes", Named("quick_cache, Arc"), 2.0);
        add("moka (LRU) takes", moka, 6.0);
    }
    let single = Figure("p99.9, ns");
    all.push(goal(W5, Mix, 2 * M, "moka (LRU) takes", BYTES, Time, moka, AtLeast(6.0)));
    for (claim, ours) in
        [("moka's p99.9 is", BYTES), ("moka's p99.9, to ours with a thread, is", DEFAULT)]
    {
        all.push(goal(W5, Mix, 2 * M, claim, ours, single, moka, AtLeast(20.0)));
    }
    all
}

fn crowds() -> Vec<Goal> {
    use Name::W6;
    use Workload::{BusyCrowd, Crowd};
    let retired = MostOf("retired at most, of all entries");
    let own = Figure("ns without other work");
    let wall = Figure(WALL);
    let few = Named(FEW);
    vec![
        goal(W6, BusyCrowd, M, "of its speed is kept", CROWD, wall, few, AtLeast(0.9)),
        goal(W6, BusyCrowd, M, "the same, without the work", CROWD, own, few, AtLeast(0.9)),
        goal(W6, BusyCrowd, M, "is stored", CROWD, Found, Nothing, AtLeast(0.999)),
        goal(
            W6,
            BusyCrowd,
            M,
            "of the entries are retired",
            CROWD,
            retired,
            Nothing,
            AtMost(0.005),
        ),
        goal(W6, Crowd, M, "of its speed is kept, saturated", CROWD, wall, few, AtLeast(0.9)),
        goal(W6, Crowd, M, "is stored, saturated", CROWD, Found, Nothing, AtLeast(0.999)),
        goal(W6, Crowd, M, "are retired, saturated", CROWD, retired, Nothing, AtMost(0.005)),
    ]
}

/// Of one thread's speed, at sixteen, where there are as many processors.
fn scaling() -> Vec<Goal> {
    use Name::{W4, W11};
    use Workload::{CycleThreads, HitThreads, InsertThreads, MissThreads};
    let efficiency = |row, workload, ours, alone| {
        let claim = "of its speed is kept by each of 16 threads";
        goal(row, workload, 1 << 20, claim, ours, Time, Named(alone), AtLeast(0.85))
    };
    let reader = ("halfshake reader, bytes, 16 threads", "halfshake reader, bytes, 1 thread");
    let writer = ("halfshake, bytes, 16 threads", "halfshake, bytes, 1 thread");
    vec![
        efficiency(W11, InsertThreads, writer.0, writer.1),
        efficiency(W11, HitThreads, reader.0, reader.1),
        efficiency(W11, MissThreads, reader.0, reader.1),
        efficiency(W4, CycleThreads, writer.0, writer.1),
    ]
}

fn rest() -> Vec<Goal> {
    use Name::{W7, W8, W9, W10, W12};
    use Workload::{FillTail, Footprint, HotKey, IdleSweep, InsertTail, Storm};
    let moka = Named("moka, Arc, listener");
    let reader = Figure("reader's p99.9, meanwhile to before");
    let pass = Figure("ms for each pass");
    let beyond = Figure("bytes beyond key and value");
    let (written, alone) =
        ("halfshake reader, bytes, with a writer", "halfshake reader, bytes, alone");
    let control = Beyond("(nobody)");
    let most = AtMost(100_000.0);
    let mut all = vec![
        goal(W7, Storm, 5 * M, "moka's drain takes", LISTENER, Time, moka, AtLeast(10.0)),
        goal(W7, Storm, 5 * M, "the reader's p99.9 grows", LISTENER, reader, Nothing, AtMost(2.0)),
        goal(W8, IdleSweep, 10 * M, "ms for a pass", BYTES, pass, Nothing, AtMost(5.0)),
        goal(W9, Footprint, M, "bytes for an entry", BYTES, beyond, Nothing, AtMost(40.0)),
        goal(W10, HotKey, 1 << 16, "of the time alone", written, Time, Named(alone), AtMost(1.15)),
        goal(
            W10,
            HotKey,
            1 << 16,
            "is refused",
            written,
            MostOf("refused"),
            Nothing,
            AtMost(0.001),
        ),
    ];
    for (workload, worst, p9999) in [
        (FillTail, "ns beyond the control, worst of a fill", "ns beyond the control, p99.99 of it"),
        (InsertTail, "ns beyond the control, worst at the limit", "ns beyond, p99.99 of it"),
    ] {
        all.push(goal(W12, workload, M, worst, BYTES, Worst, control, most));
        all.push(goal(W12, workload, M, p9999, BYTES, P9999, control, most));
    }
    all
}

impl Goal {
    /// What a table says of the goal; nothing if it is not the goal's.
    #[must_use]
    pub fn judge(self, table: &Table) -> Option<Verdict> {
        let fits = table.workload == self.workload && table.nominal == Some(self.entries);
        let ours = fits.then(|| find(table, self.ours)).flatten()?;
        let (value, rival) = match self.against {
            Nothing => (Spread::of(self.measure.rounds(ours)), None),
            Named(name) => {
                let rival = find(table, name)?;
                (self.ratio(ours, rival), Some(rival))
            }
            Fastest => {
                let rival = fastest(table, self.measure)?;
                (self.ratio(ours, rival), Some(rival))
            }
            Beyond(control) => {
                let more = |row: &Row| Spread::of(self.measure.rounds(row)).median;
                (Spread::of([more(ours) - more(find(table, control)?)]), None)
            }
        };
        let named = matches!(self.against, Fastest).then_some(rival).flatten();
        let less = |found: &f64| ours.found.is_some_and(|our| *found < 0.9 * our);
        Some(Verdict {
            goal: self,
            entries: table.entries,
            value,
            rival: named.map(|row| row.name.clone()),
            finds: rival.and_then(|row| row.found).filter(less),
        })
    }

    /// Round by round: what the bound is about.
    fn ratio(self, ours: &Row, other: &Row) -> Spread {
        let (ours, other) = (self.measure.rounds(ours), self.measure.rounds(other));
        Spread::of(ours.iter().zip(&other).map(|(ours, other)| match self.bound {
            AtMost(_) => ours / other,
            AtLeast(_) => other / ours,
        }))
    }
}

impl Measure {
    fn rounds(self, row: &Row) -> Vec<f64> {
        match self {
            Time => row.rounds.iter().map(|(thread, _)| *thread).collect(),
            Figure(name) => row.figures.get(name).cloned().unwrap_or_default(),
            MostOf(name) => row
                .figures
                .get(name)
                .and_then(|all| all.iter().copied().reduce(f64::max))
                .into_iter()
                .collect(),
            Found => row.found.into_iter().collect(),
            Worst => row.worst_ns.map(|s| s.median).into_iter().collect(),
            P9999 => row.p9999_ns.into_iter().collect(),
        }
    }
}

fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Row> {
    table.rows.iter().find(|row| row.name == name)
}

/// Who is neither ours nor a limit.
#[must_use]
pub(super) fn is_peer(name: &str) -> bool {
    !name.starts_with("halfshake") && !name.starts_with('(')
}

fn fastest(table: &Table, measure: Measure) -> Option<&Row> {
    let median = |row: &Row| Spread::of(measure.rounds(row)).median;
    let peers = || table.rows.iter().filter(|row| is_peer(&row.name));
    // Who does not find what is there has less to do.
    let most = peers().filter_map(|row| row.found).fold(0.0, f64::max);
    let honest = peers().filter(|row| row.found.is_none_or(|found| found >= 0.95 * most));
    honest.min_by(|a, b| median(a).total_cmp(&median(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_goal_has_its_step() {
        for goal in goals() {
            let steps = goal.row.steps();
            let here =
                |s: &&crate::rows::Step| s.workload == goal.workload && s.entries == goal.entries;
            let step = steps.iter().find(here).unwrap_or_else(|| panic!("{goal:?}"));
            let mut needed = vec![goal.ours];
            if let Named(name) | Beyond(name) = goal.against {
                needed.push(name);
            }
            let scale = crate::workloads::Scale { entries: step.entries, operations: 1 };
            let all = step.workload.entrants(scale);
            // Sixteen threads take part where there are as many processors.
            needed.retain(|name| !name.ends_with("16 threads"));
            for name in needed {
                assert!(all.iter().any(|entrant| entrant.name == name), "{name}: {goal:?}");
                assert!(step.who.is_empty() || step.who.contains(&name), "{name}: {goal:?}");
            }
        }
    }

    #[test]
    fn everybody_who_is_asked_for_is_there() {
        for step in <Name as clap::ValueEnum>::value_variants().iter().flat_map(|r| r.steps()) {
            let scale = crate::workloads::Scale { entries: step.entries, operations: 1 };
            let names: Vec<_> = step.workload.entrants(scale).into_iter().map(|e| e.name).collect();
            for who in step.who {
                assert!(names.iter().any(|name| name == who), "{who} in {:?}", step.workload);
            }
        }
    }

    #[test]
    fn goals_are_met_or_missed_by_a_factor() {
        let goal = |bound| goal(Name::W1, Workload::Hit, 64, "", PINNED, Time, Fastest, bound);
        let verdict = |bound, median| Verdict {
            goal: goal(bound),
            entries: 64,
            value: Spread { q1: median, median, q3: median },
            rival: None,
            finds: None,
        };
        assert!(verdict(AtMost(1.2), 1.2).met());
        assert!(!verdict(AtMost(1.2), 1.3).met());
        assert!(verdict(AtLeast(2.0), 2.5).met());
        assert!(!verdict(AtLeast(2.0), 1.0).met());
        assert!((verdict(AtLeast(2.0), 1.0).short_by() - 2.0).abs() < 1e-9);
        assert!((verdict(AtMost(2.0), 3.0).short_by() - 1.5).abs() < 1e-9);
    }
}
