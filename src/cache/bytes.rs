//! Inserts of a cache of bytes: they copy key and value into one allocation, which is wiped when it
//! is reclaimed.

use super::{Cache, Core, Handle, PinnedRef, STAGE};
use crate::clock::ticks_up;
use crate::engine::{Held, Local, Miss, Mode, Owed, Put};
use crate::entry::{Goes, Owned, Record};
use crate::error::Refusal;
use crate::stats::Counter;
use equivalent::Equivalent;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

/// A cache of byte strings: key and value lie in one allocation, are wiped when it is reclaimed,
/// and never appear in `Debug` output.
///
/// ```
/// use halfshake::BytesCache;
///
/// let cache = BytesCache::builder().capacity(10_000).build()?;
/// cache.insert(b"session id", b"ticket")?;
/// assert_eq!(&*cache.take(&b"session id"[..]).expect("stored"), b"ticket");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type BytesCache<S = ahash::RandomState> = Cache<[u8], [u8], S>;

impl<S> Cache<[u8], [u8], S>
where
    S: BuildHasher + Send + Sync + 'static,
{
    /// Bytes that an entry takes beyond its key and value, and that its weight includes.
    pub const OVERHEAD: usize = Record::OVERHEAD;

    /// Inserts an entry, or replaces the one of its key in one step. It expires after the cache's
    /// timeout. Lock-free.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    ///
    /// # Panics
    /// If the removal listener or the weigher does.
    pub fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.put(key, value, self.core.extra.timeout, Mode::Upsert).map(|_| ())
    }

    /// As [`insert`](Self::insert), but it expires after `timeout` (rounded up to a millisecond).
    /// A timeout of 0 stores nothing, and the old entry of the key goes.
    ///
    /// # Errors
    /// As for `insert`.
    ///
    /// # Panics
    /// As for `insert`.
    pub fn insert_with_timeout(
        &self,
        key: &[u8],
        value: &[u8],
        timeout: Duration,
    ) -> Result<(), Refusal> {
        self.put(key, value, ticks_up(timeout), Mode::Upsert).map(|_| ())
    }

    /// Inserts an entry unless its key has a live one; whether it was stored. Lock-free.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    ///
    /// # Panics
    /// As for `insert`.
    pub fn insert_if_absent(&self, key: &[u8], value: &[u8]) -> Result<bool, Refusal> {
        self.put(key, value, self.core.extra.timeout, Mode::IfAbsent)
    }

    /// Replaces the live entry of a key; whether there was one. Lock-free.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    ///
    /// # Panics
    /// As for `insert`.
    pub fn replace(&self, key: &[u8], value: &[u8]) -> Result<bool, Refusal> {
        self.put(key, value, self.core.extra.timeout, Mode::Replace)
    }

    /// Inserts many entries (both tickets of a handshake, say): their cache misses overlap, and all
    /// events are delivered after the last one, or as soon as an insert needs the room. Lock-free;
    /// one answer each.
    ///
    /// # Panics
    /// As for [`insert`](Self::insert), after the last one.
    pub fn insert_many(&self, entries: &[(&[u8], &[u8])]) -> Vec<Result<(), Refusal>> {
        let mut done = Vec::with_capacity(entries.len());
        self.insert_each(entries, |answer| done.push(answer));
        done
    }

    /// As [`insert_many`](Self::insert_many), but hands each answer to `done`, in order, and
    /// allocates nothing for them.
    ///
    /// # Panics
    /// As for `insert_many`, and if `done` does: what was inserted by then stays, and is told of.
    pub fn insert_each(
        &self,
        entries: &[(&[u8], &[u8])],
        mut done: impl FnMut(Result<(), Refusal>),
    ) {
        let core = &self.core;
        let (local, now) = (self.local_to_insert(), core.time.now());
        let deadline = now.saturating_add(core.extra.timeout);
        let mut owed = Owed::new(core, &local);
        for stage in entries.chunks(STAGE) {
            let mut places: SmallVec<[_; STAGE]> = SmallVec::new();
            for (key, _) in stage {
                let place = self.place(*key);
                core.table.shard(place.shard).prefetch(place.set);
                places.push(place);
            }
            // Made while the sets are on their way; then the victims are sent for.
            let mut made: SmallVec<[_; STAGE]> = SmallVec::new();
            for (key, value) in stage {
                made.push(self.allocate(&local, key, value, deadline));
            }
            places.iter().for_each(|place| core.table.set(*place).prefetch_victim());
            for (entry, place) in made.drain(..).zip(&places) {
                done(entry.and_then(|entry| {
                    let put = core.put(&local, *place, entry, Mode::Upsert, now, &mut owed);
                    self.answer(put).map(|_| ())
                }));
            }
        }
        owed.settle();
    }

    /// A copy of the value of a key. Wait-free, but for the copy.
    pub fn get_copied<Q>(&self, key: &Q) -> Option<Vec<u8>>
    where
        Q: ?Sized + Hash + Equivalent<[u8]>,
    {
        self.get(key).map(|found| found.value().to_vec())
    }

    /// As [`take`](Self::take), as a copy of the value.
    ///
    /// # Panics
    /// As for `take`.
    pub fn take_copied<Q>(&self, key: &Q) -> Option<Vec<u8>>
    where
        Q: ?Sized + Hash + Equivalent<[u8]>,
    {
        self.take(key).map(|taken| taken.value().to_vec())
    }

    fn put(&self, key: &[u8], value: &[u8], timeout: u64, mode: Mode) -> Result<bool, Refusal> {
        let make = |local: &Local, deadline| self.allocate(local, key, value, deadline);
        self.answer(self.put_made(self.place(key), timeout, mode, make, || ())?)
    }

    /// As `insert_if_absent`, but inside `lock`, a lock of the layer above, which decides whether
    /// and what. Events wait until that lock is given back.
    pub(crate) fn insert_if_absent_inside(
        &self,
        key: &[u8],
        timeout: Duration,
        lock: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<bool, Refusal>) -> bool,
    ) -> bool {
        let place = self.place(key);
        let (local, now) = (self.local_to_insert(), self.core.time.now());
        let deadline = now.saturating_add(ticks_up(timeout));
        let mut owed = Owed::new(&self.core, &local);
        owed.hold(true);
        let done = lock(&mut |value| {
            let entry = self.allocate(&local, key, value, deadline)?;
            self.answer(self.core.put(&local, place, entry, Mode::IfAbsent, now, &mut owed))
        });
        owed.hold(false);
        owed.settle();
        done
    }

    /// Replaces that very entry, if it still lives; whether it did. Nothing else of its key is
    /// touched, nor does what has left come back.
    pub(crate) fn replace_exact(
        &self,
        handle: &Handle,
        key: &[u8],
        value: &[u8],
        timeout: Duration,
    ) -> Result<bool, Refusal> {
        self.put(key, value, ticks_up(timeout), Mode::ReplaceExact(handle.0.id))
    }

    /// As [`get`](Self::get); a miss says as what it was counted. `get` is not made of this: it
    /// would not be inlined any more.
    #[inline(always)]
    pub(crate) fn get_or_miss(&self, key: &[u8]) -> Result<PinnedRef<'_, [u8], [u8]>, Miss> {
        let (place, local, now) = self.begin(key);
        let (pin, core, mut miss) = (local.pin(now), &*self.core, Miss::Unknown);
        let found = Held::find(pin, |guard, _| {
            core.lookup(place, guard, &local, now, |k| k == key).map_err(|why| miss = why).ok()
        });
        found.map(|(held, way)| PinnedRef::new(held, (place.at, way))).ok_or(miss)
    }

    /// As [`get`](Self::get), but neither counted nor a hit for the choice of victims.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<PinnedRef<'_, [u8], [u8]>> {
        self.peek_unless_expired(key, |now| now)
    }

    /// The same, also if it has expired: for what removes it.
    pub(crate) fn peek_at_any_time(&self, key: &[u8]) -> Option<PinnedRef<'_, [u8], [u8]>> {
        // No deadline is 0.
        self.peek_unless_expired(key, |_| 0)
    }

    fn peek_unless_expired(
        &self,
        key: &[u8],
        by: impl Fn(u64) -> u64,
    ) -> Option<PinnedRef<'_, [u8], [u8]>> {
        let (place, local, now) = self.begin(key);
        let (core, by) = (&*self.core, by(now));
        let (held, way) =
            Held::find(local.pin(now), |guard, _| core.peek(place, guard, by, |k| k == key))?;
        Some(PinnedRef::new(held, (place.at, way)))
    }

    /// Removes what has expired in the set of a key; whether the key's own entry was expired.
    pub(crate) fn expire_key(&self, key: &[u8]) -> bool {
        let (place, local, now) = self.begin(key);
        let mut owed = Owed::new(&self.core, &local);
        let pin = local.pin(now);
        let found = self.core.table.load(place, pin.guard()).find(place.tag, |k| k == key);
        let expired = found.is_some_and(|(_, entry)| entry.head().expired(now));
        drop(pin);
        if expired {
            self.core.expire_set(&local, (place.shard, place.set), now, &mut owed);
        }
        owed.settle();
        expired
    }

    fn allocate(
        &self,
        local: &Local,
        key: &[u8],
        value: &[u8],
        deadline: u64,
    ) -> Result<Owned<Record>, Refusal> {
        let core: &Arc<Core<[u8], [u8], S>> = &self.core;
        if key.len() > Record::MOST_KEY {
            local.block.add(Counter::TooLarge, 1);
            return Err(Refusal::KeyTooLong { length: key.len(), limit: Record::MOST_KEY });
        }
        let whole = Record::weight_of(key.len(), value.len());
        let own = core.extra.weigher.as_ref().map(|w| w(key, value));
        let weight = core.check_weight(own.unwrap_or(whole))?;
        let weight = own.map(|_| weight);
        Record::allocate(deadline, weight, key, value, &local.magazine).ok_or_else(|| {
            local.block.add(Counter::TooLarge, 1);
            Refusal::TooLarge { weight: whole, limit: u64::from(u32::MAX) }
        })
    }

    /// What was not stored goes to the thread's own free memory.
    fn answer(&self, put: Put<Record>) -> Result<bool, Refusal> {
        let (entry, answer) = match put {
            Put::Stored => return Ok(true),
            Put::Expired(entry) => (entry, Ok(true)),
            Put::Unchanged(entry) => (entry, Ok(false)),
            Put::Refused(entry, refusal) => (entry, Err(refusal)),
        };
        entry.end(Goes::To(&self.core.local().magazine));
        answer
    }
}
