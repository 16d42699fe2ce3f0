//! Histories of threads of the system, which pause at random: long plans, and long scripts of
//! session caches. A seed says what is played, and not who goes on when.

use crate::game;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::sessions;

/// Each fourth seed plays on a session cache.
#[must_use]
pub fn is_of_sessions(seed: u64) -> bool {
    seed.is_multiple_of(4)
}

/// Plays so many operations of a seed's making: what came of them.
///
/// # Panics
/// If a rule is broken, with what shows it.
#[must_use]
pub fn play(seed: u64, operations: u64) -> Outcome {
    match is_of_sessions(seed) {
        true => sessions::play_long(seed, operations),
        false => game::play(&Plan::long(seed, operations)),
    }
}
