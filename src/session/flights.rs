//! No resurrection: what a look-up outside the cache brings back is not stored if its id was
//! removed, taken, put or flushed while it was out.
//!
//! # State
//!
//! A *flight* is a look-up that is out: from before the external store is asked until its answer
//! is stored or dropped. Keys hash to *stripes*. A stripe has the number of its flights that are
//! `out`, the number of answers that were stored (`landed`), and a board of its flights, under a
//! lock. (What else is on the board for a while, see below, counts as out, too.) An entry that a
//! flight stored carries its landing number; other entries carry 0.
//!
//! # Operations
//!
//! ```text
//! flight                                   removal (or put) of a key
//!   out += 1, on the board                   before = landed
//!   ask the external store                   the operation itself, with its events
//!   lock the board                           out == 0 and landed == before: done
//!     unless marked, or a removal of         lock the board
//!     the key is on the board:                 mark the flights of the key
//!       store, numbered landed + 1,            landed != before: on the board
//!       if absent; landed += 1               unlock; landed == before: done
//!   unlock; deliver what that evicted        the key has an entry with a number above `before`:
//!   off the board, out -= 1                    remove that very entry, with its event
//!                                            off the board, mark the flights of the key
//! ```
//!
//! Take a flight that began before the removal of its key returned, and whose answer is found
//! afterwards. It was stored unmarked, so under the lock before the marking. Its entry was there
//! before the operation itself: then the operation removed it. Or it came afterwards: then its
//! number is above `before`, and it is removed after the marking. Or the removal did not get to the
//! marking, for it found no flight out and none landed: then the flight began after that look, when
//! the external store had been told (the removal event is delivered by then), or it had landed
//! before `before` was read, and its entry was there for the operation to remove.
//!
//! What has come too late is removed after the marking, and the store may give it until it is told
//! of that. So this removal is on the board meanwhile: nothing of the key lands, and whoever boards
//! before it leaves is marked when it does. (A flush does that for all of its keys.)
//!
//! No entry that was put since is touched: it carries 0. The price is two loads for each removal
//! and put while no flight is out in the stripe; a hit of the internal cache touches nothing here.
//!
//! All this goes by events that are delivered before an operation returns. Under `Delivery::Thread`
//! the store is told later, and gives until then what has left (`SessionBuilder::delivery` says
//! so).
//!
//! # The lock
//!
//! It is held while an answer is inserted, but not while what that unlinks is told about, and
//! never while the store is asked: no user code runs under it. (An answer must not become visible
//! after the mark, and a mark must not wait for a callback.)
//!
//! # Orderings
//!
//! What the argument needs: who reads `landed` in `before` finds what has landed; a removal that
//! reads `out == 0` from a flight's end sees what it stored and its `landed`; and a flight whose
//! `out` it did not see asks the store after it. The first two are pairs of Release and Acquire.
//! (Whoever reads a word that several have counted up or down has acquired from all of them: each
//! did it in one read-modify-write.) For the third the store has to order those who use it, as
//! every lock and every system call does: had the flight asked before the deletion, its `out`,
//! which it counted before that, would have happened before the removal's look, which could not
//! miss it. (The models fail with a store that does not.) Hence no order of `out` and the store's
//! words is wanted from here, and none of `out` and `landed` but for who sees a flight's end: what
//! is not one of the four sides of the two pairs is relaxed, and mostly under the lock.
//!
//! # Single flight
//!
//! A look-up that finds an unmarked flight of its key joins it and shares its outcome. A marked one
//! is never joined: its answer is older than a removal that has returned. What the joiners share
//! (`outcome.rs`) is the board's, not the first asker's: of an asynchronous look-up whoever is left
//! goes on with it, and the last one who leaves takes it off the board.
//!
//! A flight may find its key inside after all. Marks do not tell it whether what it finds is being
//! removed just then: it may board after the mark of a removal that has still to remove what landed
//! late, or of one that does not see it out, for nothing orders `out` and a look inside. So it
//! leaves the board before that look. Whoever has joined it did so before, hence began before; and
//! what was removed by then is not found.
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
//! A copy of what is taken may lie in the external store, inside, or be under way in a flight; the
//! store learns of a taking inside only from its event. So a `take` is a flight, too, and it is on
//! the board from before it looks inside until its event is delivered. It is for one asker alone:
//! it joins none, and none joins it. While it is out, nothing of its key lands; when it leaves, it
//! marks all other flights of the key. So when it has left, no copy lies inside, none lies outside
//! (its event or the store's atomic delete has seen to that), and none comes: what asks later finds
//! none, and what has asked before is marked.
//!
//! Two takers that both have a copy, one from inside and one from outside, are on the board at the
//! same time. Each *claims* its copy before it leaves, which makes the others void: the first one
//! gets it. One who has it from outside removes what lies inside before that, for it may have been
//! put there, and to the store, after the look inside.
//!
//! A new session lies inside before the new callback writes it to the store, and a taking between
//! the two would leave a copy there. So the board has an entry from before the session is put until
//! the callback has ended: takers that come meanwhile get nothing, and those that are out are made
//! void. (No client knows the session then: it is sent the ticket afterwards.)
//!
//! While there is neither a get nor a new callback nothing can land, and nothing comes to lie
//! outside, and a take goes without the board, unless a flight is out in its stripe. Should one of
//! its key be out afterwards, or should in its stripe an answer have landed or been claimed, or a
//! new session have been told of, a callback has just been set: then the take gives up what it got.
//!
//! Covered by the models in `loom-tests/tests/models/`: `flights.rs`, `late.rs`, `joins.rs`.

use super::board::{Board, Errand, Flight, FlightNumber, Scope};
use crate::sync::{AtomicU64, Lock, Ordering};
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// Enough that two look-ups which are out at the same time rarely share one.
const STRIPES: usize = if cfg!(any(halfshake_loom, halfshake_shuttle)) { 1 } else { 64 };

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

/// What a removal or a put saw when it began.
#[derive(Clone, Copy, Debug)]
#[must_use = "the flights have to be marked afterwards"]
pub(crate) struct Before {
    stripe: usize,
    landed: u64,
}

/// Something has landed since a removal or a put began, and has to go. While this lives, nothing of
/// its keys lands; when it ends, what is out of them is marked.
#[derive(Debug)]
pub(crate) struct Late<T> {
    above: u64,
    _removal: Departed<T>,
}

impl<T> Late<T> {
    /// Whether an entry of the key has come too late: by its landing number.
    pub(crate) fn is(&self, landing: u64) -> bool {
        landing > self.above
    }
}

/// How a look-up goes on.
#[derive(Debug)]
pub(crate) enum Boarding<T, J> {
    /// It flies itself.
    Departed(Departed<T>),
    /// Another one is out for the same key: it was joined.
    Joined(J),
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
    is_out: bool,
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
            board: Lock::new(Board::default()),
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
        // Acquire: pairs with the Release in `land`; what landed by now is there for the operation
        // to see.
        Before { stripe, landed: self.stripes[stripe].landed.load(Ordering::Acquire) }
    }

    /// Before a removal of many keys.
    pub(crate) fn before_all(&self) -> Vec<Before> {
        (0..self.stripes.len()).map(|stripe| self.before_in(stripe)).collect()
    }

    /// Whether no flight of the stripe is out, and none has landed since.
    pub(crate) fn is_quiet(&self, since: Before) -> bool {
        let stripe = &self.stripes[since.stripe];
        // Acquire: pairs with the Release in `leave`; what a flight has landed before its end.
        let none_out = stripe.out.load(Ordering::Acquire) == 0;
        // Relaxed: it comes after the Acquire, which orders it behind all that have ended.
        none_out && stripe.landed.load(Ordering::Relaxed) == since.landed
    }

    /// After a take without the board: whether there can be no other copy of what it took.
    pub(crate) fn was_alone(&self, since: Before, key: &[u8]) -> bool {
        let stripe = &self.stripes[since.stripe];
        // What removes has no copy, nor brings one.
        let may_have = |flight: &mut Flight<T>| flight.is_look_up() || flight.is_told();
        let is_out = || stripe.board.lock().of_key(key).any(may_have);
        // Relaxed: `landed` changes under the lock alone, which was held just before.
        self.is_quiet(since) || (!is_out() && stripe.landed.load(Ordering::Relaxed) == since.landed)
    }

    /// After it, with its events: marks the flights of its keys. `Some`: an entry of such a key may
    /// have come too late, and has to go then.
    pub(super) fn mark(&self, before: Before, scope: Scope<'_>) -> Option<Late<T>> {
        if self.is_quiet(before) {
            return None;
        }
        let stripe = &self.stripes[before.stripe];
        let mut board = stripe.board.lock();
        board.mark(scope);
        // Relaxed: the lock orders it after every landing so far.
        if stripe.landed.load(Ordering::Relaxed) == before.landed {
            return None;
        }
        let (key, errand) = scope.removal();
        let removal = self.depart(before.stripe, &mut board, key, errand);
        Some(Late { above: before.landed, _removal: removal })
    }

    /// Marks every flight. One that is not out yet, and boards after this, sees what its caller has
    /// done before.
    pub(crate) fn mark_all(&self) {
        for stripe in &*self.stripes {
            // The lock, and no quick look: it is what orders the two.
            let mut board = stripe.board.lock();
            board.mark(Scope::All);
        }
    }

    /// Departs, or joins a flight of the key that is not marked, and that `join` gives something
    /// for; it runs under the lock: no user code. `shared`: what others may wait on. `inside`: the
    /// flights that the caller is inside of.
    pub(crate) fn board<J>(
        &self,
        key: &[u8],
        shared: Arc<T>,
        inside: &[FlightName],
        join: impl Fn(&Arc<T>) -> Option<J>,
    ) -> Boarding<T, J> {
        let at = self.stripe_of(key);
        let mut board = self.stripes[at].board.lock();
        for flight in board.of_key(key) {
            if inside.contains(&(address(&self.stripes), at, flight.number)) {
                return Boarding::Own;
            }
            if let (Errand::Resume(theirs), false) = (&flight.errand, flight.marked)
                && let Some(joined) = join(theirs)
            {
                return Boarding::Joined(joined);
            }
        }
        Boarding::Departed(self.depart(at, &mut board, key, Errand::Resume(shared)))
    }

    /// A taker departs, unless the new callback is told of such a session right now. The flag: the
    /// caller is inside of a look-up of this very key.
    pub(crate) fn board_taker(
        &self,
        key: &[u8],
        inside: &[FlightName],
    ) -> Option<(Departed<T>, bool)> {
        let at = self.stripe_of(key);
        let mut board = self.stripes[at].board.lock();
        if board.of_key(key).any(|flight| flight.is_told()) {
            return None;
        }
        let name = |flight: &Flight<T>| (address(&self.stripes), at, flight.number);
        let own = board.of_key(key).any(|flight| inside.contains(&name(flight)));
        Some((self.depart(at, &mut board, key, Errand::Take), own))
    }

    /// While what this gives lives, the new callback may write to the external store.
    pub(crate) fn board_told(&self, key: &[u8]) -> Departed<T> {
        let at = self.stripe_of(key);
        let mut board = self.stripes[at].board.lock();
        board.of_key(key).filter(|flight| flight.is_taker()).for_each(|taker| taker.void = true);
        self.depart(at, &mut board, key, Errand::Tell)
    }

    fn depart(
        &self,
        stripe: usize,
        board: &mut Board<T>,
        key: &[u8],
        errand: Errand<T>,
    ) -> Departed<T> {
        let number = board.depart(key, errand);
        // Relaxed: before the external store is asked, which orders it against `is_quiet` (module
        // documentation).
        self.stripes[stripe].out.fetch_add(1, Ordering::Relaxed);
        let (stripes, key) = (self.stripes.clone(), key.into());
        Departed { stripes, stripe, key, number, is_out: true }
    }

    /// Look-ups that are out.
    pub(crate) fn out(&self) -> u64 {
        let look_ups = |stripe: &Stripe<T>| {
            let board = stripe.board.lock();
            board.flights().iter().filter(|flight| flight.is_look_up()).count() as u64
        };
        self.stripes.iter().map(|stripe| look_ups(stripe)).sum()
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

    /// Lets `store` store the answer, under its landing number, unless the key was changed
    /// meanwhile; whether it might. `store` runs under the lock: no user code. It must not store
    /// over an entry.
    pub(crate) fn land(&self, store: impl FnOnce(u64)) -> bool {
        let stripe = self.stripe();
        let board = stripe.board.lock();
        let is_marked = board.numbered(self.number).is_some_and(|flight| flight.marked);
        if is_marked || board.is_closed(&self.key) {
            return false;
        }
        // Relaxed: only changed under the lock.
        let number = stripe.landed.load(Ordering::Relaxed) + 1;
        store(number);
        // Release: pairs with the Acquire in `before`. Counted last: who reads the number there
        // finds the entry, if it is still there.
        stripe.landed.fetch_add(1, Ordering::Release);
        drop(board);
        true
    }

    /// Lets `remember` note that the store does not know the key, unless the key was changed
    /// meanwhile. It runs under the lock: no user code.
    pub(crate) fn found_nothing(&self, remember: impl FnOnce()) {
        let board = self.stripe().board.lock();
        if board.numbered(self.number).is_some_and(|flight| !flight.marked) {
            remember();
        }
    }

    /// Whether another taker has claimed its key. It may do so yet.
    pub(crate) fn is_void(&self) -> bool {
        let board = self.stripe().board.lock();
        board.numbered(self.number).is_some_and(|flight| flight.void)
    }

    /// A taker leaves with what it got; whether that is its own, and no other taker's. `outside`:
    /// where it was.
    pub(crate) fn claim(mut self, outside: bool) -> bool {
        self.leave(Some(outside))
    }

    /// Off the board, if that has not been done; whether a claim was good.
    fn leave(&mut self, claims: Option<bool>) -> bool {
        if !std::mem::replace(&mut self.is_out, false) {
            return false;
        }
        let stripe = &self.stripes[self.stripe];
        let mut board = stripe.board.lock();
        let gone = board.leave(self.number);
        let mine = claims.is_some() && gone.as_ref().is_some_and(|flight| !flight.void);
        if mine {
            board.of_key(&self.key).for_each(|flight| flight.void = true);
        }
        let was_told = gone.as_ref().is_some_and(Flight::is_told);
        if was_told || mine && claims == Some(true) {
            // Relaxed: it publishes nothing, and is for takers that go without the board. They look
            // last behind the lock, or behind the end of this flight. If they find it at first, in
            // `before`, behind neither, then what they take and tell comes after what was done
            // here: had the table or the store met them earlier, this would lie in the future of
            // that look, which finds nothing from there.
            stripe.landed.fetch_add(1, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `is_quiet`: who sees the end sees what was stored, and
        // `landed`.
        stripe.out.fetch_sub(1, Ordering::Release);
        drop(board);
        // What it shares may be the last of its kind, and end a future of the user's.
        drop(gone);
        mine
    }
}

impl<T> Drop for Departed<T> {
    /// Also in a panic of the callback.
    fn drop(&mut self) {
        if cfg!(halfshake_loom) && std::thread::panicking() {
            return; // a loom step while unwinding aborts the process
        }
        self.leave(None);
    }
}

#[cfg(all(test, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn flights_of_two_caches_have_different_names() {
        let caches = [Flights::<()>::new(), Flights::<()>::new()];
        let keys = (0..u32::MAX).map(u32::to_le_bytes);
        let same = |key: &[u8; 4]| caches[0].stripe_of(key) == caches[1].stripe_of(key);
        let key = keys.into_iter().find(same).expect("one in 64");
        let first = caches.each_ref().map(|flights| flights.board_taker(&key, &[]));
        let [one, other] = first.map(|boarded| boarded.expect("nobody is told").0);
        assert_eq!((one.name().1, one.name().2), (other.name().1, other.name().2));
        assert_ne!(one.name(), other.name());
    }

    fn lands(flights: &Flights<()>, key: &[u8], meanwhile: impl FnOnce()) -> bool {
        let boarded = flights.board(key, Arc::new(()), &[], |_| None::<()>);
        let Boarding::Departed(flight) = boarded else { panic!("nobody is out") };
        meanwhile();
        flight.land(|_| ())
    }

    #[test]
    fn late_removals_of_a_namespace_leave_others_alone() {
        let flights = Flights::new();
        let own = [1, b'a', 0, 0];
        // Of the same stripe.
        let another = |name| {
            let keys = (1..u16::MAX).map(u16::to_le_bytes).map(|id| [1, name, id[0], id[1]]);
            let same = |key: &[u8; 4]| flights.stripe_of(key) == flights.stripe_of(&own);
            keys.into_iter().find(same).expect("one in 64")
        };
        let (other, third) = (another(b'a'), another(b'b'));
        let before = flights.before(&own);
        assert!(lands(&flights, &own, || ()));
        let late = flights.mark(before, Scope::Namespace(b"a")).expect("one has landed");
        assert!(!late.is(before.landed) && late.is(before.landed + 1));
        assert!(!lands(&flights, &other, || ()), "of that namespace");
        assert!(lands(&flights, &third, || ()), "of another one");
        assert!(!lands(&flights, &other, move || drop(late)), "it was out when that left");
        assert!(lands(&flights, &other, || ()));
    }
}
