//! Settings of a session cache.

use super::counters::Counters;
use super::id::{Namespace, SESSION_ID_LIMIT, SESSION_ID_MAX};
use super::modes::Modes;
use super::record::{VALUE_HEADER, millis};
use super::{SessionCache, Shared};
use crate::builder::{Builder, Maintenance};
use crate::cache::BytesCache;
use crate::clock::{Clock, UnixClock};
use crate::engine::Delivery;
use crate::error::{BadSetting, ConfigError};
use crate::sync::{PlainU64, Swap};
use std::fmt::{Debug, Formatter};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The timeout of the manual page.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// What RFC 8446 (4.6.1) allows a ticket.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// A session with a long chain of certificates has some ten thousand bytes.
const DEFAULT_PAYLOAD: usize = 64 << 10;

/// Settings of a [`SessionCache`], made by [`SessionCache::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct SessionCacheBuilder<C> {
    cache: Builder<[u8], [u8]>,
    wall: Arc<dyn Clock>,
    modes: Modes,
    timeout: Duration,
    maximum_lifetime: Duration,
    longest_id: usize,
    largest_payload: usize,
    connection: PhantomData<fn(&C)>,
}

impl<C> Debug for SessionCacheBuilder<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCacheBuilder").field("modes", &self.modes).finish_non_exhaustive()
    }
}

impl<C: 'static> SessionCache<C> {
    /// Settings with the defaults of the manual page.
    pub fn builder() -> SessionCacheBuilder<C> {
        SessionCacheBuilder {
            cache: BytesCache::builder().stamped(),
            wall: Arc::new(UnixClock),
            modes: Modes::default(),
            timeout: DEFAULT_TIMEOUT,
            maximum_lifetime: DEFAULT_LIFETIME,
            longest_id: SESSION_ID_MAX,
            largest_payload: DEFAULT_PAYLOAD,
            connection: PhantomData,
        }
    }
}

impl<C: 'static> SessionCacheBuilder<C> {
    /// The most sessions that the internal cache ever holds. Required.
    pub fn capacity(self, sessions: u64) -> Self {
        Self { cache: self.cache.capacity(sessions), ..self }
    }

    /// What [`SessionCache::set_capacity`] may raise the limit to. By default the capacity.
    pub fn max_capacity(self, sessions: u64) -> Self {
        Self { cache: self.cache.max_capacity(sessions), ..self }
    }

    /// The most bytes that the sessions of the internal cache may take together.
    pub fn capacity_bytes(self, bytes: u64) -> Self {
        Self { cache: self.cache.capacity_bytes(bytes), ..self }
    }

    /// The timeout of sessions that bring none. By default 300 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long after its authentication a session may be resumed, however often it was renewed. By
    /// default 7 days.
    pub fn maximum_lifetime(self, lifetime: Duration) -> Self {
        Self { maximum_lifetime: lifetime, ..self }
    }

    /// The modes. By default [`Modes::SERVER`].
    pub fn modes(self, modes: Modes) -> Self {
        Self { modes, ..self }
    }

    /// The longest id that is taken, 1 to 64 bytes. By default 32, as TLS has them.
    pub fn longest_id(self, bytes: usize) -> Self {
        Self { longest_id: bytes, ..self }
    }

    /// The largest payload that the get callback may answer with. By default 64 KiB.
    pub fn largest_payload(self, bytes: usize) -> Self {
        Self { largest_payload: bytes, ..self }
    }

    /// The clock that sessions expire by: monotonic, from any origin. By default the system's.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { cache: self.cache.clock(clock), ..self }
    }

    /// The clock of records that leave the process: time since the Unix epoch. By default the
    /// system's.
    pub fn wall_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { wall: clock, ..self }
    }

    /// Who advances time and epochs, and sweeps. By default a thread.
    pub fn maintenance(self, maintenance: Maintenance) -> Self {
        Self { cache: self.cache.maintenance(maintenance), ..self }
    }

    /// On which thread the remove callback is called. By default the one that removes.
    pub fn delivery(self, delivery: Delivery) -> Self {
        Self { cache: self.cache.delivery(delivery), ..self }
    }

    /// How long after its end a session's removal is told at the latest. By default a second.
    pub fn sweep_interval(self, interval: Duration) -> Self {
        Self { cache: self.cache.sweep_interval(interval), ..self }
    }

    /// Makes the cache, with a handle for this namespace.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad setting.
    pub fn build(self, namespace: Namespace) -> Result<SessionCache<C>, ConfigError> {
        let mut bad = Vec::new();
        if !(1..=SESSION_ID_LIMIT).contains(&self.longest_id) {
            bad.push(BadSetting::IdLength { bytes: self.longest_id });
        }
        if self.largest_payload > u32::MAX as usize - VALUE_HEADER {
            bad.push(BadSetting::PayloadLength { bytes: self.largest_payload });
        }
        if !bad.is_empty() {
            return Err(ConfigError::new(bad));
        }
        let shared = Shared {
            cache: self.cache.build()?,
            wall: self.wall,
            modes: PlainU64::new(u64::from(self.modes.bits())),
            timeout: PlainU64::new(millis(self.timeout)),
            maximum_lifetime: self.maximum_lifetime,
            longest_id: self.longest_id,
            largest_payload: self.largest_payload,
            new: Swap::new(None),
            get: Swap::new(None),
            remove: Swap::new(None),
            setting: Mutex::new(()),
            counters: Counters::new(),
        };
        Ok(SessionCache { shared: Arc::new(shared), namespace, side: Modes::SERVER })
    }
}
