//! The options of a cache, as C gives them.

use crate::compat::{HALFSHAKE_COMPAT_STRICT, quirks};
use crate::result::{Code, Failure, Outcome};
use halfshake::session::{Compat, Modes, SessionBuilder};
use halfshake::{Delivery, Maintenance};
use std::time::Duration;

/// Nothing is cached. The get callback is asked all the same; what it finds is used, not stored.
pub const HALFSHAKE_MODE_OFF: u32 = 0;
/// Sessions of the client side are cached.
pub const HALFSHAKE_MODE_CLIENT: u32 = 0x1;
/// Sessions of the server side are cached. The default.
pub const HALFSHAKE_MODE_SERVER: u32 = 0x2;
/// Both sides.
pub const HALFSHAKE_MODE_BOTH: u32 = 0x3;
/// What has expired stays until it is flushed, replaced or removed, or has to make room. It is
/// never found.
pub const HALFSHAKE_MODE_NO_AUTO_CLEAR: u32 = 0x80;
/// Look-ups do not look inside; they ask the get callback.
pub const HALFSHAKE_MODE_NO_INTERNAL_LOOKUP: u32 = 0x100;
/// Sessions are not stored by themselves, neither new ones nor what the get callback finds.
pub const HALFSHAKE_MODE_NO_INTERNAL_STORE: u32 = 0x200;
/// Both.
pub const HALFSHAKE_MODE_NO_INTERNAL: u32 = 0x300;
/// A session that is used lives for another timeout from then on.
pub const HALFSHAKE_MODE_UPDATE_TIME: u32 = 0x400;

/// The cache has a thread that advances time and removes what has expired. The default.
pub const HALFSHAKE_MAINTENANCE_THREAD: u32 = 0;
/// The program calls halfshake_cache_run_maintenance now and then.
pub const HALFSHAKE_MAINTENANCE_EMBEDDER: u32 = 1;
/// The thread is started by the first session that is stored, in the process that stores it: for a
/// cache that is made before a fork(2) and used after it, in each child for itself. The parent
/// must not have used the cache, nor have had threads that did, when it forked.
pub const HALFSHAKE_MAINTENANCE_LAZY: u32 = 2;
/// The remove callback runs on the thread whose call removed the session. The default.
pub const HALFSHAKE_DELIVERY_CALLER: u32 = 0;
/// The remove callback runs on a thread of the cache's own. A session keeps its place until that
/// is done, so a callback that is too slow leads to HALFSHAKE_NO_ROOM.
pub const HALFSHAKE_DELIVERY_THREAD: u32 = 1;

/// What a cache is made with. Call halfshake_options_init first, then change what you like;
/// `capacity` has no default. All times are in milliseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// sizeof(halfshake_options), as halfshake_options_init has set it.
    pub size: usize,
    /// The most sessions that the cache ever holds. Required.
    pub capacity: u64,
    /// What halfshake_cache_set_capacity may raise that to. Default 0: the capacity.
    pub max_capacity: u64,
    /// The most bytes that the sessions may take together. Default 0: no such limit.
    pub capacity_bytes: u64,
    /// The timeout of new sessions. Default 7200000 (two hours). 0: nothing is stored.
    pub timeout_ms: u64,
    /// For how long a first authentication is good, however often a session is renewed. Default:
    /// a week.
    pub max_lifetime_ms: u64,
    /// HALFSHAKE_MODE_*. Default: HALFSHAKE_MODE_SERVER.
    pub modes: u32,
    /// HALFSHAKE_COMPAT_*. Default: HALFSHAKE_COMPAT_STRICT.
    pub compat: u32,
    /// The longest id that is accepted. Default 32, at most 64.
    pub max_id_bytes: usize,
    /// The largest payload that is accepted. Default 65536.
    pub max_payload_bytes: usize,
    /// By how much the clock of who made a session may be ahead. Default 5000.
    pub clock_skew_ms: u64,
    /// How long the get callback may take before that counts as a failure, and before those who
    /// wait for another thread's answer give up. Default 1000.
    pub lookup_timeout_ms: u64,
    /// How many ids are remembered that the get callback did not know. Default 4096, at most
    /// 1048576. 0: none.
    pub unknown_ids: usize,
    /// For how long, at most 2000: until then a look-up of such an id is a miss, and the callback
    /// is not asked. Default 1000.
    pub unknown_ms: u64,
    /// After so many failures of the get callback in a row it is left alone for a while.
    /// Default 8. 0: never.
    pub breaker_failures: u64,
    /// For how long. Default 1000.
    pub breaker_pause_ms: u64,
    /// How long after its end an expired session's remove callback comes at the latest. Default
    /// 1000.
    pub sweep_interval_ms: u64,
    /// Memory for sessions that is mapped and touched when the cache is made, on huge pages where
    /// the system has them, in bytes; a session takes its payload and about 150. Default 0: it is
    /// mapped as it is needed.
    pub preallocate_bytes: u64,
    /// A power of two up to 1024. Default 0: by the number of processors.
    pub shards: u32,
    /// HALFSHAKE_MAINTENANCE_*. Threads do not survive fork(2): make the cache after it, or take
    /// HALFSHAKE_MAINTENANCE_LAZY.
    pub maintenance: u32,
    /// HALFSHAKE_DELIVERY_*.
    pub delivery: u32,
    /// Must be 0.
    pub reserved: u32,
}

impl Options {
    /// What `halfshake_options_init` gives.
    pub(crate) const fn new() -> Self {
        Self {
            size: size_of::<Self>(),
            capacity: 0,
            max_capacity: 0,
            capacity_bytes: 0,
            timeout_ms: 7_200_000,
            max_lifetime_ms: 7 * 24 * 3_600_000,
            modes: HALFSHAKE_MODE_SERVER,
            compat: HALFSHAKE_COMPAT_STRICT,
            max_id_bytes: 32,
            max_payload_bytes: 64 << 10,
            clock_skew_ms: 5000,
            lookup_timeout_ms: 1000,
            unknown_ids: 4096,
            unknown_ms: 1000,
            breaker_failures: 8,
            breaker_pause_ms: 1000,
            sweep_interval_ms: 1000,
            preallocate_bytes: 0,
            shards: 0,
            maintenance: HALFSHAKE_MAINTENANCE_THREAD,
            delivery: HALFSHAKE_DELIVERY_CALLER,
            reserved: 0,
        }
    }

    /// The quirks, of which one matters here, too.
    pub(crate) fn quirks(&self) -> Outcome<Compat> {
        quirks(self.compat)
    }

    /// Gives a builder all of it.
    pub(crate) fn apply<C>(&self, builder: SessionBuilder<C>) -> Outcome<SessionBuilder<C>> {
        let ms = Duration::from_millis;
        let mut builder = builder
            .capacity(self.capacity)
            .timeout(ms(self.timeout_ms))
            .max_lifetime(ms(self.max_lifetime_ms))
            .modes(modes(self.modes)?)
            .compat(self.quirks()?)
            .max_id_bytes(self.id_max()?)
            .max_payload_bytes(self.max_payload_bytes)
            .clock_skew(ms(self.clock_skew_ms))
            .lookup_timeout(ms(self.lookup_timeout_ms))
            .remember_unknown(self.unknown_ids, ms(self.unknown_ms))
            .breaker(self.breaker_failures, ms(self.breaker_pause_ms))
            .sweep_interval(ms(self.sweep_interval_ms))
            .preallocate(self.preallocate_bytes)
            .maintenance(match self.maintenance {
                HALFSHAKE_MAINTENANCE_THREAD => Maintenance::Thread,
                HALFSHAKE_MAINTENANCE_EMBEDDER => Maintenance::Embedder,
                HALFSHAKE_MAINTENANCE_LAZY => Maintenance::Lazy,
                other => return Err(Failure::meaningless("maintenance", other)),
            })
            .delivery(match self.delivery {
                HALFSHAKE_DELIVERY_CALLER => Delivery::Caller,
                HALFSHAKE_DELIVERY_THREAD => Delivery::Thread,
                other => return Err(Failure::meaningless("delivery", other)),
            });
        if self.reserved != 0 {
            return Err(Failure::meaningless("reserved", self.reserved));
        }
        if self.max_capacity != 0 {
            builder = builder.max_capacity(self.max_capacity);
        }
        if self.capacity_bytes != 0 {
            builder = builder.capacity_bytes(self.capacity_bytes);
        }
        if self.shards != 0 {
            builder = builder.shards(self.shards as usize);
        }
        Ok(builder)
    }

    pub(crate) fn id_max(&self) -> Outcome<usize> {
        if (1..=halfshake::session::ID_MAX).contains(&self.max_id_bytes) {
            return Ok(self.max_id_bytes);
        }
        let message = format!("max_id_bytes: 1 to 64 are possible, not {}", self.max_id_bytes);
        Err(Failure::new(Code::HALFSHAKE_BAD_SETTING, message))
    }
}

/// Modes from their bits.
pub(crate) fn modes(bits: u32) -> Outcome<Modes> {
    Modes::from_bits(bits).ok_or_else(|| Failure::meaningless("modes", bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_the_bits_of_the_library() {
        for (bits, modes) in [
            (HALFSHAKE_MODE_OFF, Modes::OFF),
            (HALFSHAKE_MODE_CLIENT, Modes::CLIENT),
            (HALFSHAKE_MODE_SERVER, Modes::SERVER),
            (HALFSHAKE_MODE_BOTH, Modes::BOTH),
            (HALFSHAKE_MODE_NO_AUTO_CLEAR, Modes::NO_AUTO_CLEAR),
            (HALFSHAKE_MODE_NO_INTERNAL_LOOKUP, Modes::NO_INTERNAL_LOOKUP),
            (HALFSHAKE_MODE_NO_INTERNAL_STORE, Modes::NO_INTERNAL_STORE),
            (HALFSHAKE_MODE_NO_INTERNAL, Modes::NO_INTERNAL),
            (HALFSHAKE_MODE_UPDATE_TIME, Modes::UPDATE_TIME),
        ] {
            assert_eq!(bits, modes.bits());
            assert_eq!(super::modes(bits).unwrap(), modes);
        }
        assert!(super::modes(0x4).is_err());
    }

    #[test]
    fn a_structure_has_no_holes() {
        // What C leaves in a hole would be read as the next version's field.
        assert_eq!(size_of::<Options>(), 8 * 16 + 4 * 6);
    }
}
