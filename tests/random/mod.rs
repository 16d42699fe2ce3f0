//! Numbers that a seed gives: SplitMix64 (Steele, Lea and Flood, 2014).
#![allow(dead_code, reason = "each program uses a part of it")]

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that stands at `n` of a seed's, which are counted from one.
pub(crate) fn nth(seed: u64, n: u64) -> u64 {
    let z = seed.wrapping_add(n.wrapping_mul(STEP));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        let number = nth(self.0, 1);
        self.0 = self.0.wrapping_add(STEP);
        number
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
