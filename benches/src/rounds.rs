//! The order in which contestants run: everybody once a round, shuffled, on seeds of their own.

use crate::clock::Spent;
use crate::memory::Memory;
use hdrhistogram::Histogram;
use serde::Serialize;

/// What one contestant did in one round.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Operations that were measured.
    pub operations: u64,
    /// What they took together.
    pub spent: Spent,
    /// How many look-ups, takes or inserts there were, and how many found or stored something.
    pub asked: u64,
    /// See `asked`.
    pub found: u64,
    /// Single operations, where each of them was measured.
    pub tail: Option<Tail>,
    /// How long single operations took on the wall, in nanoseconds.
    pub latencies: Option<Histogram<u64>>,
    /// What else there is to tell, by name.
    pub figures: Vec<(&'static str, f64)>,
}

/// Processor time of single operations, in nanoseconds, with what it costs to read the clock.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tail {
    /// The median.
    pub p50: u64,
    /// One in a thousand takes longer.
    pub p999: u64,
    /// One in ten thousand takes longer.
    pub p9999: u64,
    /// The longest.
    pub worst: u64,
}

impl Tail {
    /// Of single measurements.
    #[must_use]
    pub fn of(mut single: Vec<u64>) -> Self {
        single.sort_unstable();
        let at = |part: usize| {
            let i = single.len() * part / 10_000;
            single.get(i.min(single.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        Self { p50: at(5000), p999: at(9990), p9999: at(9999), worst: at(10_000) }
    }
}

/// Somebody who takes part in one workload.
pub struct Entrant {
    /// Who, and in which way.
    pub name: String,
    /// The index of the entrant that this one is compared with.
    pub reference: usize,
    prepare: Box<dyn FnOnce() -> Run>,
}

/// The work of one round, from a seed.
pub type Run = Box<dyn FnMut(u64) -> Sample>;

impl Entrant {
    /// `prepare` makes the contestant ready, and the work of a round; it is called once.
    pub fn new<R>(name: impl Into<String>, prepare: impl FnOnce() -> R + 'static) -> Self
    where
        R: FnMut(u64) -> Sample + 'static,
    {
        Self { name: name.into(), reference: 0, prepare: Box::new(|| Box::new(prepare())) }
    }

    /// Leaves those whose name `keep` likes. Who was compared with somebody that is gone is
    /// compared with the first of ours that is left, or with the first one.
    pub fn retain(all: &mut Vec<Self>, keep: impl Fn(&str) -> bool) {
        let names: Vec<String> = all.iter().map(|e| e.name.clone()).collect();
        all.retain(|e| keep(&e.name));
        let left: Vec<String> = all.iter().map(|e| e.name.clone()).collect();
        let ours = left.iter().position(|name| name.starts_with("halfshake")).unwrap_or(0);
        for entrant in all {
            let with = &names[entrant.reference];
            entrant.reference = left.iter().position(|name| name == with).unwrap_or(ours);
        }
    }

    /// Compared with the entrant of this index.
    #[must_use]
    pub fn against(self, reference: usize) -> Self {
        Self { reference, ..self }
    }
}

/// What came of all rounds.
#[derive(Debug)]
pub struct Outcome {
    /// One sample for each entrant and round.
    pub samples: Vec<Vec<Sample>>,
    /// What the process had while everybody was still there.
    pub memory: Memory,
}

/// Runs all rounds.
pub fn run(entrants: Vec<Entrant>, rounds: usize, random: &mut fastrand::Rng) -> Outcome {
    let mut ready: Vec<Run> = entrants.into_iter().map(|e| (e.prepare)()).collect();
    let mut samples = vec![Vec::with_capacity(rounds); ready.len()];
    let mut order: Vec<usize> = (0..ready.len()).collect();
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for at in &order {
            samples[*at].push(ready[*at](random.u64(..)));
        }
    }
    Outcome { samples, memory: Memory::now() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_those_that_go() {
        let nothing = || |_: u64| Sample::default();
        let named = |name: &str| Entrant::new(name, nothing);
        let mut all = vec![named("a"), named("b"), named("c").against(1), named("d").against(0)];
        Entrant::retain(&mut all, |name| name != "a");
        let left: Vec<_> = all.iter().map(|e| (e.name.as_str(), e.reference)).collect();
        assert_eq!(left, [("b", 0), ("c", 0), ("d", 0)]);
        let mut all = vec![named("a"), named("b"), named("halfshake").against(0)];
        Entrant::retain(&mut all, |name| name != "a");
        assert_eq!(all.iter().map(|e| e.reference).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn tails_are_told_by_rank() {
        let tail = Tail::of((1..=20_000).rev().collect());
        assert_eq!((tail.p50, tail.p999), (10_001, 19_981));
        assert_eq!((tail.p9999, tail.worst), (19_999, 20_000));
    }
}
