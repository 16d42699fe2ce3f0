//! Whole operations of the engine at the same time: players do what a plan says to one cache, each
//! writes down what it saw, and a judge looks for an order that explains it all (`tests/history`).
//!
//! Two programs play. `histories` does it on threads of the system, which pause at random, with
//! long plans. `schedules` does it on shuttle's, in builds with `--cfg halfshake_shuttle`: a
//! scheduler chooses, before each access to a shared word, who goes on, and a seed says all that
//! happens.
//!
//! Both play on session caches, too: scripts of the fuzz target `operations_threads`, long ones and
//! short ones. That is each fourth history, and each third schedule.
//!
//! Besides its history, each game is judged by `validate`, by who may tell of which cause, by what
//! is told after a shutdown, by what the end of the cache tells, by the entries that are still
//! alive after it, and by whether there was room where something was evicted.

mod evictions;
mod game;
pub mod histories;
#[path = "../../tests/history/mod.rs"]
mod history;
mod kinds;
#[path = "../../fuzz/src/operations_threads/mod.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "a module of the fuzz targets, too")]
mod operations_threads;
mod outcome;
mod plan;
mod player;
mod random;
#[cfg(halfshake_shuttle)]
pub mod schedules;
mod sessions;
mod subject;
mod threads;
mod world;

use std::hash::{BuildHasher, RandomState};

pub use kinds::{Kind, Meetings, Numbered};
pub use outcome::Outcome;
pub use plan::{Plan, Shape};
pub use random::Random;

/// The seed to begin with: `HALFSHAKE_SEED`, or any.
///
/// # Panics
/// If that is no number.
#[must_use]
pub fn first_seed() -> u64 {
    from_environment("HALFSHAKE_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed") >> 16)
}

/// A number that the environment gives.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
