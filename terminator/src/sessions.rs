//! The sessions of this process: one cache, which outlives every configuration, and a store on it
//! for each connection.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// Who may resume a session; part of each key in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Namespace([u8; 32]);

impl Namespace {
    pub(crate) fn from_digest(digest: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let length = digest.len().min(32);
        bytes[..length].copy_from_slice(&digest[..length]);
        Self(bytes)
    }
}

/// A cache of sessions that connections can be served from.
pub(crate) trait Sessions: fmt::Debug + Send + Sync {
    /// The store for one connection whose sessions belong to `namespace`.
    fn for_connection(&self, namespace: &Namespace) -> Arc<dyn StoresServerSessions>;
}

/// rustls's own cache, which knows neither namespaces nor time.
#[derive(Debug)]
pub(crate) struct RustlsSessions {
    store: Arc<ServerSessionMemoryCache>,
}

impl RustlsSessions {
    pub(crate) fn new(entries: u64) -> Self {
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        Self { store: ServerSessionMemoryCache::new(entries) }
    }
}

impl Sessions for RustlsSessions {
    fn for_connection(&self, _: &Namespace) -> Arc<dyn StoresServerSessions> {
        Arc::clone(&self.store) as Arc<dyn StoresServerSessions>
    }
}
