//! Memory for entries: the allocator's, or the cache's own slab; or a block that this thread has
//! just recycled.
//!
//! A cache at its limit frees an entry for each one that it makes. A [`Magazine`] keeps the blocks
//! that its thread recycled last, wiped, and hands the latest one out first: it is still in the
//! processor's cache, where the allocator's next one is cold as a rule. It is bounded, and belongs
//! to one thread: nothing is shared. At most 48 KiB are kept of each of 16 sizes; they go back when
//! the thread ends, or first uses another cache after this one is gone. In a large cache they come
//! from a [`Slab`] and go back there, in batches.
//!
//! Unsafe is checked by: `tests/own_memory.rs`, `tests/secrets.rs`, `tests/core/stress.rs`.

use super::depot::{BATCH, Block};
use super::slab::Slab;
use super::watched;
use std::alloc::{Layout, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;

/// Sizes are rounded up to this many bytes, so that neighbours in size share blocks: whole cache
/// lines.
const GRAIN: usize = 64;
/// The alignment of every kept block. More is not asked for, since some allocators spend half as
/// much memory again on it; others begin blocks of whole lines with a line anyway.
const ALIGN: usize = 16;
/// Larger entries come from the allocator each time.
pub(super) const CLASSES: usize = 16;
/// Bytes kept of one size: what a few batches of retired entries bring, if they are small.
const KEPT: usize = 48 << 10;

/// Blocks kept of each size.
const MOST: [usize; CLASSES] = {
    let (mut most, mut class) = ([0; CLASSES], 0);
    while class < CLASSES {
        most[class] = KEPT / ((class + 1) * GRAIN);
        class += 1;
    }
    most
};

/// What is asked of the allocator for a layout, and the number of its size, if blocks of it are
/// kept.
fn rounded(layout: Layout) -> (Layout, Option<usize>) {
    let grains = layout.size().div_ceil(GRAIN).max(1);
    if grains > CLASSES || layout.align() > ALIGN {
        return (layout, None);
    }
    (of_class(grains - 1), Some(grains - 1))
}

/// The one layout of a class.
fn of_class(class: usize) -> Layout {
    const { assert!(ALIGN.is_power_of_two() && CLASSES * GRAIN < isize::MAX as usize) };
    Layout::from_size_align((class + 1) * GRAIN, ALIGN).expect("checked above, for every class")
}

/// Wiped blocks of one thread, by size.
#[derive(Debug)]
pub(crate) struct Magazine {
    /// Where blocks come from, and go to, in a large cache.
    slab: Option<Arc<Slab>>,
    classes: RefCell<[Vec<NonNull<u8>>; CLASSES]>,
}

/// Memory for an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allocated {
    /// Never null.
    pub(super) block: NonNull<u8>,
    /// Whether it is a slab's: whoever gives it back has to know.
    pub(super) in_slab: bool,
}

impl Magazine {
    pub(crate) fn new(slab: Option<Arc<Slab>>) -> Self {
        Self { slab, classes: RefCell::default() }
    }

    pub(crate) fn has_slab(&self) -> bool {
        self.slab.is_some()
    }

    pub(super) fn allocate(&self, layout: Layout) -> Allocated {
        let (whole, class) = rounded(layout);
        if let Some(class) = class {
            let blocks = &mut self.classes.borrow_mut()[class];
            if blocks.is_empty() {
                let more = self.slab.as_ref().and_then(|slab| slab.take(class));
                blocks.extend(more.into_iter().flatten().map(Block::at));
            }
            if let Some(block) = blocks.pop() {
                return Allocated { block, in_slab: self.has_slab() };
            }
        }
        let block = watched::allocate(whole).unwrap_or_else(|| handle_alloc_error(whole));
        Allocated { block, in_slab: false }
    }

    /// Takes the memory of an entry back, to be used again.
    ///
    /// # Safety
    /// - It came from `allocate`, of any magazine of this cache, for the same layout.
    /// - Nobody uses it any more.
    pub(super) unsafe fn keep(&self, memory: Allocated, layout: Layout) {
        if let (_, Some(class)) = rounded(layout)
            && memory.in_slab == self.has_slab()
            && !cfg!(halfshake_loom)
        {
            let blocks = &mut self.classes.borrow_mut()[class];
            if blocks.len() < MOST[class] {
                blocks.push(memory.block);
                return;
            }
            if let Some(slab) = &self.slab {
                // The older half, which is the colder one.
                let older = blocks.drain(..BATCH.min(blocks.len() / 2)).map(Block::new);
                slab.give(class, older.collect());
                blocks.push(memory.block);
                return;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { release(memory, layout) }
    }
}

impl Drop for Magazine {
    fn drop(&mut self) {
        for (class, blocks) in self.classes.get_mut().iter_mut().enumerate() {
            if let Some(slab) = &self.slab {
                for batch in blocks.chunks(BATCH) {
                    slab.give(class, batch.iter().copied().map(Block::new).collect());
                }
                continue;
            }
            for block in blocks.drain(..) {
                // SAFETY: kept blocks came from `allocate`, and nobody uses them.
                unsafe { watched::release(block, of_class(class)) }
            }
        }
    }
}

/// Gives the memory of an entry back to where it came from.
///
/// # Safety
/// - As for [`Magazine::keep`]; the cache is alive.
pub(super) unsafe fn release(memory: Allocated, layout: Layout) {
    let (whole, class) = rounded(layout);
    match class.filter(|_| memory.in_slab) {
        Some(class) => {
            // SAFETY: the block is a slab's, which is its cache's.
            let slab = unsafe { Slab::of(memory.block) };
            slab.give(class, std::iter::once(Block::new(memory.block)).collect());
        }
        // SAFETY: allocated with this very layout, by `Magazine::allocate`.
        None => unsafe { watched::release(memory.block, whole) },
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_size_is_asked_for_as_the_smallest_class_that_holds_it() {
        for (size, align) in (0..=CLASSES * GRAIN).flat_map(|size| [(size, 8), (size, ALIGN)]) {
            let (asked, class) = rounded(Layout::from_size_align(size, align).unwrap());
            assert_eq!(asked, of_class(class.unwrap()), "{size}");
            assert!(asked.size() >= size && asked.size() < size + GRAIN || size == 0, "{size}");
        }
    }

    #[test]
    fn what_no_class_holds_is_asked_for_as_it_is() {
        for (size, align) in [(CLASSES * GRAIN + 1, 8), (1 << 20, 8), (64, 2 * ALIGN)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            assert_eq!(rounded(layout), (layout, None));
        }
    }

    /// So many different blocks of a size.
    fn blocks(magazine: &Magazine, layout: Layout, count: usize) -> Vec<Allocated> {
        (0..count).map(|_| magazine.allocate(layout)).collect()
    }

    fn give_back(magazine: &Magazine, layout: Layout, blocks: Vec<Allocated>) {
        for memory in blocks {
            // SAFETY: the caller has it of `allocate`, for this layout, and uses it no more.
            unsafe { magazine.keep(memory, layout) }
        }
    }

    #[test]
    fn a_thread_keeps_so_much_of_each_size_and_uses_it_again() {
        let (magazine, layout) = (Magazine::new(None), of_class(2));
        let kept = || magazine.classes.borrow()[2].len();
        let taken = blocks(&magazine, layout, MOST[2] + 1);
        assert!(taken.iter().all(|memory| !memory.in_slab) && kept() == 0);
        give_back(&magazine, layout, taken);
        assert_eq!((kept(), MOST[2]), (256, 256), "48 KiB in blocks of 192 bytes");
        let again = blocks(&magazine, layout, 2);
        assert_eq!(kept(), 254);
        give_back(&magazine, layout, again);
    }

    #[test]
    fn what_a_thread_kept_of_a_slab_is_the_next_one_s() {
        let slab = Slab::new(0).unwrap();
        let (magazine, layout) = (Magazine::new(Some(slab.clone())), of_class(2));
        let addresses = |some: &[Allocated]| {
            some.iter().map(|memory| memory.block).collect::<std::collections::BTreeSet<_>>()
        };
        let taken = blocks(&magazine, layout, 2 * BATCH);
        let first = addresses(&taken);
        assert!(taken.iter().all(|memory| memory.in_slab) && first.len() == 2 * BATCH);
        give_back(&magazine, layout, taken);
        drop(magazine);
        let next = Magazine::new(Some(slab));
        let taken = blocks(&next, layout, 2 * BATCH);
        assert_eq!(addresses(&taken), first, "and none was cut anew");
        give_back(&next, layout, taken);
    }
}
