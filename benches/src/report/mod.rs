//! Tables and pictures for people, and the raw record for whoever wants to check them.
//!
//! What is read off a run goes into a record; PERFORMANCE.md and its pictures are made from the
//! committed records alone, so that anybody can make them again.

mod document;
mod experiments;
mod goals;
mod handshakes;
mod machine;
mod plots;
mod record;
mod sizes;
mod table;

pub use document::Records;
pub use handshakes::{Cell, Handshakes, Loss, Round, Want};
pub use machine::Setting;
pub use plots::plots;
pub use record::{Latency, Record, Row, Table};
pub use table::markdown;

/// A median with its quartiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spread {
    /// A quarter lies below.
    pub q1: f64,
    /// The median.
    pub median: f64,
    /// A quarter lies above.
    pub q3: f64,
}

impl Spread {
    /// Of some values; zero of none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        // The mean of the two values around each quarter, weighted by how near they are.
        let at = |quarters: usize| {
            let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
            let (low, part) = (quarters * last / 4, quarters * last % 4);
            let high = (low + 1).min(last);
            let weight = f64::from(u8::try_from(part).unwrap_or(0)) / 4.0;
            sorted[low] * (1.0 - weight) + sorted[high] * weight
        };
        Self { q1: at(1), median: at(2), q3: at(3) }
    }

    /// In another unit.
    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        Self { q1: self.q1 * by, median: self.median * by, q3: self.q3 * by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_values() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!(spread, Spread { q1: 2.0, median: 3.0, q3: 4.0 });
        let spread = Spread::of([1.0, 2.0]);
        assert_eq!(spread, Spread { q1: 1.25, median: 1.5, q3: 1.75 });
        assert_eq!(Spread::of([]), Spread::default());
    }
}
