//! The shape of an entry of bytes: its allocation, and wiping.
//!
//! Unsafe is checked by: `tests/secrets.rs`, `tests/core/stress.rs`, `fuzz/src/operations.rs`.

use super::{Head, Magazine, Object, Owned};
use std::alloc::Layout;
use std::ptr::NonNull;
use zeroize::Zeroize;

/// A key and a value of bytes, in one allocation, wiped when it is reclaimed.
///
/// The bytes follow the header: first the key's, then the value's, then, if somebody weighed the
/// entry, its weight.
#[doc(hidden)]
#[derive(Debug)]
#[repr(transparent)]
pub struct Record {
    head: Head,
}

impl Record {
    /// Bytes of an entry beyond key and value.
    pub(crate) const OVERHEAD: usize = size_of::<Self>();
    /// The longest key.
    pub(crate) const MOST_KEY: usize = u16::MAX as usize;

    /// What an entry with a key and a value of these lengths weighs unless somebody weighs it.
    pub(crate) fn weight_of(key: usize, value: usize) -> u64 {
        (key + value + Self::OVERHEAD) as u64
    }

    /// `None` if key or value are too large for one entry.
    pub(crate) fn allocate(
        deadline: u64,
        weight: Option<u32>,
        key: &[u8],
        value: &[u8],
        magazine: &Magazine,
    ) -> Option<Owned<Self>> {
        let key_len = u16::try_from(key.len()).ok()?;
        let value_len = u32::try_from(value.len()).ok()?;
        let head = Head { key_len, value_len, ..Head::new(deadline, weight.is_some()) };
        let header = Self { head };
        let memory = magazine.allocate(header.checked_layout()?);
        let this = memory.block.cast::<Self>();
        // SAFETY: fresh memory with the layout of a header and the bytes that it announces.
        unsafe { this.write(Self { head: header.head.within(&memory) }) };
        let bytes = Self::bytes(this);
        // SAFETY: `key.len()` bytes lie behind the header, and nobody else knows them.
        unsafe { bytes.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len()) };
        // SAFETY: within the same allocation.
        let behind = unsafe { bytes.add(key.len()) };
        // SAFETY: `value.len()` bytes lie behind the key.
        unsafe { behind.copy_from_nonoverlapping(NonNull::from(value).cast(), value.len()) };
        if let Some(weight) = weight {
            // SAFETY: the header was written just now.
            let at = unsafe { Self::weight_at(this) };
            // SAFETY: four bytes lie there, within the same allocation.
            unsafe { at.write(weight.to_ne_bytes()) };
        }
        Some(Owned::new(this))
    }

    /// `None` if the lengths are more than memory can hold.
    fn checked_layout(&self) -> Option<Layout> {
        let (key, value) = self.lengths();
        let weight = if self.head.is_weighed() { size_of::<u32>() } else { 0 };
        let size = value.checked_add(key + size_of::<Self>() + weight)?;
        Layout::from_size_align(size, align_of::<Self>()).ok()
    }

    /// Where the weight of an entry lies that somebody weighed: behind the value, unaligned.
    ///
    /// # Safety
    /// - `this` points to the header of an entry in memory of its layout.
    unsafe fn weight_at(this: NonNull<Self>) -> NonNull<[u8; 4]> {
        // SAFETY: the caller's promise.
        let (key, value) = unsafe { this.as_ref() }.lengths();
        // SAFETY: the value ends within the layout.
        unsafe { Self::bytes(this).add(key + value) }.cast()
    }

    /// Where the bytes begin. Keeps the provenance of the whole allocation.
    fn bytes(this: NonNull<Self>) -> NonNull<u8> {
        // SAFETY: one past the header is within the allocation, or its end.
        unsafe { this.add(1) }.cast()
    }

    fn lengths(&self) -> (usize, usize) {
        (usize::from(self.head.key_len), self.head.value_len as usize)
    }
}

impl Object for Record {
    type Key = [u8];
    type Value = [u8];
    const DROPS_USER_CODE: bool = false;
    // Header, an id of TLS, and the secrets of a short session. What is longer is read in order.
    const FETCHED_BYTES: usize = 192;

    fn head(&self) -> &Head {
        &self.head
    }

    unsafe fn key<'a>(this: NonNull<Self>) -> &'a [u8] {
        // SAFETY: the caller keeps the entry alive for 'a.
        let (key, _) = unsafe { this.as_ref() }.lengths();
        // SAFETY: `key` initialised bytes lie behind the header, never written while shared.
        unsafe { std::slice::from_raw_parts(Self::bytes(this).as_ptr(), key) }
    }

    unsafe fn value<'a>(this: NonNull<Self>) -> &'a [u8] {
        // SAFETY: the caller keeps the entry alive for 'a.
        let (key, value) = unsafe { this.as_ref() }.lengths();
        // SAFETY: within the same allocation.
        let start = unsafe { Self::bytes(this).add(key) };
        // SAFETY: `value` initialised bytes lie behind the key, never written while shared.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), value) }
    }

    unsafe fn weight(this: NonNull<Self>) -> u32 {
        // SAFETY: the caller keeps the entry alive.
        let record = unsafe { this.as_ref() };
        let (key, value) = record.lengths();
        if !record.head.is_weighed() {
            // An entry that weighs more than this is not made.
            return u32::try_from(Self::weight_of(key, value)).unwrap_or(u32::MAX);
        }
        // SAFETY: as above.
        let at = unsafe { Self::weight_at(this) };
        // SAFETY: written when the entry was made, since it is weighed.
        u32::from_ne_bytes(unsafe { at.read() })
    }

    fn layout(&self) -> Layout {
        self.checked_layout().expect("was allocated with this layout")
    }

    unsafe fn clear(this: NonNull<Self>) {
        // SAFETY: the caller is the only one who knows the address.
        let (key, value) = unsafe { this.as_ref() }.lengths();
        let bytes =
            // SAFETY: all bytes behind the header, initialised and no longer shared.
            unsafe { std::slice::from_raw_parts_mut(Self::bytes(this).as_ptr(), key + value) };
        bytes.zeroize();
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_for_header_key_value_and_the_weight_of_what_somebody_weighed() {
        let size = |is_weighed, key_len, value_len| {
            let head = Head { key_len, value_len, ..Head::new(1, is_weighed) };
            Record { head }.checked_layout().map(|layout| layout.size())
        };
        assert_eq!(size(false, 32, 200), Some(Record::OVERHEAD + 232));
        assert_eq!(size(true, 32, 200), Some(Record::OVERHEAD + 232 + 4));
        let most = u16::MAX as usize + u32::MAX as usize;
        assert_eq!(size(true, u16::MAX, u32::MAX), Some(Record::OVERHEAD + most + 4));
        assert_eq!(Record::weight_of(32, 200), Record::OVERHEAD as u64 + 232);
    }
}
