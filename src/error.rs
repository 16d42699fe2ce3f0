//! What can be refused, and what can be configured wrongly.

/// Why an insert was refused. Its key is as it was, and the cache goes on; other entries may have
/// been evicted for it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// All free ways of the key's set, or the bound on the weight of removed entries, wait for a
    /// reader that is pinned, or for events that are not delivered yet: drop `Ref`s, or `unpin`
    /// readers, before blocking; and let a listener of [`Delivery::Thread`](crate::Delivery) be
    /// faster than the removals.
    #[error("no room: the storage of the key's set waits for a reader or a listener; try again")]
    NoRoom,
    /// The last units of capacity are held by other inserts under way.
    #[error("full: the last units of capacity are held by inserts under way; try again")]
    Full,
    /// The entry weighs more than the whole cache may.
    #[error("too large: the entry weighs {weight} bytes, at most {limit} are allowed")]
    TooLarge {
        /// What the entry weighs.
        weight: u64,
        /// The most that it may weigh.
        limit: u64,
    },
    /// The key of an entry of bytes is longer than its header can tell.
    #[error("key too long: {length} bytes, at most {limit} are allowed")]
    KeyTooLong {
        /// The length of the key, in bytes.
        length: usize,
        /// The most bytes that it may have.
        limit: usize,
    },
    /// The cache was shut down.
    #[error("closed: the cache was shut down")]
    Closed,
}

impl Refusal {
    /// The name as metrics and logs use it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRoom => "no_room",
            Self::Full => "full",
            Self::TooLarge { .. } => "too_large",
            Self::KeyTooLong { .. } => "key_too_long",
            Self::Closed => "closed",
        }
    }
}

/// An insert that was refused, with its key and value.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused<K, V> {
    /// The key, handed back.
    pub key: K,
    /// The value, handed back.
    pub value: V,
    /// Why.
    #[source]
    pub refusal: Refusal,
}

impl<K, V> std::fmt::Debug for Refused<K, V> {
    /// Without key and value, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refused").field("refusal", &self.refusal).finish_non_exhaustive()
    }
}

/// One setting that a cache can't be built with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSetting {
    /// No capacity was given, or 0.
    #[error("capacity: at least one entry is needed; call `capacity(n)` with n >= 1")]
    NoCapacity,
    /// More entries than the index can address.
    #[error("capacity: {entries} entries are more than the {most} that one cache can index")]
    CapacityTooLarge {
        /// What was asked for.
        entries: u64,
        /// The most that is possible.
        most: u64,
    },
    /// The table, or the memory that was asked for in advance, is more than the machine has.
    #[error("capacity, preallocate: {bytes} bytes in one piece, which this machine does not have")]
    Memory {
        /// What the table needs, or the preallocated memory.
        bytes: u64,
    },
    /// `max_capacity` is below `capacity`.
    #[error("max_capacity: {max} is below the capacity of {capacity}")]
    MaxBelowCapacity {
        /// The maximum that was given.
        max: u64,
        /// The capacity that was given.
        capacity: u64,
    },
    /// `capacity_bytes(0)`.
    #[error("capacity_bytes: 0 bytes hold nothing; leave the limit out, or raise it")]
    NoBytes,
    /// The number of shards is no power of two between 1 and 1,024.
    #[error("shards: {shards} is not a power of two between 1 and 1024")]
    Shards {
        /// What was asked for.
        shards: usize,
    },
    /// The sweep interval is below one tick.
    #[error("sweep_interval: at least one millisecond is needed")]
    SweepInterval,
    /// More ids than may be remembered as unknown.
    #[error("remember_unknown: {ids} ids are more than the {most} that are remembered at most")]
    UnknownIds {
        /// What was asked for.
        ids: usize,
        /// The most that is possible.
        most: usize,
    },
    /// A thread could not be started.
    #[error("maintenance: the operating system refused a thread: {message}")]
    Thread {
        /// What it said.
        message: String,
    },
    /// Pointers of this process have more than 48 bits.
    #[error("this process has addresses of more than 48 bits, which a cell can't hold")]
    AddressSpace,
}

/// Every setting that [`build`](crate::Builder::build) found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    settings: Vec<BadSetting>,
}

impl ConfigError {
    pub(crate) fn new(settings: Vec<BadSetting>) -> Self {
        Self { settings }
    }

    /// The same, and what a layer above has found.
    pub(crate) fn and(mut self, setting: Option<BadSetting>) -> Self {
        self.settings.extend(setting);
        self
    }

    /// The bad settings, at least one.
    #[must_use]
    pub fn settings(&self) -> &[BadSetting] {
        &self.settings
    }
}

impl From<BadSetting> for ConfigError {
    fn from(setting: BadSetting) -> Self {
        Self::new(vec![setting])
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the cache can't be built: ")?;
        for (i, setting) in self.settings.iter().enumerate() {
            write!(f, "{}{setting}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
