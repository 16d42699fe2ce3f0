//! What a session cache counts beside its internal cache.

use crate::removal::RemovalCause;
use crate::stats::Stats;
use crate::sync::{Ordering, PlainU64};
use crossbeam_utils::CachePadded;

/// Why an answer of the get callback, or a proposed id, is no session. Each is a counted miss, and
/// nothing of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The proposed id is empty, or longer than the cache takes: nobody was asked.
    #[error("the id has no possible length")]
    IdLength,
    /// The session belongs to another namespace.
    #[error("the session belongs to another namespace")]
    Namespace,
    /// The session has another id than was asked for.
    #[error("the session has another id")]
    OtherId,
    /// It has expired, or its authentication has.
    #[error("the session has expired")]
    Expired,
    /// It was created later than now.
    #[error("the session comes from the future")]
    Future,
    /// Its payload is larger than the cache takes.
    #[error("the session is too large")]
    Size,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::IdLength, Self::Namespace, Self::OtherId, Self::Expired, Self::Future, Self::Size];
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Asked,
    Answered,
    GetPanicked,
    AnswerStored,
    AnswerOutdated,
    AnswerNotStored,
    Established,
    Announced,
    RefusedByNew,
    NewPanicked,
    /// The first of six, in the order of [`Rejection::ALL`].
    Rejected,
}

const EVENTS: usize = Event::Rejected as usize + Rejection::ALL.len();

/// One line for all: what counts here has called user code, or was refused.
#[derive(Debug)]
pub(super) struct Counters(CachePadded<[PlainU64; EVENTS]>);

impl Counters {
    pub(super) fn new() -> Self {
        Self(CachePadded::new([const { PlainU64::new(0) }; EVENTS]))
    }

    /// Counts one; the answer is how many there are now.
    pub(super) fn count(&self, event: Event) -> u64 {
        // Relaxed, all: counters.
        self.0[event as usize].fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn reject(&self, why: Rejection) {
        self.0[Event::Rejected as usize + why as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::Relaxed)
    }

    pub(super) fn read(&self, internal: Stats) -> SessionStats {
        let of = |event: Event| self.get(event as usize);
        let rejected = std::array::from_fn(|i| self.get(Event::Rejected as usize + i));
        SessionStats {
            asked: of(Event::Asked),
            answered: of(Event::Answered),
            get_panics: of(Event::GetPanicked),
            answers_stored: of(Event::AnswerStored),
            answers_outdated: of(Event::AnswerOutdated),
            answers_not_stored: of(Event::AnswerNotStored),
            established: of(Event::Established),
            announced: of(Event::Announced),
            refused_by_new: of(Event::RefusedByNew),
            new_panics: of(Event::NewPanicked),
            rejected,
            internal,
        }
    }
}

/// A snapshot of a session cache's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Times that the get callback was asked.
    pub asked: u64,
    /// Times that it answered with a session that may be used.
    pub answered: u64,
    /// Times that it panicked.
    pub get_panics: u64,
    /// Answers that were stored.
    pub answers_stored: u64,
    /// Answers that were not stored because a session of that id (or of one that lives beside it)
    /// was put, taken, removed or flushed since the callback was asked.
    pub answers_outdated: u64,
    /// Answers that the internal cache had no room for.
    pub answers_not_stored: u64,
    /// Sessions that were negotiated while caching was on.
    pub established: u64,
    /// Sessions that the new callback was called for.
    pub announced: u64,
    /// Sessions that it refused.
    pub refused_by_new: u64,
    /// Times that it panicked, each of which was a refusal.
    pub new_panics: u64,
    rejected: [u64; Rejection::ALL.len()],
    /// The internal cache.
    pub internal: Stats,
}

impl SessionStats {
    /// Misses for one reason.
    #[must_use]
    pub fn rejected(&self, why: Rejection) -> u64 {
        self.rejected[why as usize]
    }

    /// The counters of `SSL_CTX_sess_number(3)`, with their meanings.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let internal = &self.internal;
        Numbers {
            number: internal.entries,
            hits: internal.hits + self.answered,
            cb_hits: self.answered,
            misses: internal.misses_unknown,
            timeouts: internal.misses_expired + self.rejected(Rejection::Expired),
            cache_full: internal.removed_by(RemovalCause::Evicted),
        }
    }
}

/// The counters of `SSL_CTX_sess_number(3)` that a cache can know; handshakes that were begun and
/// finished (`connect`, `accept` and their kin) are the embedder's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Numbers {
    /// Sessions in the internal cache.
    pub number: u64,
    /// Sessions that were found, inside or by the get callback.
    pub hits: u64,
    /// Those of them that the get callback gave.
    pub cb_hits: u64,
    /// Proposed sessions that the internal cache did not hold.
    pub misses: u64,
    /// Proposed sessions that had expired.
    pub timeouts: u64,
    /// Sessions that left because the internal cache was full.
    pub cache_full: u64,
}
