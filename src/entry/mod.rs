//! What the table stores: one heap object an entry, in one allocation.
//!
//! Two shapes: [`Pair`] for any key and value, and [`Record`] for bytes, whose key and value lie
//! behind one header and are wiped before the memory goes back to the allocator.
//!
//! Unsafe is checked by: `events::two_holders`, `tests/core/loans.rs`, `tests/core/panics.rs`.

use crate::panics::discard;
use crate::sync::{AtomicU8, Ordering, PlainU64};
use std::alloc::Layout;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

#[expect(unsafe_code, reason = "blocks are addresses")]
pub(crate) mod depot;
#[expect(unsafe_code, reason = "blocks are kept by address")]
mod memory;
#[expect(unsafe_code, reason = "one allocation for header, key and value")]
mod record;
#[expect(unsafe_code, reason = "blocks are cut from chunks")]
pub(crate) mod slab;
#[expect(unsafe_code, reason = "entries are freed by address")]
mod watched;

use memory::Allocated;
pub(crate) use memory::Magazine;
pub(crate) use record::Record;
pub(crate) use slab::Home;
#[cfg(not(halfshake_loom))]
use watched::Watched;

#[cfg(halfshake_shuttle)]
pub(crate) use watched::begin_model;
#[cfg(halfshake_loom)]
pub(crate) use watched::{Watched, begin_model};

/// Addresses are kept in the low 48 bits of a cell, the tag above them.
pub(crate) const ADDRESS_BITS: u32 = 48;

/// What stands before key and value: what look-ups read. It is short, so that a key of 32 bytes and
/// the first word of its value share the line.
#[derive(Debug)]
pub struct Head {
    /// The tick from which on the entry is expired.
    pub(crate) deadline: u64,
    /// Unique in the process, never used again: tells an entry from a later one in the same way.
    pub(crate) id: u64,
    /// The lengths of an entry of bytes.
    key_len: u16,
    value_len: u32,
    /// Who else holds the unlinked entry, see [`Head::share`].
    holders: AtomicU8,
    /// See [`WEIGHED`] and [`IN_SLAB`].
    marks: u8,
}

/// Somebody weighed it: its weight then stands behind key and value.
const WEIGHED: u8 = 1;
/// Its memory is a slab's.
const IN_SLAB: u8 = 2;

#[cfg(not(halfshake_loom))]
const _: () = assert!(size_of::<Record>() == 24);

impl Head {
    fn new(deadline: u64, weighed: bool) -> Self {
        let marks = if weighed { WEIGHED } else { 0 };
        Self {
            deadline,
            id: fresh_id(),
            key_len: 0,
            value_len: 0,
            holders: AtomicU8::new(0),
            marks,
        }
    }

    /// In this memory.
    fn within(self, memory: &Allocated) -> Self {
        let marks = if memory.in_slab { self.marks | IN_SLAB } else { self.marks };
        Self { marks, ..self }
    }

    fn is_weighed(&self) -> bool {
        self.marks & WEIGHED != 0
    }

    fn is_in_slab(&self) -> bool {
        self.marks & IN_SLAB != 0
    }

    pub(crate) fn expired(&self, now: u64) -> bool {
        now >= self.deadline
    }

    /// From now on two parties hold the unlinked entry: the one that took it, and the delivery
    /// thread that tells about it. Called by the owner, before it hands the entry over.
    pub(crate) fn share(&self) {
        // Relaxed: the list that hands the entry over releases it.
        self.holders.store(1, Ordering::Relaxed);
    }

    /// Whether the caller is the last holder, who has to retire the way.
    pub(crate) fn leave(&self) -> bool {
        // Relaxed: 0 is never left again by anybody but the owner itself, in `share`.
        if self.holders.load(Ordering::Relaxed) == 0 {
            return true;
        }
        // AcqRel: pairs with itself; the last holder's retire comes after the other's last read.
        self.holders.fetch_add(1, Ordering::AcqRel) == 2
    }
}

thread_local! {
    /// The next id of this thread's block.
    static IDS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Ids come in blocks, so that threads share the counter's line rarely; in small ones, so that an
/// id tells about age, too.
fn fresh_id() -> u64 {
    // In a model one block is enough: an execution must not see another one's ids.
    const BLOCK: u64 = if cfg!(any(halfshake_loom, halfshake_shuttle)) { 1 << 20 } else { 64 };
    static NEXT_BLOCK: PlainU64 = PlainU64::new(1);
    // Relaxed: uniqueness is all that is asked of an id, and a read-modify-write gives that.
    let block = || NEXT_BLOCK.fetch_add(1, Ordering::Relaxed) * BLOCK;
    // A thread that is past its thread locals spends a block for one id.
    IDS.try_with(|ids| {
        let id = if ids.get() % BLOCK == 0 { block() } else { ids.get() };
        ids.set(id + 1);
        id
    })
    .unwrap_or_else(|_| block())
}

/// The shape of an entry.
///
/// Sealed: implemented by [`Pair`] and [`Record`] alone.
#[doc(hidden)]
pub trait Object: Sized + Send + Sync + 'static {
    type Key: ?Sized;
    type Value: ?Sized;

    /// Whether dropping one runs user code.
    const DROPS_USER_CODE: bool;

    /// How much of one is fetched before it is recycled: what is nearly always there.
    const FETCHED_BYTES: usize;

    fn head(&self) -> &Head;

    /// The key.
    ///
    /// # Safety
    /// - `this` came from this shape's constructor and is not freed while `'a` lasts.
    unsafe fn key<'a>(this: NonNull<Self>) -> &'a Self::Key;

    /// The value.
    ///
    /// # Safety
    /// - As for `key`.
    unsafe fn value<'a>(this: NonNull<Self>) -> &'a Self::Value;

    /// Its share of the limit in bytes: what somebody weighed, else its bytes.
    ///
    /// # Safety
    /// - As for `key`.
    unsafe fn weight(this: NonNull<Self>) -> u32;

    /// The layout of this very entry.
    fn layout(&self) -> Layout;

    /// Drops, or wipes, the contents; may panic if a user's `Drop` does. The memory is given back
    /// by the caller, in any case.
    ///
    /// # Safety
    /// - `this` came from this shape's constructor, nobody refers to it, and it is called once.
    unsafe fn clear(this: NonNull<Self>);
}

/// An entry that nobody else can reach: not yet published, or past its grace period.
#[derive(Debug)]
pub(crate) struct Owned<O: Object>(NonNull<O>);

// SAFETY: an owned entry moves between threads as the `Send + Sync` object that it points to.
unsafe impl<O: Object> Send for Owned<O> {}

impl<O: Object> Owned<O> {
    fn new(object: NonNull<O>) -> Self {
        let address = object.as_ptr().expose_provenance();
        assert!(
            address >> ADDRESS_BITS == 0,
            "the allocator returned an address of more than 48 bits, which halfshake can't store"
        );
        Self(object)
    }

    /// The word of a cell: this entry's address and its tag. The caller owns the entry through it.
    pub(crate) fn into_word(self, tag: u16) -> u64 {
        let entry = ManuallyDrop::new(self);
        entry.0.as_ptr().expose_provenance() as u64 | u64::from(tag) << ADDRESS_BITS
    }

    /// Takes an entry back from the word of its cell.
    ///
    /// # Safety
    /// - `word` came from `into_word` of the same shape, and only this call uses it as an owner.
    pub(crate) unsafe fn from_word(word: u64) -> Self {
        Self(object_at(word))
    }

    /// Drops the entry. Says whether a user's `Drop` panicked.
    pub(crate) fn end(self, goes: Goes<'_>) -> bool {
        let entry = ManuallyDrop::new(self);
        let end = || {
            // SAFETY: an `Owned` is the only way to its entry, and was given up.
            unsafe { dispose(entry.0, goes) }
        };
        if cfg!(halfshake_loom) {
            end(); // a model's assertion must come through
            return false;
        }
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(end)) {
            Ok(()) => false,
            Err(payload) => {
                discard(payload);
                true
            }
        }
    }

    pub(crate) fn borrow(&self) -> EntryRef<'_, O> {
        EntryRef(self.0, PhantomData)
    }
}

impl<O: Object> Drop for Owned<O> {
    fn drop(&mut self) {
        if cfg!(halfshake_loom) && std::thread::panicking() {
            return; // a loom step while unwinding aborts the process
        }
        // SAFETY: an `Owned` is the only way to its entry.
        unsafe { dispose(self.0, Goes::Back) }
    }
}

/// What becomes of the memory of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goes<'m> {
    /// It is kept for the next entry of this thread.
    To(&'m Magazine),
    /// Back to where it came from.
    Back,
    /// It ends with the cache, if it is the cache's; else as above.
    WithCache,
}

/// Ends an entry, and gives its memory away.
///
/// # Safety
/// - Nobody else refers to the entry, and nobody will.
unsafe fn dispose<O: Object>(this: NonNull<O>, goes: Goes<'_>) {
    /// Gives the memory away also if the contents panic.
    struct Memory<'m>(Allocated, Layout, Goes<'m>);
    impl Drop for Memory<'_> {
        fn drop(&mut self) {
            let (memory, layout) = (self.0, self.1);
            match self.2 {
                // SAFETY: the entry's own memory, which `dispose` has ended the use of.
                Goes::To(magazine) => unsafe { magazine.keep(memory, layout) },
                Goes::WithCache if memory.in_slab => {}
                // SAFETY: as above.
                Goes::Back | Goes::WithCache => unsafe { memory::release(memory, layout) },
            }
        }
    }
    // SAFETY: the caller is the only one who knows the address.
    let entry = unsafe { this.as_ref() };
    let (layout, in_slab) = (entry.layout(), entry.head().is_in_slab());
    let _memory = Memory(Allocated { block: this.cast(), in_slab }, layout, goes);
    // SAFETY: as above; once, since the memory is given away right after.
    unsafe { O::clear(this) }
}

/// The address in the word of a cell, to be fetched and not to be read.
pub(crate) fn address<O>(word: u64) -> *const O {
    object_at(word).as_ptr()
}

/// The address in the word of a cell, which must not be zero.
fn object_at<O>(word: u64) -> NonNull<O> {
    let address = (word & ((1 << ADDRESS_BITS) - 1)) as usize;
    let object = core::ptr::with_exposed_provenance_mut(address);
    NonNull::new(object).expect("the cell of a claimed way is never empty")
}

/// An entry that lives for `'g`: under a guard, or as long as its owner.
#[derive(Debug)]
pub(crate) struct EntryRef<'g, O: Object>(NonNull<O>, PhantomData<&'g O>);

impl<O: Object> Clone for EntryRef<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Object> Copy for EntryRef<'_, O> {}

impl<'g, O: Object> EntryRef<'g, O> {
    /// The entry whose address is in `word`.
    ///
    /// # Safety
    /// - `word` came from `into_word` of the same shape, and the entry is not freed during `'g`.
    pub(crate) unsafe fn from_word(word: u64) -> Self {
        Self(object_at(word), PhantomData)
    }

    pub(crate) fn head(self) -> &'g Head {
        if cfg!(halfshake_loom) {
            let _watched = self.key(); // the header itself is memory that loom does not see
        }
        // SAFETY: the entry lives for 'g, and its header is never written but through atomics.
        unsafe { self.0.as_ref() }.head()
    }

    /// Its share of the limit in bytes.
    pub(crate) fn weight(self) -> u32 {
        if cfg!(halfshake_loom) {
            let _watched = self.key(); // as in `head`
        }
        // SAFETY: the entry lives for 'g.
        unsafe { O::weight(self.0) }
    }

    pub(crate) fn key(self) -> &'g O::Key {
        // SAFETY: the entry lives for 'g.
        unsafe { O::key(self.0) }
    }

    pub(crate) fn value(self) -> &'g O::Value {
        // SAFETY: the entry lives for 'g.
        unsafe { O::value(self.0) }
    }

    /// Longer than the compiler can see.
    ///
    /// # Safety
    /// - What keeps the entry alive for `'g` does so for `'long`.
    pub(crate) unsafe fn extend<'long>(self) -> EntryRef<'long, O> {
        EntryRef(self.0, PhantomData)
    }

    pub(crate) fn as_ptr(self) -> *const O {
        self.0.as_ptr()
    }
}

/// A key and a value of any type.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct Pair<K, V> {
    head: Head,
    both: Watched<Both<K, V>>,
    weight: u32,
}

/// In this order: the key beside the header.
#[derive(Debug)]
#[repr(C)]
struct Both<K, V> {
    key: K,
    value: V,
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Pair<K, V> {
    /// What an entry weighs unless somebody weighs it: its allocation.
    pub(crate) const WEIGHT: u64 = size_of::<Self>() as u64;

    pub(crate) fn allocate(
        deadline: u64,
        weight: Option<u32>,
        key: K,
        value: V,
        magazine: &Magazine,
    ) -> Owned<Self> {
        let memory = magazine.allocate(Layout::new::<Self>());
        let this = memory.block.cast::<Self>();
        let entry = Self {
            head: Head::new(deadline, weight.is_some()).within(&memory),
            both: Watched::new(Both { key, value }),
            weight: weight.unwrap_or(0),
        };
        // SAFETY: memory of this layout that nobody else knows.
        unsafe { this.write(entry) };
        Owned::new(this)
    }

    /// Key and value of an entry that was never published.
    pub(crate) fn into_parts(entry: Owned<Self>, magazine: &Magazine) -> (K, V) {
        let entry = ManuallyDrop::new(entry);
        // SAFETY: the owner gives the entry up here, and it is read once.
        let this = unsafe { entry.0.read() };
        let memory = Allocated { block: entry.0.cast(), in_slab: this.head.is_in_slab() };
        // SAFETY: the entry has moved out of its memory.
        unsafe { magazine.keep(memory, Layout::new::<Self>()) };
        let Both { key, value } = this.both.into_inner();
        (key, value)
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Object for Pair<K, V> {
    type Key = K;
    type Value = V;
    const DROPS_USER_CODE: bool = std::mem::needs_drop::<K>() || std::mem::needs_drop::<V>();
    const FETCHED_BYTES: usize = if size_of::<Self>() < 192 { size_of::<Self>() } else { 192 };

    fn head(&self) -> &Head {
        &self.head
    }

    unsafe fn key<'a>(this: NonNull<Self>) -> &'a K {
        // SAFETY: the caller keeps the entry alive for 'a; nothing in it is written meanwhile.
        &unsafe { this.as_ref() }.both.read().key
    }

    unsafe fn value<'a>(this: NonNull<Self>) -> &'a V {
        // SAFETY: as above.
        &unsafe { this.as_ref() }.both.read().value
    }

    unsafe fn weight(this: NonNull<Self>) -> u32 {
        // SAFETY: as above.
        let this = unsafe { this.as_ref() };
        // `allocate` is asked for no more than fits.
        let own = u32::try_from(Self::WEIGHT).unwrap_or(u32::MAX);
        if this.head.is_weighed() { this.weight } else { own }
    }

    fn layout(&self) -> Layout {
        Layout::new::<Self>()
    }

    unsafe fn clear(this: NonNull<Self>) {
        // SAFETY: the caller is the only one who knows the address.
        unsafe { this.as_ref() }.both.bury();
        if !cfg!(halfshake_loom) {
            // SAFETY: the contents are dropped once, in place. (Models hold plain numbers.)
            unsafe { this.drop_in_place() }
        }
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::fresh_id;
    use std::collections::HashSet;

    #[test]
    fn ids_of_all_threads_differ() {
        let some = || (0..200).map(|_| fresh_id()).collect::<Vec<_>>();
        let threads = [0; 4].map(|_| std::thread::spawn(some));
        let all = threads.into_iter().flat_map(|thread| thread.join().expect("it counts"));
        assert_eq!(all.collect::<HashSet<_>>().len(), 800);
    }
}
