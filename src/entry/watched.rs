//! What an entry holds. In plain builds a wrapper of nothing; in model builds every access is
//! checked for races and for use after free.

#[cfg(not(halfshake_loom))]
mod plain {
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
    }

    pub(crate) fn allocate<E>(entry: E) -> NonNull<E> {
        NonNull::from(Box::leak(Box::new(entry)))
    }

    /// Drops and frees an entry, and frees its memory also if its contents panic.
    ///
    /// # Safety
    /// - `entry` came from `allocate`, nobody refers to it, and it is not freed yet.
    pub(crate) unsafe fn free<E>(entry: NonNull<E>) {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(entry.as_ptr()) });
    }
}

#[cfg(not(halfshake_loom))]
pub(super) use plain::*;

#[cfg(halfshake_loom)]
pub(super) use model::*;

#[cfg(halfshake_loom)]
pub(crate) use model::begin as begin_model;

#[cfg(halfshake_loom)]
mod model {
    //! loom does not watch heap memory: payloads lie in its cell, a freed entry is marked dead and
    //! buried, and a later allocation of the model digs the last one up again (else no address
    //! would ever be used twice, and no model could see an ABA).

    use super::super::{Head, IDS, Pair};
    use crate::sync::{ModelCell, Ordering, PlainBool};
    use std::cell::RefCell;
    use std::ptr::NonNull;

    type ModelPair = Pair<u64, u64>;

    thread_local! {
        // All of a model runs on one OS thread, and another model may run on the next.
        static GRAVES: RefCell<Vec<NonNull<ModelPair>>> = const { RefCell::new(Vec::new()) };
    }

    /// Forgets the graves of the execution before (their cells belong to it), and begins ids anew:
    /// where the search for a victim starts depends on one, and executions must repeat.
    pub(crate) fn begin() {
        IDS.set(1);
        for grave in GRAVES.take() {
            let memory = grave.as_ptr().cast::<std::mem::ManuallyDrop<ModelPair>>();
            // SAFETY: buried by `free`, so nobody refers to it; only the memory is released.
            drop(unsafe { Box::from_raw(memory) });
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
            assert!(!self.dead.load(Ordering::Relaxed), "use after free");
            self.cell.with(|p| {
                // SAFETY: loom has just checked that no write races with this read.
                unsafe { &*p }
            })
        }
    }

    pub(crate) fn allocate<E>(entry: E) -> NonNull<E> {
        if size_of::<E>() == size_of::<ModelPair>() {
            if let Some(grave) = GRAVES.with_borrow_mut(Vec::pop) {
                let grave = grave.cast::<E>();
                // SAFETY: memory of the same type and size that nobody refers to.
                unsafe { grave.write(entry) };
                return grave;
            }
        }
        NonNull::from(Box::leak(Box::new(entry)))
    }
    /// # Safety
    /// - `entry` came from `allocate` and nobody refers to it.
    pub(crate) unsafe fn free<E: Buried>(entry: NonNull<E>) {
        // SAFETY: the caller's promise; the memory stays allocated.
        unsafe { entry.as_ref() }.bury();
        GRAVES.with_borrow_mut(|graves| graves.push(entry.cast()));
    }

    pub(crate) trait Buried {
        fn bury(&self);
    }

    impl<K, V> Buried for Pair<K, V> {
        fn bury(&self) {
            let _: &Head = &self.head;
            self.both.cell.with_mut(|_| ());
            assert!(!self.both.dead.swap(true, Ordering::Relaxed), "double free");
        }
    }
}
