//! Numbers that a seed gives, which is printed: `HALFSHAKE_SEED=N` gives the same ones again.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) use crate::random::Random;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

pub(crate) fn seed() -> u64 {
    let seed =
        from_environment("HALFSHAKE_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed"));
    println!("HALFSHAKE_SEED={seed}");
    seed
}

pub(crate) fn times(count: u64) -> u64 {
    count * from_environment("HALFSHAKE_STRESS").unwrap_or(1)
}

/// Everything in one set, and half of it with one tag.
#[derive(Clone, Debug, Default)]
pub(crate) struct OneSet(DefaultHasher);

impl Hasher for OneSet {
    fn finish(&self) -> u64 {
        self.0.finish() & 1
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}
