//! Sessions as OpenSSL's objects, kept beside their bytes.
//!
//! The bytes decide: what lies here is used only if it was made of the very bytes that the cache
//! has just given. So nothing here must be told of what leaves the cache: it is given up where that
//! is known, and else goes by its time-out, or for want of room.

use crate::builder::Maintenance;
use crate::cache::Cache;
use crate::error::ConfigError;
use crate::hash::random_state;
use crate::session::SessionId;
use openssl::ssl::{SslSession, SslSessionRef};
use std::time::Duration;

/// See the module's documentation.
pub(super) struct Objects(Option<Kept>);

struct Kept {
    cache: Cache<SessionId, Object>,
    hasher: ahash::RandomState,
}

struct Object {
    /// A keyed hash of its bytes.
    print: u64,
    session: SslSession,
}

impl Objects {
    /// Room for so many. With no threads of its own: there may be many contexts.
    pub(super) fn new(most: u64) -> Result<Self, ConfigError> {
        if most == 0 {
            return Ok(Self(None));
        }
        let cache = Cache::builder().capacity(most).maintenance(Maintenance::Embedder).build()?;
        Ok(Self(Some(Kept { cache, hasher: random_state() })))
    }

    /// Keeps an object that was made of, or into, these bytes.
    pub(super) fn keep(
        &self,
        id: SessionId,
        bytes: &[u8],
        session: &SslSessionRef,
        timeout: Duration,
    ) {
        let Some(kept) = &self.0 else { return };
        let object = Object { print: kept.hasher.hash_one(bytes), session: session.to_owned() };
        // Without room it is made of its bytes again.
        let _refused = kept.cache.insert_with_timeout(id, object, timeout);
        kept.cache.run_maintenance_step();
    }

    /// The object of these bytes, unless the library has marked it as not to be resumed.
    pub(super) fn find(&self, id: &SessionId, bytes: &[u8]) -> Option<SslSession> {
        let kept = self.0.as_ref()?;
        let found = kept.cache.get(id)?;
        let same = found.print == kept.hasher.hash_one(bytes);
        (same && super::sys::is_resumable(&found.session)).then(|| found.session.clone())
    }

    /// It is not to be resumed any more.
    pub(super) fn forget(&self, id: &SessionId) {
        if let Some(kept) = &self.0 {
            kept.cache.remove(id);
        }
    }
}
