//! What the contract says of the cache: a sequential model, fed by what the callbacks see.
//!
//! Each operation under way, also one that a callback performs, has a [`Frame`]. What a callback
//! sees is noted in the innermost one; the operation is judged by it when it returns. A session
//! leaves the model with its removal event and only so; what is known of an operation that is not
//! over is a set of possibilities.

mod outside;

use super::script::{Getter, Setup};
use halfshake::RemovalCause;
use halfshake::session::{Modes, Session};
use std::collections::BTreeMap;

/// Name and id.
pub(crate) type Key = (usize, Vec<u8>);

pub(crate) const SKEW_MS: u64 = 5;
pub(crate) const MOST_PAYLOAD: usize = 64;
pub(crate) const BREAK_MS: u64 = 100;
/// What the memory for unknown ids counts in, twice.
const ROUGHLY_MS: u64 = 64;

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) session: Session,
    /// By the monotonic clock.
    deadline: u64,
}

/// What an operation does, as far as removals go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Put(Key),
    New(Key),
    Resume(Key),
    Take(Key),
    Remove(Key),
    Fail(Key),
    Flush,
    Shutdown,
    Resize,
    Maintain,
    /// A future, dropped.
    Drop,
}

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Is {
    No,
    Maybe,
    Yes,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) doing: Doing,
    /// Entries may be gone whose events are still to come.
    pub(crate) half_way: bool,
    /// Panics of callbacks, and calls of the get callback.
    pub(crate) thrown: u32,
    pub(crate) asks: Vec<usize>,
    /// Operations that callbacks performed, and removal events among them.
    pub(crate) in_callbacks: u32,
    pub(crate) in_events: u32,
    pub(crate) new_calls: u32,
    pub(crate) arrivals: Vec<Arrival>,
    /// Look-ups that end with it.
    landed: Vec<usize>,
}

/// An answer that the get callback has given.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) key: Key,
    /// `None`: not one that may be used.
    pub(crate) session: Option<Session>,
    /// Else another taker may have claimed it.
    pub(crate) sure: bool,
}

/// What is being stored.
#[derive(Debug)]
struct Putting {
    key: Key,
    stored: Stored,
    /// The depth of its operation.
    depth: usize,
    must: bool,
    is_gone: bool,
}

/// A look-up outside.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) key: Key,
    pub(crate) takes: bool,
    stores: bool,
    marked: Is,
    /// Another taker has it.
    void: Is,
    /// The thread is inside of its callback.
    is_inside: bool,
    pub(crate) is_over: bool,
    pub(crate) outcome: Option<Session>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) setup: Setup,
    pub(crate) getter: Getter,
    pub(crate) has_new: bool,
    /// Sessions that somebody reads.
    pub(crate) held: usize,
    pub(crate) modes: Modes,
    pub(crate) capacity: u64,
    pub(crate) timeout_ms: u64,
    /// In milliseconds, as the cache has seen them.
    pub(crate) now: u64,
    pub(crate) wall: u64,
    is_closed: bool,
    inside: BTreeMap<Key, Stored>,
    putting: Vec<Putting>,
    /// Replaced by an operation in a callback, with the event still to come.
    leaving: Vec<(Key, Session)>,
    /// Since when, and whether for sure.
    unknown: BTreeMap<Key, (u64, bool)>,
    pub(crate) flights: Vec<Flight>,
    pub(crate) frames: Vec<Frame>,
    failures: u64,
    open_until: Option<u64>,
    /// Sessions taken outside, by key.
    claims: BTreeMap<Key, u64>,
    /// Keys of sessions that the new callback is told of.
    told: Vec<Key>,
    pub(crate) stored: u64,
    pub(crate) events: u64,
    pub(crate) asked: u64,
    pub(crate) rejected: u64,
}

impl Model {
    pub(crate) fn new(setup: Setup, now: u64, wall: u64) -> Self {
        Self {
            getter: setup.getter,
            has_new: true,
            held: 0,
            modes: setup.modes,
            capacity: setup.capacity,
            timeout_ms: setup.timeout_ms,
            setup,
            now,
            wall,
            is_closed: false,
            inside: BTreeMap::new(),
            putting: Vec::new(),
            leaving: Vec::new(),
            unknown: BTreeMap::new(),
            flights: Vec::new(),
            frames: Vec::new(),
            failures: 0,
            open_until: None,
            claims: BTreeMap::new(),
            told: Vec::new(),
            stored: 0,
            events: 0,
            asked: 0,
            rejected: 0,
        }
    }

    pub(crate) fn begin(&mut self, doing: Doing) {
        use Doing::{Flush, Maintain, Put, Resize, Shutdown};
        let half_way = matches!(doing, Put(_) | Flush | Shutdown | Resize | Maintain);
        if let Doing::Put(key)
        | Doing::New(key)
        | Doing::Take(key)
        | Doing::Remove(key)
        | Doing::Fail(key) = &doing
        {
            let key = key.clone();
            self.mark(Is::Maybe, |other| *other == key);
        }
        if doing == Doing::Flush {
            self.mark(Is::Maybe, |_| true);
        }
        self.frames.push(Frame {
            doing,
            half_way,
            thrown: 0,
            asks: Vec::new(),
            in_callbacks: 0,
            in_events: 0,
            new_calls: 0,
            arrivals: Vec::new(),
            landed: Vec::new(),
        });
    }

    /// The innermost operation.
    pub(crate) fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("an operation is under way")
    }

    pub(crate) fn end(&mut self) -> Frame {
        assert!(self.putting.iter().all(|p| p.depth < self.frames.len()), "not settled");
        let frame = self.frames.pop().expect("an operation is under way");
        for flight in &frame.asks {
            if self.flights[*flight].is_inside {
                self.leave(*flight);
            }
        }
        frame.landed.iter().for_each(|flight| self.leave(*flight));
        frame
    }

    /// Whether nothing can be stored any more. A shutdown closes piece by piece.
    pub(crate) fn closed(&self) -> Is {
        let closing = self.frames.iter().any(|frame| frame.doing == Doing::Shutdown);
        match (self.is_closed, closing) {
            (true, _) => Is::Yes,
            (false, true) => Is::Maybe,
            (false, false) => Is::No,
        }
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Marks the look-ups of these keys that are out.
    pub(crate) fn mark(&mut self, is: Is, names: impl Fn(&Key) -> bool) {
        for flight in self.flights.iter_mut().filter(|f| !f.is_over && names(&f.key)) {
            flight.marked = flight.marked.max(is);
        }
    }

    pub(crate) fn live(&self, key: &Key) -> Option<&Session> {
        self.inside.get(key).filter(|stored| self.now < stored.deadline).map(|s| &s.session)
    }

    /// What the internal cache may hold of a key, as far as it can be found.
    pub(crate) fn visible(&self, key: &Key) -> Vec<Option<Session>> {
        let mut seen = vec![self.live(key).cloned()];
        let putting = self.putting.iter().filter(|p| p.key == *key && !p.is_gone);
        seen.extend(
            putting.map(|p| (self.now < p.stored.deadline).then(|| p.stored.session.clone())),
        );
        if self.frames.iter().any(|frame| frame.half_way || !frame.arrivals.is_empty()) {
            seen.push(None);
        }
        seen
    }

    /// Whether an operation under way has been answered for that key: it may be landing.
    pub(crate) fn is_landing(&self, key: &Key) -> Option<&Arrival> {
        self.frames.iter().flat_map(|frame| &frame.arrivals).find(|arrival| arrival.key == *key)
    }

    // Putting.

    pub(crate) fn put(&mut self, key: &Key, session: &Session, must: bool) {
        let end = session.times().not_after().as_millis();
        let left = u64::try_from(end).unwrap_or(u64::MAX).saturating_sub(self.wall);
        let stored = Stored { session: copy(session), deadline: self.now.saturating_add(left) };
        let depth = self.frames.len();
        self.putting.push(Putting { key: key.clone(), stored, depth, must, is_gone: false });
    }

    /// Whether what the innermost operation was putting was stored: told by how many sessions the
    /// cache has stored, ever.
    pub(crate) fn settle(&mut self, inserts: u64, may_be_refused: bool) {
        let depth = self.frames.len();
        let Some(at) = self.putting.iter().position(|p| p.depth == depth) else { return };
        let Putting { key, stored, must, is_gone, .. } = self.putting.swap_remove(at);
        if is_gone {
            return;
        }
        // What those around this operation were storing is there: they deliver events already.
        let around = self.putting.iter().filter(|p| !p.is_gone).count() as u64;
        let is_there = inserts > self.stored + around;
        assert!(is_there || !must || may_be_refused, "it was not stored");
        if is_there {
            self.stored += 1;
            self.inside_now(key, stored);
        }
    }

    /// Whether the innermost operation was putting something.
    pub(crate) fn is_putting(&self) -> bool {
        self.putting.iter().any(|p| p.depth == self.frames.len())
    }

    fn inside_now(&mut self, key: Key, stored: Stored) {
        if let Some(old) = self.inside.insert(key.clone(), stored) {
            self.leaving.push((key, old.session));
        }
    }

    // What callbacks see.

    pub(crate) fn removed(&mut self, key: &Key, session: &Session, cause: RemovalCause) {
        self.events += 1;
        let left = self.leaving.iter().position(|(k, s)| k == key && s == session);
        let deadline = if let Some(at) = left {
            self.leaving.swap_remove(at);
            None
        } else if self.inside.get(key).is_some_and(|stored| stored.session == *session) {
            self.inside.remove(key).map(|stored| stored.deadline)
        } else {
            let of = |p: &&mut Putting| p.key == *key && !p.is_gone && p.stored.session == *session;
            let putting = self.putting.iter_mut().find(of);
            let putting = putting.unwrap_or_else(|| panic!("{cause} of what was not stored"));
            putting.is_gone = true;
            self.stored += 1;
            Some(putting.stored.deadline)
        };
        if cause == RemovalCause::Expired {
            assert!(deadline.is_none_or(|deadline| deadline <= self.now), "expired too early");
        }
        assert!(self.explains(key, cause), "{cause} while {:?}", self.frame().doing);
    }

    fn explains(&self, key: &Key, cause: RemovalCause) -> bool {
        use RemovalCause::*;
        self.frames.iter().any(|frame| match (&frame.doing, cause) {
            (Doing::Maintain, Expired) => !self.modes.contains(Modes::NO_AUTO_CLEAR),
            (_, Expired) => true,
            (Doing::Put(_) | Doing::New(_) | Doing::Resume(_), Evicted) => true,
            (Doing::Resize | Doing::Maintain, Evicted) => true,
            (Doing::Put(k) | Doing::New(k), Replaced) => k == key,
            (Doing::Take(k), Taken) | (Doing::Remove(k), Removed) => k == key,
            (Doing::Fail(k), Faulty) | (Doing::New(k), RefusedByNew) => k == key,
            (Doing::Flush, Flushed) | (Doing::Shutdown, Shutdown) => true,
            (Doing::Drop, Taken) => true,
            _ => false,
        })
    }

    // Between operations.

    /// What is inside: its deadline, and itself if it can be found.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Key, u64, Option<&Session>)> {
        self.inside.iter().map(|(key, stored)| (key, stored.deadline, self.live(key)))
    }

    /// Nothing is under way: what is stored is known for sure.
    pub(crate) fn is_settled(&self) -> bool {
        self.frames.is_empty() && self.putting.is_empty() && self.leaving.is_empty()
    }

    pub(crate) fn out(&self) -> usize {
        self.flights.iter().filter(|flight| !flight.is_over).count()
    }
}

/// One that shares no reference.
pub(crate) fn copy(session: &Session) -> Session {
    session.with_times(session.times())
}

pub(crate) fn key_of(session: &Session) -> Option<Key> {
    let name = session.namespace().as_bytes();
    let name = super::script::NAMES.iter().position(|other| *other == name)?;
    Some((name, session.id().as_bytes().to_vec()))
}

pub(crate) fn looks_inside(modes: Modes) -> bool {
    modes.contains(Modes::SERVER) && !modes.contains(Modes::NO_INTERNAL_LOOKUP)
}

pub(crate) fn stores_answers(modes: Modes) -> bool {
    modes.contains(Modes::SERVER) && !modes.contains(Modes::NO_INTERNAL_STORE)
}
