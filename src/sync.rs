//! The only file that names atomics, fences or loom; `scheduled.rs` does for shuttle.
//!
//! Plain builds alias the standard types: nothing is added. Model builds (`--cfg halfshake_loom`)
//! put loom's types behind the same names and close two of loom's blind spots:
//!
//! * **Loads.** loom forgets a thread's earlier load of a word once another thread has loaded it,
//!   and so never tries some orders of a store against a load. Each atomic therefore has a *twin*:
//!   every access first stores to it, relaxed. Nobody reads the twin, so it adds no happens-before
//!   edge, but all accesses of the word now depend on one another and every order is tried.
//! * **Fences** are no scheduling points: see the gate in [`crate::reclaim`].
//!
//! Scheduled builds (`--cfg halfshake_shuttle`) step before each access, and run on shuttle's
//! threads.

#[cfg(halfshake_shuttle)]
#[path = "sync/scheduled.rs"]
mod imp;

#[cfg(not(any(halfshake_loom, halfshake_shuttle)))]
mod imp {
    #![expect(clippy::disallowed_types, reason = "this is the room of the atomics")]

    pub(crate) type AtomicU64 = core::sync::atomic::AtomicU64;
    pub(crate) type AtomicI64 = core::sync::atomic::AtomicI64;
    pub(crate) type AtomicU8 = core::sync::atomic::AtomicU8;
    pub(crate) type AtomicU32 = core::sync::atomic::AtomicU32;

    /// A lock, never poisoned: what it guards has no half-way states.
    #[derive(Debug)]
    pub(crate) struct Lock<T>(std::sync::Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> Locked<'_, T> {
            let guard = self.acquire();
            Locked { guard, _holding: crate::holding::Holding::begin() }
        }
    }

    impl<T> Lock<T> {
        #[cfg(not(halfshake_tsan))]
        fn acquire(&self) -> std::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        /// The thread sanitizer does not see how the standard library waits: that is not
        /// instrumented. What is compiled into this crate, it sees.
        #[cfg(halfshake_tsan)]
        fn acquire(&self) -> std::sync::MutexGuard<'_, T> {
            loop {
                match self.0.try_lock() {
                    Ok(guard) => return guard,
                    Err(std::sync::TryLockError::Poisoned(e)) => return e.into_inner(),
                    Err(std::sync::TryLockError::WouldBlock) => yield_now(),
                }
            }
        }
    }

    /// A lock that the thread has: debug builds assert that no callback runs meanwhile.
    #[derive(Debug)]
    pub(crate) struct Locked<'l, T> {
        guard: std::sync::MutexGuard<'l, T>,
        _holding: crate::holding::Holding,
    }

    impl<T> std::ops::Deref for Locked<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> std::ops::DerefMut for Locked<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    /// Before an acquire load that must not be satisfied by anything older than the fence.
    pub(crate) fn fence(order: super::Ordering) {
        core::sync::atomic::fence(order);
    }

    /// Gives the processor away once: in the bounded helps of an insert that lacks room, and where
    /// much garbage waits for readers.
    pub(crate) fn yield_now() {
        std::thread::yield_now();
    }

    /// Waits a moment for other threads: a yield at first, a millisecond later.
    pub(crate) fn wait(round: u32) {
        const YIELDS: u32 = 64;
        if round < YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
    }
}

#[cfg(halfshake_loom)]
mod imp {
    use super::Ordering;

    pub(crate) use loom::cell::UnsafeCell as ModelCell;
    pub(crate) use loom::sync::atomic::fence;
    pub(crate) use loom::thread::{current as current_model_thread, yield_now};

    pub(crate) fn wait(_round: u32) {
        yield_now();
    }

    /// No model sleeps.
    pub(crate) fn park_timeout(_: std::time::Duration) {
        yield_now();
    }

    /// loom's lock.
    #[derive(Debug)]
    pub(crate) struct Lock<T>(loom::sync::Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a model that panics has ended")
        }
    }

    /// loom steps inside `f` happen, but are not explored.
    pub(crate) fn unexplored<R>(f: impl FnOnce() -> R) -> R {
        loom::stop_exploring();
        let r = f();
        loom::explore();
        r
    }

    macro_rules! atomic {
        ($name:ident, $int:ty $(, $unused:literal)?) => {
            /// A loom atomic with its twin.
            #[derive(Debug)]
            pub(crate) struct $name {
                value: loom::sync::atomic::$name,
                twin: loom::sync::atomic::AtomicBool,
            }

            $(#[expect(dead_code, reason = $unused)])?
            impl $name {
                pub(crate) fn new(value: $int) -> Self {
                    Self {
                        value: loom::sync::atomic::$name::new(value),
                        twin: loom::sync::atomic::AtomicBool::new(false),
                    }
                }
                #[track_caller]
                fn touch(&self) -> &loom::sync::atomic::$name {
                    // Relaxed: a scheduling point, not an edge.
                    self.twin.store(false, Ordering::Relaxed);
                    &self.value
                }
                #[track_caller]
                pub(crate) fn load(&self, order: Ordering) -> $int {
                    self.touch().load(order)
                }
                #[track_caller]
                pub(crate) fn store(&self, value: $int, order: Ordering) {
                    self.touch().store(value, order);
                }
                #[track_caller]
                pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                    self.touch().swap(value, order)
                }
                #[track_caller]
                pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_add(value, order)
                }
                #[track_caller]
                pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_sub(value, order)
                }
                #[track_caller]
                pub(crate) fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_and(value, order)
                }
                #[track_caller]
                pub(crate) fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_or(value, order)
                }
                #[track_caller]
                pub(crate) fn fetch_xor(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_xor(value, order)
                }
                #[track_caller]
                pub(crate) fn fetch_min(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_min(value, order)
                }
                #[track_caller]
                pub(crate) fn fetch_max(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_max(value, order)
                }
                #[track_caller]
                pub(crate) fn compare_exchange(
                    &self,
                    old: $int,
                    new: $int,
                    ok: Ordering,
                    failed: Ordering,
                ) -> Result<$int, $int> {
                    self.touch().compare_exchange(old, new, ok, failed)
                }
            }
        };
    }
    atomic!(AtomicU64, u64);
    atomic!(AtomicI64, i64, "not all operations are used of this one");
    atomic!(AtomicU8, u8, "not all operations are used of this one");
    atomic!(AtomicU32, u32, "not all operations are used of this one");
}

pub(crate) use imp::*;
pub(crate) type Ordering = core::sync::atomic::Ordering;

/// The system's own: for the one place where callers wait, and for the cache's threads.
#[cfg(not(halfshake_shuttle))]
mod waiting {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    #[cfg(not(halfshake_loom))]
    pub(crate) use std::thread::park_timeout;
    pub(crate) use std::thread::{Builder as ThreadBuilder, JoinHandle, Thread, ThreadId};

    pub(crate) fn current_thread() -> Thread {
        std::thread::current()
    }

    pub(crate) fn this_thread() -> ThreadId {
        current_thread().id()
    }

    /// Before an access that shuttle explores and others need not.
    #[inline]
    pub(crate) fn step() {}
}
#[cfg(not(halfshake_shuttle))]
pub(crate) use waiting::*;

mod plain {
    #![expect(clippy::disallowed_types, reason = "words that no model explores")]

    /// Ids, gauges, settings: no model explores them, and ARCHITECTURE.md says why.
    pub(crate) type PlainU64 = core::sync::atomic::AtomicU64;
    pub(crate) type PlainBool = core::sync::atomic::AtomicBool;
}
pub(crate) use plain::*;

#[cfg(halfshake_loom)]
mod explored;
#[cfg(halfshake_loom)]
pub(crate) use explored::*;

/// Words that are explored by models that are about them, and plain in all others.
#[cfg(not(halfshake_loom))]
mod words {
    pub(crate) type Word = super::PlainU64;
    pub(crate) type Flag = super::PlainBool;

    /// Whether other threads' writes of this word are seen as late as its orderings allow.
    pub(crate) const fn is_explored(_: &Word) -> bool {
        true
    }

    #[cfg(halfshake_shuttle)]
    pub(crate) fn exploring_words<R>(make: impl FnOnce() -> R) -> R {
        make()
    }
}
#[cfg(not(halfshake_loom))]
pub(crate) use words::*;

/// A shared pointer whose accesses no model explores, but orders: the list of blocks.
#[derive(Debug)]
pub(crate) struct PlainSwap<T> {
    inner: arc_swap::ArcSwapOption<T>,
    #[cfg(halfshake_loom)]
    edge: AtomicU64,
}

impl<T> PlainSwap<T> {
    pub(crate) fn new(value: Option<std::sync::Arc<T>>) -> Self {
        Self {
            inner: arc_swap::ArcSwapOption::new(value),
            #[cfg(halfshake_loom)]
            edge: AtomicU64::new(0),
        }
    }

    pub(crate) fn load_full(&self) -> Option<std::sync::Arc<T>> {
        // Acquire: pairs with the Release in `update`; arc-swap's own edge.
        #[cfg(halfshake_loom)]
        unexplored(|| self.edge.fetch_add(0, Ordering::Acquire));
        self.inner.load_full()
    }

    /// Lock-free read, copy, update: `next` may run more than once.
    pub(crate) fn update(
        &self,
        mut next: impl FnMut(&Option<std::sync::Arc<T>>) -> Option<std::sync::Arc<T>>,
    ) {
        // AcqRel: pairs with itself, and with the Acquire in `load_full`.
        #[cfg(halfshake_loom)]
        unexplored(|| self.edge.fetch_add(1, Ordering::AcqRel));
        self.inner.rcu(|old| next(old));
    }
}

/// What a [`Swap`] held when it was looked at, kept alive.
pub(crate) type Seen<T> = arc_swap::Guard<Option<std::sync::Arc<T>>>;

/// A shared pointer that can be exchanged while others use it (arc-swap). Readers take no lock.
///
/// arc-swap knows nothing of loom, so a model build adds one explored read-modify-write before
/// each access: a scheduling point, and the edges that arc-swap's own orderings give. Loads give
/// none to one another.
#[derive(Debug)]
pub(crate) struct Swap<T> {
    inner: arc_swap::ArcSwapOption<T>,
    #[cfg(halfshake_loom)]
    edge: AtomicU64,
}

impl<T> Swap<T> {
    pub(crate) fn new(value: Option<std::sync::Arc<T>>) -> Self {
        Self {
            inner: arc_swap::ArcSwapOption::new(value),
            #[cfg(halfshake_loom)]
            edge: AtomicU64::new(0),
        }
    }

    /// For a load.
    fn seen(&self) -> &arc_swap::ArcSwapOption<T> {
        step();
        // Acquire: pairs with the Release in `changed`; a load publishes nothing.
        #[cfg(halfshake_loom)]
        self.edge.fetch_add(0, Ordering::Acquire);
        &self.inner
    }

    /// For an exchange.
    fn changed(&self) -> &arc_swap::ArcSwapOption<T> {
        step();
        // AcqRel: what arc-swap's own protocol gives between a store and a load that sees it.
        #[cfg(halfshake_loom)]
        self.edge.fetch_add(1, Ordering::AcqRel);
        &self.inner
    }

    /// The value, kept alive for as long as the answer lives.
    pub(crate) fn load(&self) -> Seen<T> {
        self.seen().load()
    }

    pub(crate) fn swap(&self, value: Option<std::sync::Arc<T>>) -> Option<std::sync::Arc<T>> {
        self.changed().swap(value)
    }

    /// The value, as an owner of it.
    pub(crate) fn load_full(&self) -> Option<std::sync::Arc<T>> {
        self.seen().load_full()
    }

    /// Stores `new` if the value is still `old`; whether it was.
    pub(crate) fn replace_if(
        &self,
        old: Option<&std::sync::Arc<T>>,
        new: Option<std::sync::Arc<T>>,
    ) -> bool {
        let old = old.cloned();
        let found = self.changed().compare_and_swap(&old, new);
        match (&*found, &old) {
            (Some(found), Some(old)) => std::sync::Arc::ptr_eq(found, old),
            (None, None) => true,
            _ => false,
        }
    }

    /// Changes a copy of the value and stores it, unless `change` fails: it may run more than once.
    /// Lock-free.
    #[cfg(any(feature = "seal", feature = "tagged-ids"))]
    pub(crate) fn try_update<E>(&self, change: impl Fn(&mut T) -> Result<(), E>) -> Result<(), E>
    where
        T: Clone + Default,
    {
        loop {
            let old = self.load_full();
            let mut new = old.as_deref().cloned().unwrap_or_default();
            change(&mut new)?;
            if self.replace_if(old.as_ref(), Some(std::sync::Arc::new(new))) {
                return Ok(());
            }
        }
    }
}

/// A boxed value that whoever comes first takes out (crossbeam's `AtomicCell`). One swap each.
///
/// `AtomicCell` is absent from model builds: a mutex takes its place (a model runs on one thread of
/// the system, so it never waits), behind one explored read-modify-write, as with [`Swap`].
pub(crate) struct Slot<T> {
    #[cfg(not(halfshake_loom))]
    inner: crossbeam_utils::atomic::AtomicCell<Option<Box<T>>>,
    #[cfg(halfshake_loom)]
    inner: std::sync::Mutex<Option<Box<T>>>,
    #[cfg(halfshake_loom)]
    edge: AtomicU64,
}

impl<T> std::fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl<T> Slot<T> {
    #[cfg(not(halfshake_loom))]
    pub(crate) fn empty() -> Self {
        use crossbeam_utils::atomic::AtomicCell;
        const { assert!(AtomicCell::<Option<Box<T>>>::is_lock_free()) };
        Self { inner: AtomicCell::new(None) }
    }

    #[cfg(halfshake_loom)]
    pub(crate) fn empty() -> Self {
        Self { inner: std::sync::Mutex::new(None), edge: AtomicU64::new(0) }
    }

    /// Takes the value out.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.exchange(None)
    }

    /// Puts a value in, and takes what was there.
    #[cfg(not(halfshake_loom))]
    pub(crate) fn exchange(&self, value: Option<Box<T>>) -> Option<Box<T>> {
        step();
        self.inner.swap(value)
    }

    /// Puts a value in, and takes what was there.
    #[cfg(halfshake_loom)]
    pub(crate) fn exchange(&self, value: Option<Box<T>>) -> Option<Box<T>> {
        // AcqRel: what the swap of `AtomicCell` gives.
        self.edge.fetch_add(1, Ordering::AcqRel);
        std::mem::replace(&mut *self.inner.lock().expect("a model runs on one thread"), value)
    }
}

/// Thread locals; loom's own in models, and shuttle's.
#[cfg(not(any(halfshake_loom, halfshake_shuttle)))]
macro_rules! per_thread {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;) => {
        std::thread_local! {
            $(#[$doc])*
            static $name: $type = const { $value };
        }
    };
}

#[cfg(halfshake_loom)]
macro_rules! per_thread {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;) => {
        loom::thread_local! {
            $(#[$doc])*
            static $name: $type = $value;
        }
    };
}

#[cfg(halfshake_shuttle)]
macro_rules! per_thread {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;) => {
        shuttle::thread_local! {
            $(#[$doc])*
            static $name: $type = $value;
        }
    };
}

pub(crate) use per_thread;
