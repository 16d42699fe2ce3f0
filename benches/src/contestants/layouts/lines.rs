//! Memory in cache lines, on huge pages where the system has some, touched from end to end.

use memmap2::{Advice, MmapMut};
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A cache line. All of it is atomic, and most of it accessed relaxed, which is what plain memory
/// costs.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [AtomicU64; 8]);

/// An array of them, all zero at first.
#[derive(Debug)]
pub(super) struct Lines {
    map: MmapMut,
    /// Bytes of the mapping before the first line.
    skipped: usize,
    count: usize,
}

const HUGE: usize = 2 << 20;
const PAGE: usize = 4096;

impl Lines {
    pub(super) fn new(count: usize) -> Self {
        Self::touched(count, count)
    }

    /// So many, the first of which are touched; the others are there when they are first used.
    pub(super) fn touched(count: usize, touched: usize) -> Self {
        let bytes = count * size_of::<Line>();
        // As the library does: half of a huge page may be wasted, not more.
        let align = if bytes >= HUGE / 2 { HUGE } else { PAGE };
        let whole = bytes.max(1).next_multiple_of(align);
        let mut map = MmapMut::map_anon(whole + (align - PAGE)).expect("memory for the lines");
        let skipped = map.as_ptr().align_offset(align);
        if align == HUGE {
            // Without huge pages everything is only slower; AnonHuge tells.
            let _refused = map.advise(Advice::HugePage);
        }
        let touched = touched * size_of::<Line>();
        for page in map[skipped..skipped + touched].chunks_mut(PAGE) {
            // Zero already, but the page must be there, and `black_box` keeps it.
            page[0] = std::hint::black_box(0);
        }
        Self { map, skipped, count }
    }

    /// The same, each word of which is this one.
    pub(super) fn filled(count: usize, word: u64) -> Self {
        let lines = Self::new(count);
        lines.iter().flat_map(|line| &line.0).for_each(|at| at.store(word, Relaxed));
        lines
    }

    /// A word of all.
    #[inline]
    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        &self[at / 8].0[at % 8]
    }
}

impl Deref for Lines {
    type Target = [Line];
    #[inline]
    fn deref(&self) -> &[Line] {
        // SAFETY: within the mapping, as `new` has made it.
        let first = unsafe { self.map.as_ptr().add(self.skipped) };
        // SAFETY: so many lines lie there, aligned and zeroed at first, for as long as the mapping
        // lives; they are atomics, and nobody has another view of them.
        unsafe { std::slice::from_raw_parts(first.cast(), self.count) }
    }
}

/// Starts to fetch a line.
#[inline(always)]
pub(super) fn prefetch(line: &Line) {
    let at = std::ptr::from_ref(line);
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint, which never faults and touches neither memory nor flags.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) at,
            options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_zero_and_aligned() {
        for count in [1, 63, 1 << 14, (1 << 15) + 1] {
            let lines = Lines::new(count);
            assert_eq!(lines.len(), count);
            assert!(lines.iter().all(|line| line.0.iter().all(|word| word.load(Relaxed) == 0)));
            let align = if count >= 1 << 14 { HUGE } else { PAGE };
            assert_eq!(Lines::touched(count, count / 3).len(), count);
            assert!(lines.as_ptr().addr().is_multiple_of(align), "{count}");
        }
    }
}
