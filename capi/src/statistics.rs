//! What a cache has counted, as C sees it.

use crate::session::{Cause, Reason, ms};
use halfshake::session::{BreakerState, NamespaceStats, SessionStats};

/// The places in `removed` of halfshake_stats, more than there are causes.
pub const HALFSHAKE_CAUSES: usize = 16;
/// The places in `rejected` of halfshake_stats, more than there are reasons.
pub const HALFSHAKE_REASONS: usize = 16;

/// What a cache has counted since it was made; gauges say how things are now. Exact once its
/// threads are quiet. Set `size` to sizeof(halfshake_stats) before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Statistics {
    /// sizeof(halfshake_stats).
    pub size: usize,
    /// Gauge: sessions whose remove callback is not done yet, the live ones above all
    /// (SSL_CTX_sess_number).
    pub number: u64,
    /// Client handshakes that were noted as started (SSL_CTX_sess_connect).
    pub connect: u64,
    /// As finished (SSL_CTX_sess_connect_good).
    pub connect_good: u64,
    /// As renegotiated (SSL_CTX_sess_connect_renegotiate).
    pub connect_renegotiate: u64,
    /// Server handshakes that were noted as started (SSL_CTX_sess_accept).
    pub accept: u64,
    /// As finished (SSL_CTX_sess_accept_good).
    pub accept_good: u64,
    /// As renegotiated (SSL_CTX_sess_accept_renegotiate).
    pub accept_renegotiate: u64,
    /// Look-ups that found a session, inside or outside (SSL_CTX_sess_hits).
    pub hits: u64,
    /// Sessions that the get callback gave, used or not (SSL_CTX_sess_cb_hits).
    pub cb_hits: u64,
    /// Look-ups of an id that is not inside (SSL_CTX_sess_misses).
    pub misses: u64,
    /// Sessions that were asked for and had expired (SSL_CTX_sess_timeouts).
    pub timeouts: u64,
    /// Sessions that had to make room (SSL_CTX_sess_cache_full).
    pub cache_full: u64,
    /// Gauge: bytes that the sessions take.
    pub bytes: u64,
    /// The limit of sessions.
    pub capacity: u64,
    /// The limit in bytes; 0 without one.
    pub capacity_bytes: u64,
    /// Sessions that were stored. Once the cache is quiet: number, and all of `removed`.
    pub inserts: u64,
    /// Sessions that left, by enum halfshake_cause.
    pub removed: [u64; HALFSHAKE_CAUSES],
    /// Sessions and ids that were not accepted, by enum halfshake_reason.
    pub rejected: [u64; HALFSHAKE_REASONS],
    /// Sessions that were not stored: HALFSHAKE_NO_ROOM.
    pub refused_no_room: u64,
    /// HALFSHAKE_FULL.
    pub refused_full: u64,
    /// HALFSHAKE_TOO_LARGE.
    pub refused_too_large: u64,
    /// HALFSHAKE_CLOSED.
    pub refused_closed: u64,
    /// Look-ups that found a session inside.
    pub internal_hits: u64,
    /// Look-ups that found an expired session inside.
    pub internal_expired: u64,
    /// Calls of the get callback.
    pub asked: u64,
    /// Look-ups that used a session which it gave.
    pub used: u64,
    /// Calls that found nothing.
    pub unknown_outside: u64,
    /// Calls that said that they failed.
    pub failed: u64,
    /// Look-ups that joined another thread's look-up of the same id.
    pub joined: u64,
    /// Those of them that waited in vain.
    pub timed_out: u64,
    /// Look-ups that their budget kept from asking.
    pub over_budget: u64,
    /// Look-ups of an id that the callback had just said it does not know.
    pub remembered: u64,
    /// Look-ups that did not ask because the callback had failed too often.
    pub refused_by_breaker: u64,
    /// How often that began.
    pub breaker_opened: u64,
    /// Gauge: 1 while it lasts.
    pub breaker_is_open: u64,
    /// Time that look-ups outside took, all together, in microseconds.
    pub external_us: u64,
    /// Calls of the new callback.
    pub new_calls: u64,
    /// Calls that refused the session.
    pub new_refusals: u64,
    /// Sessions from outside that were used and not stored, since their id was changed meanwhile.
    pub not_stored_changed: u64,
    /// Gauge: look-ups that are outside.
    pub in_flight: u64,
    /// Gauge: sessions that have left and whose memory waits for a reader.
    pub retired: u64,
    /// Gauge: remove callbacks that were left to the cache's thread and have not returned.
    pub undelivered: u64,
}

impl From<SessionStats> for Statistics {
    fn from(stats: SessionStats) -> Self {
        let (ssl, engine) = (stats.ssl(), &stats.engine);
        let mut removed = [0; HALFSHAKE_CAUSES];
        for (place, (cause, _)) in removed.iter_mut().zip(Cause::ALL) {
            *place = engine.removed_by(cause);
        }
        let mut rejected = [0; HALFSHAKE_REASONS];
        for (place, (reason, _)) in rejected.iter_mut().zip(Reason::ALL) {
            *place = stats.rejected_for(reason);
        }
        Self {
            size: size_of::<Self>(),
            number: ssl.number,
            connect: ssl.connect,
            connect_good: ssl.connect_good,
            connect_renegotiate: ssl.connect_renegotiate,
            accept: ssl.accept,
            accept_good: ssl.accept_good,
            accept_renegotiate: ssl.accept_renegotiate,
            hits: ssl.hits,
            cb_hits: ssl.cb_hits,
            misses: ssl.misses,
            timeouts: ssl.timeouts,
            cache_full: ssl.cache_full,
            bytes: engine.bytes,
            capacity: engine.capacity,
            capacity_bytes: engine.capacity_bytes.unwrap_or(0),
            inserts: engine.inserts,
            removed,
            rejected,
            refused_no_room: engine.refused_no_room,
            refused_full: engine.refused_full,
            refused_too_large: engine.refused_too_large,
            refused_closed: engine.refused_closed,
            internal_hits: stats.internal_hits,
            internal_expired: stats.internal_expired,
            asked: stats.asked,
            used: stats.used,
            unknown_outside: stats.unknown_outside,
            failed: stats.failed,
            joined: stats.joined,
            timed_out: stats.timed_out,
            over_budget: stats.over_budget,
            remembered: stats.remembered,
            refused_by_breaker: stats.refused_by_breaker,
            breaker_opened: stats.breaker_opened,
            breaker_is_open: u64::from(stats.breaker != BreakerState::Closed),
            external_us: u64::try_from(stats.external_time.as_micros()).unwrap_or(u64::MAX),
            new_calls: stats.new_calls,
            new_refusals: stats.new_refusals,
            not_stored_changed: stats.not_stored_changed,
            in_flight: stats.in_flight,
            retired: engine.retired_entries,
            undelivered: engine.undelivered,
        }
    }
}

/// What the cache holds of one namespace. Set `size` to sizeof(halfshake_namespace_stats) before
/// the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NamespaceStatistics {
    /// sizeof(halfshake_namespace_stats).
    pub size: usize,
    /// How many sessions there are.
    pub sessions: u64,
    /// Bytes of their payloads together.
    pub payload_bytes: u64,
    /// When the first of them expires, in milliseconds since 1970; 0: there is none.
    pub next_expiry_ms: u64,
}

impl From<NamespaceStats> for NamespaceStatistics {
    fn from(stats: NamespaceStats) -> Self {
        Self {
            size: size_of::<Self>(),
            sessions: stats.sessions,
            payload_bytes: stats.payload_bytes,
            next_expiry_ms: stats.next_expiry.map_or(0, ms),
        }
    }
}
