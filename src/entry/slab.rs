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
//! *Spare* chunks were mapped, and their pages touched, ahead of time: when the cache was built, or
//! by whoever does maintenance, as many as were begun since it came by before. An insert that finds
//! none maps one and leaves its pages to be touched as they are used: on small pages for good, but
//! without a pause.
//!
//! # Orderings
//!
//! Lines of a chunk are drawn by number, which needs no order: a chunk is published, and its lines
//! with it, by the swap of the current one.
//!
//! Loom: `chunk_*`.
//!
//! # Progress
//!
//! Lock-free, but for the system's own part when a chunk is mapped.
//!
//! Unsafe is checked by: `reuse::chunk_cut_by_two`, `tests/own_memory.rs`, `tests/core/stress.rs`,
//! and the tests below.

use super::depot::{BATCH, Block, Blocks, Depot};
use super::memory::CLASSES;
use crate::pages::{Pages, Zeroed};
use crate::sync::{Ordering, PlainU64, Swap, Word};
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

#[derive(Debug)]
struct Chunk {
    /// Several chunks may lie in one mapping; this is which.
    lines: Arc<Pages<Line>>,
    number: usize,
    /// Lines that were cut off, and more once it has come to its end.
    cut: Word,
}

impl Chunk {
    /// The first of so many lines in a row, unless the chunk has come to its end.
    fn cut(&self, lines: u64) -> Option<NonNull<Line>> {
        // Relaxed: each number is drawn once, and that is all.
        let first = self.cut.fetch_add(lines, Ordering::Relaxed);
        let fits = first.checked_add(lines).is_some_and(|end| end <= LINES);
        // SAFETY: within the chunk.
        fits.then(|| unsafe { self.start().add(usize::try_from(first).expect("fits")) })
    }

    fn start(&self) -> NonNull<Line> {
        let mapping = NonNull::from(&**self.lines).cast::<Line>();
        // SAFETY: within the mapping, which has all of its chunks.
        unsafe { mapping.add(self.number * (CHUNK / LINE)) }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Slab {
    current: Swap<Chunk>,
    spares: Depot<Arc<Chunk>>,
    /// Spare chunks, or a few more.
    ready: PlainU64,
    /// Chunks that were begun since the last maintenance.
    begun: PlainU64,
    /// All that were ever mapped.
    chunks: Depot<Arc<Chunk>>,
    depots: [Depot<Blocks>; CLASSES],
}

/// Chunks that maintenance has ready, at most.
const MOST_READY: u64 = 4;

impl Slab {
    /// With so many bytes to begin with, and a chunk at least; `None` if there is no memory for
    /// that.
    pub(super) fn new(bytes: u64) -> Option<Arc<Self>> {
        let slab = Arc::new(Self {
            current: Swap::new(None),
            spares: Depot::new(),
            ready: PlainU64::new(0),
            begun: PlainU64::new(0),
            chunks: Depot::new(),
            depots: std::array::from_fn(|_| Depot::new()),
        });
        if !crate::pages::are_to_be_had(bytes) {
            return None;
        }
        slab.add_spares(bytes.div_ceil(CHUNK as u64).max(1))?;
        slab.renew(None)?;
        // Relaxed: it is nobody else's yet.
        slab.begun.store(0, Ordering::Relaxed);
        Some(slab)
    }

    /// A chunk of a mapping.
    fn chunk(&self, lines: &Arc<Pages<Line>>, number: usize) -> Arc<Chunk> {
        let chunk = Arc::new(Chunk { lines: lines.clone(), number, cut: Word::new(1) });
        // SAFETY: the first line of a chunk that nobody else knows yet.
        unsafe { chunk.start().cast::<*const Self>().write(self) };
        self.chunks.give(chunk.clone());
        chunk
    }

    /// So many chunks more, in one mapping; `None` if the system has no memory.
    fn add_spares(&self, count: u64) -> Option<()> {
        let count = usize::try_from(count).ok()?;
        let lines = Arc::new(Pages::new(count.checked_mul(CHUNK / LINE)?).ok()?);
        // The last one first: they are taken in the order of their addresses.
        for number in (0..count).rev() {
            self.give_spare(self.chunk(&lines, number));
        }
        Some(())
    }

    fn give_spare(&self, chunk: Arc<Chunk>) {
        // Relaxed: a bound. Counted first, or it would be below zero for a moment.
        self.ready.fetch_add(1, Ordering::Relaxed);
        self.spares.give(chunk);
    }

    fn take_spare(&self) -> Option<Arc<Chunk>> {
        let spare = self.spares.take()?;
        // Relaxed: as above.
        self.ready.fetch_sub(1, Ordering::Relaxed);
        Some(spare)
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
        let chunk = match self.take_spare() {
            Some(spare) => spare,
            None => self.chunk(&Arc::new(Pages::untouched(CHUNK / LINE).ok()?), 0),
        };
        if self.current.replace_if(full.as_ref(), Some(chunk.clone())) {
            // Relaxed: a hint for maintenance.
            self.begun.fetch_add(1, Ordering::Relaxed);
        } else {
            self.give_spare(chunk);
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

    /// Has the next chunk ready before it is needed; whether another one should be, too. One at a
    /// time, for whoever has the time to tell: touching one takes milliseconds, and inserts may use
    /// them up as fast.
    fn prepare(&self) -> bool {
        // Relaxed, all: they are made sooner or later.
        let half = |chunk: &Chunk| chunk.cut.load(Ordering::Relaxed) > LINES / 2;
        let next = u64::from(self.current.load().as_deref().is_some_and(half));
        let wanted = match self.begun.swap(0, Ordering::Relaxed) {
            0 | 1 => next,
            begun => begun.min(MOST_READY),
        };
        let lacks = || self.ready.load(Ordering::Relaxed) < wanted;
        // Without them, inserts map what they need.
        let again = lacks() && self.add_spares(1).is_some() && lacks();
        if again {
            self.begun.fetch_add(wanted, Ordering::Relaxed);
        }
        again
    }

    /// Gives all memory back to the system, while threads that have used the cache still keep
    /// addresses of blocks.
    ///
    /// # Safety
    /// - No entry is left, and none will be made: those addresses are never read again.
    unsafe fn unmap(&self) {
        // Nobody is inside an operation, so nobody else refers to a chunk.
        self.current.swap(None);
        while self.spares.take().is_some() {}
        while self.chunks.take().is_some() {}
        // Long lists by now, and the threads' last counts of the slab are dropped in operations.
        self.depots.iter().for_each(|depot| while depot.take().is_some() {});
    }
}

#[cfg(any(halfshake_loom, halfshake_shuttle))]
impl Slab {
    /// One whose chunk has come to its end but for so many batches of the smallest blocks, and that
    /// has a spare one.
    pub(crate) fn nearly_used_up(batches: usize) -> Option<Arc<Self>> {
        let slab = crate::sync::exploring_words(|| Self::new(2 * CHUNK as u64))?;
        let chunk = slab.current.load_full()?;
        chunk.cut(LINES - 1 - (batches * BATCH) as u64)?;
        Some(slab)
    }

    /// The addresses of a batch of the smallest blocks.
    pub(crate) fn take_smallest(&self) -> Vec<usize> {
        let blocks = self.take(0).into_iter().flatten();
        blocks.map(|block| block.at().addr().get()).collect()
    }

    /// How many chunks were mapped, and how many are spare. They are forgotten.
    pub(crate) fn mapped_and_spare(&self) -> [usize; 2] {
        [&self.chunks, &self.spares].map(|chunks| std::iter::from_fn(|| chunks.take()).count())
    }
}

/// The slab of one cache, or none.
#[derive(Debug)]
pub(crate) struct Home(Option<Arc<Slab>>);

impl Home {
    /// With so many bytes to begin with, or of the allocator's memory alone; `Err` with those that
    /// the machine does not have.
    pub(crate) fn new(bytes: Option<u64>) -> Result<Self, u64> {
        let Some(bytes) = bytes else { return Ok(Self(None)) };
        match Slab::new(bytes) {
            // The allocator may have some.
            None if bytes == 0 => Ok(Self(None)),
            None => Err(bytes),
            slab => Ok(Self(slab)),
        }
    }

    /// For a thread's magazine, which may be there longer than the cache.
    pub(crate) fn shared(&self) -> Option<Arc<Slab>> {
        self.0.clone()
    }

    /// See [`Slab::prepare`].
    pub(crate) fn prepare(&self) -> bool {
        self.0.as_ref().is_some_and(|slab| slab.prepare())
    }

    /// The same for as many as are kept ready, however fast they are used up.
    pub(crate) fn prepare_all(&self) {
        let _more = (0..MOST_READY).all(|_| self.prepare());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(slab) = &self.0 {
            // SAFETY: the cache has its home for longer than its table, and whoever refers to an
            // entry refers to the cache.
            unsafe { slab.unmap() };
        }
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_blocks_share_a_line_and_each_knows_its_slab() {
        check_blocks(&Slab::new(0).expect("two megabytes"));
        // Several chunks of one mapping.
        check_blocks(&Slab::new(4 * CHUNK as u64).expect("eight megabytes"));
    }

    fn check_blocks(slab: &Slab) {
        let mut lines = HashSet::new();
        // Some chunks of them, in all sizes.
        for round in 0..200 {
            let class = round % CLASSES;
            for block in slab.take(class).expect("memory") {
                // SAFETY: the slab lives.
                assert!(std::ptr::eq(unsafe { Slab::of(block.at()) }, slab));
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
        let slab = Slab::new(0).expect("two megabytes");
        let blocks = slab.take(2).expect("memory");
        slab.give(2, blocks.clone());
        assert_ne!(slab.take(1).expect("memory"), blocks);
        assert_eq!(slab.take(2).expect("memory"), blocks);
    }

    #[test]
    fn threads_cut_different_blocks() {
        let slab = Slab::new(0).expect("two megabytes");
        let cut = || {
            let blocks = (0..400).flat_map(|_| slab.take(3).expect("memory"));
            blocks.map(|block| block.at().addr()).collect::<Vec<_>>()
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(cut)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    /// Cuts off as much as another chunk has, in the largest blocks.
    fn use_a_chunk(slab: &Slab) {
        let blocks = CHUNK / LINE / CLASSES;
        for _ in 0..blocks.div_ceil(BATCH) {
            slab.take(CLASSES - 1).expect("memory");
        }
    }

    #[test]
    fn maintenance_has_ready_what_was_begun_since_it_came_by_before() {
        let slab = Slab::new(0).expect("two megabytes");
        let ready = || slab.ready.load(Ordering::Relaxed);
        assert!(!slab.prepare() && ready() == 0, "it has hardly begun");
        (0..3).for_each(|_| use_a_chunk(&slab));
        for n in 1..=3 {
            assert_eq!((slab.prepare(), ready()), (n < 3, n), "one at a time");
        }
        (0..20).for_each(|_| use_a_chunk(&slab));
        assert_eq!(ready(), 0);
        for n in 1..=MOST_READY {
            assert_eq!((slab.prepare(), ready()), (n < MOST_READY, n), "not all that was begun");
        }
        assert_eq!((slab.prepare(), ready()), (false, MOST_READY));
    }

    #[test]
    fn maintenance_has_one_ready_once_half_of_the_current_one_is_used() {
        let slab = Slab::new(0).expect("two megabytes");
        let ready = || slab.ready.load(Ordering::Relaxed);
        let most = CHUNK / LINE / CLASSES / BATCH;
        let use_some = |count| (0..count).for_each(|_| _ = slab.take(CLASSES - 1));
        use_some(most / 2 - 1);
        assert!(!slab.prepare() && ready() == 0);
        use_some(2);
        assert!(!slab.prepare() && ready() == 1, "one is enough");
    }

    #[test]
    fn a_cache_has_one_more_made_ready_or_as_many_as_are_kept() {
        let home = Home::new(Some(0)).expect("two megabytes");
        let slab = home.shared().expect("there is one");
        let ready = || slab.ready.load(Ordering::Relaxed);
        (0..3).for_each(|_| use_a_chunk(&slab));
        assert!(home.prepare() && ready() == 1);
        home.prepare_all();
        assert_eq!(ready(), 3);
        assert!(!Home::new(None).expect("nothing is asked for").prepare());
    }

    #[test]
    fn what_nobody_had_ready_is_mapped_chunk_by_chunk() {
        let slab = Slab::new(0).expect("two megabytes");
        use_a_chunk(&slab);
        slab.take(0).expect("memory");
        let chunk = slab.current.load_full().expect("there is one");
        assert_eq!((chunk.lines.len(), chunk.number), (CHUNK / LINE, 0));
    }

    #[test]
    fn what_was_asked_for_is_there_from_the_beginning() {
        let slab = Slab::new(3 * CHUNK as u64 + 1).expect("eight megabytes");
        let mapped = || std::iter::from_fn(|| slab.chunks.take()).count();
        assert_eq!(slab.ready.load(Ordering::Relaxed), 3, "beside the current one");
        (0..3).for_each(|_| use_a_chunk(&slab));
        assert_eq!(mapped(), 4, "nothing was mapped since");
    }

    #[test]
    fn more_than_any_machine_has_is_refused() {
        assert!(Slab::new(u64::MAX).is_none() && Slab::new(1 << 63).is_none());
        assert_eq!(Home::new(Some(1 << 63)).expect_err("too much"), 1 << 63);
    }
}
