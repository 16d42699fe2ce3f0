//! What a thread holds of ours while user code is called: nothing. Counted, and asserted, in debug
//! builds; in others there is nothing here.
//!
//! Counted are the pins of the engine's own operations, and the locks of the layers above it. What
//! a look-up lends (a [`Resumed`](crate::session::Resumed), a reader) pins the thread as well, but
//! is the user's.

/// Whether a model runs: there all threads are one, and nothing is counted.
const COUNTS: bool = cfg!(all(debug_assertions, not(any(halfshake_loom, halfshake_shuttle))));

thread_local! {
    static HELD: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// One pin, or one lock, of the engine's own.
#[derive(Debug)]
pub(crate) struct Holding {
    #[cfg(all(debug_assertions, not(any(halfshake_loom, halfshake_shuttle))))]
    counts: bool,
}

impl Holding {
    #[inline(always)]
    pub(crate) fn begin() -> Self {
        if COUNTS {
            HELD.set(HELD.get() + 1);
        }
        Self {
            #[cfg(all(debug_assertions, not(any(halfshake_loom, halfshake_shuttle))))]
            counts: true,
        }
    }

    /// It is the user's from now on.
    #[inline(always)]
    pub(crate) fn lend(&mut self) {
        #[cfg(all(debug_assertions, not(any(halfshake_loom, halfshake_shuttle))))]
        if std::mem::replace(&mut self.counts, false) {
            HELD.set(HELD.get() - 1);
        }
    }
}

#[cfg(all(debug_assertions, not(any(halfshake_loom, halfshake_shuttle))))]
impl Drop for Holding {
    fn drop(&mut self) {
        self.lend();
    }
}

/// A callback is about to run.
///
/// # Panics
/// In debug builds, if the thread is pinned by an operation of ours or has one of our locks.
#[inline(always)]
pub(crate) fn assert_none() {
    if COUNTS {
        assert_eq!(HELD.get(), 0, "a callback would run pinned, or under a lock");
    }
}

/// Runs user code that may run pinned (the predicate of `retain`), and may call other caches.
#[inline(always)]
pub(crate) fn excused<R>(user_code: impl FnOnce() -> R) -> R {
    /// Also if it panics.
    struct Again(u32);
    impl Drop for Again {
        fn drop(&mut self) {
            HELD.set(HELD.get() + self.0);
        }
    }
    let _again = COUNTS.then(|| Again(HELD.take()));
    user_code()
}

#[cfg(all(test, debug_assertions, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn what_is_held_fails_and_what_is_lent_or_given_back_does_not() {
        assert_none();
        let mut held = Holding::begin();
        assert!(catch_unwind(assert_none).is_err());
        excused(assert_none);
        assert!(catch_unwind(assert_none).is_err());
        held.lend();
        assert_none();
        drop(held);
        let held = Holding::begin();
        let panics = AssertUnwindSafe(|| excused(|| panic!("injected")));
        assert!(catch_unwind(panics).is_err());
        assert!(catch_unwind(assert_none).is_err(), "forgotten in a panic");
        drop(held);
        assert_none();
    }
}
