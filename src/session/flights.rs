//! No resurrection: what a look-up outside the cache brings back is not stored if its id was
//! removed, taken, put or flushed while it was out.
//!
//! # State
//!
//! A *flight* is a look-up that is out: from before the external store is asked until its answer
//! is stored or dropped. Keys hash to *stripes*. A stripe has the number of its flights that are
//! `out`, the number of answers that were stored (`landed`), and a board of its flights, under a
//! lock. An entry that a flight stored carries its landing number; other entries carry 0.
//!
//! # Operations
//!
//! ```text
//! flight                                   removal (or put) of a key
//!   out += 1, on the board                   before = landed
//!   ask the external store                   the operation itself, with its events
//!   lock the board                           out == 0 and landed == before: done
//!     unless marked:                         lock the board
//!       store, numbered landed + 1,            mark the flights of the key
//!       if absent; landed += 1               unlock; landed == before: done
//!   unlock; deliver what that evicted        the key has an entry with a number above `before`:
//!   off the board, out -= 1                  remove that very entry
//! ```
//!
//! Take a flight that began before the removal of its key returned, and whose answer is found
//! afterwards. It was stored unmarked, so under the lock before the marking. Its entry was there
//! before the operation itself: then the operation removed it. Or it came afterwards: then its
//! number is above `before`, and the last step removes it. Or the removal did not get to the
//! marking, for it found no flight out and none landed: then the flight began after that look, when
//! the external store had been told (the removal event is delivered by then), or it had landed
//! before `before` was read, and its entry was there for the operation to remove.
//!
//! No entry that was put since is touched: it carries 0. The price is two loads for each removal
//! and put while no flight is out in the stripe; a hit of the internal cache touches nothing here.
//!
//! # The lock
//!
//! It is held while an answer is inserted, but not while what that unlinks is told about, and
//! never while the store is asked: no user code runs under it. (An answer must not become visible
//! after the mark, and a mark must not wait for a callback.)
//!
//! # Orderings
//!
//! All are sequentially consistent, for want of a hit path to save on. What the argument needs: a
//! removal that reads `out == 0` from a flight's end sees what it stored and its `landed`; and a
//! flight whose `out` it did not see asks the store after it. For the second the store has to order
//! those who use it, as every lock and every system call does: had the flight asked before the
//! deletion, the removal would have to see its `out`. (The models fail with a store that does not.)
//!
//! # Single flight
//!
//! A look-up that finds an unmarked flight of its key joins it and shares its outcome. A marked one
//! is never joined: its answer is older than a removal that has returned. What the joiners share
//! (`outcome.rs`) is the board's, not the first asker's: of an asynchronous look-up whoever is left
//! goes on with it, and the last one who leaves takes it off the board.
//!
//! # Unknown ids
//!
//! That the store does not know a key may be remembered for a moment (`unknown.rs`), under the lock
//! and by unmarked flights alone. A put forgets it after it has marked. If the flight remembered
//! first, the put finds that, for it has seen the lock, or the flight's end; if not, the flight is
//! marked, or asks after the put. So what is written to the store before it is put, as the new
//! callback does before `new_session` ends, is never taken to be unknown afterwards.
//!
//! # Single use
//!
//! A flight of a `take` is for one asker alone: it joins none, and none joins it. Its departure
//! marks the other flights of the key, and while it is out nothing of the key lands: an answer that
//! is older than the external store's deletion would be found until the taker took it back. So the
//! taker looks inside once more after it has departed, and then asks.
//!
//! Between two takers outside, the store's atomic delete decides. Between one inside and one
//! outside, the board does: a copy may lie in both places, and the store learns of the taking
//! inside only from the event. The one outside *claims* its answer, which counts as a landing; the
//! one inside, when its event is delivered, makes the flights of takers that are out void, and
//! gives up what it took if such a claim was made since it began. So one of them gets it.
//!
//! Covered by the models in `loom-tests/tests/models/flights.rs`.

use crate::sync::{AtomicU64, Lock, Ordering};
use crossbeam_utils::CachePadded;
use std::collections::VecDeque;
use std::sync::Arc;

/// More claims than this while a taker inside is between two steps, and it gives up.
const CLAIMS: usize = 16;

/// Enough that two look-ups which are out at the same time rarely share one.
const STRIPES: usize = if cfg!(halfshake_loom) { 1 } else { 64 };

/// The flights of one cache. `T` is what its joiners wait on.
#[derive(Debug)]
pub(crate) struct Flights<T> {
    hasher: ahash::RandomState,
    stripes: Stripes<T>,
}

type Stripes<T> = Arc<[CachePadded<Stripe<T>>]>;

#[derive(Debug)]
struct Stripe<T> {
    /// Flights on the board.
    out: AtomicU64,
    /// Answers that were stored, ever.
    landed: AtomicU64,
    board: Lock<Board<T>>,
}

#[derive(Debug)]
struct Board<T> {
    flights: Vec<Flight<T>>,
    /// The latest claims of takers outside: landing number and key, oldest first.
    claims: VecDeque<(u64, Box<[u8]>)>,
    /// Flights that have departed, ever.
    departed: u64,
}

#[derive(Debug)]
struct Flight<T> {
    key: Box<[u8]>,
    /// Its key was changed while it was out.
    marked: bool,
    /// Its key was taken inside: what it brings must not be used.
    void: bool,
    number: FlightNumber,
    /// `None`: it is for one asker alone.
    shared: Option<Arc<T>>,
}

/// Which flight of its stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlightNumber(u64);

/// What a removal or a put saw when it began.
#[derive(Clone, Copy, Debug)]
#[must_use = "the flights have to be marked afterwards"]
pub(crate) struct Before {
    stripe: usize,
    landed: u64,
}

/// How a look-up goes on.
#[derive(Debug)]
pub(crate) enum Boarding<T> {
    /// It flies itself.
    Departed(Departed<T>),
    /// Another one is out for the same key: wait on that.
    Joined(Arc<T>),
    /// The caller is inside of a look-up of this very key: nobody else could answer.
    Own,
}

/// A flight that is out; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Departed<T> {
    stripes: Stripes<T>,
    stripe: usize,
    key: Box<[u8]>,
    number: FlightNumber,
}

/// A flight among those of all caches, while it is out: the address of its cache's stripes, which
/// of them, and its number.
pub(crate) type FlightName = (usize, usize, FlightNumber);

fn address<T>(stripes: &Stripes<T>) -> usize {
    stripes.as_ptr().addr()
}

impl<T> Flights<T> {
    pub(crate) fn new() -> Self {
        let stripe = || Stripe {
            out: AtomicU64::new(0),
            landed: AtomicU64::new(0),
            board: Lock::new(Board { flights: Vec::new(), claims: VecDeque::new(), departed: 0 }),
        };
        let stripes = (0..STRIPES).map(|_| CachePadded::new(stripe())).collect();
        Self { hasher: crate::hash::random_state(), stripes }
    }

    /// Where the flights of a key are.
    pub(crate) fn stripe_of(&self, key: &[u8]) -> usize {
        const { assert!(STRIPES.is_power_of_two()) };
        // The remainder fits: there are few stripes.
        usize::try_from(self.hash(key) % STRIPES as u64).unwrap_or(0)
    }

    /// A keyed hash of anything.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes)
    }

    /// Before a removal or a put of a key.
    pub(crate) fn before(&self, key: &[u8]) -> Before {
        self.before_in(self.stripe_of(key))
    }

    fn before_in(&self, stripe: usize) -> Before {
        // SeqCst: pairs with `land`; what landed by now is there for the operation to see.
        Before { stripe, landed: self.stripes[stripe].landed.load(Ordering::SeqCst) }
    }

    /// Before a removal of many keys.
    pub(crate) fn before_all(&self) -> Vec<Before> {
        (0..self.stripes.len()).map(|stripe| self.before_in(stripe)).collect()
    }

    /// After it, with its events: marks the flights whose key it names. `Some(number)`: an entry of
    /// such a key with a landing number above that one has come too late, and has to go.
    pub(crate) fn mark(&self, before: Before, names: impl Fn(&[u8]) -> bool) -> Option<u64> {
        let stripe = &self.stripes[before.stripe];
        // SeqCst: pairs with `depart`, `land` and the end of a flight (module documentation).
        let quiet = stripe.out.load(Ordering::SeqCst) == 0;
        // SeqCst: as above; read second, so that what a flight stored before its end is seen.
        if quiet && stripe.landed.load(Ordering::SeqCst) == before.landed {
            return None;
        }
        let mut board = stripe.board.lock();
        let named = board.flights.iter_mut().filter(|flight| names(&flight.key));
        named.for_each(|flight| flight.marked = true);
        // SeqCst: for uniformity; the lock is what orders it after every landing so far.
        let landed = stripe.landed.load(Ordering::SeqCst);
        (landed != before.landed).then_some(before.landed)
    }

    /// Marks every flight. One that is not out yet, and boards after this, sees what its caller has
    /// done before.
    pub(crate) fn mark_all(&self) {
        for stripe in &*self.stripes {
            // The lock, and no quick look: it is what orders the two.
            let mut board = stripe.board.lock();
            board.flights.iter_mut().for_each(|flight| flight.marked = true);
        }
    }

    /// After a take inside that got something, with its event, and before `mark`: whether it is
    /// the caller's, or a taker outside has claimed it meanwhile.
    pub(crate) fn keeps(&self, before: Before, key: &[u8]) -> bool {
        let stripe = &self.stripes[before.stripe];
        // SeqCst: as in `mark`.
        let quiet = stripe.out.load(Ordering::SeqCst) == 0;
        // SeqCst: as in `mark`.
        if quiet && stripe.landed.load(Ordering::SeqCst) == before.landed {
            return true;
        }
        let mut board = stripe.board.lock();
        let of_key = board.flights.iter_mut().filter(|flight| *flight.key == *key);
        of_key.for_each(|flight| flight.void = true);
        let mut since = board.claims.iter().filter(|(number, _)| *number > before.landed);
        let forgotten = board.claims.len() == CLAIMS && since.clone().count() == CLAIMS;
        !forgotten && !since.any(|(_, claimed)| **claimed == *key)
    }

    /// Departs, or joins a flight of the key that may be joined (`shared`: what others may wait
    /// on). `inside`: the flights that the caller is inside of.
    pub(crate) fn board(
        &self,
        key: &[u8],
        shared: Option<Arc<T>>,
        inside: &[FlightName],
        may_join: bool,
    ) -> Boarding<T> {
        let at = self.stripe_of(key);
        let stripe = &self.stripes[at];
        let mut guard = stripe.board.lock();
        let board = &mut *guard;
        for flight in board.flights.iter_mut().filter(|flight| *flight.key == *key) {
            flight.marked |= shared.is_none();
            if inside.contains(&(address(&self.stripes), at, flight.number)) {
                return Boarding::Own;
            }
            if let (Some(theirs), true) = (&flight.shared, may_join)
                && !flight.marked
            {
                return Boarding::Joined(theirs.clone());
            }
        }
        let (key, number): (Box<[u8]>, _) = (key.into(), FlightNumber(board.departed));
        board.departed += 1;
        board.flights.push(Flight { key: key.clone(), marked: false, void: false, number, shared });
        // SeqCst: pairs with `mark`; before the external store is asked.
        stripe.out.fetch_add(1, Ordering::SeqCst);
        Boarding::Departed(Departed { stripes: self.stripes.clone(), stripe: at, key, number })
    }

    /// Flights that are out.
    pub(crate) fn out(&self) -> u64 {
        // SeqCst: for uniformity; a gauge.
        self.stripes.iter().map(|stripe| stripe.out.load(Ordering::SeqCst)).sum()
    }
}

impl<T> Departed<T> {
    fn stripe(&self) -> &Stripe<T> {
        &self.stripes[self.stripe]
    }

    /// Tells it from every other flight.
    pub(crate) fn name(&self) -> FlightName {
        (address(&self.stripes), self.stripe, self.number)
    }

    /// The key that is looked up.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    fn is(&self, flight: &Flight<T>) -> bool {
        flight.number == self.number
    }

    /// Lets `store` store the answer, under its landing number, unless the key was changed
    /// meanwhile; whether it might. `store` runs under the lock: no user code. It must not store
    /// over an entry.
    pub(crate) fn land(&self, store: impl FnOnce(u64)) -> bool {
        let stripe = self.stripe();
        let board = stripe.board.lock();
        let mut of_key = board.flights.iter().filter(|flight| flight.key == self.key);
        if of_key.any(|f| f.shared.is_none() || (self.is(f) && f.marked)) {
            return false;
        }
        // SeqCst: for uniformity; only changed under the lock.
        let number = stripe.landed.load(Ordering::SeqCst) + 1;
        store(number);
        // SeqCst: pairs with `before` and `mark`. Counted last: who reads the number in `before`
        // finds the entry, if it is still there.
        stripe.landed.fetch_add(1, Ordering::SeqCst);
        drop(board);
        true
    }

    /// Lets `remember` note that the store does not know the key, unless the key was changed
    /// meanwhile. It runs under the lock: no user code.
    pub(crate) fn found_nothing(&self, remember: impl FnOnce()) {
        let board = self.stripe().board.lock();
        if board.flights.iter().any(|flight| self.is(flight) && !flight.marked) {
            remember();
        }
    }

    /// Claims what a taker was given outside; whether it is the taker's, or was taken inside.
    pub(crate) fn claim(&self) -> bool {
        let stripe = self.stripe();
        let mut board = stripe.board.lock();
        if board.flights.iter().any(|flight| self.is(flight) && flight.void) {
            return false;
        }
        // SeqCst: pairs with `before` and `keeps`.
        let number = stripe.landed.fetch_add(1, Ordering::SeqCst) + 1;
        if board.claims.len() == CLAIMS {
            board.claims.pop_front();
        }
        board.claims.push_back((number, self.key.clone()));
        true
    }
}

impl<T> Drop for Departed<T> {
    /// Also in a panic of the callback.
    fn drop(&mut self) {
        if cfg!(halfshake_loom) && std::thread::panicking() {
            return; // a loom step while unwinding aborts the process
        }
        let stripe = self.stripe();
        let mut board = stripe.board.lock();
        let gone = board.flights.iter().position(|flight| self.is(flight));
        let gone = gone.map(|at| board.flights.swap_remove(at));
        // SeqCst: pairs with `mark`: who sees it sees what was stored, and `landed`.
        stripe.out.fetch_sub(1, Ordering::SeqCst);
        drop(board);
        // What it shares may be the last of its kind, and end a future of the user's.
        drop(gone);
    }
}
