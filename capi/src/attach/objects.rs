//! Sessions as the library's objects, kept beside their bytes.
//!
//! The bytes decide: what lies here is used only if it was made of the very bytes that the cache
//! has just given. So nothing here must be told of what leaves the cache: it is given up where that
//! is known, and else goes by its time-out, or for want of room.

use super::library::{Negotiated, Owned};
use crate::result::{Code, Failure, Outcome};
use halfshake::session::SessionId;
use halfshake::{Cache, Maintenance};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// See the module's documentation.
pub(super) struct Objects(Option<Kept>);

struct Kept {
    cache: Cache<SessionId, Object>,
    hasher: RandomState,
}

struct Object {
    /// A keyed hash of its bytes.
    print: u64,
    session: Owned,
}

impl Objects {
    /// Room for so many. With no thread of its own: it could outlive the library, at exit.
    pub(super) fn new(most: u64) -> Outcome<Self> {
        if most == 0 {
            return Ok(Self(None));
        }
        let cache = Cache::builder().capacity(most).maintenance(Maintenance::Embedder).build();
        let cache = cache.map_err(|wrong| {
            let message = format!("objects: there can't be {most} of them: {wrong}");
            Failure::new(Code::HALFSHAKE_BAD_SETTING, message)
        })?;
        Ok(Self(Some(Kept { cache, hasher: RandomState::new() })))
    }

    /// Keeps an object that was made of, or into, these bytes.
    pub(super) fn keep(
        &self,
        id: SessionId,
        bytes: &[u8],
        session: &Negotiated<'_>,
        timeout: Duration,
    ) {
        let Some(kept) = &self.0 else { return };
        let Some(session) = session.to_owned() else { return };
        let object = Object { print: kept.hasher.hash_one(bytes), session };
        // Without room it is made of its bytes again.
        let _refused = kept.cache.insert_with_timeout(id, object, timeout);
        kept.cache.run_maintenance_step();
    }

    /// The object of these bytes, unless the library has marked it as not to be resumed.
    pub(super) fn find(&self, id: &SessionId, bytes: &[u8]) -> Option<Owned> {
        let kept = self.0.as_ref()?;
        let found = kept.cache.get(id)?;
        let same = found.print == kept.hasher.hash_one(bytes);
        if same && found.session.is_resumable() { found.session.to_owned() } else { None }
    }

    /// It is not to be resumed any more.
    pub(super) fn forget(&self, id: &SessionId) {
        if let Some(kept) = &self.0 {
            kept.cache.remove(id);
        }
    }
}
