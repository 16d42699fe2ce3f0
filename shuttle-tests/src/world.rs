//! What the players of one cache share: a time that only grows, the clock, and what was told.

use crate::history::{Event, How};
use crate::kinds::Kind;
use crate::subject::{Alive, CacheOf, Place, Subject};
use crate::threads;
use halfshake::{Clock, Delivery, ManualClock, Removal, RemovalCause};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More players than any plan has.
const PLAYERS: usize = 8;

/// What was told of one entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) key: u64,
    pub(crate) cause: RemovalCause,
    pub(crate) event: Event,
}

#[derive(Debug)]
pub(crate) struct World {
    time: AtomicU64,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) alive: Alive,
    pub(crate) meeting: threads::Meeting,
    delivery: Delivery,
    told: Mutex<Vec<Told>>,
    /// What each player is at, and since when.
    at: [Mutex<Option<(Kind, u64)>>; PLAYERS],
}

impl World {
    pub(crate) fn new(delivery: Delivery) -> Arc<Self> {
        Arc::new(Self {
            // 0 is before everything.
            time: AtomicU64::new(1),
            clock: ManualClock::new(),
            alive: Alive::default(),
            meeting: threads::Meeting::default(),
            delivery,
            told: Mutex::default(),
            at: Default::default(),
        })
    }

    /// A moment, after all those before.
    pub(crate) fn now(&self) -> u64 {
        self.time.fetch_add(1, SeqCst)
    }

    /// The cache's clock.
    pub(crate) fn tick(&self) -> u64 {
        u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// One tick more.
    pub(crate) fn advance(&self) {
        self.clock.advance(Duration::from_millis(1));
    }

    /// What a player is at, and since when; or nothing.
    pub(crate) fn begin(&self, player: usize, what: Option<(Kind, u64)>) {
        *lock(&self.at[player]) = what;
    }

    /// What was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        lock(&self.told).clone()
    }

    /// A listener that writes down what it is told, and checks that the operation that tells may.
    pub(crate) fn listener<S: Subject>(
        self: &Arc<Self>,
    ) -> impl Fn(&Removal<'_, S::Key, S::Value, Place>) + Send + Sync + use<S> {
        let world = self.clone();
        move |removal| {
            let (at, clock) = (world.now(), world.tick());
            let (key, value) = S::read(removal.key(), removal.value());
            world.tell(
                key,
                removal.cause(),
                Event { value, since: 0, at, clock, how: How::Vanished, at_once: false },
            );
        }
    }

    fn tell(&self, key: u64, cause: RemovalCause, event: Event) {
        let at_once = self.delivery == Delivery::Caller;
        let teller = threads::number().filter(|_| at_once);
        let during = teller.and_then(|player| *lock(&self.at[player]));
        if let Some((kind, _)) = during {
            assert!(kind.tells_of(cause), "{kind:?} told of {cause:?}");
        }
        assert!(teller.is_none() || during.is_some(), "{cause:?} told of between two operations");
        let how = match cause {
            RemovalCause::Replaced => How::Replaced,
            RemovalCause::Taken => How::Taken,
            RemovalCause::Expired => How::Expired,
            RemovalCause::Removed if during.is_none_or(|(kind, _)| kind != Kind::Retain) => {
                How::Removed
            }
            _ => How::Vanished,
        };
        let since = during.map_or(0, |(_, since)| since);
        let told = Told { key, cause, event: Event { since, how, at_once, ..event } };
        lock(&self.told).push(told);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cache that the players share.
pub(crate) struct Shared<S: Subject> {
    pub(crate) cache: CacheOf<S>,
    pub(crate) world: Arc<World>,
}
