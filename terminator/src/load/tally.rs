//! What the workers saw, added up.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::client::Connected;

/// Latencies are kept in microseconds, to three digits, up to ten minutes.
const MOST_MICROS: u64 = 600_000_000;
const DIGITS: u8 = 3;
/// A server that fails in ever new words must not fill the memory.
const MOST_ERROR_KINDS: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) full: Histogram<u64>,
    pub(crate) resumed: Histogram<u64>,
    pub(crate) offered: u64,
    pub(crate) unclean: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) elapsed: Duration,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            full: histogram(),
            resumed: histogram(),
            offered: 0,
            unclean: 0,
            errors: BTreeMap::new(),
            elapsed: Duration::ZERO,
        }
    }

    pub(super) fn record(&mut self, connected: &Connected) {
        let micros = u64::try_from(connected.latency.as_micros()).unwrap_or(MOST_MICROS);
        let histogram = if connected.resumed { &mut self.resumed } else { &mut self.full };
        histogram.saturating_record(micros.max(1));
        self.unclean += u64::from(connected.unclean);
    }

    pub(super) fn fail(&mut self, error: String) {
        self.fail_times(error, 1);
    }

    fn fail_times(&mut self, error: String, times: u64) {
        let known = self.errors.contains_key(&error) || self.errors.len() < MOST_ERROR_KINDS;
        let error = if known { error } else { "other".into() };
        *self.errors.entry(error).or_default() += times;
    }

    /// Adds another tally; times add up too, as those of runs one after another do.
    pub(crate) fn add(&mut self, other: &Self) {
        add_histogram(&mut self.full, &other.full);
        add_histogram(&mut self.resumed, &other.resumed);
        self.offered += other.offered;
        self.unclean += other.unclean;
        self.elapsed += other.elapsed;
        for (error, &times) in &other.errors {
            self.fail_times(error.clone(), times);
        }
    }

    pub(crate) fn finished(&self) -> u64 {
        self.full.len() + self.resumed.len()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Finished handshakes in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.finished() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    pub(crate) fn both(&self) -> Histogram<u64> {
        let mut both = self.full.clone();
        add_histogram(&mut both, &self.resumed);
        both
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MOST_MICROS, DIGITS).expect("the bounds are constants that fit")
}

fn add_histogram(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.add(from).expect("histograms of the same bounds add up");
}
