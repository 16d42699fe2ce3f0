//! Who keeps something between operations: futures that are not ready, sessions that are read,
//! identities; and what holds whenever nothing is under way.

use super::Cache;
use super::found::Found;
use super::model::{Doing, Is, Key, copy};
use super::play::{framed, look_up, perform};
use super::script::{Op, Reply, Who};
use super::world::{CONNECTION, World, key};
use halfshake::RemovalCause;
use halfshake::session::{Rejection, Resumed, Session, SessionHandle};
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const MOST_HELD: usize = 4;
const MOST_PENDING: usize = 8;

type Future<'c> = Pin<Box<dyn std::future::Future<Output = Option<Resumed<'c>>> + 'c>>;

struct Pending<'c> {
    future: Future<'c>,
    key: Key,
    takes: bool,
    /// Look-ups whose answer it may get.
    flights: Vec<usize>,
}

pub(crate) struct Player<'c> {
    world: &'c Arc<World>,
    cache: &'c Cache,
    pending: Vec<Pending<'c>>,
    held: Vec<(Resumed<'c>, Session)>,
    handles: Vec<(SessionHandle, Key, Session)>,
}

fn poll<'c>(future: &mut Future<'c>) -> Poll<Option<Found>> {
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    polled.map(|found| found.map(Found::of))
}

impl<'c> Player<'c> {
    pub(crate) fn new(world: &'c Arc<World>, cache: &'c Cache) -> Self {
        Self { world, cache, pending: Vec::new(), held: Vec::new(), handles: Vec::new() }
    }

    pub(crate) fn play(&mut self, op: &'c Op) {
        let patient = !self.world.model().setup.impatient;
        match op {
            Op::Begin { who, takes, reply } if patient && self.pending.len() < MOST_PENDING => {
                self.begin(who, *takes, reply);
            }
            Op::Poll(which) => self.poll(*which),
            Op::Cancel(which) => self.cancel(*which),
            Op::Identify(who) => self.identify(who),
            Op::RemoveExact(which) => self.remove_exact(*which),
            Op::Hold(who) => self.hold(who),
            Op::LetGo => self.let_go(),
            _ => perform(self.world, self.cache, op),
        }
        self.audit();
    }

    fn begin(&mut self, who: &'c Who, takes: bool, reply: &Reply) {
        let (world, cache, key) = (self.world, self.cache, key(who));
        let name = &world.names[who.name];
        let future: Future<'c> = if takes {
            Box::pin(cache.take_async(&CONNECTION, name, &who.id))
        } else {
            Box::pin(cache.resume_async(&CONNECTION, name, &who.id))
        };
        let future = RefCell::new(Some(future));
        let ask = || {
            let mut taken = future.take().expect("asked once");
            match poll(&mut taken) {
                Poll::Ready(found) => found,
                Poll::Pending => {
                    future.replace(Some(taken));
                    None
                }
            }
        };
        let frame = world.replying(reply, || {
            let waits = || future.borrow().is_some();
            look_up(world, cache, (&key, takes), true, &ask, &waits)
        });
        if let Some(future) = future.take() {
            let mut flights = frame.asks;
            let model = world.model();
            let of_key = |flight: &usize| {
                let flight = &model.flights[*flight];
                flight.key == key && !flight.takes && !flight.is_over
            };
            if flights.is_empty() {
                assert!(!takes, "a take waits for what it has not asked");
                flights = (0..model.flights.len()).filter(of_key).collect();
                assert!(!flights.is_empty(), "it waits for nothing");
            }
            drop(model);
            self.pending.push(Pending { future, key, takes, flights });
        }
    }

    fn poll(&mut self, which: u8) {
        if self.pending.is_empty() {
            return;
        }
        let at = usize::from(which) % self.pending.len();
        let Pending { mut future, key, takes, flights } = self.pending.swap_remove(at);
        let (world, cache) = (self.world, self.cache);
        let doing = if takes { Doing::Take(key.clone()) } else { Doing::Resume(key.clone()) };
        let (mut is_pending, claims) = (false, world.model().claims(&key));
        let run = || match poll(&mut future) {
            Poll::Ready(found) => Some(found),
            Poll::Pending => None,
        };
        framed(world, cache, doing, run, |polled| {
            let mut model = world.model();
            let is_anothers = takes && flights.iter().any(|flight| model.is_taken(*flight));
            let here = model.frame().arrivals.iter().find(|arrival| arrival.key == key).cloned();
            match polled {
                Some(None) => {
                    assert!(here.is_none(), "answered, and waits");
                    is_pending = true;
                }
                Some(Some(found)) => {
                    let given = found.as_ref().map(|found| &found.session);
                    assert!(found.as_ref().is_none_or(|found| found.is_external), "found inside");
                    let over = flights.iter().map(|flight| &model.flights[*flight]);
                    let over = over.filter(|f| f.is_over).map(|f| f.outcome.clone());
                    let (answers, lost): (Vec<_>, _) = match &here {
                        // Another taker may have claimed it while its removal was told of.
                        Some(arrival) => {
                            let own = u64::from(arrival.session.is_some());
                            let lost = takes && model.claims(&key) > claims + own || !arrival.sure;
                            (vec![arrival.session.clone()], lost)
                        }
                        None => (over.collect(), false),
                    };
                    let right = answers.iter().any(|answer| answer.as_ref() == given);
                    let excused = given.is_none()
                        && (lost || answers.iter().any(|a| model.came_too_late(a.as_ref())));
                    assert!(right || excused, "not what the get callback gave");
                    let in_time = takes || given.is_none_or(|given| !model.has_ended(given));
                    assert!(in_time, "given too late");
                    assert!(given.is_none() || !is_anothers, "taken twice");
                    if takes && found.is_some() {
                        model.has_taken(&key);
                    }
                }
                None => (),
            }
            if takes && !is_pending {
                model.mark(Is::Yes, |other| *other == key);
            }
        });
        if is_pending {
            self.pending.push(Pending { future, key, takes, flights });
        } else {
            self.drop_future(future, None);
        }
    }

    fn cancel(&mut self, which: u8) {
        if !self.pending.is_empty() {
            let at = usize::from(which) % self.pending.len();
            let Pending { future, key, takes, .. } = self.pending.swap_remove(at);
            self.drop_future(future, takes.then_some(key));
        }
    }

    fn drop_future(&self, future: Future<'c>, taken: Option<Key>) {
        framed(
            self.world,
            self.cache,
            Doing::Drop,
            || drop(future),
            |_| {
                if let Some(key) = taken {
                    self.world.model().mark(Is::Yes, |other| *other == key);
                }
            },
        );
    }

    fn identify(&mut self, who: &Who) {
        if let Some(found) = self.cache.find(&self.world.names[who.name], &who.id) {
            let handle = found.handle().expect("it is inside");
            self.handles.push((handle, key(who), Found::of(found).session));
        }
    }

    fn remove_exact(&mut self, which: u8) {
        if self.handles.is_empty() {
            return;
        }
        let at = usize::from(which) % self.handles.len();
        let (handle, key, session) = &self.handles[at];
        let world = self.world;
        let was_there = world.model().live(key) == Some(session);
        let run = || self.cache.remove_exact(handle);
        framed(world, self.cache, Doing::Remove(key.clone()), run, |removed| {
            let mut model = world.model();
            let removed = removed.unwrap_or(true);
            assert!(was_there || !removed, "removed another session");
            if removed {
                model.mark(Is::Yes, |other| other == key);
                let quiet = model.frame().in_events == 0;
                assert!(!quiet || model.live(key).is_none(), "removed, and there");
            }
        });
    }

    fn hold(&mut self, who: &Who) {
        if self.held.len() < MOST_HELD
            && let Some(found) = self.cache.find(&self.world.names[who.name], &who.id)
        {
            let session = copy(&found.to_session());
            self.held.push((found, session));
            self.world.model().held += 1;
        }
    }

    /// What was read stays as it was, whatever became of it.
    fn let_go(&mut self) {
        for (found, session) in self.held.drain(..) {
            assert!(found.to_session() == session, "a session changed while it was read");
        }
        self.world.model().held = 0;
    }

    /// What holds whenever no operation is under way.
    fn audit(&self) {
        let (world, cache) = (self.world, self.cache);
        let model = world.model();
        assert!(model.is_settled(), "something has left without an event");
        let mut entries = 0;
        for (key, _, right) in model.entries() {
            let found = cache.find(&world.names[key.0], &key.1);
            let found = found.map(|found| found.to_session());
            assert!(found.as_ref() == right, "inside is {found:?}, not {right:?}");
            entries += 1;
        }
        let stats = cache.stats();
        let engine = &stats.engine;
        assert_eq!((cache.len(), engine.entries), (entries, entries), "entries");
        assert!(entries <= model.capacity, "more than the capacity");
        assert_eq!((engine.inserts, engine.removed_total()), (model.stored, model.events));
        let shut = engine.removed_by(RemovalCause::Shutdown);
        assert!(shut == 0 || model.closed() == Is::Yes);
        assert_eq!((stats.asked, stats.in_flight), (model.asked, model.out() as u64));
        let lengths = stats.rejected_for(Rejection::IdLength);
        assert_eq!(stats.rejected.iter().sum::<u64>() - lengths, model.rejected, "rejections");
        drop(model);
        assert!(!self.pending.is_empty() || world.is_balanced(), "references are not balanced");
    }

    /// Futures and readers end.
    pub(crate) fn end(mut self) {
        while !self.pending.is_empty() {
            self.cancel(0);
        }
        self.let_go();
        self.audit();
    }
}
