//! A hint to the processor that a line will be read soon.
//!
//! Unsafe is checked by: `tests/core/basics.rs`, whatever it looks up: a hint can't go wrong.

/// Starts to fetch the cache line that holds `at` into every level of the cache.
///
/// A hint: it can't fault and changes nothing, so any address may be given.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(halfshake_loom)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetch instructions never fault, whatever the address (Intel SDM, PREFETCHh).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(all(target_arch = "aarch64", not(halfshake_loom)))]
    // SAFETY: PRFM never faults, whatever the address, and touches neither memory nor flags.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) at,
            options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(halfshake_loom, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}

/// The same of each line of so many bytes. Where lines are longer, some are asked for twice.
#[inline]
pub(crate) fn prefetch_each_line(at: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        prefetch(at.wrapping_add(line));
    }
}
