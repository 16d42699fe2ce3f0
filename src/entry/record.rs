//! The shape of an entry of bytes: its allocation, and wiping.

use super::{Head, Magazine, Object, Owned};
use std::alloc::Layout;
use std::ptr::NonNull;
use zeroize::Zeroize;

/// A key and a value of bytes, in one allocation, wiped when it is reclaimed.
///
/// The bytes follow the header: first the key's, then the value's.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct Record {
    head: Head,
    key_len: u32,
    value_len: u32,
}

impl Record {
    /// Bytes of an entry beyond key and value.
    pub(crate) const OVERHEAD: usize = size_of::<Self>();

    /// `None` if key and value together are too large for one entry.
    pub(crate) fn allocate(
        head: Head,
        key: &[u8],
        value: &[u8],
        magazine: &Magazine,
    ) -> Option<Owned<Self>> {
        let header = Self {
            head,
            key_len: u32::try_from(key.len()).ok()?,
            value_len: u32::try_from(value.len()).ok()?,
        };
        let this = magazine.allocate(header.checked_layout()?).cast::<Self>();
        // SAFETY: fresh memory with the layout of a header and the bytes that it announces.
        unsafe { this.write(header) };
        let bytes = Self::bytes(this);
        // SAFETY: `key.len()` bytes lie behind the header, and nobody else knows them.
        unsafe { bytes.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len()) };
        // SAFETY: within the same allocation.
        let behind = unsafe { bytes.add(key.len()) };
        // SAFETY: `value.len()` bytes lie behind the key.
        unsafe { behind.copy_from_nonoverlapping(NonNull::from(value).cast(), value.len()) };
        Some(Owned::new(this))
    }

    /// `None` if the lengths are more than memory can hold.
    fn checked_layout(&self) -> Option<Layout> {
        let bytes = u64::from(self.key_len) + u64::from(self.value_len);
        let size = usize::try_from(bytes).ok()?.checked_add(Self::OVERHEAD)?;
        Layout::from_size_align(size, align_of::<Self>()).ok()
    }

    /// Where the bytes begin. Keeps the provenance of the whole allocation.
    fn bytes(this: NonNull<Self>) -> NonNull<u8> {
        // SAFETY: one past the header is within the allocation, or its end.
        unsafe { this.add(1) }.cast()
    }

    fn lengths(&self) -> (usize, usize) {
        (self.key_len as usize, self.value_len as usize)
    }
}

impl Object for Record {
    type Key = [u8];
    type Value = [u8];
    const DROPS_USER_CODE: bool = false;

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

    fn layout(&self) -> Layout {
        self.checked_layout().expect("was allocated with this layout")
    }

    unsafe fn clear(this: NonNull<Self>) {
        // SAFETY: the caller is the only one who knows the address.
        let (key, value) = unsafe { this.as_ref() }.lengths();
        // SAFETY: all bytes behind the header, initialised and no longer shared.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(Self::bytes(this).as_ptr(), key + value) };
        bytes.zeroize();
    }
}
