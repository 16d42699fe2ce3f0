//! Why entries leave, and the law that every one of them is told about once.

/// Why an entry left the cache.
///
/// For every entry that became visible exactly one removal event is delivered, after the entry
/// stopped being findable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RemovalCause {
    /// Its deadline had passed.
    Expired,
    /// It made room for another one.
    Evicted,
    /// Another entry took its key.
    Replaced,
    /// It was removed by name, or by `retain`.
    Removed,
    /// It was taken: single use.
    Taken,
    /// The connection that used it ended badly.
    Faulty,
    /// The new-session callback refused it.
    RefusedByNew,
    /// It went with `flush` or `clear`.
    Flushed,
    /// The cache was shut down, or its last handle dropped.
    Shutdown,
}

impl RemovalCause {
    /// Every cause, in declaration order: the order of the counters in
    /// [`Stats::removed`](crate::Stats::removed).
    pub const ALL: [Self; 9] = [
        Self::Expired,
        Self::Evicted,
        Self::Replaced,
        Self::Removed,
        Self::Taken,
        Self::Faulty,
        Self::RefusedByNew,
        Self::Flushed,
        Self::Shutdown,
    ];

    /// Whether the entry could still have been used when it left: all causes but [`Self::Expired`],
    /// [`Self::Faulty`] and [`Self::RefusedByNew`].
    #[must_use]
    pub fn was_live(self) -> bool {
        !matches!(self, Self::Expired | Self::Faulty | Self::RefusedByNew)
    }

    /// The name as metrics and logs use it: lower case, words joined by `_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::Taken => "taken",
            Self::Faulty => "faulty",
            Self::RefusedByNew => "refused_by_new",
            Self::Flushed => "flushed",
            Self::Shutdown => "shutdown",
        }
    }
}

impl std::fmt::Display for RemovalCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_counter_and_name() {
        for (i, cause) in RemovalCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, i);
            let same = RemovalCause::ALL.iter().filter(|c| c.name() == cause.name()).count();
            assert_eq!(same, 1);
        }
    }
}
