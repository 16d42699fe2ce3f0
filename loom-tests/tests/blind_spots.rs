//! loom 0.7 passes some models that have real bugs in them. Each of its four blind spots is shown
//! here twice: open, with loom's own types or crossbeam-epoch as it is, and closed, with what the
//! models use instead (`src/remedies.rs`). If the first of such a pair fails, loom sees more than
//! it did, and the remedy may go; if the second one does, the models have gone blind.
//!
//! At the end, what stands in models for arc-swap, which loom can't see into: it orders no more
//! than arc-swap does.

use halfshake::remedies::{Gated, Payload, Pins, Pointer, Word};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64 as LoomWord, AtomicUsize};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

/// Explores a body: how many executions it took, or what loom found.
fn explored(body: fn()) -> Result<u64, String> {
    // On a thread of its own: loom keeps its state in thread locals, and a failure leaves it there.
    let explore = move || {
        let executions = Arc::new(AtomicU64::new(0));
        let counter = executions.clone();
        let mut builder = loom::model::Builder::new();
        // Without a bound, whatever the environment says: under one, loom tries some orders more,
        // and may find by chance what it would have to find anyway.
        builder.preemption_bound = None;
        let check = AssertUnwindSafe(|| {
            builder.check(move || {
                counter.fetch_add(1, Relaxed);
                body();
            });
        });
        catch_unwind(check).map(|()| executions.load(Relaxed)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default()
        })
    };
    std::thread::spawn(explore).join().expect("failures are caught")
}

#[track_caller]
fn is_blind(body: fn()) {
    let found = explored(body);
    assert!(found.as_ref().is_ok_and(|executions| *executions > 1), "loom sees it: {found:?}");
}

#[track_caller]
fn finds(body: fn(), expected: &str) {
    let found = explored(body).expect_err("the remedy does not help");
    assert!(found.contains(expected), "{found}");
}

const RACE: &str = "Causality violation";

/// The first blind spot: once a thread has loaded a word, loom forgets that another has done so
/// before, and never tries that other load after the first thread's store.
mod loads {
    use super::*;

    /// A value that is published by an exchange that lacks Release: load, write, exchange.
    fn publishes<W: 'static>(
        word: W,
        load: fn(&W) -> u64,
        exchange: fn(&W, u64),
        read: fn(&W) -> u64,
    ) {
        let shared = Rc::new((word, UnsafeCell::new(0u32)));
        let (reads, writes) = (shared.clone(), shared);
        let reader = loom::thread::spawn(move || {
            if read(&reads.0) == 1 {
                reads.1.with(|_| ());
            }
        });
        let writer = loom::thread::spawn(move || {
            let seen = load(&writes.0);
            writes.1.with_mut(|_| ());
            exchange(&writes.0, seen);
        });
        reader.join().expect("it ends");
        writer.join().expect("it ends");
    }

    #[test]
    fn a_load_before_the_exchange_hides_the_race() {
        is_blind(|| {
            let exchange = |word: &LoomWord, seen| {
                // The bug: it needs Release.
                word.compare_exchange(seen, 1, Relaxed, Relaxed).expect("one writer");
            };
            let (load, read) = (|w: &LoomWord| w.load(Relaxed), |w: &LoomWord| w.load(Acquire));
            publishes(LoomWord::new(0), load, exchange, read);
        });
    }

    #[test]
    fn the_twin_shows_it() {
        finds(|| with_twin(Relaxed), RACE);
    }

    #[test]
    fn the_twin_lets_a_release_pass() {
        let right = explored(|| with_twin(Release));
        assert!(right.is_ok(), "{right:?}");
    }

    fn with_twin(order: Ordering) {
        let exchange: fn(&Word, u64) = match order {
            Release => |word, seen| {
                word.compare_exchange(seen, 1, Release).expect("one writer");
            },
            _ => |word, seen| {
                word.compare_exchange(seen, 1, Relaxed).expect("one writer");
            },
        };
        publishes(Word::new(0), |word| word.load(Relaxed), exchange, |word| word.load(Acquire));
    }
}

/// The second one: a fence is no scheduling point, and comes before every later one. A pin has one.
mod fences {
    use super::*;

    /// A value that is published relaxed, between pins that order nothing.
    fn publishes<P: 'static, G: 'static>([mine, other]: [P; 2], pin: fn(&P) -> G) {
        let shared = Rc::new((AtomicUsize::new(0), UnsafeCell::new(0u32)));
        // Once before: the first pin of each tries to advance the epoch.
        drop(pin(&mine));
        drop(pin(&other));
        let writes = shared.clone();
        let writer = loom::thread::spawn(move || {
            writes.1.with_mut(|_| ());
            // The bug: it needs Release.
            writes.0.store(1, Relaxed);
            drop(pin(&other));
            other
        });
        if shared.0.load(Relaxed) == 1 {
            let _pinned = pin(&mine);
            shared.1.with(|_| ());
        }
        drop(writer.join().expect("it ends"));
    }

    #[test]
    fn pins_hide_a_relaxed_publication() {
        is_blind(|| {
            let collector = crossbeam_epoch::Collector::new();
            let both = [collector.register(), collector.register()];
            publishes(both, crossbeam_epoch::LocalHandle::pin);
        });
    }

    #[test]
    fn the_gate_shows_it() {
        finds(
            || {
                let collector = Gated::new();
                publishes([collector.register(), collector.register()], Pins::pin);
            },
            RACE,
        );
    }
}

/// The third one: a cell that is made after a release counts as published by it.
mod creation {
    use super::*;

    /// Something that is made after a release, and published relaxed.
    fn publishes<T: 'static>(make: fn() -> T, read: fn(&T)) {
        let shared = Rc::new((AtomicUsize::new(0), AtomicUsize::new(0), OnceLock::new()));
        let makes = shared.clone();
        let maker = loom::thread::spawn(move || {
            makes.0.store(1, Release);
            assert!(makes.2.set(make()).is_ok(), "one maker");
            // The bug: it needs Release.
            makes.1.store(1, Relaxed);
        });
        if shared.0.load(Acquire) == 1 && shared.1.load(Relaxed) == 1 {
            read(shared.2.get().expect("it was made"));
        }
        maker.join().expect("it ends");
    }

    #[test]
    fn what_is_made_after_a_release_counts_as_released() {
        is_blind(|| publishes(|| UnsafeCell::new(0u32), |cell| cell.with(|_| ())));
    }

    #[test]
    fn the_write_after_creation_shows_the_race() {
        finds(|| publishes(|| Payload::new(7), |payload| assert_eq!(payload.read(), 7)), RACE);
    }
}

/// The fourth one: memory is not watched once it is freed.
mod freed {
    use super::*;

    /// Reads of what was freed.
    static LATE: AtomicU64 = AtomicU64::new(0);

    /// Freed while somebody reads: no guard, no grace period.
    fn frees<T: 'static, P>(payload: T, find: fn(&T) -> P, read: fn(&T, P), free: fn(&T)) {
        let shared = Rc::new((AtomicUsize::new(1), AtomicUsize::new(0), payload));
        let frees = shared.clone();
        let freer = loom::thread::spawn(move || {
            frees.0.store(0, Release);
            // The bug: the other one may have seen it.
            free(&frees.2);
            frees.1.store(1, Relaxed);
        });
        if shared.0.load(Acquire) == 1 {
            let found = find(&shared.2);
            // Somewhere between the two.
            shared.1.load(Relaxed);
            read(&shared.2, found);
        }
        freer.join().expect("it ends");
    }

    /// loom's own cell, and its own pointer into it, which it watches for as long as it lives; the
    /// memory stays, so that the test itself reads nothing that is freed.
    #[test]
    fn reads_of_freed_memory_pass() {
        is_blind(|| {
            frees(
                RefCell::new(Some(UnsafeCell::new(7))),
                |cell| cell.borrow().as_ref().map(UnsafeCell::get),
                |cell, pointer| {
                    let is_late = pointer.is_some() && cell.borrow().is_none();
                    LATE.fetch_add(u64::from(is_late), Relaxed);
                },
                |cell| _ = cell.take(),
            );
        });
        assert_ne!(LATE.load(Relaxed), 0, "nobody read what was freed");
    }

    #[test]
    fn watched_memory_shows_them() {
        finds(
            || {
                let read = |payload: &Payload, ()| assert_eq!(payload.read(), 7);
                frees(Payload::new(7), |_| (), read, Payload::bury);
            },
            RACE,
        );
    }
}

mod pointers {
    use super::*;

    /// A value that is written, and read by who has seen so by a relaxed word; and what the two do
    /// with a pointer in between.
    fn publishes(writes: fn(&Pointer), reads: fn(&Pointer) -> bool) {
        let shared = Rc::new((Pointer::new(), AtomicUsize::new(0), UnsafeCell::new(0u32)));
        let other = shared.clone();
        let writer = loom::thread::spawn(move || {
            other.2.with_mut(|_| ());
            writes(&other.0);
            other.1.store(1, Relaxed);
        });
        if shared.1.load(Relaxed) == 1 && reads(&shared.0) {
            shared.2.with(|_| ());
        }
        writer.join().expect("it ends");
    }

    #[test]
    fn loads_of_a_pointer_do_not_order_one_another() {
        finds(|| publishes(|pointer| _ = pointer.load(), |pointer| pointer.load().is_none()), RACE);
    }

    #[test]
    fn a_load_sees_what_came_before_what_was_stored() {
        let right = explored(|| {
            publishes(|pointer| pointer.store(1), |pointer| pointer.load() == Some(1));
        });
        assert!(right.is_ok_and(|executions| executions > 1), "a load has no edge");
    }
}
