//! The order in which contestants run: everybody once a round, shuffled, on seeds of their own.

use crate::clock::Spent;
use serde::Serialize;

/// What one contestant did in one round.
#[derive(Clone, Copy, Debug, Default)]
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
}

/// Processor time of single operations, in nanoseconds, with what it costs to read the clock.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tail {
    /// The median.
    pub p50: u64,
    /// One in a thousand takes longer.
    pub p999: u64,
    /// The longest.
    pub worst: u64,
}

impl Tail {
    /// Of single measurements.
    #[must_use]
    pub fn of(mut single: Vec<u64>) -> Self {
        single.sort_unstable();
        let at = |of_thousand: usize| {
            let i = single.len() * of_thousand / 1000;
            single.get(i.min(single.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        Self { p50: at(500), p999: at(999), worst: at(1000) }
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

    /// Compared with the entrant of this index.
    #[must_use]
    pub fn against(self, reference: usize) -> Self {
        Self { reference, ..self }
    }
}

/// Runs all rounds; the answer is one sample for each entrant and round.
pub fn run(entrants: Vec<Entrant>, rounds: usize, random: &mut fastrand::Rng) -> Vec<Vec<Sample>> {
    let mut ready: Vec<Run> = entrants.into_iter().map(|e| (e.prepare)()).collect();
    let mut samples = vec![Vec::with_capacity(rounds); ready.len()];
    let mut order: Vec<usize> = (0..ready.len()).collect();
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for at in &order {
            samples[*at].push(ready[*at](random.u64(..)));
        }
    }
    samples
}
