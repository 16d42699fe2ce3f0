//! The atomics of scheduled builds: the standard ones, with a *step* before each access, at which
//! shuttle's scheduler decides which thread goes on.
//!
//! All threads of an execution take turns on one thread of the system, so every access is seen at
//! once by all: orderings are not checked here, loom does that. The types are laid out as in a
//! plain build. No step: inside crossbeam-epoch, arc-swap and the allocator, whose calls are each
//! one step; and counters, flags and gauges, which loom's `words` are about.

#![expect(clippy::disallowed_types, reason = "this is the room of the atomics")]

use super::Ordering;
use std::time::Duration;

pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use shuttle::thread::{
    Builder as ThreadBuilder, JoinHandle, Thread, ThreadId, park_timeout,
};

/// Another thread may go on here. While a panic unwinds nobody else does: the scheduler has ended.
#[inline]
pub(crate) fn step() {
    if !std::thread::panicking() {
        // No time goes by: it only asks the scheduler, and is no hint to it, as a yield is.
        shuttle::thread::sleep(Duration::ZERO);
    }
}

pub(crate) fn current_thread() -> Thread {
    shuttle::thread::current()
}

pub(crate) fn this_thread() -> ThreadId {
    current_thread().id()
}

pub(crate) fn yield_now() {
    if !std::thread::panicking() {
        shuttle::thread::yield_now();
    }
}

pub(crate) fn wait(_round: u32) {
    yield_now();
}

/// All that a thread did is seen by the next one in any case.
pub(crate) fn fence(_order: Ordering) {
    step();
}

/// Edges of the model epoch: nobody needs them where all is seen at once.
pub(crate) fn unexplored<R: Default>(_edge: impl FnOnce() -> R) -> R {
    R::default()
}

/// shuttle's lock.
#[derive(Debug)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What an entry holds.
pub(crate) struct ModelCell<T>(std::cell::UnsafeCell<T>);

impl<T> ModelCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

macro_rules! atomic {
    ($name:ident, $int:ty) => {
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name(core::sync::atomic::$name);

        #[expect(dead_code, reason = "no integer uses all of the operations")]
        impl $name {
            pub(crate) const fn new(value: $int) -> Self {
                Self(core::sync::atomic::$name::new(value))
            }
            pub(crate) fn load(&self, order: Ordering) -> $int {
                step();
                self.0.load(order)
            }
            pub(crate) fn store(&self, value: $int, order: Ordering) {
                step();
                self.0.store(value, order);
            }
            pub(crate) fn compare_exchange(
                &self,
                old: $int,
                new: $int,
                ok: Ordering,
                failed: Ordering,
            ) -> Result<$int, $int> {
                step();
                self.0.compare_exchange(old, new, ok, failed)
            }
            atomic!(@ $int: swap, fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_min,
                fetch_max);
        }
    };
    (@ $int:ty: $($change:ident),*) => {
        $(pub(crate) fn $change(&self, value: $int, order: Ordering) -> $int {
            step();
            self.0.$change(value, order)
        })*
    };
}
atomic!(AtomicU64, u64);
atomic!(AtomicI64, i64);
atomic!(AtomicU8, u8);
atomic!(AtomicU32, u32);
