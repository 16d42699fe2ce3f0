//! Keys and values made from numbers: cheap, all different, and without an order in memory.

/// A key, as long as rustls's session ids.
pub type Key = [u8; 32];
/// A value.
pub type Value = [u8; VALUE];
/// How long it is: as a small session, or as one with a certificate's name in it.
const VALUE: usize = if cfg!(feature = "value-200") { 200 } else { 128 };

/// A well-mixed bijection of 64 bits (the finaliser of SplitMix64).
#[must_use]
pub fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The key of a number.
#[must_use]
pub fn key(n: u64) -> Key {
    let mixed = mix(n);
    let mut key = [0; 32];
    for (i, part) in (0u32..).zip(key.chunks_exact_mut(8)) {
        part.copy_from_slice(&mixed.rotate_left(i * 13).to_le_bytes());
    }
    key
}

/// The value of a number: its first word is as random as the key.
#[must_use]
pub fn value(n: u64) -> Value {
    let mut value = [0x5a; VALUE];
    value[..8].copy_from_slice(&mix(!n).to_le_bytes());
    value
}

/// The word of a value that look-ups read, so that its line is fetched.
#[must_use]
pub fn word(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |w| u64::from_le_bytes(*w))
}

/// A random sequence, each number of which can be made to depend on what was read before.
#[derive(Clone, Debug)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A number below `limit`, which can't be known before `read` is.
    pub fn below(&mut self, limit: u64, read: u64) -> u64 {
        self.0 = mix(self.0.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ read);
        // The upper half of a product of 64 bits each, so below the limit.
        u64::try_from((u128::from(self.0) * u128::from(limit)) >> 64).unwrap_or(0)
    }
}
