//! Numbers that a seed gives.

#[path = "../../tests/random/mod.rs"]
mod splitmix;

/// Those of the tests, and what plans need besides.
#[derive(Clone, Debug)]
pub struct Random(splitmix::Random);

impl Random {
    /// The same seed gives the same numbers; each `purpose` has its own.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut mixed = splitmix::Random(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(splitmix::Random(mixed.next()))
    }

    /// Any number.
    #[expect(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    /// One of these.
    pub fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Whether it is the one of `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
