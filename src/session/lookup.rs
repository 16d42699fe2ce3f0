//! Look-ups: the internal cache, else the get callback (`outside.rs`).

use super::SessionCache;
use super::counters::{NamespaceStats, Rejection};
use super::entry::View;
use super::found::{Found, Resumed};
use super::id::{Key, Namespace};
use super::modes::Modes;
use super::outside::Question;
use super::record::Session;
use crate::engine::Miss;

impl<C: 'static> SessionCache<C> {
    /// A client proposes a session: looks it up in the internal cache, else (absent, expired, or
    /// not looked for) asks the get callback.
    ///
    /// Several look-ups of one id that are outside at a time ask once, and share the answer. What
    /// comes from outside is checked, then stored (unless the modes say otherwise, or its id was
    /// removed, taken, put or flushed meanwhile), then used. A failure of the external store is a
    /// miss. Counterpart: the server's `ssl_get_prev_session`.
    ///
    /// A hit of the internal cache is wait-free, and costs what
    /// [`Cache::get`](crate::Cache::get) does.
    ///
    /// # Panics
    /// If the get callback or the remove callback does.
    pub fn resume(&self, connection: &C, namespace: &Namespace, id: &[u8]) -> Option<Resumed<'_>> {
        self.resume_within(connection, namespace, id, &|| true)
    }

    /// As `resume`; `spend` says whether the look-up may go outside.
    #[inline]
    pub(super) fn resume_within(
        &self,
        connection: &C,
        namespace: &Namespace,
        id: &[u8],
        spend: &dyn Fn() -> bool,
    ) -> Option<Resumed<'_>> {
        let mut key = Key::EMPTY;
        if !self.look_up_key(&mut key, namespace, id) {
            return None;
        }
        let modes = self.rules();
        let missed = match self.look_inside(&key, modes) {
            Ok(found) => return Some(found),
            Err(missed) => missed,
        };
        self.resume_outside(
            &Question { connection, namespace, id, key: &key, spend },
            modes,
            missed,
        )
    }

    /// Looks into the internal cache, if the modes say so; as what it is counted if nothing is
    /// there.
    #[inline]
    pub(super) fn look_inside(&self, key: &Key, modes: Modes) -> Result<Resumed<'_>, Option<Miss>> {
        if !modes.look_inside() {
            return Err(None);
        }
        let found = self.store.get_or_miss(key.bytes())?;
        Ok(Resumed(Found::Inside(self.renewed(modes, key, found)?)))
    }

    /// Looks a session up in the internal cache alone, whatever the modes: for clients, and for
    /// whoever wants to know. Wait-free.
    #[must_use]
    pub fn find(&self, namespace: &Namespace, id: &[u8]) -> Option<Resumed<'_>> {
        let key = self.key_of_any(namespace, id)?;
        self.store.get(key.bytes()).map(|found| Resumed(Found::Inside(found)))
    }

    /// Whether a look-up would find a session in the internal cache. Not counted. Wait-free.
    #[cfg(feature = "openssl")]
    pub(crate) fn is_inside(&self, namespace: &Namespace, id: &[u8]) -> bool {
        let looks = self.rules().look_inside();
        looks && self.key_of_any(namespace, id).is_some_and(|key| self.store.contains(key.bytes()))
    }

    /// Copies of the sessions that are live when the walk comes by, for whoever writes them down.
    /// Weakly consistent, as [`Cache::iter`](crate::Cache::iter); between two of them the thread
    /// is not pinned, and may call the cache or block.
    pub fn sessions(&self) -> impl Iterator<Item = Session> {
        let mut found = self.store.iter();
        std::iter::from_fn(move || {
            found.next().map(|one| View { key: one.key(), value: one.value() }.to_session())
        })
    }

    /// What the internal cache holds of a namespace, counted now: a walk over the whole cache, for
    /// whoever asks now and then. Weakly consistent, as [`Cache::iter`](crate::Cache::iter); the
    /// thread is pinned for one session at a time.
    #[must_use]
    pub fn namespace_stats(&self, namespace: &Namespace) -> NamespaceStats {
        let mut stats = NamespaceStats::default();
        for found in self.store.iter() {
            let view = View { key: found.key(), value: found.value() };
            if view.namespace() != namespace.as_bytes() {
                continue;
            }
            stats.sessions += 1;
            stats.payload_bytes += view.payload().len() as u64;
            let end = view.times().not_after();
            stats.next_expiry = Some(stats.next_expiry.map_or(end, |first| first.min(end)));
        }
        stats
    }

    /// As [`resume`](Self::resume), but for single use: of any number of concurrent takers exactly
    /// one gets the session.
    ///
    /// Outside, the get callback is asked with [`Purpose::Take`](super::Purpose::Take): the store's
    /// own atomic delete decides. Its answer goes to this caller alone and is not stored, nor does
    /// this caller join another look-up.
    ///
    /// # Panics
    /// If the get callback or the remove callback does; the session is lost then.
    pub fn take(&self, connection: &C, namespace: &Namespace, id: &[u8]) -> Option<Resumed<'_>> {
        self.take_within(connection, namespace, id, &|| true)
    }

    /// As `take`; `spend` says whether the look-up may go outside.
    pub(super) fn take_within(
        &self,
        connection: &C,
        namespace: &Namespace,
        id: &[u8],
        spend: &dyn Fn() -> bool,
    ) -> Option<Resumed<'_>> {
        let key = self.key(namespace, id)?;
        self.take_anywhere(&Question { connection, namespace, id, key: &key, spend })
    }

    /// `None`, counted: no session has such an id. Neither table nor callback is asked.
    pub(super) fn key(&self, namespace: &Namespace, id: &[u8]) -> Option<Key> {
        let mut key = Key::EMPTY;
        self.look_up_key(&mut key, namespace, id).then_some(key)
    }

    /// As `key`, in place.
    #[inline(always)]
    fn look_up_key(&self, key: &mut Key, namespace: &Namespace, id: &[u8]) -> bool {
        if !self.name_key(key, namespace, id) {
            self.shared.counters.reject(Rejection::IdLength);
            return false;
        }
        let minted = self.mints(namespace, id);
        if !minted {
            self.shared.counters.reject(Rejection::ForeignId);
        }
        minted
    }

    /// An id can't be one of a session: counted, where an adapter knows it before the cache does.
    #[cfg(feature = "rustls-0_23")]
    pub(crate) fn reject_id(&self) {
        self.shared.counters.reject(Rejection::IdLength);
    }

    /// As `key`, also for ids that were minted elsewhere.
    fn key_of_any(&self, namespace: &Namespace, id: &[u8]) -> Option<Key> {
        let key = self.key_named(namespace, id);
        if key.is_none() {
            self.shared.counters.reject(Rejection::IdLength);
        }
        key
    }

    /// Whether a session may have this id.
    #[cfg(feature = "tagged-ids")]
    pub(super) fn mints(&self, namespace: &Namespace, id: &[u8]) -> bool {
        self.shared.tags.as_ref().is_none_or(|tags| tags.recognises(namespace, id))
    }

    #[cfg(not(feature = "tagged-ids"))]
    #[expect(clippy::unused_self, reason = "the feature's form needs it")]
    pub(super) fn mints(&self, _: &Namespace, _: &[u8]) -> bool {
        true
    }
}
