//! One thread of a plan: it does one operation after the other, and writes down what it saw.

use crate::history::{Action, NEVER, Operation};
use crate::kinds::Kind;
use crate::plan::Plan;
use crate::random::Random;
use crate::subject::{CacheOf, Mode, New, ReaderOf, Subject, TakenOf};
use crate::threads;
use crate::world::{Shared, World};
use halfshake::{Handle, Refusal};
use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

/// What one player saw.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Each operation on a key, with its key.
    pub(crate) operations: Vec<(u64, Operation)>,
    /// Each operation of the API, from when to when.
    pub(crate) spans: Vec<(Kind, u64, u64)>,
    pub(crate) stored: u64,
    pub(crate) refused: u64,
    /// The least capacity that was set.
    pub(crate) least_capacity: Option<u64>,
    /// When the cache was first known to be shut down.
    pub(crate) shut_down: Option<u64>,
}

pub(crate) struct Player<'c, S: Subject> {
    cache: &'c CacheOf<S>,
    world: &'c Arc<World>,
    plan: &'c Plan,
    reader: ReaderOf<S>,
    random: Random,
    number: usize,
    at: Kind,
    names: u64,
    handles: Vec<(u64, u64, Handle)>,
    /// An entry that was taken and is still held, with its key and its name.
    held: Option<(u64, u64, TakenOf<'c, S>)>,
    log: Log,
}

impl<'c, S: Subject> Player<'c, S> {
    pub(crate) fn new(shared: &'c Shared<S>, plan: &'c Plan, number: usize) -> Self {
        Self {
            cache: &shared.cache,
            world: &shared.world,
            plan,
            reader: shared.cache.reader(),
            random: Random::new(plan.seed, 16 + number as u64),
            number,
            at: Kind::Look,
            names: 0,
            handles: Vec::new(),
            held: None,
            log: Log::default(),
        }
    }

    pub(crate) fn play(mut self, kinds: &[Kind]) -> Log {
        for (n, kind) in kinds.iter().enumerate() {
            if self.plan.meets(n) {
                self.world.meeting.meet();
            }
            threads::pause(&mut self.random);
            let since = self.world.now();
            self.at = *kind;
            self.world.begin(self.number, Some((*kind, since)));
            self.step(*kind);
            self.world.begin(self.number, None);
            self.log.spans.push((*kind, since, self.world.now()));
        }
        self.let_go();
        self.log
    }

    fn key(&mut self) -> u64 {
        self.random.below(self.plan.keys)
    }

    fn fresh(&mut self, key: u64) -> New {
        self.names += 1;
        let name = (self.number as u64) << 32 | self.names;
        New { key, name, _alive: self.world.alive.clone() }
    }

    /// Does what may be several operations on keys at once, and writes each of them down.
    fn record(&mut self, timeout: u64, operate: impl FnOnce(&mut Self) -> Vec<(u64, Action)>) {
        let (called, begun) = (self.world.now(), self.world.tick());
        // One operation on one key, whose events are told by it.
        if self.at != Kind::InsertMany {
            self.world.begin(self.number, Some((self.at, called)));
        }
        let done = operate(self);
        let (clock, returned) = ((begun, self.world.tick()), self.world.now());
        let operation = |action| Operation { called, returned, clock, timeout, action };
        let done = done.into_iter().map(|(key, action)| (key, operation(action)));
        self.log.operations.extend(done);
    }

    fn look(&mut self, key: u64, operate: impl FnOnce(&mut Self) -> Action) {
        self.record(NEVER, |player| vec![(key, operate(player))]);
    }

    fn step(&mut self, kind: Kind) {
        if self.random.one_in(2) {
            self.let_go();
        }
        match kind {
            Kind::Get | Kind::GetMany | Kind::Contains | Kind::Identify | Kind::Iterate => {
                self.look_up(kind);
            }
            Kind::ReaderGet | Kind::ReaderGetMany | Kind::ReaderContains | Kind::ReaderPinned => {
                self.read(kind);
                if self.random.one_in(2) {
                    self.reader.unpin();
                }
            }
            Kind::Take | Kind::ReaderTake | Kind::Remove | Kind::ReaderRemove => self.remove(kind),
            Kind::RemoveExact => self.remove_exact(),
            Kind::InsertMany => self.insert_many(),
            Kind::GetOrInsert => self.get_or_insert(),
            Kind::Insert
            | Kind::InsertWithTimeout
            | Kind::InsertNothing
            | Kind::InsertIfAbsent
            | Kind::Replace
            | Kind::ReaderInsert => self.insert(kind),
            _ => self.manage(kind),
        }
    }

    fn look_up(&mut self, kind: Kind) {
        let (key, other) = (self.key(), self.key());
        let asked = S::asked(key);
        match kind {
            Kind::Get if self.random.one_in(3) => {
                self.look(key, |p| Action::Get(S::get_copy(p.cache, key)));
            }
            Kind::Get => self.look(key, |p| {
                let found = p.cache.get(asked.borrow());
                // Whatever happens to it meanwhile, it stays as it is for as long as it is lent.
                let first = found.as_ref().map(|r| S::read(r.key(), r.value()).1);
                threads::pause(&mut p.random);
                assert_eq!(first, found.map(|r| S::read(r.key(), r.value()).1), "it changed");
                Action::Get(first)
            }),
            Kind::GetMany => self.record(NEVER, |p| {
                let keys = [key, other];
                let asked = keys.map(S::asked);
                let found = p.cache.get_many(&[asked[0].borrow(), asked[1].borrow()]);
                let names = found.iter().map(|value| value.map(S::name)).map(Action::Get);
                keys.into_iter().zip(names).collect()
            }),
            Kind::Contains => {
                self.look(key, |p| Action::Contains(p.cache.contains(asked.borrow())));
            }
            Kind::Identify => {
                let mut handle = None;
                self.look(key, |p| {
                    let found = p.cache.get(asked.borrow());
                    handle = found.as_ref().map(|found| found.handle());
                    Action::Get(found.map(|r| S::read(r.key(), r.value()).1))
                });
                if let Some((key, operation)) = self.log.operations.last()
                    && let (Action::Get(Some(name)), Some(handle)) = (operation.action, handle)
                {
                    self.handles.push((*key, name, handle));
                }
            }
            _ => self.record(NEVER, |p| {
                let all = p.cache.iter().map(|found| S::read(found.key(), found.value()));
                all.map(|(key, name)| (key, Action::Get(Some(name)))).collect()
            }),
        }
    }

    fn read(&mut self, kind: Kind) {
        let (key, other) = (self.key(), self.key());
        let (asked, other_asked) = (S::asked(key), S::asked(other));
        match kind {
            Kind::ReaderGet => self.look(key, |p| {
                let found = p.reader.get(asked.borrow());
                Action::Get(found.map(|r| S::read(r.key(), r.value()).1))
            }),
            Kind::ReaderGetMany => self.record(NEVER, |p| {
                let mut names = Vec::new();
                let asked = [asked.borrow(), other_asked.borrow()];
                if p.random.one_in(2) {
                    let found = p.reader.get_many(&asked).into_iter();
                    names.extend(found.map(|r| r.map(|r| S::read(r.key(), r.value()).1)));
                } else {
                    p.reader.get_each(&asked, |r| {
                        names.push(r.map(|r| S::read(r.key(), r.value()).1));
                    });
                }
                [key, other].into_iter().zip(names.into_iter().map(Action::Get)).collect()
            }),
            Kind::ReaderContains => {
                self.look(key, |p| Action::Contains(p.reader.contains(asked.borrow())));
            }
            _ => self.record(NEVER, |p| {
                let pinned = p.reader.pinned();
                let one = pinned.get(asked.borrow());
                let first = one.as_ref().map(|r| S::read(r.key(), r.value()).1);
                let has_other = pinned.contains(other_asked.borrow());
                // Lent for as long as the pin lasts.
                assert_eq!(first, one.map(|r| S::read(r.key(), r.value()).1), "it changed");
                vec![(key, Action::Get(first)), (other, Action::Contains(has_other))]
            }),
        }
    }

    fn remove(&mut self, kind: Kind) {
        let key = self.key();
        let asked = S::asked(key);
        match kind {
            Kind::Take if self.random.one_in(3) => {
                self.look(key, |p| Action::Take(S::take_copy(p.cache, key)));
            }
            Kind::Take => {
                self.let_go();
                self.look(key, |p| {
                    let taken = p.cache.take(asked.borrow());
                    let taken = taken.map(|t| (key, S::read(t.key(), t.value()).1, t));
                    let name = taken.as_ref().map(|(_, name, _)| *name);
                    p.held = taken;
                    Action::Take(name)
                });
            }
            Kind::ReaderTake => self.look(key, |p| {
                let taken = p.reader.take(asked.borrow());
                Action::Take(taken.map(|t| S::read(t.key(), t.value()).1))
            }),
            Kind::Remove => self.look(key, |p| Action::Remove(p.cache.remove(asked.borrow()))),
            _ => self.look(key, |p| Action::Remove(p.reader.remove(asked.borrow()))),
        }
    }

    /// Gives back what was taken: it is still what it was.
    fn let_go(&mut self) {
        if let Some((key, name, taken)) = self.held.take() {
            assert_eq!(S::read(taken.key(), taken.value()), (key, name), "a taken entry changed");
        }
    }

    fn remove_exact(&mut self) {
        let Some((key, name, handle)) = self.handles.pop() else {
            return self.look_up(Kind::Identify);
        };
        if self.random.one_in(2) {
            // It never means another entry, however late.
            self.handles.push((key, name, handle));
        }
        self.look(key, |p| Action::RemoveExact(name, p.cache.remove_exact(&handle)));
    }

    /// Counts the answer to an insert; what was done, if anything.
    fn answered<T>(&mut self, answer: Result<T, Refusal>) -> Option<T> {
        let count = if answer.is_ok() { &mut self.log.stored } else { &mut self.log.refused };
        *count += 1;
        answer.ok()
    }

    fn insert(&mut self, kind: Kind) {
        let key = self.key();
        let new = self.fresh(key);
        let name = new.name;
        let ticks = match kind {
            Kind::InsertWithTimeout => 1 + self.random.below(4),
            _ => self.plan.timeout.unwrap_or(NEVER),
        };
        self.record(ticks, |p| {
            let answer = match kind {
                Kind::ReaderInsert => S::insert_by(&mut p.reader, new),
                Kind::InsertWithTimeout => {
                    S::insert(p.cache, new, Mode::WithTimeout(Duration::from_millis(ticks)))
                }
                Kind::InsertNothing => S::insert(p.cache, new, Mode::WithTimeout(Duration::ZERO)),
                Kind::InsertIfAbsent => S::insert(p.cache, new, Mode::IfAbsent),
                Kind::Replace => S::insert(p.cache, new, Mode::Replace),
                _ => S::insert(p.cache, new, Mode::Insert),
            };
            // A refused insert has changed nothing.
            let done = p.answered(answer).map(|stored| match kind {
                Kind::InsertNothing => Action::Clear,
                Kind::InsertIfAbsent => Action::InsertIfAbsent(name, stored),
                Kind::Replace => Action::Replace(name, stored),
                _ => Action::Insert(name),
            });
            done.map(|action| (key, action)).into_iter().collect()
        });
    }

    fn insert_many(&mut self) {
        let count = 1 + self.random.below(3);
        let all: Vec<_> = (0..count)
            .map(|_| {
                let key = self.key();
                self.fresh(key)
            })
            .collect();
        let names: Vec<_> = all.iter().map(|new| (new.key, new.name)).collect();
        self.record(self.plan.timeout.unwrap_or(NEVER), |p| {
            let answers = S::insert_many(p.cache, all);
            assert_eq!(answers.len(), names.len(), "one answer each");
            let done = names.into_iter().zip(answers).filter_map(|((key, name), answer)| {
                p.answered(answer).map(|()| (key, Action::Insert(name)))
            });
            done.collect()
        });
    }

    fn get_or_insert(&mut self) {
        let key = self.key();
        let new = self.fresh(key);
        let name = new.name;
        self.record(self.plan.timeout.unwrap_or(NEVER), |p| {
            let there = S::get_or_insert(p.cache, new);
            let action = there.map(|there| match there == name {
                // It may have been refused; the value is the caller's all the same.
                true => Action::MayInsertOver(name),
                false => Action::Get(Some(there)),
            });
            action.map(|action| (key, action)).into_iter().collect()
        });
    }

    fn manage(&mut self, kind: Kind) {
        match kind {
            Kind::Retain => self.cache.retain(|key, value| S::read(key, value).1 % 3 != 0),
            Kind::Clear => self.cache.clear(),
            Kind::Flush => {
                let ahead = Duration::from_millis(self.random.below(3));
                _ = self.cache.flush(self.cache.now() + ahead);
            }
            Kind::SetCapacity => {
                let entries = 1 + self.random.below(self.plan.max_capacity);
                let least = self.log.least_capacity.unwrap_or(entries);
                self.log.least_capacity = Some(least.min(entries));
                _ = self.cache.set_capacity(entries).expect("below the maximum");
            }
            Kind::Maintain => {
                let budget = if self.random.one_in(2) { usize::MAX } else { 1 };
                _ = self.cache.run_maintenance(budget);
            }
            Kind::MaintainStep => _ = self.cache.run_maintenance_step(),
            Kind::SetListener => {
                self.cache.set_removal_listener(Some(self.world.listener::<S>()));
            }
            Kind::Advance => self.world.advance(),
            Kind::Shutdown => {
                self.cache.shutdown();
                self.log.shut_down = Some(self.world.now());
            }
            _ => {
                let again = self.cache.clone();
                assert!(again.has_removal_listener() && again.capacity() <= again.max_capacity());
                let key = self.key();
                again.prefetch(S::asked(key).borrow());
                let stats = again.stats();
                assert!(stats.listener_panics == 0 && stats.pinned_deliveries == 0, "{stats:?}");
            }
        }
    }
}
