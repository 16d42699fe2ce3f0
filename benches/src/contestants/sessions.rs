//! Halfshake's session cache: a resumption where the others look up.

use super::{Contestant, Operations, TIMEOUT};
use crate::keys::{Key, Value, word};
use halfshake::BytesCache;
use halfshake::session::{Namespace, SessionCache, SessionId, Side};

/// A session cache, with a remove callback or without.
#[derive(Debug)]
pub struct Sessions {
    cache: SessionCache<()>,
    namespace: Namespace,
}

/// What a session says of its protocol.
const TLS12: u16 = 0x0303;

impl Sessions {
    /// An empty cache with no callbacks.
    ///
    /// # Panics
    /// Never: its settings are good.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let cache = SessionCache::builder().capacity(capacity).timeout(TIMEOUT).build();
        let namespace = Namespace::new(b"www").expect("short");
        Self { cache: cache.expect("good settings"), namespace }
    }
}

impl Contestant for Sessions {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
}

impl Operations for &Sessions {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.cache.resume(&(), &self.namespace, key).map(|found| word(found.payload()))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        let id = SessionId::new(&key).expect("32 bytes");
        let session = self.cache.make(&self.namespace, id, TLS12, &value);
        let new = self.cache.new_session(&(), Side::Server, &session);
        new == halfshake::session::Newly::Stored
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.cache.take(&(), &self.namespace, key).map(|taken| word(taken.payload()))
    }
}

/// The bare cache under entries of the same bytes as [`Sessions`] has: what the layer above adds
/// is the difference.
#[derive(Debug)]
pub struct SameBytes(BytesCache);

/// Length of the namespace, namespace, id.
const KEY: usize = 4 + size_of::<Key>();
/// What a session cache keeps before the payload.
const HEAD: usize = 34;

impl SameBytes {
    /// An empty cache.
    ///
    /// # Panics
    /// Never: its settings are good.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let cache = BytesCache::builder().capacity(capacity).time_to_live(TIMEOUT).build();
        Self(cache.expect("good settings"))
    }

    fn key(id: &Key) -> [u8; KEY] {
        let mut key = [0; KEY];
        key[..4].copy_from_slice(b"\x03www");
        key[4..].copy_from_slice(id);
        key
    }
}

impl Contestant for SameBytes {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
}

impl Operations for &SameBytes {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(&SameBytes::key(key)[..]).map(|value| word(&value[HEAD..]))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        let mut whole = [0; HEAD + size_of::<Value>()];
        whole[HEAD..].copy_from_slice(&value);
        self.0.insert(&SameBytes::key(&key), &whole).is_ok()
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.take(&SameBytes::key(key)[..]).map(|value| word(&value[HEAD..]))
    }
}
