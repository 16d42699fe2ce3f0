//! What an entry holds, and the memory that it lies in. In plain builds a wrapper of nothing and
//! the allocator; in model builds every access is checked for races and for use after free.
//!
//! Unsafe is checked by: `tests/core/stress.rs`; in model builds `loom-tests/tests/blind_spots.rs`.

#[cfg(not(any(halfshake_loom, halfshake_shuttle)))]
mod plain {
    use std::alloc::{Layout, alloc, dealloc};
    use std::ptr::NonNull;

    #[derive(Debug)]
    pub(crate) struct Watched<T>(T);

    impl<T> Watched<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(value)
        }
        pub(crate) fn into_inner(self) -> T {
            self.0
        }
        pub(crate) fn read(&self) -> &T {
            &self.0
        }
        /// Marks the value as dead, in model builds.
        pub(crate) fn bury(&self) {}
    }

    /// `None` if the allocator has nothing. The layout must not be empty.
    pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
        debug_assert!(layout.size() != 0);
        // SAFETY: no entry is empty: each has a header.
        NonNull::new(unsafe { alloc(layout) })
    }

    /// # Safety
    /// - `block` came from `allocate` for this layout, and nobody uses it any more.
    pub(crate) unsafe fn release(block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { dealloc(block.as_ptr(), layout) }
    }
}

#[cfg(not(any(halfshake_loom, halfshake_shuttle)))]
pub(super) use plain::*;

#[cfg(any(halfshake_loom, halfshake_shuttle))]
pub(super) use model::*;

#[cfg(halfshake_loom)]
pub(crate) use model::Watched;
#[cfg(any(halfshake_loom, halfshake_shuttle))]
pub(crate) use model::begin as begin_model;

#[cfg(any(halfshake_loom, halfshake_shuttle))]
mod model {
    //! Neither loom nor shuttle watches heap memory: payloads lie in loom's cell, a freed entry is
    //! marked dead and buried, and a later allocation of the model digs the last one up again (else
    //! no address would ever be used twice, and no model could see an ABA).

    use super::super::IDS;
    use crate::sync::{ModelCell, Ordering, PlainBool, step};
    use std::alloc::{Layout, alloc, dealloc};
    use std::cell::RefCell;
    use std::ptr::NonNull;

    thread_local! {
        // All of a model runs on one OS thread, and another model may run on the next. All entries
        // of a model have one layout.
        static GRAVES: RefCell<Vec<(NonNull<u8>, Layout)>> = const { RefCell::new(Vec::new()) };
    }

    /// Forgets the graves of the execution before (their cells belong to it), and begins ids anew:
    /// where the search for a victim starts depends on one, and executions must repeat.
    pub(crate) fn begin() {
        IDS.set(1);
        for (block, layout) in GRAVES.take() {
            // SAFETY: allocated below for this layout; buried, so nobody refers to it.
            unsafe { dealloc(block.as_ptr(), layout) }
        }
    }

    pub(crate) struct Watched<T> {
        cell: ModelCell<T>,
        dead: PlainBool,
    }

    // SAFETY: written only by `new` and `bury`; loom checks that nobody reads meanwhile.
    unsafe impl<T: Send + Sync> Sync for Watched<T> {}

    impl<T> std::fmt::Debug for Watched<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Watched")
        }
    }

    impl<T> Watched<T> {
        pub(crate) fn new(value: T) -> Self {
            let cell = ModelCell::new(value);
            // Creation does not advance the creator's clock; a write does.
            cell.with_mut(|_| ());
            Self { cell, dead: PlainBool::new(false) }
        }
        pub(crate) fn into_inner(self) -> T {
            self.cell.into_inner()
        }
        pub(crate) fn read(&self) -> &T {
            step(); // a scheduler may let it be freed first
            assert!(!self.dead.load(Ordering::Relaxed), "use after free");
            self.cell.with(|p| {
                // SAFETY: loom has just checked that no write races with this read.
                unsafe { &*p }
            })
        }
        pub(crate) fn bury(&self) {
            self.cell.with_mut(|_| ());
            assert!(!self.dead.swap(true, Ordering::Relaxed), "double free");
        }
    }

    pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
        match GRAVES.with_borrow_mut(Vec::pop) {
            Some((grave, of)) if of == layout => Some(grave),
            _ => {
                // SAFETY: no entry is empty.
                NonNull::new(unsafe { alloc(layout) })
            }
        }
    }

    /// # Safety
    /// - `block` came from `allocate` for this layout, and nobody uses it any more.
    pub(crate) unsafe fn release(block: NonNull<u8>, layout: Layout) {
        GRAVES.with_borrow_mut(|graves| graves.push((block, layout)));
    }
}
