//! What the system says of this process's memory.

use serde::{Deserialize, Serialize};

/// In kibibytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident.
    pub rss_kib: u64,
    /// On huge pages, of that.
    pub anon_huge_kib: u64,
}

impl Memory {
    /// Asks the system; zero where it says nothing.
    #[must_use]
    pub fn now() -> Self {
        Self::of(&std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default())
    }

    fn of(rollup: &str) -> Self {
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            number.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        Self { rss_kib: field("Rss:"), anon_huge_kib: field("AnonHugePages:") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rollup_is_understood() {
        let text = "00400000-7fff rollup\nRss:     1234 kB\nPss: 7 kB\nAnonHugePages:   1024 kB\n";
        assert_eq!(Memory::of(text), Memory { rss_kib: 1234, anon_huge_kib: 1024 });
        assert_eq!(Memory::of(""), Memory::default());
    }
}
