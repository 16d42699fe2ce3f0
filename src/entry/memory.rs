//! Memory for entries: the allocator's, or a block that this thread has just recycled.
//!
//! A cache at its limit frees an entry for each one that it makes. A [`Magazine`] keeps the blocks
//! that its thread recycled last, wiped, and hands the latest one out first: it is still in the
//! processor's cache, where the allocator's next one is cold as a rule. It is bounded, and belongs
//! to one thread: nothing is shared. At most 48 KiB are kept of each of 16 sizes; they go back when
//! the thread ends, or first uses another cache after this one is gone.

use super::watched;
use std::alloc::{Layout, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;

/// Sizes are rounded up to this many bytes, so that neighbours in size share blocks: whole cache
/// lines.
const GRAIN: usize = 64;
/// The alignment of every kept block. More is not asked for, since some allocators spend half as
/// much memory again on it; others begin blocks of whole lines with a line anyway.
const ALIGN: usize = 16;
/// Larger entries come from the allocator each time.
const CLASSES: usize = 16;
/// Bytes kept of one size: what a few batches of retired entries bring, if they are small.
const KEPT: usize = 48 << 10;

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
#[derive(Debug, Default)]
pub(crate) struct Magazine {
    classes: RefCell<[Vec<NonNull<u8>>; CLASSES]>,
}

impl Magazine {
    /// Memory for an entry, never null.
    pub(super) fn allocate(&self, layout: Layout) -> NonNull<u8> {
        let (whole, class) = rounded(layout);
        let kept = class.and_then(|class| self.classes.borrow_mut()[class].pop());
        kept.unwrap_or_else(|| {
            watched::allocate(whole).unwrap_or_else(|| handle_alloc_error(whole))
        })
    }

    /// Takes the memory of an entry back, to be used again.
    ///
    /// # Safety
    /// - `block` came from `allocate`, of any magazine, for the same layout.
    /// - Nobody uses it any more.
    pub(super) unsafe fn keep(&self, block: NonNull<u8>, layout: Layout) {
        if let (_, Some(class)) = rounded(layout) {
            let blocks = &mut self.classes.borrow_mut()[class];
            if blocks.len() < KEPT / of_class(class).size() && !cfg!(halfshake_loom) {
                blocks.push(block);
                return;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { release(block, layout) }
    }
}

impl Drop for Magazine {
    fn drop(&mut self) {
        for (class, blocks) in self.classes.get_mut().iter_mut().enumerate() {
            for block in blocks.drain(..) {
                // SAFETY: kept blocks came from `allocate`, and nobody uses them.
                unsafe { watched::release(block, of_class(class)) }
            }
        }
    }
}

/// Gives the memory of an entry back to the allocator.
///
/// # Safety
/// - As for [`Magazine::keep`].
pub(super) unsafe fn release(block: NonNull<u8>, layout: Layout) {
    // SAFETY: allocated with this very layout, by `Magazine::allocate`.
    unsafe { watched::release(block, rounded(layout).0) }
}
