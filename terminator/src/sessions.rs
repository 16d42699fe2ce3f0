//! The sessions of this process: one cache, which outlives every configuration, and a store on it
//! for each connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use halfshake::rustls::{ConnectionScope, Namespace, session_store};
use halfshake::session::SessionCache;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

use crate::external::External;
use crate::setup_error::SetupError;

/// A cache of sessions that connections can be served from.
pub(crate) trait Sessions: fmt::Debug + Send + Sync {
    /// The store for one connection whose sessions belong to `namespace`.
    fn for_connection(&self, namespace: &Namespace) -> Arc<dyn ConnectionStore>;
}

/// A store that one connection has for itself.
pub(crate) trait ConnectionStore: StoresServerSessions {
    /// Look-ups that were refused since this connection had asked too often.
    fn over_budget(&self) -> u64 {
        0
    }
}

impl ConnectionStore for ConnectionScope {
    fn over_budget(&self) -> u64 {
        self.refused()
    }
}

impl ConnectionStore for ServerSessionMemoryCache {}

/// This project's cache.
#[derive(Debug, Clone)]
pub(crate) struct HalfshakeSessions {
    cache: SessionCache<()>,
}

impl HalfshakeSessions {
    pub(crate) fn new(
        entries: u64,
        timeout: Duration,
        external: Option<&Arc<External>>,
    ) -> Result<Self, SetupError> {
        let inside = SessionCache::builder().capacity(entries).timeout(timeout);
        let whole = match external {
            Some(external) => external.attach(inside),
            None => inside,
        };
        let cache =
            whole.build().map_err(|error| SetupError::Cache { reason: error.to_string() })?;
        Ok(Self { cache })
    }

    pub(crate) fn cache(&self) -> &SessionCache<()> {
        &self.cache
    }
}

impl Sessions for HalfshakeSessions {
    fn for_connection(&self, namespace: &Namespace) -> Arc<dyn ConnectionStore> {
        session_store(&self.cache, namespace).connection(())
    }
}

/// rustls's own cache, which knows neither namespaces nor time: for comparison.
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
    fn for_connection(&self, _: &Namespace) -> Arc<dyn ConnectionStore> {
        Arc::clone(&self.store) as Arc<dyn ConnectionStore>
    }
}
