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
//! Unsafe is checked by: `tests/own_memory.rs`, `tests/secrets.rs`, `tests/stress.rs`.

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
        for size in 0..=CLASSES * GRAIN {
            let (asked, class) = rounded(Layout::from_size_align(size, 8).unwrap());
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
}
