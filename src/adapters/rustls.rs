//! A session store for rustls 0.23 (feature `rustls-0_23`).
//!
//! One line makes a server resume statefully from a shared cache:
//!
//! ```
//! use halfshake::BytesCache;
//! use halfshake::rustls::{Namespace, session_store};
//! use std::time::Duration;
//!
//! # type Done = Result<(), Box<dyn std::error::Error>>;
//! # fn configure(config: &mut rustls_0_23::ServerConfig) -> Done {
//! let cache = BytesCache::builder()
//!     .capacity(100_000)
//!     .time_to_live(Duration::from_secs(7200))
//!     .build()?;
//! config.session_storage = session_store(&cache, &Namespace::new(b"www.example.org, no mTLS")?);
//! # Ok(())
//! # }
//! ```
//!
//! rustls never checks how old a session is: the cache's timeout is the only limit, so set one. TLS
//! 1.3 sessions are taken (single use), TLS 1.2 sessions are looked up. The store outlives the
//! configuration: give the one after a reload of certificates a store of the same cache and
//! namespace, and clients go on resuming.
//!
//! rustls asks for every identity in a ClientHello before it has verified anything, and tells the
//! store nothing of the connection. [`SessionStore::connection`] makes a store for one connection,
//! with a budget of look-ups: put it into a clone of the `ServerConfig` for each accept.

use crate::cache::BytesCache;
pub use crate::session::{NAMESPACE_MAX, Namespace, NamespaceLength};
use crate::sync::{Ordering, PlainU64};
use rustls_0_23::server::StoresServerSessions;
use std::fmt::{Debug, Formatter};
use std::hash::BuildHasher;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// Session ids of rustls: nothing else reaches the table.
const ID_LEN: usize = 32;
/// Look-ups that one connection may cause: honest clients offer one or two sessions.
const LOOKUPS_PER_CONNECTION: u64 = 4;

/// A store over a cache, for `ServerConfig::session_storage`.
pub fn session_store<S>(cache: &BytesCache<S>, namespace: &Namespace) -> Arc<SessionStore<S>>
where
    S: BuildHasher + Send + Sync + 'static,
{
    Arc::new(SessionStore { cache: cache.clone(), namespace: namespace.clone() })
}

/// A rustls session store over a shared cache: see the module's documentation.
pub struct SessionStore<S: Send + Sync + 'static = ahash::RandomState> {
    cache: BytesCache<S>,
    namespace: Namespace,
}

impl<S: BuildHasher + Send + Sync + 'static> SessionStore<S> {
    /// A store for one connection, with a budget of 4 look-ups.
    #[must_use]
    pub fn connection(self: &Arc<Self>) -> Arc<ConnectionScope<S>> {
        self.connection_with_budget(LOOKUPS_PER_CONNECTION)
    }

    /// A store for one connection, with a budget of its own: identities beyond it are misses that
    /// cost nothing.
    #[must_use]
    pub fn connection_with_budget(self: &Arc<Self>, lookups: u64) -> Arc<ConnectionScope<S>> {
        Arc::new(ConnectionScope {
            store: self.clone(),
            budget: lookups,
            lookups: PlainU64::new(0),
            hits: PlainU64::new(0),
        })
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &BytesCache<S> {
        &self.cache
    }

    /// The key in the table: the namespace, with its length before it, then the id. No two pairs of
    /// them have the same key. `None` for what rustls did not mint.
    fn key(&self, id: &[u8]) -> Option<Key> {
        let id: &[u8; ID_LEN] = id.try_into().ok()?;
        let name = self.namespace.as_bytes();
        let mut key = Key { bytes: [0; KEY_MAX], len: 1 + name.len() + ID_LEN };
        key.bytes[0] = u8::try_from(name.len()).ok()?;
        key.bytes[1..=name.len()].copy_from_slice(name);
        key.bytes[1 + name.len()..key.len].copy_from_slice(id);
        Some(key)
    }
}

const KEY_MAX: usize = 1 + NAMESPACE_MAX + ID_LEN;

/// A key on the stack, wiped afterwards.
struct Key {
    bytes: [u8; KEY_MAX],
    len: usize,
}

impl Drop for Key {
    fn drop(&mut self) {
        // What was written, and as a slice: an array is wiped byte by byte.
        self.bytes[..self.len].zeroize();
    }
}

impl Key {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<S: BuildHasher + Send + Sync + 'static> StoresServerSessions for SessionStore<S> {
    /// `false`, and no ticket is sent, if the cache refuses.
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        // Both are wiped after the copy.
        let (id, value) = (Zeroizing::new(key), Zeroizing::new(value));
        self.key(&id).is_some_and(|key| self.cache.insert(key.bytes(), &value).is_ok())
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.key(key).and_then(|key| self.cache.get_copied(key.bytes()))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.key(key).and_then(|key| self.cache.take_copied(key.bytes()))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl<S: Send + Sync + 'static> Debug for SessionStore<S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// A [`SessionStore`] for one connection: its look-ups are counted, and bounded.
pub struct ConnectionScope<S: Send + Sync + 'static = ahash::RandomState> {
    store: Arc<SessionStore<S>>,
    budget: u64,
    lookups: PlainU64,
    hits: PlainU64,
}

impl<S: BuildHasher + Send + Sync + 'static> ConnectionScope<S> {
    /// Look-ups that rustls asked for, also those beyond the budget.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        // Relaxed: a counter.
        self.lookups.load(Ordering::Relaxed)
    }

    /// Look-ups that found a session.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Look-ups that the budget refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.lookups().saturating_sub(self.budget)
    }

    fn look(&self, look: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        // Relaxed: a read-modify-write, so each look-up has a number of its own.
        if self.lookups.fetch_add(1, Ordering::Relaxed) >= self.budget {
            return None;
        }
        let found = look()?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }
}

impl<S: BuildHasher + Send + Sync + 'static> StoresServerSessions for ConnectionScope<S> {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.store.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.look(|| self.store.get(key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.look(|| self.store.take(key))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl<S: Send + Sync + 'static> Debug for ConnectionScope<S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionScope").field("budget", &self.budget).finish_non_exhaustive()
    }
}
