//! What is played: configurations and operations.

use halfshake::Delivery;
use std::hash::{BuildHasher, DefaultHasher, Hasher};

/// What the cache under test is built with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) capacity: u64,
    pub(crate) max_capacity: u64,
    pub(crate) bytes: Option<u64>,
    pub(crate) shards: usize,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) delivery: Delivery,
    /// Every key in one set, with equal tags for half of them.
    pub(crate) one_set: bool,
    /// One set in a shard is enough, if it holds that many: sets fill before the cache is full.
    pub(crate) few_sets: bool,
}

/// A timeout that an entry brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timeout {
    Zero,
    Nanosecond,
    Milliseconds(u8),
    Huge,
}

/// One operation. Keys are numbers; values have a size and an identity of the driver's choice.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Insert {
        key: u8,
        size: u8,
    },
    InsertWithTimeout {
        key: u8,
        size: u8,
        timeout: Timeout,
    },
    InsertIfAbsent {
        key: u8,
        size: u8,
    },
    Replace {
        key: u8,
        size: u8,
    },
    InsertMany(Vec<(u8, u8)>),
    GetOrInsert {
        key: u8,
        size: u8,
    },
    Get(u8),
    GetMany(Vec<u8>),
    Contains(u8),
    Take(u8),
    Remove(u8),
    /// Keeps the identity of the key's entry for `RemoveExact`.
    Identify(u8),
    /// Of the identities that were kept, this one (modulo their number).
    RemoveExact(u8),
    /// Keeps the keys that leave another rest.
    Retain {
        modulus: u8,
        rest: u8,
    },
    Clear,
    Flush {
        ahead_ms: u8,
    },
    SetCapacity(u8),
    Advance {
        ms: u8,
    },
    StepBack {
        ms: u8,
    },
    Maintain {
        budget: u8,
    },
    Iterate,
    ReaderGet(u8),
    ReaderGetMany(Vec<u8>),
    ReaderContains(u8),
    ReaderInsert {
        key: u8,
        size: u8,
    },
    ReaderTake(u8),
    ReaderRemove(u8),
    Unpin,
}

/// The same in every run, so that a script always does the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedHash {
    pub(crate) one_set: bool,
}

impl BuildHasher for FixedHash {
    type Hasher = Masked;
    fn build_hasher(&self) -> Masked {
        Masked { inner: DefaultHasher::new(), mask: if self.one_set { 1 } else { u64::MAX } }
    }
}

/// A hasher of which only some bits count.
#[derive(Debug)]
pub(crate) struct Masked {
    inner: DefaultHasher,
    mask: u64,
}

impl Hasher for Masked {
    fn finish(&self) -> u64 {
        self.inner.finish() & self.mask
    }
    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }
}
