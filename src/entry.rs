//! What the table stores: one heap object an entry, in one allocation.
//!
//! Two shapes: [`Pair`] for any key and value, and [`Record`] for bytes, whose key and value lie
//! behind one header and are wiped before the memory goes back to the allocator.

use crate::sync::{AtomicU32, Ordering, PlainU64};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use zeroize::Zeroize;

/// Addresses are kept in the low 48 bits of a cell, the tag above them.
pub(crate) const ADDRESS_BITS: u32 = 48;

/// What the engine knows of every entry.
#[derive(Debug)]
pub struct Head {
    /// Unique in the process, never used again: tells an entry from a later one in the same way.
    pub(crate) id: u64,
    /// The tick from which on the entry is expired.
    pub(crate) deadline: u64,
    /// Its share of the limit in bytes.
    pub(crate) weight: u32,
    /// Who else holds the unlinked entry, see [`Head::share`].
    holders: AtomicU32,
    /// While the way is on a list of [`crate::table::retired`]: the next one. Owned by whoever
    /// owns the unlinked way.
    pub(crate) next: PlainNext,
}

/// A link in a list of unlinked ways; plain, since list heads carry the edges.
#[derive(Debug, Default)]
pub(crate) struct PlainNext(PlainU64);

impl PlainNext {
    pub(crate) fn get(&self) -> u64 {
        // Relaxed: written by the owner before the list's head was released, see `retired`.
        self.0.load(Ordering::Relaxed)
    }
    pub(crate) fn set(&self, next: u64) {
        // Relaxed: the CAS on the list's head releases it.
        self.0.store(next, Ordering::Relaxed);
    }
}

impl Head {
    pub(crate) fn new(deadline: u64, weight: u32) -> Self {
        Self {
            id: fresh_id(),
            deadline,
            weight,
            holders: AtomicU32::new(0),
            next: PlainNext::default(),
        }
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

/// Ids come in blocks, so that threads share the counter's line once in a thousand entries.
fn fresh_id() -> u64 {
    const BLOCK: u64 = 1024;
    static NEXT_BLOCK: PlainU64 = PlainU64::new(1);
    thread_local! {
        static IDS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }
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

    /// Drops (and wipes) the contents and frees the memory; may panic if a user's `Drop` does, and
    /// has then freed the memory all the same.
    ///
    /// # Safety
    /// - `this` came from this shape's constructor, nobody refers to it, and it is not freed yet.
    unsafe fn free(this: NonNull<Self>);
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
        unsafe { O::free(self.0) }
    }
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
        // SAFETY: the entry lives for 'g, and its header is never written but through atomics.
        unsafe { self.0.as_ref() }.head()
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
pub struct Pair<K, V> {
    head: Head,
    both: Watched<(K, V)>,
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Pair<K, V> {
    pub(crate) fn allocate(head: Head, key: K, value: V) -> Owned<Self> {
        Owned::new(allocate(Self { head, both: Watched::new((key, value)) }))
    }

    /// Key and value of an entry that was never published.
    pub(crate) fn into_parts(entry: Owned<Self>) -> (K, V) {
        let entry = ManuallyDrop::new(entry);
        // SAFETY: the owner gives the entry up here; the box frees the memory.
        unsafe { Box::from_raw(entry.0.as_ptr()) }.both.into_inner()
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Object for Pair<K, V> {
    type Key = K;
    type Value = V;
    const DROPS_USER_CODE: bool = std::mem::needs_drop::<K>() || std::mem::needs_drop::<V>();

    fn head(&self) -> &Head {
        &self.head
    }

    unsafe fn key<'a>(this: NonNull<Self>) -> &'a K {
        // SAFETY: the caller keeps the entry alive for 'a; nothing in it is written meanwhile.
        &unsafe { this.as_ref() }.both.read().0
    }

    unsafe fn value<'a>(this: NonNull<Self>) -> &'a V {
        // SAFETY: as above.
        &unsafe { this.as_ref() }.both.read().1
    }

    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: the caller is the only one who knows the address, and frees it once.
        unsafe { free(this) }
    }
}

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
    pub(crate) fn allocate(head: Head, key: &[u8], value: &[u8]) -> Option<Owned<Self>> {
        let header = Self {
            head,
            key_len: u32::try_from(key.len()).ok()?,
            value_len: u32::try_from(value.len()).ok()?,
        };
        let layout = header.layout()?;
        // SAFETY: the layout is never empty: it holds the header.
        let memory = unsafe { alloc(layout) };
        let Some(this) = NonNull::new(memory.cast::<Self>()) else { handle_alloc_error(layout) };
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

    fn layout(&self) -> Option<Layout> {
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

    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: the caller is the only one who knows the address.
        let header = unsafe { this.as_ref() };
        let (key, value) = header.lengths();
        let layout = header.layout().expect("was allocated with this layout");
        // SAFETY: all bytes behind the header, initialised and no longer shared.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(Self::bytes(this).as_ptr(), key + value) };
        bytes.zeroize();
        // SAFETY: allocated by `allocate` with the same layout, freed once.
        unsafe { dealloc(this.as_ptr().cast(), layout) }
    }
}

/// What an entry holds; in model builds every access is checked for races and use after free.
#[cfg(not(halfshake_loom))]
#[derive(Debug)]
struct Watched<T>(T);

#[cfg(not(halfshake_loom))]
impl<T> Watched<T> {
    fn new(value: T) -> Self {
        Self(value)
    }
    fn into_inner(self) -> T {
        self.0
    }
    fn read(&self) -> &T {
        &self.0
    }
}

#[cfg(not(halfshake_loom))]
fn allocate<E>(entry: E) -> NonNull<E> {
    NonNull::from(Box::leak(Box::new(entry)))
}

/// Drops and frees an entry, and frees its memory also if its contents panic.
///
/// # Safety
/// - `entry` came from `allocate`, nobody refers to it, and it is not freed yet.
#[cfg(not(halfshake_loom))]
unsafe fn free<E>(entry: NonNull<E>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(entry.as_ptr()) });
}

#[cfg(halfshake_loom)]
use model::{Watched, allocate, free};

#[cfg(halfshake_loom)]
pub(crate) mod model {
    //! loom does not watch heap memory: payloads lie in its cell, a freed entry is marked dead and
    //! buried, and a later allocation of the model digs the last one up again (else no address
    //! would ever be used twice, and no model could see an ABA).

    use super::{Head, Pair};
    use crate::sync::{ModelCell, Ordering, PlainBool};
    use std::ptr::NonNull;
    use std::sync::Mutex;

    type ModelPair = Pair<u64, u64>;
    static GRAVES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    /// Forgets the graves of the execution before: their cells belong to it.
    pub(crate) fn begin() {
        for address in std::mem::take(&mut *GRAVES.lock().expect("one thread")) {
            // SAFETY: buried by `free`, so nobody refers to it; only the memory is released.
            drop(unsafe { Box::from_raw(address as *mut std::mem::ManuallyDrop<ModelPair>) });
        }
    }

    pub(crate) struct Watched<T> {
        cell: ModelCell<T>,
        dead: PlainBool,
    }

    // SAFETY: written only by `new` and `bury`; loom checks that nobody reads meanwhile.
    unsafe impl<T: Send + Sync> Sync for Watched<T> {}

    impl<T> std::fmt::Debug for Watched<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Watched")
        }
    }

    impl<T> Watched<T> {
        pub(crate) fn new(value: T) -> Self {
            let cell = ModelCell::new(value);
            // Creation does not advance the creator's clock; a write does.
            cell.with_mut(|_| ());
            Self { cell, dead: PlainBool::new(false) }
        }
        pub(crate) fn into_inner(self) -> T {
            self.cell.into_inner()
        }
        pub(crate) fn read(&self) -> &T {
            assert!(!self.dead.load(Ordering::Relaxed), "use after free");
            self.cell.with(|p| {
                // SAFETY: loom has just checked that no write races with this read.
                unsafe { &*p }
            })
        }
    }

    pub(crate) fn allocate<E>(entry: E) -> NonNull<E> {
        if size_of::<E>() == size_of::<ModelPair>() {
            if let Some(address) = GRAVES.lock().expect("one thread").pop() {
                let grave = NonNull::new(address as *mut E).expect("buried");
                // SAFETY: memory of the same type and size that nobody refers to.
                unsafe { grave.write(entry) };
                return grave;
            }
        }
        NonNull::from(Box::leak(Box::new(entry)))
    }
    /// # Safety
    /// - `entry` came from `allocate` and nobody refers to it.
    pub(crate) unsafe fn free<E: Buried>(entry: NonNull<E>) {
        // SAFETY: the caller's promise; the memory stays allocated.
        unsafe { entry.as_ref() }.bury();
        GRAVES.lock().expect("one thread").push(entry.as_ptr() as usize);
    }

    pub(crate) trait Buried {
        fn bury(&self);
    }

    impl<K, V> Buried for Pair<K, V> {
        fn bury(&self) {
            let _: &Head = &self.head;
            self.both.cell.with_mut(|_| ());
            assert!(!self.both.dead.swap(true, Ordering::Relaxed), "double free");
        }
    }
}
