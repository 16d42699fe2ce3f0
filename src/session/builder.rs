//! The settings of a session cache.

use super::breaker::Breaker;
use super::callbacks::{Answer, Asked, Callbacks, Getter, New, NewCallback, RemoveCallback};
use super::callbacks::{Removed, Verdict};
use super::compat::Compat;
use super::counters::Counters;
use super::flights::Flights;
use super::id::ID_MAX;
use super::modes::Modes;
use super::record::milliseconds;
use super::unknown::{MOST_IDS, Unknown};
use super::{SessionCache, Shared};
use crate::builder::{Builder, Maintenance};
use crate::cache::BytesCache;
use crate::clock::{Clock, Time, WallClock};
use crate::engine::Delivery;
use crate::error::{BadSetting, ConfigError};
use crate::hash::random_state;
use crate::sync::{AtomicU32, Lock, PlainU64};
use std::sync::Arc;
use std::time::Duration;

/// As OpenSSL has it in code; its manual page says 300 s.
const TIMEOUT: Duration = Duration::from_secs(7200);
/// How long the first authentication is good for, however often a session is renewed.
const MAX_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
const TLS_ID_MAX: usize = 32;
const MAX_PAYLOAD: usize = 64 << 10;
/// By how much the clock of another machine may be ahead.
const SKEW: Duration = Duration::from_secs(5);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// Ids that are remembered as unknown, and for how long.
const UNKNOWN_IDS: usize = 4096;
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Failures in a row that open the breaker, and for how long.
const FAILURES: u64 = 8;
const PAUSE: Duration = Duration::from_secs(1);

/// Collects the settings of a [`SessionCache`]; [`build`](Self::build) checks them all.
#[must_use = "nothing is built before `build`"]
pub struct SessionBuilder<C: 'static> {
    engine: Builder<[u8], [u8]>,
    wall: Option<Arc<dyn Clock>>,
    callbacks: Callbacks<C>,
    modes: Modes,
    compat: Compat,
    /// The limit of sessions, and what it may be raised to.
    capacity: (u64, Option<u64>),
    timeout: Duration,
    max_lifetime: Duration,
    id_max: usize,
    max_payload: usize,
    skew: Duration,
    lookup_timeout: Duration,
    unknown: (usize, Duration),
    breaker: (u64, Duration),
    #[cfg(feature = "tagged-ids")]
    tags: Option<Arc<super::IdTags>>,
}

impl<C> std::fmt::Debug for SessionBuilder<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionBuilder").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl<C: 'static> SessionBuilder<C> {
    pub(super) fn new() -> Self {
        Self {
            engine: BytesCache::builder_with_hasher(random_state()),
            wall: None,
            callbacks: Callbacks::none(),
            modes: Modes::default(),
            compat: Compat::strict(),
            capacity: (0, None),
            timeout: TIMEOUT,
            max_lifetime: MAX_LIFETIME,
            id_max: TLS_ID_MAX,
            max_payload: MAX_PAYLOAD,
            skew: SKEW,
            lookup_timeout: LOOKUP_TIMEOUT,
            unknown: (UNKNOWN_IDS, UNKNOWN_FOR),
            breaker: (FAILURES, PAUSE),
            #[cfg(feature = "tagged-ids")]
            tags: None,
        }
    }

    fn engine(self, set: impl FnOnce(Builder<[u8], [u8]>) -> Builder<[u8], [u8]>) -> Self {
        Self { engine: set(self.engine), ..self }
    }

    /// The most sessions that the internal cache ever holds. Required.
    pub fn capacity(self, sessions: u64) -> Self {
        Self { capacity: (sessions, self.capacity.1), ..self }
    }

    /// What [`SessionCache::set_capacity`] may raise that to. By default the capacity.
    pub fn max_capacity(self, sessions: u64) -> Self {
        Self { capacity: (self.capacity.0, Some(sessions)), ..self }
    }

    /// The most bytes that the sessions may take together. By default only their number counts.
    pub fn capacity_bytes(self, bytes: u64) -> Self {
        self.engine(|engine| engine.capacity_bytes(bytes))
    }

    /// Memory for sessions that is there from the beginning: see
    /// [`Builder::preallocate`](crate::Builder::preallocate). Besides its payload a session takes
    /// about 150 bytes, with an id of 32.
    pub fn preallocate(self, bytes: u64) -> Self {
        self.engine(|engine| engine.preallocate(bytes))
    }

    /// The timeout of new sessions. By default 7,200 s. 0: they expire at once, nothing is stored.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// For how long the first authentication is good, however often a session is renewed. By
    /// default a week.
    pub fn max_lifetime(self, max_lifetime: Duration) -> Self {
        Self { max_lifetime, ..self }
    }

    /// The modes at the beginning. By default [`Modes::SERVER`].
    pub fn modes(self, modes: Modes) -> Self {
        Self { modes, ..self }
    }

    /// Which quirks of OpenSSL and its kin the cache has. By default none.
    pub fn compat(self, compat: Compat) -> Self {
        Self { compat, ..self }
    }

    /// The longest id that is accepted, 32 by default, 64 at most.
    pub fn max_id_bytes(self, bytes: usize) -> Self {
        Self { id_max: bytes.min(ID_MAX), ..self }
    }

    /// The largest payload that is accepted, 64 KiB by default.
    pub fn max_payload_bytes(self, bytes: usize) -> Self {
        Self { max_payload: bytes, ..self }
    }

    /// By how much the clock of whoever made a session may be ahead. By default 5 s.
    pub fn clock_skew(self, skew: Duration) -> Self {
        Self { skew, ..self }
    }

    /// How long a look-up outside may take before it is a miss, by the system's clock. By default
    /// a second.
    ///
    /// Of an asynchronous callback nobody waits for longer, and the last one who gives up drops its
    /// future. One that blocks can't be stopped: those who have joined it give up, whoever called
    /// it waits for it, and it counts as a failure for the [breaker](Self::breaker).
    pub fn lookup_timeout(self, timeout: Duration) -> Self {
        Self { lookup_timeout: timeout, ..self }
    }

    /// For how long, 2 s at most, an id that the get callback does not know is a miss without
    /// another call, and how many such ids are remembered, 1,048,576 at most. By default 4,096 for
    /// a second. A zero switches it off, whatever the other one is. They take 8 bytes each, as many
    /// as the next power of two: 32 KiB by default, 8 MiB at most.
    ///
    /// An id that is put into this cache is forgotten at once. One that another process puts into
    /// a shared store is not.
    pub fn remember_unknown(self, ids: usize, time: Duration) -> Self {
        let is_off = ids == 0 || time.is_zero();
        Self { unknown: if is_off { (0, Duration::ZERO) } else { (ids, time) }, ..self }
    }

    /// After so many failures of the get callback in a row ([`Answer::failed`], panics, and what
    /// takes longer than [`lookup_timeout`](Self::lookup_timeout)) look-ups are misses for a
    /// while; then one of them tries again for each such pause. By default after 8, for a second.
    /// 0 failures: never.
    pub fn breaker(self, failures: u64, pause: Duration) -> Self {
        Self { breaker: (failures, pause), ..self }
    }

    /// Only ids with such a tag are sessions of this cache: others are neither looked up, inside or
    /// outside, nor stored. By default any id is.
    #[cfg(feature = "tagged-ids")]
    pub fn id_tags(self, tags: Arc<super::IdTags>) -> Self {
        Self { tags: Some(tags), ..self }
    }

    /// The monotonic clock; by default the system's.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.engine(|engine| engine.clock(clock))
    }

    /// The wall clock, which tells the time since 1970; by default the system's. It is only asked
    /// about what leaves or enters the process. If it steps back, the latest time that it has told
    /// stays.
    pub fn wall_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { wall: Some(clock), ..self }
    }

    /// Who advances time and sweeps. By default a thread of the cache's own.
    pub fn maintenance(self, maintenance: Maintenance) -> Self {
        self.engine(|engine| engine.maintenance(maintenance))
    }

    /// On which thread the remove callback runs. By default the caller's.
    ///
    /// With [`Delivery::Thread`] an external store is told *after* an operation has returned. Until
    /// then it may still give what was taken or removed here: single use, and that what was removed
    /// stays away, hold for the internal cache alone. A server of TLS 1.3 with an external store
    /// stays with the default.
    pub fn delivery(self, delivery: Delivery) -> Self {
        self.engine(|engine| engine.delivery(delivery))
    }

    /// How long after its deadline a session's `Expired` event comes at the latest.
    pub fn sweep_interval(self, interval: Duration) -> Self {
        self.engine(|engine| engine.sweep_interval(interval))
    }

    /// The number of shards: see [`Builder::shards`].
    pub fn shards(self, shards: usize) -> Self {
        self.engine(|engine| engine.shards(shards))
    }

    /// See `Builder::fewest_sets`.
    #[cfg(any(test, feature = "validate"))]
    #[doc(hidden)]
    pub fn fewest_sets(self, sets: u64) -> Self {
        self.engine(|engine| engine.fewest_sets(sets))
    }

    /// See [`SessionCache::set_new_callback`].
    pub fn new_callback(
        self,
        callback: impl Fn(&C, &New<'_, C>) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        let callback: Arc<NewCallback<C>> = Arc::new(callback);
        self.callbacks.new.swap(Some(Arc::new(callback)));
        self
    }

    /// See [`SessionCache::set_remove_callback`].
    pub fn remove_callback(
        self,
        callback: impl Fn(&Removed<'_, C>) + Send + Sync + 'static,
    ) -> Self {
        let callback: Arc<RemoveCallback<C>> = Arc::new(callback);
        self.callbacks.remove.swap(Some(Arc::new(callback)));
        self
    }

    /// See [`SessionCache::set_get_callback`].
    pub fn get_callback(
        self,
        callback: impl Fn(&C, &Asked<'_, C>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.callbacks.get.swap(Some(Arc::new(Getter::Sync(Arc::new(callback)))));
        self
    }

    /// See [`SessionCache::set_async_get_callback`].
    pub fn async_get_callback<F: Future<Output = Answer> + Send + 'static>(
        self,
        callback: impl Fn(&C, &Asked<'_, C>) -> F + Send + Sync + 'static,
    ) -> Self {
        self.callbacks.get.swap(Some(Arc::new(super::callbacks::asynchronous(callback))));
        self
    }

    /// Allocates the cache, and starts its threads if it has any.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad setting.
    pub fn build(self) -> Result<SessionCache<C>, ConfigError> {
        let (compat, (capacity, max)) = (self.compat, self.capacity);
        let most = max.unwrap_or(capacity);
        let engine = self.engine.capacity(compat.capacity(capacity, most)).max_capacity(most);
        let ids = self.unknown.0;
        let bad = (ids > MOST_IDS).then_some(BadSetting::UnknownIds { ids, most: MOST_IDS });
        let store = match (engine.build(), bad) {
            (Ok(store), None) => store,
            (Ok(_), Some(bad)) => return Err(bad.into()),
            (Err(others), bad) => return Err(others.and(bad)),
        };
        let wall = self.wall.unwrap_or_else(|| Arc::new(WallClock));
        let shared = Arc::new(Shared {
            callbacks: self.callbacks,
            modes: AtomicU32::new(compat.rules(self.modes).bits()),
            compat,
            counted: PlainU64::new(0),
            changing_modes: Lock::new(()),
            changing_remove: Lock::new(()),
            timeout: PlainU64::new(milliseconds(self.timeout)),
            max_lifetime: self.max_lifetime,
            id_max: self.id_max,
            max_payload: self.max_payload,
            skew: self.skew,
            lookup_timeout: self.lookup_timeout,
            unknown: Unknown::new(self.unknown.0, self.unknown.1),
            breaker: Breaker::new(self.breaker.0, self.breaker.1),
            #[cfg(feature = "tagged-ids")]
            tags: self.tags,
            wall: Time::new(wall, false),
            flights: Flights::new(),
            counters: Counters::new(),
        });
        store.core.keep_expired(compat.keeps_expired(self.modes));
        let cache = SessionCache { shared, store };
        // Nothing can have left before anybody has the cache.
        if let Some(callback) = cache.remove_callback() {
            cache.swap_remove(Some(callback));
        }
        Ok(cache)
    }
}
