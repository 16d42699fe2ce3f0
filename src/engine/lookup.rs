//! Look-ups: one snapshot, no lock, no allocation, nothing shared written but the hint of a hit.

use super::{Engine, Local};
use crate::entry::{EntryRef, Object};
use crate::hash::Place;
use crate::reclaim::Guard;
use crate::stats::Counter;
use crate::table::set::Live;
use smallvec::SmallVec;
use std::rc::Rc;

/// What a look-up that found nothing was counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    Unknown,
    Expired,
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X> {
    /// The live entry of a key, and its way. Wait-free.
    #[inline]
    pub(crate) fn lookup<'g>(
        &'g self,
        place: Place,
        guard: &'g Guard,
        local: &Local,
        now: u64,
        is_key: impl FnMut(&'g O::Key) -> bool,
    ) -> Result<(EntryRef<'g, O>, u32), Miss> {
        let live = self.table.load(place, guard);
        Self::look(&live, place, local, now, is_key)
    }

    #[inline]
    fn look<'g>(
        live: &Live<'g, O>,
        place: Place,
        local: &Local,
        now: u64,
        is_key: impl FnMut(&'g O::Key) -> bool,
    ) -> Result<(EntryRef<'g, O>, u32), Miss> {
        Self::judge(live, live.find(place.tag, is_key), local, now)
    }

    /// Counts what was found, or not, and remembers a hit.
    #[inline(always)]
    fn judge<'g>(
        live: &Live<'g, O>,
        hit: Option<(u32, EntryRef<'g, O>)>,
        local: &Local,
        now: u64,
    ) -> Result<(EntryRef<'g, O>, u32), Miss> {
        let Some((way, entry)) = hit else {
            local.block.add(Counter::Unknown, 1);
            return Err(Miss::Unknown);
        };
        if entry.head().expired(now) {
            local.block.add(Counter::Expired, 1);
            return Err(Miss::Expired);
        }
        local.block.add(Counter::Hits, 1);
        live.visit(way);
        Ok((entry, way))
    }

    /// Whether a key has a live entry. Neither counted nor remembered as a hit. Wait-free.
    pub(crate) fn contains(
        &self,
        place: Place,
        local: &Rc<Local>,
        now: u64,
        is_key: impl FnMut(&O::Key) -> bool,
    ) -> bool {
        self.contains_pinned(place, local.pin(now).guard(), now, is_key)
    }

    /// As `contains`, under a guard.
    pub(crate) fn contains_pinned(
        &self,
        place: Place,
        guard: &Guard,
        now: u64,
        is_key: impl FnMut(&O::Key) -> bool,
    ) -> bool {
        self.peek(place, guard, now, is_key).is_some()
    }

    /// As `lookup`, but neither counted nor remembered as a hit.
    pub(crate) fn peek<'g>(
        &'g self,
        place: Place,
        guard: &'g Guard,
        now: u64,
        is_key: impl FnMut(&'g O::Key) -> bool,
    ) -> Option<(EntryRef<'g, O>, u32)> {
        let (way, entry) = self.table.load(place, guard).find(place.tag, is_key)?;
        (!entry.head().expired(now)).then_some((entry, way))
    }

    /// The live entries of many keys: first what tells which ways may have them is fetched for
    /// many, then the cells of those ways, then the entries; then they are compared. So the misses
    /// of the batch overlap, and a key that is not there costs half a line as a rule. Wait-free.
    #[inline]
    pub(crate) fn lookup_many<'g>(
        &'g self,
        places: &[Place],
        guard: &'g Guard,
        local: &Local,
        now: u64,
        is_key: impl Fn(usize, &O::Key) -> bool,
        mut found: impl FnMut(Option<EntryRef<'g, O>>),
    ) {
        // As many as the processor can have on their way: more would push one another out.
        const STAGE: usize = 16;
        for (n, stage) in places.chunks(STAGE).enumerate() {
            stage.iter().for_each(|place| self.table.set(*place).prefetch_meta());
            let mut lives: SmallVec<[(Live<'g, O>, u64); STAGE]> = SmallVec::new();
            for place in stage {
                let live = self.table.set(*place).load(guard);
                let ways = live.candidates(place.tag);
                live.prefetch_cell(ways);
                lives.push((live, ways));
            }
            lives.iter().for_each(|(live, ways)| live.prefetch_entry(*ways));
            for (i, (place, (live, ways))) in stage.iter().zip(&lives).enumerate() {
                let hit = live.find_among(*ways, place.tag, |key| is_key(n * STAGE + i, key));
                found(Self::judge(live, hit, local, now).ok().map(|(entry, _)| entry));
            }
        }
    }
}
