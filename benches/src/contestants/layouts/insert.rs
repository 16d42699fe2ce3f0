//! An insert: the loop of protocol.md, in which what was won survives a retry.

use super::layout::{Held, Layout, Magazine, Place};
use super::way::bit;
use super::{StandIn, nanos};
use crate::contestants::TIMEOUT;
use crate::keys::{Key, Value};
use std::sync::atomic::Ordering::Relaxed;

/// What one attempt came to.
#[derive(Debug)]
pub(super) enum Step {
    /// Published; these ways of the set were unlinked.
    Stored(u64),
    Again,
    /// There is no free slot or no free way.
    NoRoom,
    /// The set is to be spared: a victim of any other one, please.
    Elsewhere,
    /// The pool is full, and the set has no victim: one of its neighbours, please.
    Neighbour,
}

pub(super) struct Insert<'c, 'e, L> {
    cache: &'c StandIn<L>,
    place: Place,
    id: u64,
    deadline: u64,
    entry: (&'e Key, &'e Value),
    claim: Option<Held>,
    /// Holds a right to one live entry.
    unit: bool,
}

impl<'c, 'e, L: Layout> Insert<'c, 'e, L> {
    pub(super) fn new(
        cache: &'c StandIn<L>,
        place: Place,
        id: u64,
        key: &'e Key,
        value: &'e Value,
    ) -> Self {
        let deadline = cache.now() + nanos(TIMEOUT);
        Self { cache, place, id, deadline, entry: (key, value), claim: None, unit: false }
    }

    /// One attempt. The caller is pinned.
    pub(super) fn step(&mut self, magazine: &mut Magazine) -> Step {
        let (table, set, place) = (&self.cache.table, self.place.set, self.place);
        let live = table.ways(set).live();
        let candidates = table.equal(place) & live;
        let old = table.find_among(place, candidates, self.entry.0).map(|(way, _)| way);
        let Some(claim) = self.claim(magazine) else { return Step::NoRoom };
        let gone = match old {
            Some(way) => Some(way),
            None => match self.room(live) {
                Ok(way) => way,
                Err(step) => return step,
            },
        };
        let gone = gone.map_or(0, bit);
        if !table.ways(set).publish(live, claim.way, gone) {
            return Step::Again;
        }
        if table.due(set).load(Relaxed) > self.deadline {
            table.due(set).store(self.deadline, Relaxed);
        }
        if self.unit && gone != 0 {
            self.cache.units.release();
        }
        Step::Stored(gone)
    }

    /// The unit of a victim, if there was one.
    pub(super) fn absorb(&mut self, was_evicted: bool) -> bool {
        self.unit |= was_evicted;
        was_evicted
    }

    /// Gives everything back.
    pub(super) fn refuse(self, magazine: &mut Magazine) {
        if let Some(claim) = self.claim {
            self.cache.table.free(claim, magazine);
        }
        if self.unit {
            self.cache.units.release();
        }
        super::count(&self.cache.refused);
    }

    /// Both are claimed before the entry is written: lines of it that are not there yet hold up
    /// nothing before the publication.
    fn claim(&mut self, magazine: &mut Magazine) -> Option<Held> {
        if self.claim.is_none() {
            let held = self.cache.table.claim(self.place, magazine)?;
            let (key, value) = self.entry;
            self.cache.table.entry(held).write(self.id, self.deadline, key, value);
            self.claim = Some(held);
        }
        self.claim
    }

    /// A unit, or the way that goes instead.
    fn room(&mut self, live: u64) -> Result<Option<u32>, Step> {
        let cache = self.cache;
        let full = live.count_ones() >= L::MOST_LIVE || self.cache.table.is_scarce(self.place.set);
        if !full {
            self.unit = self.unit || cache.units.reserve();
            if self.unit {
                return Ok(None);
            }
            if cache.should_spare(live.count_ones()) {
                return Err(Step::Elsewhere);
            }
        }
        match cache.victim(self.place.set, live) {
            None if !self.unit => Err(Step::Neighbour),
            way => Ok(way),
        }
    }
}

impl<L: Layout> StandIn<L> {
    /// Whether a set with so many entries should not give the victim: it holds less than half of
    /// its share, as with ours.
    fn should_spare(&self, count: u32) -> bool {
        u64::from(count) * 2 * (self.table.sets() as u64) < self.limit
    }
}
