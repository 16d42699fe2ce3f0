//! Ids that the external store does not know, remembered for a moment: a client that tries again,
//! or proposes one id on many connections, costs one look-up outside.
//!
//! Bounded and lock-free: a word for each id, in one cache line of eight for its hash; lines are as
//! many as a power of two, so that there may be twice the words that were asked for. A word holds
//! 40 bits of the keyed hash and the time until which it holds, in units of 32 ms, which come round
//! in six days. That two ids have the same 40 bits is as likely as 1 in 10^12; the keyed hash lets
//! nobody aim at it.
//!
//! Who may remember, and when a put has to forget, is argued in `flights.rs`. All accesses are
//! relaxed: the board's lock orders them, or the end of the flight.

use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

const WORDS: usize = if cfg!(halfshake_loom) { 2 } else { 8 };
const TIME_BITS: u32 = 24;
const TIME: u64 = (1 << TIME_BITS) - 1;
/// Milliseconds in a unit of time.
const UNIT: u64 = 32;
/// Of more ids nobody is asked twice within two seconds; and it is 8 MiB.
pub(super) const MOST_IDS: usize = 1 << 20;
/// An id is remembered for no longer.
pub(super) const LONGEST: Duration = Duration::from_secs(2);

/// One cache line, and no more: padding for those who write side by side would double the memory.
#[derive(Debug)]
#[repr(align(64))]
struct Line([AtomicU64; WORDS]);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Unknown {
    lines: Box<[Line]>,
    /// In units; 0: nothing is remembered.
    keeps: u64,
}

impl Unknown {
    /// Room for at least so many ids, each for so long.
    pub(crate) fn new(ids: usize, keeps: Duration) -> Self {
        let keeps = u64::try_from(keeps.min(LONGEST).as_millis()).unwrap_or(0) / UNIT;
        let lines = if keeps == 0 { 1 } else { ids.div_ceil(WORDS).max(1).next_power_of_two() };
        let line = || Line(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { lines: (0..lines).map(|_| line()).collect(), keeps }
    }

    fn line(&self, hash: u64) -> &[AtomicU64; WORDS] {
        // The low bits; the word has the upper ones.
        let lines = self.lines.len() as u64;
        &self.lines[usize::try_from(hash % lines).unwrap_or(0)].0
    }

    /// Whether the store has just said that it does not know such an id. Wait-free.
    pub(crate) fn has(&self, hash: u64, now: u64) -> bool {
        self.keeps != 0
            && self.line(hash).iter().any(|word| {
                // Relaxed: see the module's documentation.
                let word = word.load(Ordering::Relaxed);
                is_of(word, hash) && holds(word, now, self.keeps)
            })
    }

    /// Remembers one; under the board's lock, by an unmarked flight. Another one of its line may
    /// have to go: the one that ends first.
    pub(crate) fn remember(&self, hash: u64, now: u64) {
        if self.keeps == 0 {
            return;
        }
        let until = (now / UNIT + self.keeps) & TIME;
        // Relaxed: see the module's documentation. A word that is lost to another thread's, or a
        // second one of the same id, costs nothing but itself.
        let read = |word: &&AtomicU64| word.load(Ordering::Relaxed);
        let line = self.line(hash);
        let same = line.iter().find(|word| is_of(read(word), hash));
        let least = || line.iter().min_by_key(|word| left(read(word), now, self.keeps));
        if let Some(word) = same.or_else(least) {
            word.store((hash & !TIME) | until, Ordering::Relaxed);
        }
    }

    /// Forgets one: it was put. Lock-free.
    pub(crate) fn forget(&self, hash: u64) {
        for word in self.line(hash) {
            // Relaxed: see the module's documentation.
            let mut seen = word.load(Ordering::Relaxed);
            while seen != 0 && is_of(seen, hash) {
                match word.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(other) => seen = other,
                }
            }
        }
    }
}

fn is_of(word: u64, hash: u64) -> bool {
    (word ^ hash) & !TIME == 0
}

/// Units for which a word still holds, modulo what it can tell.
fn left(word: u64, now: u64, keeps: u64) -> u64 {
    if word == 0 {
        return 0;
    }
    let left = (word & TIME).wrapping_sub(now / UNIT) & TIME;
    if left <= keeps { left } else { 0 }
}

fn holds(word: u64, now: u64, keeps: u64) -> bool {
    left(word, now, keeps) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: u64 = 0x1234_5678_9abc_def0;

    #[test]
    fn unknown_id_is_remembered_for_two_seconds_at_most() {
        for keeps in [1, 2, 3600] {
            let unknown = Unknown::new(100, Duration::from_secs(keeps));
            let begin = 1_000_007;
            unknown.remember(HASH, begin);
            assert!(unknown.has(HASH, begin + 1000 * keeps.min(2) - 64));
            assert!(!unknown.has(HASH, begin + 1000 * keeps.min(2)), "for longer than {keeps} s");
            assert!(!unknown.has(HASH ^ 1 << 40, begin), "another id");
        }
    }

    #[test]
    fn what_is_put_is_forgotten() {
        let unknown = Unknown::new(100, LONGEST);
        unknown.remember(HASH, 5);
        unknown.forget(HASH ^ 1 << 63);
        assert!(unknown.has(HASH, 5));
        unknown.forget(HASH);
        assert!(!unknown.has(HASH, 5));
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let unknown = Unknown::new(8, LONGEST);
        for i in 0..1_000 {
            unknown.remember(i << 24 | 1 << 60, i * UNIT);
        }
        let kept = (0..1_000).filter(|i| unknown.has(i << 24 | 1 << 60, 1_000 * UNIT)).count();
        assert_eq!(kept, WORDS);
        assert!(unknown.has(999 << 24 | 1 << 60, 1_000 * UNIT));
    }

    #[test]
    fn ids_take_8_to_16_bytes_each_and_8_mib_at_most() {
        let bytes = |ids| size_of_val(&*Unknown::new(ids, LONGEST).lines);
        assert_eq!(bytes(4096), 8 * 4096);
        assert_eq!(bytes(4097), 16 * 4096);
        assert_eq!(bytes(MOST_IDS), 8 << 20);
        assert_eq!(size_of_val(&*Unknown::new(MOST_IDS, Duration::ZERO).lines), 64);
    }

    #[test]
    fn switched_off_it_remembers_nothing() {
        let unknown = Unknown::new(8, Duration::ZERO);
        unknown.remember(HASH, 5);
        assert!(!unknown.has(HASH, 5));
    }
}
