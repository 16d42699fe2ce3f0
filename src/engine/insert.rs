//! Inserts: one loop, in which everything that was won survives a retry.
//!
//! ```text
//! loop
//!     pin, load the set; closed: refuse
//!     look the key up; the mode may end it here
//!     claim a way, once
//!     room: the old entry of the key, else a unit (and bytes) of the pools, else victims of this
//!           set, else a victim of another set, whose unit is kept for the next round
//!     publish: one compare-and-swap that unlinks what goes and makes the new entry live
//! ```
//!
//! # Progress
//!
//! Lock-free: a failed publication means that another operation changed the set. A refusal is
//! preceded by at most [`MOST_HELPS`] rounds of help for the collector: bounded, nobody is waited
//! for.
//!
//! # Cost
//!
//! One claim, one unit (below the limit) and one publication: three read-modify-writes besides the
//! pin, on the set's two lines and the pool's.

use super::evict::cause_of;
use super::{Engine, Local, Owed};
use crate::budget::Grant;
use crate::entry::{EntryRef, Object, Owned};
use crate::error::Refusal;
use crate::hash::Place;
use crate::reclaim::Guard;
use crate::removal::RemovalCause;
use crate::stats::Counter;
use crate::table::Shard;
use crate::table::away::Away;
use crate::table::set::{Claim, Live};
use crate::table::ways::{MOST_LIVE, bit};
use std::rc::Rc;
use std::sync::Arc;

/// Rounds of help for the collector before an insert is refused.
const MOST_HELPS: u32 = 4;

/// What an insert does with a key that is, or is not, there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Upsert,
    IfAbsent,
    /// Only if the key has a live entry.
    Replace,
    /// Only if the entry with this id lives: nothing that has left comes back by it.
    ReplaceExact(u64),
}

/// How an insert ended.
#[derive(Debug)]
pub(crate) enum Put<O: Object> {
    Stored,
    /// Its timeout was 0: nothing was stored, and the old entry of its key is gone.
    Expired(Owned<O>),
    /// The mode forbade it; nothing has changed.
    Unchanged(Owned<O>),
    Refused(Owned<O>, Refusal),
}

enum Step<O: Object> {
    Stored,
    End(Put<O>),
    Again,
    /// Help the collector, and refuse if that was tried often enough.
    Short(Refusal),
}

/// Ways of the own set that go in the step that publishes.
#[derive(Clone, Copy, Default)]
struct Going {
    ways: u64,
    count: u64,
    weight: u64,
}

impl Going {
    /// Reads the entry, which is cold as a rule, only if its weight matters.
    fn add<O: Object>(&mut self, way: u32, entry: EntryRef<'_, O>, weighed: bool) {
        self.ways |= bit(way);
        self.count += 1;
        if weighed {
            self.weight += u64::from(entry.weight());
        }
    }
}

/// The new entry.
enum New<'e, O: Object> {
    Made(Owned<O>),
    /// A way is claimed for it.
    Claimed(Claim<'e, O>),
    /// It was published, or given back.
    Gone,
}

struct Insert<'e, 'o, O: Object, X: Send + Sync + 'static> {
    engine: &'e Arc<Engine<O, X>>,
    local: &'e Rc<Local>,
    owed: &'o mut Owed<'e, O, X>,
    place: Place,
    mode: Mode,
    now: u64,
    weight: u64,
    deadline: u64,
    entry: New<'e, O>,
    grant: Grant<'e>,
    /// Counted as inserted, which happens before it is.
    counted: bool,
    /// No set has a victim to spare this one for.
    alone: bool,
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X>
where
    O::Key: Eq,
{
    /// Inserts an entry; what it unlinks is added to `owed`, for the caller to settle.
    pub(crate) fn put<'e>(
        self: &'e Arc<Self>,
        local: &'e Rc<Local>,
        place: Place,
        entry: Owned<O>,
        mode: Mode,
        now: u64,
        owed: &mut Owed<'e, O, X>,
    ) -> Put<O> {
        let (weight, deadline) = (entry.borrow().weight(), entry.borrow().head().deadline);
        let weight = u64::from(weight);
        let insert = Insert {
            engine: self,
            local,
            owed,
            place,
            mode,
            now,
            weight,
            deadline,
            entry: New::Made(entry),
            grant: self.budget.grant(),
            counted: false,
            alone: false,
        };
        insert.run()
    }
}

impl<'e, O: Object, X: Send + Sync + 'static> Insert<'e, '_, O, X>
where
    O::Key: Eq,
{
    fn run(mut self) -> Put<O> {
        let mut helps = 0;
        loop {
            match self.step() {
                Step::Stored => return Put::Stored,
                Step::End(put) => return put,
                Step::Again => {}
                Step::Short(refusal) if helps == MOST_HELPS => return self.refuse(refusal),
                Step::Short(_) => {
                    helps += 1;
                    // What this operation has unlinked may be just what it lacks.
                    self.owed.run();
                    self.engine.collect(self.local);
                    self.engine.recycle(self.local);
                    crate::sync::yield_now();
                }
            }
        }
    }

    fn step(&mut self) -> Step<O> {
        let engine = self.engine;
        let shard = engine.table.shard(self.place.shard);
        let pin = self.local.pin(self.now);
        let live = shard.load(self.place.set, pin.guard());
        if live.is_closed() {
            return Step::End(self.refuse(Refusal::Closed));
        }
        let old = {
            let key = self.entry_now().key();
            live.find(self.place.tag, |k| k == key)
        };
        let old_is_live = old.is_some_and(|(_, e)| !e.head().expired(self.now));
        match (self.mode, old_is_live) {
            (Mode::IfAbsent, true) | (Mode::Replace, false) => {
                return Step::End(Put::Unchanged(self.give_back()));
            }
            _ => {}
        }
        let is = |id| old_is_live && old.is_some_and(|(_, e)| e.head().id == id);
        if matches!(self.mode, Mode::ReplaceExact(id) if !is(id)) {
            return Step::End(Put::Unchanged(self.give_back()));
        }
        if self.deadline <= self.now {
            return self.expire_at_once(&live, old);
        }
        if engine.too_much_garbage() || !self.claim_way(shard, pin.guard()) {
            return Step::Short(Refusal::NoRoom);
        }
        let Some(going) = self.make_room(shard, &live, old) else {
            let has_old = old.is_some();
            drop(pin);
            return self.room_from_elsewhere(has_old);
        };
        self.publish(shard, &live, old.map(|(way, _)| way), going)
    }

    /// The entry, wherever it is now.
    fn entry_now(&self) -> EntryRef<'_, O> {
        match &self.entry {
            New::Claimed(claim) => claim.entry(),
            New::Made(entry) => entry.borrow(),
            New::Gone => unreachable!("the insert is over"),
        }
    }

    fn claim_way(&mut self, shard: Shard<'e, O>, guard: &Guard) -> bool {
        match std::mem::replace(&mut self.entry, New::Gone) {
            New::Made(entry) => {
                match shard.set(self.place.set).claim(entry, self.place.tag, guard) {
                    Ok(claim) => self.entry = New::Claimed(claim),
                    Err(entry) => self.entry = New::Made(entry),
                }
            }
            claimed => self.entry = claimed,
        }
        matches!(self.entry, New::Claimed(_))
    }

    /// What goes from the own set, so that the grant covers the new entry; `None` if that is not
    /// enough, or if another set should give.
    fn make_room(
        &mut self,
        shard: Shard<'_, O>,
        live: &Live<'_, O>,
        old: Option<(u32, EntryRef<'_, O>)>,
    ) -> Option<Going> {
        let set = self.place.set;
        let weighed = self.engine.limits_bytes();
        let mut going = Going::default();
        if let Some((way, entry)) = old {
            going.add(way, entry, weighed);
        } else if live.count() >= MOST_LIVE {
            let (way, entry) = Engine::<O, X>::victim(shard, set, live, 0, self.now)?;
            going.add(way, entry, weighed);
        }
        while !self.grant.covers(going.count, going.weight, self.weight) {
            if going.count == 0 && !self.alone && self.engine.should_spare(live.count()) {
                return None;
            }
            let (way, entry) = Engine::<O, X>::victim(shard, set, live, going.ways, self.now)?;
            going.add(way, entry, weighed);
        }
        Some(going)
    }

    /// Unlinks a victim of another set and keeps what it held. Only the step that publishes may
    /// unlink the old entry of the key, or the key would be absent in between: its set is spared.
    fn room_from_elsewhere(&mut self, has_old: bool) -> Step<O> {
        let engine = self.engine;
        let spared = has_old.then_some((self.place.shard, self.place.set));
        let anywhere = self.entry_now().head().id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let victim = engine.evict_elsewhere(self.local, spared, self.now, anywhere);
        let Some((at, cause)) = victim else {
            // Nothing anywhere: all units are held by inserts under way, unless the own set has
            // been filled meanwhile.
            let first_time = !std::mem::replace(&mut self.alone, true);
            return if first_time { Step::Again } else { self.full_for_now() };
        };
        let weight = engine.table.unlinked_entry(&at).weight();
        self.grant.absorb(1, u64::from(weight));
        self.owed.push(at, cause);
        Step::Again
    }

    /// Gives back what is held before the others are helped: two inserts that each hold half of
    /// what both need must not wait for one another.
    fn full_for_now(&mut self) -> Step<O> {
        self.alone = false;
        self.grant = self.engine.budget.grant();
        Step::Short(Refusal::Full)
    }

    fn publish(
        &mut self,
        shard: Shard<'_, O>,
        live: &Live<'_, O>,
        old: Option<u32>,
        going: Going,
    ) -> Step<O> {
        let New::Claimed(claim) = std::mem::replace(&mut self.entry, New::Gone) else {
            unreachable!("a way was claimed")
        };
        if !std::mem::replace(&mut self.counted, true) {
            self.local.block.add(Counter::Inserted, 1);
            self.local.block.add(Counter::InsertedWeight, self.weight);
        }
        let unlinked = match live.publish(claim, going.ways) {
            Ok(unlinked) => unlinked,
            Err(claim) => {
                self.entry = New::Claimed(claim);
                return Step::Again;
            }
        };
        // It has happened.
        self.counted = false;
        shard.summary.published(self.place.set, self.deadline);
        for unlinked in unlinked {
            let replaced = old == Some(unlinked.way());
            let at = Away::new(self.place.at, unlinked);
            let cause = if replaced { RemovalCause::Replaced } else { RemovalCause::Evicted };
            self.owed.push_unless_expired(at, cause, self.now);
        }
        self.grant.absorb(going.count, going.weight);
        self.grant.spend(self.weight);
        Step::Stored
    }

    /// A timeout of 0: nothing is stored, and the old entry of the key goes.
    fn expire_at_once(
        &mut self,
        live: &Live<'_, O>,
        old: Option<(u32, EntryRef<'_, O>)>,
    ) -> Step<O> {
        let Some((way, entry)) = old else { return Step::End(Put::Expired(self.give_back())) };
        let cause = cause_of(entry, self.now, RemovalCause::Replaced);
        let Some(unlinked) = live.unlink(bit(way)).next() else { return Step::Again };
        self.engine.budget.release(1, u64::from(entry.weight()));
        self.owed.push(Away::new(self.place.at, unlinked), cause);
        Step::End(Put::Expired(self.give_back()))
    }

    fn give_back(&mut self) -> Owned<O> {
        self.uncount();
        match std::mem::replace(&mut self.entry, New::Gone) {
            New::Claimed(claim) => claim.abandon(),
            New::Made(entry) => entry,
            New::Gone => unreachable!("the insert is over"),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Put<O> {
        let counter = match refusal {
            Refusal::NoRoom => Counter::NoRoom,
            Refusal::Full => Counter::Full,
            Refusal::TooLarge { .. } | Refusal::KeyTooLong { .. } => Counter::TooLarge,
            Refusal::Closed => Counter::Closed,
        };
        self.local.block.add(counter, 1);
        Put::Refused(self.give_back(), refusal)
    }
}

impl<O: Object, X: Send + Sync + 'static> Insert<'_, '_, O, X> {
    /// Takes back what was counted before it happened.
    fn uncount(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.local.block.sub(Counter::Inserted, 1);
            self.local.block.sub(Counter::InsertedWeight, self.weight);
        }
    }
}

impl<O: Object, X: Send + Sync + 'static> Drop for Insert<'_, '_, O, X> {
    /// Also if comparing keys panics when the insert tries again.
    fn drop(&mut self) {
        self.uncount();
    }
}
