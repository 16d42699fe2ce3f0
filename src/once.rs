//! The one place where callers wait for one another: `get_or_insert_with`.
//!
//! A *flight* is a key (its hash: a collision only waits for nothing) that somebody is making a
//! value for. A lock guards the list of flights and of those who wait for them, and is held for
//! moments, never while a value is made. Nothing here is on the path of any other operation.
//!
//! A maker may ask for other keys. Before a thread waits, it follows who waits for whom: a circle
//! would wait for ever, and is a panic instead.

use crate::sync::{Condvar, Mutex, MutexGuard, ThreadId, this_thread};
use std::sync::PoisonError;

/// The flights of one cache.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    board: Mutex<Board>,
    landed: Condvar,
}

/// Who makes what, and who waits for what.
#[derive(Debug, Default)]
struct Board {
    flying: Vec<(u64, ThreadId)>,
    waiting: Vec<(ThreadId, u64)>,
}

impl Board {
    fn maker(&self, hash: u64) -> Option<ThreadId> {
        self.flying.iter().find(|(h, _)| *h == hash).map(|(_, maker)| *maker)
    }

    /// Whether the value of `hash` comes only after `me` has gone on.
    fn waits_for(&self, hash: u64, me: ThreadId) -> bool {
        let mut next = self.maker(hash);
        // A thread waits for one key at a time, and nobody has closed a circle yet.
        while let Some(maker) = next {
            if maker == me {
                return true;
            }
            let waits = self.waiting.iter().find(|(waiter, _)| *waiter == maker);
            next = waits.and_then(|(_, hash)| self.maker(*hash));
        }
        false
    }
}

/// The right to make the value of one key. Dropping it, also in a panic, lets the next one in.
#[derive(Debug)]
pub(crate) struct Turn<'f> {
    flights: &'f Flights,
    hash: u64,
}

impl Flights {
    /// A panic can't leave the board half-way: its lists are only pushed to and filtered.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody makes a value for `hash`.
    ///
    /// # Panics
    /// If that could only be after the calling thread has made the value that it is making.
    pub(crate) fn wait_for_turn(&self, hash: u64) -> Turn<'_> {
        let me = this_thread();
        let mut board = self.board();
        while board.maker(hash).is_some() {
            if board.waits_for(hash, me) {
                drop(board);
                panic!(
                    "get_or_insert_with: the function that makes a value asked for a key whose \
                     value waits for this one"
                );
            }
            board.waiting.push((me, hash));
            board = self.landed.wait(board).unwrap_or_else(PoisonError::into_inner);
            board.waiting.retain(|(waiter, _)| *waiter != me);
        }
        board.flying.push((hash, me));
        Turn { flights: self, hash }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.flights.board().flying.retain(|(hash, _)| *hash != self.hash);
        self.flights.landed.notify_all();
    }
}

#[cfg(all(test, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;

    #[test]
    fn makers_that_wait_for_one_another_are_a_panic_of_one() {
        let flights = Flights::default();
        let (begun, other_begun) = mpsc::channel();
        std::thread::scope(|scope| {
            let a = flights.wait_for_turn(1);
            let second = scope.spawn(|| {
                let _b = flights.wait_for_turn(2);
                begun.send(()).expect("the first thread listens");
                catch_unwind(AssertUnwindSafe(|| drop(flights.wait_for_turn(1)))).is_ok()
            });
            let first = {
                let _a = a;
                other_begun.recv().expect("the second thread begins");
                catch_unwind(AssertUnwindSafe(|| drop(flights.wait_for_turn(2)))).is_ok()
            };
            let second = second.join().expect("caught");
            assert!(first != second, "one goes on, one is told: {first} {second}");
        });
    }
    #[test]
    fn who_has_waited_waits_no_more() {
        let flights = Flights::default();
        let (turn, (begun, other_begun)) = (flights.wait_for_turn(1), mpsc::channel());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                drop(flights.wait_for_turn(1));
                let two = flights.wait_for_turn(2);
                begun.send(()).expect("the first thread listens");
                while flights.board().waiting.is_empty() {
                    std::thread::yield_now();
                }
                drop(two);
            });
            while flights.board().waiting.is_empty() {
                std::thread::yield_now();
            }
            drop(turn);
            other_begun.recv().expect("the second thread goes on");
            // Its maker waited for this one, and does no more: no circle.
            let _one = flights.wait_for_turn(1);
            drop(flights.wait_for_turn(2));
        });
        assert!(flights.board().waiting.is_empty());
    }
}
