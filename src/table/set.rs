//! One set: its control word, its tags, its cells, and the state machine of a way.
//!
//! # State
//!
//! Bit `i` of the control word is set while way `i` is *live*; bit 63 says that the set is closed.
//! The cell of a way is 0 while the way is free, else the entry's address and 16 bits of its key's
//! hash, the *tag*. The low byte of each tag stands in the [`Meta`] of the set, too: two sets share
//! a cache line of those, so that most look-ups of unknown keys read nothing else. A way goes
//!
//! ```text
//! free -claim-> reserved -publish-> live -unlink-> unlinked -retire, grace period, recycle-> free
//!               reserved -abandon-> free
//! ```
//!
//! The hints hold what only the choice of a victim reads: which ways were hit (bits 0..) and the
//! *hand*, the way claimed last (bits 56..). They may lose updates; nothing depends on them.
//!
//! # Operations
//!
//! Every publication, removal and replacement is one read-modify-write on the control word. A load
//! under a guard ([`Set::load`]) is a snapshot: what was live keeps its entry until the guard goes.
//!
//! # Orderings
//!
//! The control word alone publishes: cells and tags are accessed relaxed, since whoever reads one
//! has seen its live bit with Acquire, and the claim was written before the bit was set with
//! Release; it is overwritten only after a grace period, which is ordered after every guard that
//! saw the bit. A byte of the tags belongs to whoever has claimed its way, one claim after the
//! other: by the grace period, or by the cell (`abandon` releases, `claim` acquires).
//!
//! Only a publication releases (and [`Set::load_ordered`], hints). What unlinks writes nothing
//! first that whoever reads the word needs; and unlinks, being read-modify-writes, pass on what
//! publications before them released. That an unlink comes before what its owner does next is not
//! this word's business: the unit goes through the pool (Release), the way through a ring (Release)
//! and the epoch, the event is told by the owner itself.
//!
//! # ABA
//!
//! While a thread that saw the control word is pinned, bits that were set then can only be cleared,
//! and their ways are not reused; bits that were clear may have been set, which makes a
//! compare-and-swap fail. So no old value returns with a new meaning, and no version is needed.
//!
//! # Progress
//!
//! `load`, `find`, `unlink` and `close` are wait-free; `publish` and `claim` are single attempts.
//!
//! Loom: `get_*`, `take_*`, `insert_*`, `replace_*`, `reuse_*`, `aba_*`, `claim_after_abandon`.
//!
//! Unsafe is checked by: `removals::take_take`, `inserts::insert_insert`, `tests/core/stress.rs`.

use super::away::{Away, Graced, Unlinked};
use super::hints::{Hints, after};
use super::tags::Tags;
use super::ways::{LIVE, WAYS, bit, ways_in};
use crate::entry::{ADDRESS_BITS, EntryRef, Goes, Object, Owned};
use crate::pages::Zeroed;
use crate::prefetch::{prefetch, prefetch_each_line};
use crate::reclaim::Guard;
use crate::sync::{AtomicU64, Ordering};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

const CLOSED: u64 = 1 << 63;

const _: () = assert!(WAYS as usize <= Tags::WAYS);

/// What is read of a set first: half a cache line.
#[derive(Debug)]
#[repr(C, align(32))]
pub(crate) struct Meta {
    control: AtomicU64,
    hints: AtomicU64,
    /// The low byte of the tag of each way.
    tags: Tags,
}

/// The addresses of a set's entries: two cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Cells<O: Object>([AtomicU64; WAYS as usize], PhantomData<fn() -> O>);

#[cfg(not(any(halfshake_loom, halfshake_shuttle)))]
const _: () = assert!(size_of::<Meta>() == 32 && size_of::<Cells<crate::entry::Record>>() == 128);

// SAFETY: numbers, all zero in an empty set; nothing to drop.
unsafe impl Zeroed for Meta {
    #[cfg(halfshake_loom)]
    fn zeroed() -> Self {
        Self { control: AtomicU64::new(0), hints: AtomicU64::new(0), tags: Tags::zeroed() }
    }
}

// SAFETY: as above; what the numbers stand for is freed by `free_all`.
unsafe impl<O: Object> Zeroed for Cells<O> {
    #[cfg(halfshake_loom)]
    fn zeroed() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)), PhantomData)
    }
}

impl<O: Object> Cells<O> {
    /// Frees whatever the ways hold, live, retired or owned by an operation that never ended.
    pub(super) fn free_all(&mut self) {
        for cell in &self.0 {
            // Relaxed: nobody else is there.
            let word = cell.swap(0, Ordering::Relaxed);
            if word != 0 {
                // SAFETY: `&mut self`: no guard, claim or owner is left; each cell holds its own.
                let entry = unsafe { Owned::<O>::from_word(word) };
                entry.end(Goes::WithCache);
            }
        }
    }
}

/// One set of a table.
#[derive(Debug)]
pub(crate) struct Set<'t, O: Object> {
    meta: &'t Meta,
    cells: &'t Cells<O>,
}

impl<O: Object> Clone for Set<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Object> Copy for Set<'_, O> {}

impl<'t, O: Object> Set<'t, O> {
    #[inline]
    pub(super) fn new(meta: &'t Meta, cells: &'t Cells<O>) -> Self {
        Self { meta, cells }
    }

    /// Starts to fetch all three lines.
    pub(crate) fn prefetch(self) {
        self.prefetch_meta();
        self.prefetch_cells();
    }

    /// Starts to fetch what tells which ways may have a key.
    #[inline]
    pub(crate) fn prefetch_meta(self) {
        prefetch(&raw const *self.meta);
    }

    /// Starts to fetch both lines of cells.
    #[inline]
    pub(crate) fn prefetch_cells(self) {
        prefetch(&raw const self.cells.0[0]);
        prefetch(&raw const self.cells.0[WAYS as usize / 2]);
    }

    /// Starts to fetch the line that holds a way's cell.
    pub(super) fn prefetch_cell(self, way: u32) {
        prefetch(&raw const self.cells.0[way as usize]);
    }

    /// Starts to fetch the lines of the first `bytes` of a way's entry. Nothing is read through the
    /// address.
    pub(super) fn prefetch_entry(self, way: u32, bytes: usize) {
        let word = self.cell(way);
        if word != 0 {
            prefetch_each_line(crate::entry::address::<O>(word).cast(), bytes);
        }
    }

    /// Starts to fetch the entry that an insert into a full set would evict, as far as a glance
    /// tells. Nothing is read through the address, so no guard is needed.
    pub(crate) fn prefetch_victim(self) {
        // Relaxed: a guess.
        let live = self.meta.control.load(Ordering::Relaxed) & LIVE;
        let hints = self.hints();
        if let Some(way) = hints.oldest(live & !hints.visited) {
            self.prefetch_entry(way, 1);
        }
    }

    /// Starts to fetch the entries that live now, as far as a glance tells.
    pub(crate) fn prefetch_live(self) {
        // Relaxed: a guess, as in `prefetch_victim`.
        let live = self.meta.control.load(Ordering::Relaxed) & LIVE;
        ways_in(live).for_each(|way| self.prefetch_entry(way, 1));
    }

    /// A snapshot: the ways that are live now, readable for as long as the guard pins.
    #[inline]
    pub(crate) fn load<'g>(self, guard: &'g Guard) -> Live<'g, O>
    where
        't: 'g,
    {
        // Acquire: pairs with the Release of `publish`; the entries of all live ways are visible.
        let control = self.meta.control.load(Ordering::Acquire);
        Live { set: self, control, _guard: guard }
    }

    /// A snapshot that is ordered against every publication in the set: each one is either seen,
    /// or its publisher sees whatever this thread wrote before.
    pub(crate) fn load_ordered<'g>(self, guard: &'g Guard) -> Live<'g, O>
    where
        't: 'g,
    {
        // AcqRel: Acquire as in `load`; Release pairs with the Acquire of `publish`: a publisher
        // that comes later sees the hints that were cleared before (see `super::summary`).
        let control = self.meta.control.fetch_or(0, Ordering::AcqRel);
        Live { set: self, control, _guard: guard }
    }

    /// Reserves a free way for `entry`, next after the hand; hands the entry back if none is free.
    pub(crate) fn claim(self, entry: Owned<O>, tag: u16, _: &Guard) -> Claimed<'t, O> {
        let word = entry.into_word(tag);
        let hints = self.hints();
        for way in after(hints.hand) {
            let cell = &self.cells.0[way as usize];
            // Acquire: pairs with the Release of whoever abandoned the way, for its tag. Relaxed,
            // both others: `publish` makes this word visible to readers.
            let free = cell.load(Ordering::Relaxed) == 0
                && cell.compare_exchange(0, word, Ordering::Acquire, Ordering::Relaxed).is_ok();
            if free {
                self.meta.tags.set(way, tag);
                self.set_hints(Hints { visited: hints.visited & !bit(way), hand: way });
                return Ok(Claim { set: self, way });
            }
        }
        // SAFETY: the word was made here and stored nowhere.
        Err(unsafe { Owned::from_word(word) })
    }

    /// The entry of a way of this set that the caller has unlinked.
    pub(crate) fn unlinked_entry<'a>(self, away: &'a Away) -> EntryRef<'a, O>
    where
        't: 'a,
    {
        let word = self.cell(away.at().way());
        // SAFETY: only the owner of `Away`, which is borrowed, can retire the way, and the
        // entry is freed only after that.
        unsafe { EntryRef::from_word(word) }
    }

    /// Closes the set for ever and unlinks all that was live.
    pub(crate) fn close(self) -> impl Iterator<Item = Unlinked> + use<O> {
        // Acquire: pairs with the Release of `publish`, for the owner reads entries that it never
        // loaded. It publishes nothing itself: see Orderings.
        let old = self.meta.control.swap(CLOSED, Ordering::Acquire);
        ways_in(old & LIVE).map(Unlinked::new)
    }

    /// Unlinks all that is live.
    pub(crate) fn clear(self) -> impl Iterator<Item = Unlinked> + use<O> {
        // Acquire: as in `close`.
        let old = self.meta.control.fetch_and(CLOSED, Ordering::Acquire);
        ways_in(old & LIVE).map(Unlinked::new)
    }

    /// The entry of a way whose grace period is over.
    pub(crate) fn graced_entry<'a>(self, way: &'a Graced) -> EntryRef<'a, O>
    where
        't: 'a,
    {
        let word = self.cell(way.way());
        // SAFETY: only `recycle`, which consumes the borrowed `Graced`, frees the entry.
        unsafe { EntryRef::from_word(word) }
    }

    /// Drops the entry of a way whose grace period is over, and frees the way. Says whether the
    /// entry's own `Drop` panicked (the way is free all the same).
    pub(crate) fn recycle(self, way: Graced, goes: Goes<'_>) -> bool {
        let cell = &self.cells.0[way.way() as usize];
        let word = cell.load(Ordering::Relaxed);
        // SAFETY: `Graced` says that a grace period has passed since the way was unlinked, and
        // there is one for each way that was retired: nobody else refers to the entry.
        let entry = unsafe { Owned::<O>::from_word(word) };
        let panicked = entry.end(goes);
        // Relaxed: the guard of the next claim, which changes the tag, is later than this grace.
        cell.store(0, Ordering::Relaxed);
        panicked
    }

    /// Whether so many of the set's ways wait for readers, as far as a glance tells.
    pub(super) fn wait(self, ways: usize) -> bool {
        // Relaxed: a guess.
        let gone = !self.meta.control.load(Ordering::Relaxed) & LIVE;
        ways_in(gone).filter(|way| self.cell(*way) != 0).count() >= ways
    }

    fn cell(self, way: u32) -> u64 {
        // Relaxed: whoever asks has seen the way's live bit, see the module's documentation.
        self.cells.0[way as usize].load(Ordering::Relaxed)
    }

    fn hints(self) -> Hints {
        // Relaxed: hints; a lost or late one only makes a worse victim.
        Hints::unpack(self.meta.hints.load(Ordering::Relaxed))
    }

    fn set_hints(self, hints: Hints) {
        // Relaxed: as above.
        self.meta.hints.store(hints.pack(), Ordering::Relaxed);
    }

    /// For `validate`: claimed ways, and the live ones among them.
    #[cfg(any(test, halfshake_loom, feature = "validate"))]
    pub(crate) fn occupancy(self) -> (u32, u32) {
        let claimed = self.cells.0.iter().filter(|c| c.load(Ordering::Relaxed) != 0).count();
        let live = (self.meta.control.load(Ordering::Relaxed) & LIVE).count_ones();
        (u32::try_from(claimed).unwrap_or(u32::MAX), live)
    }
}

type Claimed<'s, O> = Result<Claim<'s, O>, Owned<O>>;

/// A way that is claimed for an entry and not yet published; dropping it abandons the claim.
#[derive(Debug)]
#[must_use = "dropping a claim frees the entry"]
pub(crate) struct Claim<'s, O: Object> {
    set: Set<'s, O>,
    way: u32,
}

impl<O: Object> Claim<'_, O> {
    /// Gives the way up and the entry back.
    pub(crate) fn abandon(self) -> Owned<O> {
        ManuallyDrop::new(self).take()
    }

    pub(crate) fn entry(&self) -> EntryRef<'_, O> {
        let word = self.set.cell(self.way);
        // SAFETY: the claim owns the entry, and is borrowed.
        unsafe { EntryRef::from_word(word) }
    }

    fn take(&self) -> Owned<O> {
        let cell = &self.set.cells.0[self.way as usize];
        // Relaxed: the way was never live, so nobody else has looked at the word.
        let word = cell.load(Ordering::Relaxed);
        // Release: pairs with the Acquire of the next claim, which changes the tag.
        cell.store(0, Ordering::Release);
        // SAFETY: called once, by `abandon` or `drop`; the claim was the word's owner.
        unsafe { Owned::from_word(word) }
    }
}

impl<O: Object> Drop for Claim<'_, O> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// A snapshot of a set, under a guard.
#[derive(Debug)]
pub(crate) struct Live<'g, O: Object> {
    set: Set<'g, O>,
    control: u64,
    /// Pinned since before `control` was loaded.
    _guard: &'g Guard,
}

impl<'g, O: Object> Live<'g, O> {
    pub(crate) fn is_closed(&self) -> bool {
        self.control & CLOSED != 0
    }

    /// The ways that are live in this snapshot.
    pub(crate) fn mask(&self) -> u64 {
        self.control & LIVE
    }

    pub(crate) fn count(&self) -> u32 {
        self.mask().count_ones()
    }

    /// The entry of a way that is live in this snapshot.
    ///
    /// # Panics
    /// If the way is not.
    pub(crate) fn entry(&self, way: u32) -> EntryRef<'g, O> {
        assert!(self.mask() & bit(way) != 0, "way {way} is not live in {:#x}", self.control);
        self.entry_in(self.set.cell(way))
    }

    fn entry_in(&self, word: u64) -> EntryRef<'g, O> {
        // SAFETY: `word` is the cell of a way that was live in a control word loaded under the
        // guard, which is borrowed for 'g: the way is not recycled before the guard goes.
        unsafe { EntryRef::from_word(word) }
    }

    /// The live way whose key `is_key` accepts, if any; compares keys only where the tag is equal.
    #[inline]
    pub(crate) fn find(
        &self,
        tag: u16,
        is_key: impl FnMut(&'g O::Key) -> bool,
    ) -> Option<(u32, EntryRef<'g, O>)> {
        self.find_among(self.candidates(tag), tag, is_key)
    }

    /// The same, of the [`candidates`](Self::candidates) for that tag.
    #[inline(always)]
    pub(crate) fn find_among(
        &self,
        candidates: u64,
        tag: u16,
        mut is_key: impl FnMut(&'g O::Key) -> bool,
    ) -> Option<(u32, EntryRef<'g, O>)> {
        // They are live as it is; others must not be read, whatever the caller says.
        let mut candidates = candidates & self.mask();
        while candidates != 0 {
            let way = candidates.trailing_zeros();
            let word = self.set.cell(way);
            if word >> ADDRESS_BITS == u64::from(tag) {
                let entry = self.entry_in(word);
                if is_key(entry.key()) {
                    return Some((way, entry));
                }
            }
            candidates &= candidates - 1;
        }
        None
    }

    /// The live ways that may have this tag.
    #[inline]
    pub(crate) fn candidates(&self, tag: u16) -> u64 {
        self.set.meta.tags.equal(tag) & self.mask()
    }

    /// Starts to fetch the cell of the first of some ways: as a rule it is the only one.
    #[inline]
    pub(crate) fn prefetch_cell(&self, ways: u64) {
        if ways != 0 {
            self.set.prefetch_cell(ways.trailing_zeros());
        }
    }

    /// Starts to fetch the entry of the first of some ways.
    #[inline]
    pub(crate) fn prefetch_entry(&self, ways: u64) {
        if ways != 0 {
            self.set.prefetch_entry(ways.trailing_zeros(), 1);
        }
    }

    /// Remembers that a way was hit: one relaxed store, only if it was not remembered yet.
    #[inline]
    pub(crate) fn visit(&self, way: u32) {
        // Relaxed: a hint, see `Hints`.
        let hints = self.set.meta.hints.load(Ordering::Relaxed);
        if hints & bit(way) == 0 {
            self.set.meta.hints.store(hints | bit(way), Ordering::Relaxed);
        }
    }

    pub(crate) fn hints(&self) -> Hints {
        self.set.hints()
    }

    /// Forgets that these ways were hit.
    pub(crate) fn pass_over(&self, ways: u64) {
        let hints = self.set.hints();
        self.set.set_hints(Hints { visited: hints.visited & !ways, ..hints });
    }

    /// In one step makes the claimed way live and unlinks the ways in `gone`, all of which are
    /// live in this snapshot. Fails, handing the claim back, if the set has changed since.
    pub(crate) fn publish<'s>(
        &self,
        claim: Claim<'s, O>,
        gone: u64,
    ) -> Result<impl Iterator<Item = Unlinked> + use<O>, Claim<'s, O>> {
        debug_assert!(gone & !self.mask() == 0 && std::ptr::eq(self.set.meta, claim.set.meta));
        let next = self.control & !gone | bit(claim.way);
        // AcqRel: Release publishes the entry to the Acquire of `load`; Acquire pairs with the
        // Release of `load_ordered`, so that this thread sees which hints it must set again.
        // Relaxed on failure: the caller loads anew.
        match self.set.meta.control.compare_exchange(
            self.control,
            next,
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            Ok(_) => {
                let _published = ManuallyDrop::new(claim);
                Ok(ways_in(gone).map(Unlinked::new))
            }
            Err(_) => Err(claim),
        }
    }

    /// Unlinks `ways`, all live in this snapshot; the answer is those that this thread unlinked.
    ///
    /// No comparison is needed: a way that was live in the snapshot holds the same entry, or none,
    /// until the guard goes.
    pub(crate) fn unlink(&self, ways: u64) -> impl Iterator<Item = Unlinked> + use<O> {
        debug_assert!(ways & !self.mask() == 0);
        // Relaxed: it reads what the snapshot has acquired, and publishes nothing: see Orderings.
        let old = self.set.meta.control.fetch_and(!ways, Ordering::Relaxed);
        ways_in(old & ways).map(Unlinked::new)
    }
}
