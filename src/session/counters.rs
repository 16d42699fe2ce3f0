//! What a session cache counts beside its engine; and the names that OpenSSL has for it.

use super::breaker::BreakerState;
use crate::engine::Miss;
use crate::stats::Stats;
use crate::sync::{Ordering, PlainU64};
use crossbeam_utils::CachePadded;
use std::time::Duration;

const SHARDS: usize = 8;

/// One counter of a session cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// What the engine counts as a hit, and is none here.
    OwnHits,
    /// The same of misses: whoever missed has looked again.
    OwnMisses,
    OwnExpired,
    Asked,
    Found,
    Used,
    UnknownOutside,
    Failed,
    TimedOut,
    Joined,
    Nested,
    OverBudget,
    Remembered,
    Broken,
    Opened,
    ExternalMicroseconds,
    GetPanics,
    NewCalls,
    NewRefusals,
    NewPanics,
    NotStoredMarked,
    ConnectStarted,
    ConnectFinished,
    ConnectRenegotiated,
    AcceptStarted,
    AcceptFinished,
    AcceptRenegotiated,
    /// The first of the reasons, in the order of [`Rejection::ALL`].
    Rejected,
}

const COUNTS: usize = Count::Rejected as usize + Rejection::ALL.len();

/// Why something that came from outside was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// An id was proposed that no session can have: empty, or too long.
    IdLength,
    /// Bytes that are no session.
    Malformed,
    /// A session of another namespace.
    Namespace,
    /// A session with another id than the one that was asked for.
    Id,
    /// It has expired.
    Expired,
    /// It was made in the future.
    FromTheFuture,
    /// Its payload is larger than the cache accepts.
    TooLarge,
    /// Its id was not minted here: see `SessionBuilder::id_tags`.
    ForeignId,
    /// A session of another protocol version than the connection's (where the adapter can tell).
    Version,
}

impl Rejection {
    /// Every reason, in the order of the counters in [`SessionStats::rejected`].
    pub const ALL: [Self; 9] = [
        Self::IdLength,
        Self::Malformed,
        Self::Namespace,
        Self::Id,
        Self::Expired,
        Self::FromTheFuture,
        Self::TooLarge,
        Self::ForeignId,
        Self::Version,
    ];

    /// The name as metrics and logs use it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IdLength => "id_length",
            Self::Malformed => "malformed",
            Self::Namespace => "namespace",
            Self::Id => "id",
            Self::Expired => "expired",
            Self::FromTheFuture => "from_the_future",
            Self::TooLarge => "too_large",
            Self::ForeignId => "foreign_id",
            Self::Version => "version",
        }
    }
}

/// Counters that any thread adds to; sharded, for they are not on the path of an internal hit.
#[derive(Debug)]
pub(super) struct Counters([CachePadded<[PlainU64; COUNTS]>; SHARDS]);

impl Counters {
    pub(super) fn new() -> Self {
        let words = || CachePadded::new(std::array::from_fn(|_| PlainU64::new(0)));
        Self(std::array::from_fn(|_| words()))
    }

    pub(super) fn count(&self, count: Count) {
        self.add(count as usize, 1);
    }

    /// Adds more than one.
    pub(super) fn sum_up(&self, count: Count, n: u64) {
        self.add(count as usize, n);
    }

    /// A look-up has looked again: what it was counted as before, if it was, is counted no longer.
    pub(super) fn take_back(&self, earlier: Option<Miss>) {
        match earlier {
            Some(Miss::Unknown) => self.count(Count::OwnMisses),
            Some(Miss::Expired) => self.count(Count::OwnExpired),
            None => {}
        }
    }

    pub(super) fn reject(&self, rejection: Rejection) {
        self.add(Count::Rejected as usize + rejection as usize, 1);
    }

    fn add(&self, word: usize, n: u64) {
        static NEXT: PlainU64 = PlainU64::new(0);
        thread_local! {
            // Relaxed: any shard will do.
            static SHARD: usize =
                usize::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap_or(0) % SHARDS;
        }
        // Relaxed: a counter publishes nothing, and none is lost.
        SHARD.with(|shard| self.0[*shard][word].fetch_add(n, Ordering::Relaxed));
    }

    fn sum(&self, word: usize) -> u64 {
        // Relaxed: as in `add`.
        self.0.iter().map(|shard| shard[word].load(Ordering::Relaxed)).sum()
    }

    pub(super) fn read(
        &self,
        engine: Stats,
        in_flight: u64,
        breaker: BreakerState,
    ) -> SessionStats {
        let of = |count: Count| self.sum(count as usize);
        let mut rejected = [0; Rejection::ALL.len()];
        for (i, n) in rejected.iter_mut().enumerate() {
            *n = self.sum(Count::Rejected as usize + i);
        }
        SessionStats {
            internal_hits: engine.hits.saturating_sub(of(Count::OwnHits)),
            internal_misses: engine.misses_unknown.saturating_sub(of(Count::OwnMisses)),
            internal_expired: engine.misses_expired.saturating_sub(of(Count::OwnExpired)),
            asked: of(Count::Asked),
            found: of(Count::Found),
            used: of(Count::Used),
            unknown_outside: of(Count::UnknownOutside),
            failed: of(Count::Failed),
            timed_out: of(Count::TimedOut),
            joined: of(Count::Joined),
            nested: of(Count::Nested),
            over_budget: of(Count::OverBudget),
            remembered: of(Count::Remembered),
            refused_by_breaker: of(Count::Broken),
            breaker_opened: of(Count::Opened),
            external_time: Duration::from_micros(of(Count::ExternalMicroseconds)),
            get_panics: of(Count::GetPanics),
            new_calls: of(Count::NewCalls),
            new_refusals: of(Count::NewRefusals),
            new_panics: of(Count::NewPanics),
            not_stored_changed: of(Count::NotStoredMarked),
            connect: [Count::ConnectStarted, Count::ConnectFinished, Count::ConnectRenegotiated]
                .map(of),
            accept: [Count::AcceptStarted, Count::AcceptFinished, Count::AcceptRenegotiated]
                .map(of),
            rejected,
            in_flight,
            breaker,
            engine,
        }
    }
}

/// A snapshot of what a session cache has counted: exact once its threads are quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// The internal cache's own counters.
    pub engine: Stats,
    /// Look-ups that found a session in the internal cache.
    pub internal_hits: u64,
    /// Look-ups of an id that the internal cache does not hold.
    pub internal_misses: u64,
    /// Look-ups that found an expired session there.
    pub internal_expired: u64,
    /// Calls of the get callback.
    pub asked: u64,
    /// Sessions that it gave, used or rejected.
    pub found: u64,
    /// Sessions that were used as it gave them, also by those who had joined; and what those were
    /// told of who had joined a look-up whose session was put meanwhile.
    pub used: u64,
    /// Calls that found nothing.
    pub unknown_outside: u64,
    /// Calls that said that they failed.
    pub failed: u64,
    /// Look-ups that waited in vain for an answer, or would have: it was overdue when they came.
    pub timed_out: u64,
    /// Look-ups that joined another one of the same id.
    pub joined: u64,
    /// Look-ups of the very id that the calling thread was asked for: misses.
    pub nested: u64,
    /// Look-ups that the budget of their [`Hello`](super::Hello) kept from going outside: misses.
    pub over_budget: u64,
    /// Look-ups of an id that the get callback had just said it does not know: misses.
    pub remembered: u64,
    /// Look-ups that the breaker kept from going outside: misses.
    pub refused_by_breaker: u64,
    /// How often the breaker has opened.
    pub breaker_opened: u64,
    /// Time that look-ups outside took, all together.
    pub external_time: Duration,
    /// Calls that panicked.
    pub get_panics: u64,
    /// Calls of the new callback.
    pub new_calls: u64,
    /// Calls that refused, panics included.
    pub new_refusals: u64,
    /// Calls that panicked.
    pub new_panics: u64,
    /// Sessions from outside that were used and not stored, since their id was removed, taken, put
    /// or flushed meanwhile.
    pub not_stored_changed: u64,
    /// Handshakes as a client: started, finished, renegotiated. See
    /// [`SessionCache::note`](super::SessionCache::note).
    pub connect: [u64; 3],
    /// Handshakes as a server, the same.
    pub accept: [u64; 3],
    /// What was rejected, in the order of [`Rejection::ALL`].
    pub rejected: [u64; Rejection::ALL.len()],
    /// Gauge: look-ups that are outside, or about to be: a take is from before it looks inside.
    pub in_flight: u64,
    /// Gauge: what the breaker does with look-ups.
    pub breaker: BreakerState,
}

impl SessionStats {
    /// Rejections for one reason.
    #[must_use]
    pub fn rejected_for(&self, rejection: Rejection) -> u64 {
        self.rejected[rejection as usize]
    }

    /// The counters of `SSL_CTX_sess_number(3)`, with their names and meanings.
    #[must_use]
    pub fn ssl(&self) -> SslCounters {
        SslCounters {
            number: self.engine.entries,
            connect: self.connect[0],
            connect_good: self.connect[1],
            connect_renegotiate: self.connect[2],
            accept: self.accept[0],
            accept_good: self.accept[1],
            accept_renegotiate: self.accept[2],
            hits: self.internal_hits + self.used,
            cb_hits: self.found,
            misses: self.internal_misses,
            timeouts: self.internal_expired + self.rejected_for(Rejection::Expired),
            cache_full: self.engine.removed_by(crate::removal::RemovalCause::Evicted),
        }
    }
}

/// The live sessions of one namespace: see
/// [`SessionCache::namespace_stats`](super::SessionCache::namespace_stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceStats {
    /// How many there are.
    pub sessions: u64,
    /// Bytes of their payloads together.
    pub payload_bytes: u64,
    /// When the first of them expires, since 1970; none: there is none.
    pub next_expiry: Option<Duration>,
}

/// The counters of `SSL_CTX_sess_number(3)`. As there, a session that the get callback found
/// counts as a miss (of the internal cache), as a `cb_hit` and, if it was used, as a hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the manual page's")]
pub struct SslCounters {
    pub number: u64,
    pub connect: u64,
    pub connect_good: u64,
    pub connect_renegotiate: u64,
    pub accept: u64,
    pub accept_good: u64,
    pub accept_renegotiate: u64,
    pub hits: u64,
    pub cb_hits: u64,
    pub misses: u64,
    pub timeouts: u64,
    pub cache_full: u64,
}
