//! A session store for rustls 0.23 (feature `rustls-0_23`).
//!
//! One line makes a server resume statefully from a shared session cache:
//!
//! ```
//! use halfshake::rustls::{Namespace, session_store};
//! use halfshake::session::SessionCache;
//! use std::time::Duration;
//!
//! # type Done = Result<(), Box<dyn std::error::Error>>;
//! # fn configure(config: &mut rustls_0_23::ServerConfig) -> Done {
//! let cache = SessionCache::<()>::builder()
//!     .capacity(100_000)
//!     .timeout(Duration::from_secs(7200))
//!     .build()?;
//! config.session_storage = session_store(&cache, &Namespace::new(b"www.example.org, no mTLS")?);
//! # Ok(())
//! # }
//! ```
//!
//! | rustls | the cache |
//! | --- | --- |
//! | `put` | [`new_session`](SessionCache::new_session) of the server's side |
//! | `get`: TLS 1.2 | [`resume`](SessionCache::resume) |
//! | `take`: TLS 1.3, single use | [`take`](SessionCache::take) |
//!
//! So the callbacks of the cache see what rustls negotiates and asks for. A session's payload is
//! what rustls serialises. Its version is read out of that: 0x0303 or 0x0304, and 0 should rustls
//! come to write something else; nothing here depends on it.
//! rustls makes the ids itself, without tags: a cache that demands tagged ids stores none of them.
//!
//! rustls never checks how old a session is: the cache's timeout is the only limit. The
//! store outlives the configuration: give the one after a reload of certificates a store of the
//! same cache and namespace, and clients go on resuming.
//!
//! # A store for each connection
//!
//! rustls asks for every identity in a ClientHello before it has verified anything, and tells the
//! store nothing of the connection. [`SessionStore::connection`] makes a store for one connection,
//! with its context for the callbacks and with a budget of look-ups: put it into a clone of the
//! `ServerConfig` for each accept. With a get callback that is slow, do: without it one ClientHello
//! can have it called more than a thousand times.
//!
//! # Panics
//!
//! None comes out of a store: rustls does not say that it can be unwound. A callback that panics
//! (the cache counts it) makes a miss of a look-up; a new session is not used.

use crate::panics::discard;
pub use crate::session::{NAMESPACE_MAX, Namespace, NamespaceLength};
use crate::session::{Newly, NotStored, Resumed, SessionCache, SessionId};
use crate::sync::{Ordering, PlainU64};
use crate::wiping::Wiping;
use rustls_0_23::server::StoresServerSessions;
use std::fmt::{Debug, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Session ids of rustls: nothing else reaches the cache, which counts it as an id of a wrong
/// length.
const ID_LEN: usize = 32;
/// Look-ups that one connection may cause: honest clients offer one or two sessions.
const LOOKUPS_PER_CONNECTION: u64 = 4;

/// A store over a cache, for `ServerConfig::session_storage`. The callbacks are given the default
/// of the connection context.
pub fn session_store<C>(cache: &SessionCache<C>, namespace: &Namespace) -> Arc<SessionStore<C>>
where
    C: Default + Send + Sync + 'static,
{
    session_store_for(cache, namespace, C::default())
}

/// As [`session_store`], with what the callbacks are given where no connection has a store of its
/// own.
pub fn session_store_for<C>(
    cache: &SessionCache<C>,
    namespace: &Namespace,
    connection: C,
) -> Arc<SessionStore<C>>
where
    C: Send + Sync + 'static,
{
    Arc::new(SessionStore { cache: cache.clone(), namespace: namespace.clone(), connection })
}

/// A rustls session store over a shared cache: see the module's documentation.
pub struct SessionStore<C: Send + Sync + 'static = ()> {
    cache: SessionCache<C>,
    namespace: Namespace,
    connection: C,
}

impl<C: Send + Sync + 'static> SessionStore<C> {
    /// A store for one connection, with its context and a budget of 4 look-ups.
    #[must_use]
    pub fn connection(self: &Arc<Self>, connection: C) -> Arc<ConnectionScope<C>> {
        self.connection_with_budget(connection, LOOKUPS_PER_CONNECTION)
    }

    /// A store for one connection, with a budget of its own: identities beyond it are misses that
    /// cost nothing.
    ///
    /// The budget counts all look-ups, also those that the internal cache answers: rustls takes
    /// what a ClientHello names before it has checked anything of it, so whoever has seen the
    /// identities of others go by could use up as many as it names.
    #[must_use]
    pub fn connection_with_budget(
        self: &Arc<Self>,
        connection: C,
        lookups: u64,
    ) -> Arc<ConnectionScope<C>> {
        Arc::new(ConnectionScope {
            store: self.clone(),
            connection,
            budget: lookups,
            lookups: PlainU64::new(0),
            hits: PlainU64::new(0),
        })
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &SessionCache<C> {
        &self.cache
    }

    /// The namespace of its sessions.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn put_for(&self, connection: &C, id: Vec<u8>, value: Vec<u8>) -> bool {
        // Both are wiped after the copy.
        let (id, value) = (Wiping::new(id), Wiping::new(value));
        if id.len() != ID_LEN {
            self.cache.reject_id();
            return false;
        }
        let Ok(id) = SessionId::new(&id) else { return false };
        let version = version_of(&value).unwrap_or(0);
        let newly = without_panic(|| {
            let name = (&self.namespace, id);
            Some(self.cache.new_session_in_parts(connection, name, version, &value))
        });
        newly.is_some_and(|newly| self.can_come_back(newly))
    }

    /// Whether a new session may be found later: here, or by the get callback since the new
    /// callback has seen it.
    fn can_come_back(&self, newly: Newly) -> bool {
        match newly {
            Newly::Stored => true,
            Newly::NotStored(NotStored::NoInternalStore | NotStored::Refused(_)) => {
                let asks = self.cache.get_callback().is_some()
                    || self.cache.async_get_callback().is_some();
                asks && self.cache.new_callback().is_some()
            }
            _ => false,
        }
    }

    fn get_for(&self, connection: &C, id: &[u8]) -> Option<Vec<u8>> {
        self.look(id, || self.cache.resume(connection, &self.namespace, id))
    }

    fn take_for(&self, connection: &C, id: &[u8]) -> Option<Vec<u8>> {
        self.look(id, || self.cache.take(connection, &self.namespace, id))
    }

    fn look<'c>(
        &'c self,
        id: &[u8],
        look: impl FnOnce() -> Option<Resumed<'c>>,
    ) -> Option<Vec<u8>> {
        if id.len() != ID_LEN {
            self.cache.reject_id();
            return None;
        }
        without_panic(|| look().map(|found| found.payload().to_vec()))
    }
}

/// What a callback has broken off is a miss.
fn without_panic<R>(call: impl FnOnce() -> Option<R>) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        discard(panic);
        None
    })
}

/// The protocol version in a value of rustls: behind the server name, which a byte announces and
/// another one measures.
fn version_of(value: &[u8]) -> Option<u16> {
    let behind_name = match value {
        [0, rest @ ..] => rest,
        [1, len, rest @ ..] => rest.get(usize::from(*len)..)?,
        _ => return None,
    };
    let version = u16::from_be_bytes(*behind_name.first_chunk()?);
    matches!(version, 0x0303 | 0x0304).then_some(version)
}

impl<C: Send + Sync + 'static> StoresServerSessions for SessionStore<C> {
    /// `false` if the session can't be found again: the cache refuses it and no external one has
    /// it, or the new callback refuses it. A TLS 1.3 client gets no ticket then; a TLS 1.2 client
    /// has got its id already.
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.put_for(&self.connection, key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get_for(&self.connection, key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.take_for(&self.connection, key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl<C: Send + Sync + 'static> Debug for SessionStore<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// A [`SessionStore`] for one connection: its look-ups are counted, and bounded.
pub struct ConnectionScope<C: Send + Sync + 'static = ()> {
    store: Arc<SessionStore<C>>,
    connection: C,
    budget: u64,
    lookups: PlainU64,
    hits: PlainU64,
}

impl<C: Send + Sync + 'static> ConnectionScope<C> {
    /// The connection's context.
    #[must_use]
    pub fn context(&self) -> &C {
        &self.connection
    }

    /// Look-ups that rustls asked for, also those beyond the budget.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        // Relaxed: a counter.
        self.lookups.load(Ordering::Relaxed)
    }

    /// Look-ups that found a session.
    #[must_use]
    pub fn hits(&self) -> u64 {
        // Relaxed: a counter.
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
        // Relaxed: a counter.
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }
}

impl<C: Send + Sync + 'static> StoresServerSessions for ConnectionScope<C> {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.store.put_for(&self.connection, key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.look(|| self.store.get_for(&self.connection, key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.look(|| self.store.take_for(&self.connection, key))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl<C: Send + Sync + 'static> Debug for ConnectionScope<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionScope").field("budget", &self.budget).finish_non_exhaustive()
    }
}
