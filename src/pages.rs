//! Large arrays: mapped once, zeroed, on huge pages where the system gives them.
//!
//! A look-up in a large table reads at random places: with pages of 4 KiB nearly each one costs a
//! walk of the page tables besides. So a large array is aligned to 2 MiB, the system is *advised*
//! to use huge pages (`madvise(2)`, `MADV_HUGEPAGE`; nothing is lost if it has none), and every
//! page is touched at the start, so that no insert has to wait for the system to clear one. (To
//! gather a huge page, the system may move others about for milliseconds.)
//!
//! Unsafe is checked by: `tests/own_memory.rs`, `tests/core/stress.rs`, and the tests below.

use std::ops::{Deref, DerefMut};

/// An array that is never moved and never grows.
#[derive(Debug)]
pub(crate) struct Pages<T>(imp::Pages<T>);

impl<T> Pages<T> {
    /// `len` zeroed elements; `Err` with the bytes that the machine does not have.
    pub(crate) fn new(len: usize) -> Result<Self, u64>
    where
        T: Zeroed,
    {
        imp::Pages::new(len, true).map(Self)
    }

    /// The same without touching it, nor advice: nobody waits while the system gathers or clears a
    /// huge page, and each small one is there when it is first used.
    pub(crate) fn untouched(len: usize) -> Result<Self, u64>
    where
        T: Zeroed,
    {
        imp::Pages::new(len, false).map(Self)
    }
}

impl<T> Deref for Pages<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Pages<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// Whether the machine has so many bytes, as far as the system tells: it refuses what exceeds its
/// memory in one piece, and never piece by piece.
pub(crate) fn are_to_be_had(bytes: u64) -> bool {
    usize::try_from(bytes).is_ok_and(|size| Vec::<u8>::new().try_reserve_exact(size).is_ok())
}

/// Types whose value may be all zero bytes.
///
/// # Safety
/// - Zero bytes are a valid value, and dropping one needs nothing done.
pub(crate) unsafe trait Zeroed: Send + Sync {
    /// The same value, where memory is not plain bytes.
    #[cfg(halfshake_loom)]
    fn zeroed() -> Self;
}

#[cfg(not(halfshake_loom))]
mod imp {
    use super::Zeroed;
    use memmap2::MmapMut;
    use std::ptr::NonNull;

    const HUGE: usize = 2 << 20;
    const PAGE: usize = 4096;

    #[derive(Debug)]
    pub(super) struct Pages<T> {
        first: NonNull<T>,
        len: usize,
        /// What `first` points into.
        _map: MmapMut,
    }

    // SAFETY: an owner of `T`s, as a `Box<[T]>` is; the mapping itself belongs to no thread.
    unsafe impl<T: Send> Send for Pages<T> {}
    // SAFETY: as above: it only lends `&[T]`.
    unsafe impl<T: Sync> Sync for Pages<T> {}

    impl<T: Zeroed> Pages<T> {
        pub(super) fn new(len: usize, touched: bool) -> Result<Self, u64> {
            const { assert!(size_of::<T>() != 0 && align_of::<T>() <= PAGE) };
            let bytes = len.checked_mul(size_of::<T>()).ok_or(u64::MAX)?;
            // Half of a huge page may be wasted, not more.
            let align = if bytes >= HUGE / 2 { HUGE } else { PAGE };
            let whole = bytes.max(1).next_multiple_of(align);
            let mut map = MmapMut::map_anon(whole + (align - PAGE)).map_err(|_| bytes as u64)?;
            let skipped = map.as_ptr().align_offset(align);
            #[cfg(target_os = "linux")]
            if align == HUGE && touched {
                // Advice: without huge pages everything works, a little slower. For all of it,
                // also what lies before and behind: neighbours of one kind are one to the system.
                let _advised = map.advise(memmap2::Advice::HugePage);
            }
            let used = &mut map[skipped..skipped + whole];
            for page in used.chunks_mut(PAGE).take_while(|_| touched) {
                // Also where it is zero already: the page must be there, and `black_box` keeps it.
                page[0] = std::hint::black_box(0);
            }
            let first = NonNull::from(used).cast::<T>();
            Ok(Self { first, len, _map: map })
        }
    }

    impl<T> std::ops::Deref for Pages<T> {
        type Target = [T];
        #[inline]
        fn deref(&self) -> &[T] {
            // SAFETY: `len` elements lie there, aligned and zeroed, which is a value of theirs
            // (`Zeroed`), for as long as the mapping lives; nobody has a mutable reference.
            unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
        }
    }

    impl<T> std::ops::DerefMut for Pages<T> {
        fn deref_mut(&mut self) -> &mut [T] {
            // SAFETY: as above, and `&mut self` is the only reference.
            unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
        }
    }
}

#[cfg(halfshake_loom)]
mod imp {
    use super::Zeroed;

    #[derive(Debug)]
    pub(super) struct Pages<T>(Box<[T]>);

    impl<T: Zeroed> Pages<T> {
        pub(super) fn new(len: usize, _touched: bool) -> Result<Self, u64> {
            Ok(Self((0..len).map(|_| T::zeroed()).collect()))
        }
    }

    impl<T> std::ops::Deref for Pages<T> {
        type Target = [T];
        fn deref(&self) -> &[T] {
            &self.0
        }
    }

    impl<T> std::ops::DerefMut for Pages<T> {
        fn deref_mut(&mut self) -> &mut [T] {
            &mut self.0
        }
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;
    use crate::sync::{AtomicU64, Ordering};

    // SAFETY: a zero; nothing to drop.
    unsafe impl Zeroed for AtomicU64 {}

    #[test]
    fn an_array_of_any_length_is_zeroed_and_aligned() {
        for len in [0, 1, 511, 513, 1 << 17, (1 << 18) + 1, 1 << 20] {
            let pages = Pages::<AtomicU64>::new(len).expect("a few megabytes");
            assert_eq!(pages.len(), len);
            assert!(pages.iter().all(|word| word.load(Ordering::Relaxed) == 0));
            let align = if len >= 1 << 17 { 2 << 20 } else { 4096 };
            assert!(pages.as_ptr().addr().is_multiple_of(align), "{len}");
            if let Some(last) = pages.last() {
                last.store(7, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn an_array_that_no_machine_has_is_refused_with_its_size() {
        let bytes = Pages::<AtomicU64>::new(1 << 60).expect_err("more than any address space");
        assert_eq!(bytes, 1 << 63);
        assert_eq!(Pages::<AtomicU64>::new(usize::MAX).expect_err("overflows"), u64::MAX);
        assert!(are_to_be_had(1) && !are_to_be_had(1 << 60) && !are_to_be_had(u64::MAX));
    }
}
