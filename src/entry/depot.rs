//! What is free and nobody's: blocks of memory in batches, whole chunks; a stack that threads
//! share.
//!
//! # State
//!
//! A stack of [`Layer`]s, each of which is made once and never changed.
//!
//! # ABA
//!
//! Whoever takes the uppermost layer holds a count of it while it compares: its address means no
//! other layer, and a layer that was taken never comes back (what it held comes in another one). So
//! the stack has not changed if its head has not.
//!
//! # Progress
//!
//! Lock-free: a failed exchange means that another one succeeded.
//!
//! Loom: `depot_*`.
//!
//! Unsafe is checked by: `reuse::depot_takes`, `reuse::depot_gives`, `tests/own_memory.rs`.

use crate::sync::Swap;
use smallvec::SmallVec;
use std::ptr::NonNull;
use std::sync::Arc;

/// The address of a free block. It is not read before it is somebody's again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block(NonNull<u8>);

// SAFETY: an address; the memory belongs to whoever takes the block.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    pub(crate) fn new(at: NonNull<u8>) -> Self {
        Self(at)
    }

    pub(crate) fn at(self) -> NonNull<u8> {
        self.0
    }
}

/// As many as a thread gives back, or takes, at a time.
pub(crate) const BATCH: usize = 32;

/// Blocks that change hands together.
pub(crate) type Blocks = SmallVec<[Block; BATCH]>;

#[derive(Debug)]
struct Layer<T> {
    free: T,
    next: Option<Arc<Layer<T>>>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Depot<T: Clone>(Swap<Layer<T>>);

impl<T: Clone> Depot<T> {
    pub(crate) fn new() -> Self {
        Self(Swap::new(None))
    }

    /// Gives it to whoever comes next.
    pub(crate) fn give(&self, free: T) {
        let mut layer = Arc::new(Layer { free, next: None });
        loop {
            let head = self.0.load_full();
            if let Some(layer) = Arc::get_mut(&mut layer) {
                layer.next.clone_from(&head);
            }
            if self.0.replace_if(head.as_ref(), Some(layer.clone())) {
                return;
            }
        }
    }

    /// What was given last: from now on the caller's.
    pub(crate) fn take(&self) -> Option<T> {
        loop {
            let head = self.0.load_full()?;
            if self.0.replace_if(Some(&head), head.next.clone()) {
                // Others may hold the layer still, to compare: they take nothing of it.
                return Some(head.free.clone());
            }
        }
    }
}

impl<T> Drop for Layer<T> {
    /// One layer at a time: a long stack must not recurse. (Whoever stands between a load and an
    /// exchange may hold the last count of all that were taken meanwhile.)
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(layer) = next {
            next = Arc::into_inner(layer).and_then(|mut layer| layer.next.take());
        }
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;
    use crate::sync::{Ordering, PlainBool};

    fn block(n: usize) -> Block {
        Block::new(NonNull::new(std::ptr::without_provenance_mut(n)).expect("not 0"))
    }

    #[test]
    fn what_was_given_last_is_taken_first_and_once() {
        let depot = Depot::<Blocks>::new();
        for n in 1..=3 {
            depot.give([block(n), block(10 * n)].into_iter().collect());
        }
        for n in (1..=3).rev() {
            assert_eq!(depot.take().unwrap()[..], [block(n), block(10 * n)]);
        }
        assert!(depot.take().is_none());
        depot.give([block(7)].into_iter().collect());
        assert_eq!(depot.take().unwrap()[..], [block(7)]);
    }

    #[test]
    fn a_long_stack_ends_without_recursion() {
        let depot = Depot::<Blocks>::new();
        for n in 1..200_000 {
            depot.give([block(n)].into_iter().collect());
        }
        // As if a thread had loaded the head, and stood there while others took all.
        let head = depot.0.load_full();
        while depot.take().is_some() {}
        drop(head);
        depot.give([block(1)].into_iter().collect());
        for n in 1..200_000 {
            depot.give([block(n)].into_iter().collect());
        }
        drop(depot);
    }

    #[test]
    fn each_block_is_with_one_thread_at_a_time() {
        let depot = Depot::<Blocks>::new();
        let all = 64;
        for n in (1..=all).step_by(2) {
            depot.give([block(n), block(n + 1)].into_iter().collect());
        }
        let held: Vec<_> = (0..=all).map(|_| PlainBool::new(false)).collect();
        let mark = |blocks: &Blocks, now: bool| {
            for block in blocks {
                let at = block.at().addr().get();
                let before = held[at].swap(now, Ordering::Relaxed);
                assert_ne!(before, now, "{at} has two owners");
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Some(blocks) = depot.take() else { continue };
                        mark(&blocks, true);
                        mark(&blocks, false);
                        depot.give(blocks);
                    }
                });
            }
        });
        let mut left = 0;
        while let Some(blocks) = depot.take() {
            left += blocks.len();
        }
        assert_eq!(left, all);
    }
}
