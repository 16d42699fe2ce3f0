//! The engine as models see it: small, over numbers, with explicit memberships. Model builds only.
//!
//! Two sets of four ways, of which two may be live. Keys are numbers: bit 0 is the set, the rest
//! the tag. The value of an entry is its name: unique, so that the law can be checked.

use crate::clock::{ManualClock, NEVER};
use crate::engine::{Delivery, Engine, Exact, Local, Met, Mode, Owed, Pin, Put, Settings};
use crate::entry::{EntryRef, Pair};
use crate::error::Refusal;
use crate::hash::{Geometry, Place};
use crate::reclaim::SetUp;
use crate::removal::RemovalCause;
use crate::stats::Counter;
use crate::sync::{Ordering, PlainBool, exploring_words};
use crate::table::away::Away;
use crate::table::ways::bit;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod parts;
pub use parts::{Blocks, Counters, Counting, Grace, Handed, Handles, Memory, Retired, Ticks};

type Object = Pair<u64, u64>;
type Core = Engine<Object, Log>;
/// What a model adds to its listener: key, value and cause of the entry.
pub type Callback = Box<dyn Fn(&Model, u64, u64, RemovalCause) + Send + Sync>;

/// What happened, in plain state: a model runs on one OS thread.
#[derive(Default)]
struct Log {
    /// There was no listener at times: an entry may leave without a logged event.
    deaf: PlainBool,
    published: Mutex<Vec<u64>>,
    events: Mutex<Vec<(u64, RemovalCause)>>,
}

/// A cache under a model.
#[derive(Clone, Debug)]
pub struct Model(Arc<Core>, Arc<ManualClock>);

/// A thread's membership.
#[derive(Debug)]
pub struct Member(Rc<Local>);

/// A guard that a model holds for long: a reader handle's.
#[derive(Debug)]
pub struct Pinned(Pin, Rc<Local>);

/// What an insert did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is visible.
    Stored,
    /// It expired at once.
    Expired,
    /// The mode forbade it.
    Unchanged,
    /// It was refused.
    Refused(Refusal),
}

/// An entry that was taken and is still held.
#[derive(Debug)]
#[must_use = "give it back with `Model::give_back`"]
pub struct Held(Away);

/// The identity of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Identity(Exact);

/// Which collector a model runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// Frees as early as the specification of an epoch allows; nested pins are errors.
    Model,
    /// crossbeam-epoch, fully explored.
    Real,
}

/// Call it at the start of each execution. `retire_batch` retired ways go to the collector
/// together.
pub fn begin(epoch: Epoch, retire_batch: u64) {
    crate::entry::begin_model();
    crate::reclaim::set_up(SetUp { real: epoch == Epoch::Real, batch: retire_batch });
}

fn place(key: &u64) -> Place {
    let set = (key & 1) as u32;
    Place { shard: 0, set, at: set, tag: (key >> 1) as u16 }
}

impl Model {
    /// At most `limit` entries in all, each of which weighs 1.
    pub fn new(limit: u64) -> Self {
        Self::with(limit, None, Delivery::Caller)
    }

    /// With a limit in bytes, and events for a delivery thread (which the model plays).
    pub fn with(limit: u64, bytes: Option<u64>, delivery: Delivery) -> Self {
        let model = Self::without_listener(limit, bytes, delivery);
        model.listen(None);
        model
    }

    fn without_listener(limit: u64, bytes: Option<u64>, delivery: Delivery) -> Self {
        let clock = ManualClock::new();
        let settings = Settings {
            geometry: Geometry { shards: 1, sets: 2 },
            entries: limit,
            bytes: bytes.unwrap_or(crate::budget::UNLIMITED),
            clock: clock.clone(),
            ticked: false,
            delivery,
            sweep_interval: Duration::from_secs(1),
            own_memory: None,
        };
        Self(Engine::new(settings, Log::default()).expect("small"), clock)
    }

    /// There was never a listener: no event is logged until there is one. Words of the whole cache
    /// are explored that most models leave alone: whether there was, whether its threads have to
    /// end, the time.
    pub fn unheard(limit: u64, delivery: Delivery) -> Self {
        let model = exploring_words(|| Self::without_listener(limit, None, delivery));
        model.0.extra.deaf.store(true, Ordering::Relaxed);
        model
    }

    /// A membership whose counters and gauges are explored.
    pub fn counting_member(&self) -> Member {
        Member(exploring_words(|| self.0.register()))
    }

    /// Events that are counted as handed over, and not as delivered.
    pub fn undelivered(&self) -> u64 {
        self.0.blocks.undelivered()
    }

    /// Tells the cache's own threads to end.
    pub fn ask_to_stop(&self) {
        self.0.ask_to_stop();
    }

    /// Whether they have to.
    pub fn must_stop(&self) -> bool {
        self.0.must_stop()
    }

    /// Whether there is a listener now.
    pub fn has_listener(&self) -> bool {
        self.0.has_listener()
    }

    /// Sets the listener: events are logged, then `callback` is called, unpinned.
    pub fn listen(&self, callback: Option<Callback>) {
        let clock = self.1.clone();
        self.0.set_listener(Some(Box::new(move |core: &Arc<Core>, entry, cause| {
            core.extra.events.lock().expect("one thread").push((*entry.value(), cause));
            if let Some(callback) = &callback {
                callback(&Self(core.clone(), clock.clone()), *entry.key(), *entry.value(), cause);
            }
        })));
    }

    /// Clears the listener: events are not logged, but counted.
    pub fn deafen(&self) {
        self.0.extra.deaf.store(true, Ordering::Relaxed);
        self.0.set_listener(None);
    }

    /// A membership for the calling thread.
    pub fn member(&self) -> Member {
        Member(self.0.register())
    }

    /// Moves the clock to this tick.
    pub fn set_time(&self, tick: u64) {
        self.1.set(Duration::from_millis(tick));
    }

    /// Inserts or replaces; never expires.
    pub fn insert(&self, me: &Member, key: u64, value: u64) -> Inserted {
        self.put(me, key, value, NEVER, 1, Mode::Upsert)
    }

    /// Inserts or replaces an entry that expires at tick `deadline`.
    pub fn insert_until(&self, me: &Member, key: u64, value: u64, deadline: u64) -> Inserted {
        self.put(me, key, value, deadline, 1, Mode::Upsert)
    }

    /// Inserts or replaces an entry that weighs `weight`.
    pub fn insert_weighing(&self, me: &Member, key: u64, value: u64, weight: u32) -> Inserted {
        self.put(me, key, value, NEVER, weight, Mode::Upsert)
    }

    /// Inserts unless the key is there.
    pub fn insert_if_absent(&self, me: &Member, key: u64, value: u64) -> Inserted {
        self.put(me, key, value, NEVER, 1, Mode::IfAbsent)
    }

    /// Replaces if the key is there.
    pub fn replace(&self, me: &Member, key: u64, value: u64) -> Inserted {
        self.put(me, key, value, NEVER, 1, Mode::Replace)
    }

    fn put(
        &self,
        me: &Member,
        key: u64,
        value: u64,
        deadline: u64,
        weight: u32,
        mode: Mode,
    ) -> Inserted {
        let entry = Pair::allocate(deadline, Some(weight), key, value, &me.0.magazine);
        let mut owed = Owed::new(&self.0, &me.0);
        let put = self.0.put(&me.0, place(&key), entry, mode, self.0.time.now(), &mut owed);
        let done = match put {
            Put::Stored => Inserted::Stored,
            Put::Expired(_) => Inserted::Expired,
            Put::Unchanged(_) => Inserted::Unchanged,
            Put::Refused(_, refusal) => Inserted::Refused(refusal),
        };
        if done == Inserted::Stored {
            self.0.extra.published.lock().expect("one thread").push(value);
        }
        owed.settle();
        done
    }

    /// Looks a key up.
    pub fn get(&self, me: &Member, key: u64) -> Option<u64> {
        let now = self.0.time.now();
        let pin = me.0.pin(now);
        self.look(&pin, &me.0, key)
    }

    fn look(&self, pin: &Pin, local: &Local, key: u64) -> Option<u64> {
        let now = self.0.time.now();
        let found = self.0.lookup(place(&key), pin.guard(), local, now, |k| *k == key);
        found.ok().map(|(entry, _)| {
            assert_eq!(*entry.key(), key, "a look-up returned another key's entry");
            *entry.value()
        })
    }

    /// Looks a key up under a guard that stays, after a repin: what a reader handle does.
    pub fn get_repinned(&self, pinned: &mut Pinned, key: u64) -> Option<u64> {
        pinned.0.repin(self.0.time.now());
        self.look(&pinned.0, &pinned.1, key)
    }

    /// A reader's guard.
    pub fn pin(&self, me: &Member) -> Pinned {
        Pinned(me.0.pin(self.0.time.now()), me.0.clone())
    }

    /// Takes, reads, and gives back.
    pub fn take(&self, me: &Member, key: u64) -> Option<u64> {
        self.take_held(me, key).map(|held| self.give_back(me, held))
    }

    /// Takes, and keeps the entry for a while.
    pub fn take_held(&self, me: &Member, key: u64) -> Option<Held> {
        let now = self.0.time.now();
        self.0.take(&me.0, place(&key), now, |k| *k == key).map(Held)
    }

    /// Reads a taken entry and gives it back.
    pub fn give_back(&self, me: &Member, held: Held) -> u64 {
        let value = *self.0.table.unlinked_entry(&held.0).value();
        self.0.end_take(&me.0, held.0);
        value
    }

    /// Removes by key.
    pub fn remove(&self, me: &Member, key: u64) -> bool {
        let now = self.0.time.now();
        self.0.remove(&me.0, place(&key), now, RemovalCause::Removed, |k| *k == key) == Met::Live
    }

    /// The identity of a key's entry.
    pub fn identify(&self, me: &Member, key: u64) -> Option<Identity> {
        let (now, at) = (self.0.time.now(), place(&key));
        let pin = me.0.pin(now);
        let (entry, way) = self.0.lookup(at, pin.guard(), &me.0, now, |k| *k == key).ok()?;
        let id = entry.head().id;
        Some(Identity(Exact { set: at.at, way, id }))
    }

    /// Removes that very entry.
    pub fn remove_exact(&self, me: &Member, identity: Identity) -> bool {
        let now = self.0.time.now();
        self.0.remove_exact(&me.0, identity.0, now, RemovalCause::Removed) == Met::Live
    }

    /// Evicts one entry of any set.
    pub fn evict(&self, me: &Member) -> bool {
        let now = self.0.time.now();
        let victim = self.0.evict_elsewhere(&me.0, None, now, 0);
        let Some((at, cause)) = victim else { return false };
        let mut owed = Owed::new(&self.0, &me.0);
        self.0.owe_one(&mut owed, at, cause);
        owed.settle();
        true
    }

    /// Sweeps one set.
    pub fn expire(&self, me: &Member, set: u32) {
        let mut owed = Owed::new(&self.0, &me.0);
        self.0.expire_set(&me.0, (0, set), self.0.time.now(), &mut owed);
        owed.settle();
    }

    /// Removes everything.
    pub fn clear(&self, me: &Member) {
        self.0.clear(&me.0);
    }

    /// Removes what has this key, by the predicate of `retain`.
    pub fn retain_all_but(&self, me: &Member, key: u64) {
        let doomed =
            |entry: EntryRef<'_, Object>| (*entry.key() == key).then_some(RemovalCause::Removed);
        self.0.remove_where(&me.0, doomed);
    }

    /// Shuts down.
    pub fn shutdown(&self, me: &Member) {
        assert!(self.0.shutdown(&me.0).is_none(), "a listener panicked");
    }

    /// Changes the limit; the answer is what is pending.
    pub fn set_limit(&self, me: &Member, entries: u64) -> u64 {
        self.0.set_limit(&me.0, entries).0
    }

    /// Holds a unit, as an insert under way does.
    pub fn hold_unit(&self) {
        let mut grant = self.0.budget.grant();
        assert!(grant.covers(0, 0, 0), "a unit is free");
        std::mem::forget(grant);
    }

    /// Gives a unit back that was held.
    pub fn give_unit_back(&self) {
        self.0.budget.release(1, 0);
    }

    /// Delivers what was handed over: the delivery thread's work.
    pub fn deliver(&self, me: &Member) -> u64 {
        self.0.deliver_handed(&me.0)
    }

    /// Helps the collector, and frees what may be freed: the sweeper's work.
    pub fn collect(&self, me: &Member) {
        self.0.collect(&me.0);
        self.0.recycle(&me.0);
    }

    /// Live ways that an observer sees: set 1 first, then set 0.
    pub fn observe(&self, me: &Member) -> u32 {
        let pin = me.0.pin(self.0.time.now());
        let shard = self.0.table.shard(0);
        let high = shard.load(1, pin.guard()).count();
        high + shard.load(0, pin.guard()).count()
    }

    /// Whether a set is marked as holding something.
    pub fn marked(&self, set: u32) -> bool {
        self.0.table.shard(0).summary.is_occupied(set)
    }

    /// Takes the mark of a set back if it is empty.
    pub fn tidy(&self, me: &Member, set: u32) {
        let pin = me.0.pin(self.0.time.now());
        self.0.table.shard(0).tidy_occupied(set, pin.guard());
    }

    /// The values of live entries.
    pub fn live(&self, me: &Member) -> Vec<u64> {
        let pin = me.0.pin(self.0.time.now());
        let mut values = Vec::new();
        for set in 0..2 {
            let live = self.0.table.shard(0).load(set, pin.guard());
            values.extend(
                (0..4).filter(|w| live.mask() & bit(*w) != 0).map(|w| *live.entry(w).value()),
            );
        }
        values.sort_unstable();
        values
    }

    /// Looks `key` up and reads its entry twice, with a look-up of `other` between: a slow reader.
    pub fn get_slowly(&self, me: &Member, key: u64, other: u64) -> Option<u64> {
        let pin = me.0.pin(self.0.time.now());
        let now = self.0.time.now();
        let found = self.0.lookup(place(&key), pin.guard(), &me.0, now, |k| *k == key);
        let (entry, _) = found.ok()?;
        let first = *entry.value();
        let _between = self.look(&pin, &me.0, other);
        assert_eq!((*entry.key(), *entry.value()), (key, first), "an entry changed under a guard");
        Some(first)
    }

    /// How many ways were recycled so far.
    pub fn recycled(&self) -> u64 {
        self.0.blocks.count(Counter::Recycled)
    }

    /// The events so far.
    pub fn events(&self) -> Vec<(u64, RemovalCause)> {
        self.0.extra.events.lock().expect("one thread").clone()
    }

    /// The weight of what is unlinked and not recycled yet.
    pub fn retired_weight(&self) -> u64 {
        self.0.blocks.retired().1
    }

    /// The limit of entries.
    pub fn limit(&self) -> u64 {
        self.0.budget.limit()
    }

    /// After the joins: structure, limits, one event or one live entry for each that was published,
    /// and, once the garbage is collected, no way that is claimed and not live.
    pub fn check_law(&self, me: &Member) {
        self.check_law_after_panics(me, 0);
    }

    /// As `check_law`, after so many panics of a listener.
    pub fn check_law_after_panics(&self, me: &Member, panics: u64) {
        for _ in 0..4 {
            self.collect(me);
        }
        self.0.validate(&me.0, place);
        assert_eq!(self.0.stats().listener_panics, panics, "an assertion in a listener failed");
        let live = self.live(me);
        let mut told: HashMap<u64, u64> = HashMap::new();
        for (value, _) in self.events() {
            *told.entry(value).or_default() += 1;
        }
        for value in self.0.extra.published.lock().expect("one thread").iter() {
            let events = told.remove(value).unwrap_or(0);
            let lives = live.iter().filter(|v| *v == value).count() as u64;
            let deaf = self.0.extra.deaf.load(Ordering::Relaxed) && events + lives == 0;
            assert!(
                deaf || events + lives == 1,
                "the law: entry {value}: {events} events, {lives} live"
            );
        }
        assert!(told.is_empty(), "events of entries that were never published: {told:?}");
        let shard = self.0.table.shard(0);
        let (claimed, alive) =
            (0..2).map(|s| shard.set(s).occupancy()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        assert_eq!(claimed, alive, "ways lost: {claimed} claimed, {alive} live");
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}
