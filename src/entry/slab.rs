//! Memory for the entries of a large cache: blocks of whole cache lines, cut from chunks on huge
//! pages.
//!
//! An allocator's memory lies on pages of 4 KiB as a rule: in a cache of more than a few megabytes
//! nearly each entry that is read costs a walk of the page tables besides, which no batch overlaps.
//! And what it hands out next is cold, where a thread's latest blocks are still in the processor's
//! cache.
//!
//! # State
//!
//! Chunks of 2 MiB are cut from their beginning to their end. Blocks that were given back lie in
//! [`Depot`]s by size, and are used again for entries of that size alone. All memory goes back to
//! the system with the cache, and none before: if the sizes of entries change for good, what the
//! old ones took at their most stays with their sizes.
//!
//! The first line of each chunk says whose it is, so that a block's slab is found by its address.
//!
//! # Orderings
//!
//! Lines of a chunk are drawn by number, which needs no order: a chunk is published, and its lines
//! with it, by the swap of the current one.
//!
//! # Progress
//!
//! Lock-free, but for the system's own part when a chunk is mapped. The next chunk is mapped, and
//! its pages touched, ahead of time by whoever does maintenance ([`Slab::prepare`]).

use super::depot::{BATCH, Block, Blocks, Depot};
use super::memory::CLASSES;
use crate::pages::{Pages, Zeroed};
use crate::sync::{Ordering, PlainU64, Slot, Swap};
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;

/// A cache line: whose it is, only its owner knows.
#[derive(Debug)]
#[repr(C, align(64))]
struct Line(UnsafeCell<[u8; LINE]>);

// SAFETY: it is written through addresses alone, by whoever owns the block that it is part of.
unsafe impl Sync for Line {}

// SAFETY: bytes; nothing to drop.
unsafe impl Zeroed for Line {
    #[cfg(halfshake_loom)]
    fn zeroed() -> Self {
        Self(UnsafeCell::new([0; LINE]))
    }
}

pub(super) const LINE: usize = 64;
const CHUNK: usize = 2 << 20;
const LINES: u64 = (CHUNK / LINE) as u64;

/// Those of another chunk; `None` if the system has no memory.
fn fresh_lines() -> Option<Pages<Line>> {
    Pages::new(CHUNK / LINE).ok()
}

#[derive(Debug)]
struct Chunk {
    lines: Pages<Line>,
    /// Lines that were cut off, and more once it has come to its end.
    cut: PlainU64,
    /// The one before, which stays.
    before: Option<Arc<Chunk>>,
}

impl Chunk {
    /// The first of so many lines in a row, unless the chunk has come to its end.
    fn cut(&self, lines: u64) -> Option<NonNull<Line>> {
        // Relaxed: each number is drawn once, and that is all.
        let first = self.cut.fetch_add(lines, Ordering::Relaxed);
        let fits = first.checked_add(lines).is_some_and(|end| end <= LINES);
        let start = NonNull::from(&*self.lines).cast::<Line>();
        // SAFETY: within the chunk.
        fits.then(|| unsafe { start.add(usize::try_from(first).expect("fits")) })
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Slab {
    current: Swap<Chunk>,
    /// Mapped and touched ahead of time.
    spare: Slot<Pages<Line>>,
    depots: [Depot; CLASSES],
}

impl Slab {
    /// With its first chunk; `None` if there is no memory for that.
    fn new() -> Option<Arc<Self>> {
        let slab = Arc::new(Self {
            current: Swap::new(None),
            spare: Slot::empty(),
            depots: std::array::from_fn(|_| Depot::new()),
        });
        slab.renew(None)?;
        Some(slab)
    }

    /// Free blocks of a class, so many lines each: the caller's from now on. `None` if the system
    /// has no memory.
    pub(super) fn take(&self, class: usize) -> Option<Blocks> {
        if let Some(blocks) = self.depots[class].take() {
            return Some(blocks);
        }
        let lines = class + 1;
        let all = (lines * BATCH) as u64;
        loop {
            let chunk = self.current.load_full();
            if let Some(first) = chunk.as_ref().and_then(|chunk| chunk.cut(all)) {
                let block = |n: usize| {
                    // SAFETY: of `all` lines that were cut off for this call.
                    Block::new(unsafe { first.add(n * lines) }.cast())
                };
                // The lowest is used first.
                return Some((0..BATCH).rev().map(block).collect());
            }
            self.renew(chunk)?;
        }
    }

    /// Puts another chunk in the place of `full`, unless somebody else has.
    fn renew(&self, full: Option<Arc<Chunk>>) -> Option<()> {
        let lines = match self.spare.take() {
            Some(spare) => *spare,
            None => fresh_lines()?,
        };
        let home = NonNull::from(&*lines).cast::<*const Self>();
        // SAFETY: the first line of a chunk that nobody else knows yet.
        unsafe { home.write(self) };
        let chunk = Arc::new(Chunk { lines, cut: PlainU64::new(1), before: full.clone() });
        if !self.current.replace_if(full.as_ref(), Some(chunk.clone()))
            && let Some(chunk) = Arc::into_inner(chunk)
        {
            self.spare.exchange(Some(Box::new(chunk.lines)));
        }
        Some(())
    }

    /// Gives blocks of a class back.
    pub(super) fn give(&self, class: usize, blocks: Blocks) {
        self.depots[class].give(blocks);
    }

    /// The slab that a block was cut from.
    ///
    /// # Safety
    /// - The block is a slab's, which lives for `'a`.
    pub(super) unsafe fn of<'a>(block: NonNull<u8>) -> &'a Self {
        let home = block.map_addr(|at| {
            std::num::NonZero::new(at.get() & !(CHUNK - 1)).expect("no chunk lies at 0")
        });
        // SAFETY: the first line of the chunk, which has the same provenance; `renew` has written
        // it before there were blocks.
        let slab = unsafe { home.cast::<*const Self>().read() };
        // SAFETY: the caller keeps the slab alive.
        unsafe { &*slab }
    }

    /// Has the next chunk ready before it is needed.
    fn prepare(&self) {
        // Relaxed: it is made sooner or later.
        let half = |chunk: &Chunk| chunk.cut.load(Ordering::Relaxed) > LINES / 2;
        if !self.current.load().as_deref().is_some_and(half) {
            return;
        }
        let spare = self.spare.take().or_else(|| fresh_lines().map(Box::new));
        self.spare.exchange(spare);
    }

    /// Gives all memory back to the system, while threads that have used the cache still keep
    /// addresses of blocks.
    ///
    /// # Safety
    /// - No entry is left, and none will be made.
    unsafe fn discard(&self) {
        drop(self.spare.take());
        let mut chunk = self.current.load_full();
        while let Some(now) = chunk {
            // SAFETY: the caller's promise: nobody reads the lines any more.
            unsafe { now.lines.discard() };
            chunk = now.before.clone();
        }
    }
}

/// The slab of one cache, or none.
#[derive(Debug)]
pub(crate) struct Home(Option<Arc<Slab>>);

impl Home {
    /// None if there is no memory, either: the allocator may have some.
    pub(crate) fn new(has_slab: bool) -> Self {
        Self(if has_slab { Slab::new() } else { None })
    }

    /// For a thread's magazine, which may be there longer than the cache.
    pub(crate) fn shared(&self) -> Option<Arc<Slab>> {
        self.0.clone()
    }

    /// See [`Slab::prepare`].
    pub(crate) fn prepare(&self) {
        if let Some(slab) = &self.0 {
            slab.prepare();
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(slab) = &self.0 {
            // SAFETY: the cache has its home for longer than its table, and whoever refers to an
            // entry refers to the cache.
            unsafe { slab.discard() };
        }
    }
}

impl Drop for Slab {
    /// One chunk at a time: a long list must not recurse.
    fn drop(&mut self) {
        let mut next = self.current.swap(None);
        while let Some(chunk) = next {
            next = Arc::into_inner(chunk).and_then(|mut chunk| chunk.before.take());
        }
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_blocks_share_a_line_and_each_knows_its_slab() {
        let slab = Slab::new().expect("two megabytes");
        let mut lines = HashSet::new();
        // Some chunks of them, in all sizes.
        for round in 0..200 {
            let class = round % CLASSES;
            for block in slab.take(class).expect("memory") {
                // SAFETY: the slab lives.
                assert!(std::ptr::eq(unsafe { Slab::of(block.at()) }, &raw const *slab));
                let at = block.at().addr().get();
                assert!(at.is_multiple_of(LINE) && at % CHUNK != 0);
                for line in 0..=class {
                    assert!(lines.insert(at + line * LINE), "{at:#x}: a line has two owners");
                }
            }
        }
    }

    #[test]
    fn what_is_given_back_is_used_before_more_is_cut() {
        let slab = Slab::new().expect("two megabytes");
        let blocks = slab.take(2).expect("memory");
        slab.give(2, blocks.clone());
        assert_ne!(slab.take(1).expect("memory"), blocks);
        assert_eq!(slab.take(2).expect("memory"), blocks);
    }

    #[test]
    fn threads_cut_different_blocks() {
        let slab = Slab::new().expect("two megabytes");
        let cut = || {
            let blocks = (0..400).flat_map(|_| slab.take(3).expect("memory"));
            blocks.map(|block| block.at().addr()).collect::<Vec<_>>()
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(cut)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        slab.prepare();
        assert!(slab.take(15).is_some());
    }
}
