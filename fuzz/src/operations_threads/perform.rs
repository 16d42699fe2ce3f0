//! What a thread does to the cache, and what can be said of each answer.

use super::super::history::{Action, NEVER, Operation};
use super::threads::{During, block_on, during, pause, set_during};
use super::world::{
    FROM_OUTSIDE, Gone, Seen, TLS12, World, lock, name_of, namespace, read, session, ticks,
};
use super::{Kind, MAX_CAPACITY, Op, Span};
use halfshake::RemovalCause;
use halfshake::session::{
    Modes, Newly, NotStored, Rejection, Resumed, SessionHandle, Side, Stage, Times,
};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

impl World {
    pub(super) fn perform(&self, op: Op, known: &mut Option<Known>) -> Span {
        let (called, tick) = (self.log.next(), ticks(&self.clock));
        set_during(Some(During::begun(op.kind, called, tick)));
        At { world: self, op, called, tick }.perform(known);
        let told = during().map_or(0, |during| during.told);
        let is_mute = !RemovalCause::ALL.iter().any(|cause| op.kind.tells_of(*cause));
        assert!(!is_mute || told == 0, "{op:?} told of something");
        set_during(None);
        (op.kind, called, self.log.next())
    }
}

/// A session that a thread has found.
pub(super) struct Known {
    id: u8,
    name: u64,
    handle: SessionHandle,
}

/// What a look-up brings that is asked to its end, or given up when it has waited a few times.
fn patiently<T>(look_up: impl Future<Output = T>, times: u64) -> Option<T> {
    let (mut look_up, mut waits) = (pin!(look_up), times % 4);
    block_on(poll_fn(|cx| match look_up.as_mut().poll(cx) {
        Poll::Ready(found) => Poll::Ready(Some(found)),
        Poll::Pending if waits == 1 => Poll::Ready(None),
        Poll::Pending => {
            waits = waits.saturating_sub(1);
            Poll::Pending
        }
    }))
}

/// One operation under way.
struct At<'w> {
    world: &'w World,
    op: Op,
    called: u64,
    tick: u64,
}

impl At<'_> {
    fn perform(&self, known: &mut Option<Known>) {
        let Self { world, op, .. } = *self;
        let (cache, id, key) = (&world.cache, [op.id; 32], namespace());
        match op.kind {
            Kind::Add => self.add(),
            Kind::New | Kind::NewRefused => self.negotiate(op.kind == Kind::NewRefused),
            Kind::Find => *known = self.identify(),
            Kind::Resume => {
                world.age();
                self.resumed(cache.resume(&false, &key, &id), true);
            }
            Kind::Hello => self.greet(),
            Kind::ResumeAsync => self.resume_async(),
            Kind::Take => self.taken(cache.take(&false, &key, &id)),
            Kind::TakeAsync => self.take_async(),
            Kind::Remove => self.remove(|| cache.remove(&key, &id)),
            Kind::ConnectionFailed => self.remove(|| cache.connection_failed(&key, &id)),
            Kind::RemoveExact => {
                let it = known.take().or_else(|| self.identify());
                it.iter().for_each(|it| self.remove_exact(it));
            }
            Kind::FlushAll => self.flush(|| cache.flush_all()),
            Kind::FlushNamespace => self.flush(|| cache.flush_namespace(&key)),
            Kind::FlushSessions => {
                let flushed = cache.flush_sessions(cache.wall_now());
                self.has_told(flushed, "flushed");
            }
            Kind::SetCapacity => {
                let most = 1 + u64::from(op.more) % MAX_CAPACITY;
                cache.set_capacity(most).map(drop).expect("a good limit");
            }
            // These two take no time: others have their turn.
            Kind::SetTimeout => {
                pause(8);
                cache.set_timeout(world.other_timeout(op.more));
            }
            Kind::Modes => self.change_modes(),
            Kind::Callbacks => self.change_callbacks(),
            Kind::Deafen => {
                cache.clear_remove_callback();
                pause(op.more % 64);
                world.set_remove_callback();
            }
            // Where sessions are renewed they age when they are used, and none expires.
            Kind::Advance if !world.renews || world.keeps() => {
                world.advance(Duration::from_millis(u64::from(op.more) * 8));
            }
            Kind::Advance => world.age(),
            Kind::Maintain => _ = cache.run_maintenance(usize::MAX),
            Kind::Walk => self.walk(),
            Kind::Count => {
                pause(8);
                cache.note(Side::Server, Stage::Started);
                cache.reject(Rejection::Namespace);
                world.rejected.fetch_add(1, SeqCst);
            }
            Kind::Wait => pause(op.more % 64),
            Kind::Shutdown => self.shut_down(),
        }
    }

    /// Events that the operation has told so far.
    fn told(&self) -> u64 {
        during().map_or(0, |during| during.told)
    }

    /// Whether it has told of so many, if all is told of.
    fn has_told(&self, number: u64, what: &str) {
        let told = self.told();
        assert!(told == number || !self.world.tells_all, "{number} {what}, {told} told of");
    }

    /// Whether it has told of something, or of nothing.
    fn has_told_any(&self, any: bool, what: &str) {
        let told = self.told();
        assert!((told > 0) == any || !self.world.tells_all, "{what}: {any}, {told} told of");
    }

    /// Notes what was done to an id; when that is over.
    fn note_of(&self, id: u8, called: u64, action: Action) -> u64 {
        self.note_living(id, called, NEVER, action)
    }

    /// The same of a session that lives so long.
    fn note_living(&self, id: u8, called: u64, timeout: u64, action: Action) -> u64 {
        let returned = self.world.log.next();
        let clock = (self.tick, ticks(&self.world.clock));
        let operation = Operation { called, returned, clock, timeout, action };
        self.world.log.notes().operations.push((id, operation));
        returned
    }

    fn note(&self, action: Action) -> u64 {
        self.note_of(self.op.id, self.called, action)
    }

    /// Notes that a session may have been stored, or was.
    fn note_stored(&self, times: Times, action: Action) -> u64 {
        self.note_living(self.op.id, self.called, self.world.life(times), action)
    }

    /// Notes that a session was there, and can be found from now on.
    fn stored(&self, times: Times) {
        let returned = self.note_stored(times, Action::Insert(self.called));
        let mut notes = self.world.log.notes();
        notes.born.insert(self.called, returned);
        if !self.world.keeps() {
            // What was there before is out, and what is on its way does not come.
            let (id, called) = (Some(self.op.id), self.called);
            notes.gone.push(Gone { id, name: None, called, returned });
        }
    }

    fn gone(&self, name: Option<u64>, called: u64) {
        self.gone_of(self.op.id, name, called);
    }

    fn gone_of(&self, id: u8, name: Option<u64>, called: u64) {
        let returned = self.world.log.next();
        let gone = Gone { id: Some(id), name, called, returned };
        self.world.log.notes().gone.push(gone);
    }

    fn saw(&self, name: u64, called: u64, is_taken: bool) {
        let returned = self.world.log.next();
        let seen = Seen { id: self.op.id, name, called, returned, is_taken };
        self.world.log.notes().seen.push(seen);
    }

    fn add(&self) {
        let cache = &self.world.cache;
        let new = session(cache, self.op.id, self.called, TLS12);
        match cache.add(&new) {
            Ok(()) => self.stored(new.times()),
            // The time went by meanwhile: nothing is stored, and what was there goes.
            Err(NotStored::Expired) => _ = self.note(Action::Clear),
            Err(NotStored::Off) => assert!(self.world.changes_modes, "off"),
            Err(NotStored::Refused(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn negotiate(&self, refuses: bool) {
        let cache = &self.world.cache;
        let new = session(cache, self.op.id, self.called, TLS12);
        match cache.new_session(&refuses, Side::Server, &new) {
            Newly::Stored => self.stored(new.times()),
            Newly::NotStored(NotStored::Expired) => _ = self.note(Action::Clear),
            Newly::NotStored(NotStored::Off | NotStored::NoInternalStore) => {
                assert!(self.world.changes_modes, "off");
            }
            Newly::NotStored(NotStored::Refused(_)) => {}
            Newly::Refused => {
                assert!(refuses, "refused by nobody");
                // Either: the callback refuses also what had expired, and was not stored.
                let over = new.times().not_after() <= cache.wall_now();
                let action = match over {
                    true => Action::MayInsertOverOrClear(self.called),
                    false => Action::MayInsertOver(self.called),
                };
                self.note_stored(new.times(), action);
                self.gone(Some(self.called), self.called);
            }
            other => panic!("{other:?}"),
        }
    }

    /// What is inside: its name, and whether the store outside has made it.
    fn find(&self, called: u64) -> Option<(u64, bool)> {
        let found = self.world.cache.find(&namespace(), &[self.op.id; 32]);
        let found = found.map(|f| (read(|| f.payload()), f.version() == FROM_OUTSIDE));
        self.note_of(self.op.id, called, Action::Get(found.map(|(name, _)| name)));
        if let Some((name, _)) = found {
            self.saw(name, called, false);
        }
        found
    }

    fn resume_async(&self) {
        self.world.age();
        let (cache, name, id) = (&self.world.cache, namespace(), [self.op.id; 32]);
        let found = patiently(cache.resume_async(&false, &name, &id), u64::from(self.op.more));
        found.into_iter().for_each(|found| self.resumed(found, true));
    }

    /// Two ids of one ClientHello, which may ask outside once.
    fn greet(&self) {
        let (world, more, name) = (self.world, self.op.more, namespace());
        world.age();
        let hello = world.cache.hello_with_budget(&false, &name, 1);
        match more % 2 {
            0 => self.resumed(hello.resume(&[self.op.id; 32]), true),
            _ => self.taken(hello.take(&[self.op.id; 32])),
        }
        let may_ask = hello.left() > 0;
        let op = Op { id: more / 2 % world.ids, ..self.op };
        let (called, tick) = (world.log.next(), ticks(&world.clock));
        let found = hello.resume(&[op.id; 32]);
        let is_external = found.as_ref().is_some_and(Resumed::is_external);
        assert!(may_ask || !is_external, "it was asked outside, and may not be any more");
        At { world, op, called, tick }.resumed(found, may_ask);
    }

    /// `may_ask`: as far as it may, it has asked outside.
    fn resumed(&self, found: Option<Resumed<'_>>, may_ask: bool) {
        let always_finds = self.world.always_finds && may_ask;
        assert!(found.is_some() || !always_finds, "a miss, and the store knows it");
        let Some(found) = found else {
            // It was not there when it was looked for, if it was.
            if !self.world.changes_modes {
                self.note(Action::Get(None));
            }
            return;
        };
        let (name, times) = (read(|| found.payload()), found.times());
        let brought = (found.is_external(), found.version() == FROM_OUTSIDE);
        drop(found);
        match brought {
            (false, _) => _ = self.note(Action::Get(Some(name))),
            (true, true) => _ = self.note_stored(times, Action::MayInsert(name)),
            // One that the look-up which was joined has found inside, a while ago.
            (true, false) => {}
        }
        self.saw(name, self.called, false);
    }

    /// One that is given up may have taken what nobody gets then.
    fn take_async(&self) {
        let (cache, name, id) = (&self.world.cache, namespace(), [self.op.id; 32]);
        let taken = patiently(cache.take_async(&false, &name, &id), self.called);
        taken.into_iter().for_each(|taken| self.taken(taken));
    }

    fn taken(&self, taken: Option<Resumed<'_>>) {
        let (world, called) = (self.world, self.called);
        let Some(taken) = taken else {
            // While the new callback is told of a session, it is there, and can't be taken.
            if !world.changes_modes && !world.has_new {
                self.note(Action::Take(None));
            }
            return;
        };
        let name = read(|| taken.payload());
        if !taken.is_external() {
            self.note(Action::Take(Some(name)));
            world.log.notes().taken_inside.push(name);
        }
        drop(taken);
        self.saw(name, called, true);
        self.gone(Some(name), called);
        if !world.keeps() {
            self.gone(None, called);
        }
    }

    /// By id. A caller who wants it gone everywhere deletes it outside first.
    fn remove(&self, remove: impl FnOnce() -> bool) {
        lock(&self.world.log.outside).remove(&self.op.id);
        let removed = remove();
        self.has_told_any(removed, "removed");
        // What has landed meanwhile goes, too: so it may be two.
        if !removed || !self.world.lands() {
            self.note(Action::Remove(removed));
        }
        self.gone(None, self.called);
    }

    /// What is inside, to be removed exactly by this thread later on.
    fn identify(&self) -> Option<Known> {
        let found = self.world.cache.find(&namespace(), &[self.op.id; 32]);
        let known = found.map(|found| Known {
            id: self.op.id,
            name: read(|| found.payload()),
            handle: found.handle().expect("it is inside"),
        });
        self.note(Action::Get(known.as_ref().map(|known| known.name)));
        known.iter().for_each(|known| self.saw(known.name, self.called, false));
        known
    }

    fn remove_exact(&self, known: &Known) {
        pause(1);
        let called = self.world.log.next();
        let removed = self.world.cache.remove_exact(&known.handle);
        self.has_told_any(removed, "removed");
        self.note_of(known.id, called, Action::RemoveExact(known.name, removed));
        if removed {
            self.gone_of(known.id, Some(known.name), called);
        }
    }

    fn flush(&self, flush: impl FnOnce() -> u64) {
        lock(&self.world.log.outside).clear();
        let flushed = flush();
        self.has_told(flushed, "flushed");
        let (called, returned) = (self.called, self.world.log.next());
        self.world.log.notes().gone.push(Gone { id: None, name: None, called, returned });
    }

    fn change_modes(&self) {
        const OTHERS: [Modes; 4] =
            [Modes::OFF, Modes::NO_INTERNAL_STORE, Modes::NO_INTERNAL_LOOKUP, Modes::NO_INTERNAL];
        let (world, cache) = (self.world, &self.world.cache);
        let other = OTHERS[usize::from(self.op.more % 4)];
        let modes = if other == Modes::OFF { other } else { world.modes() | other };
        cache.set_modes(modes);
        let before = self.find(world.log.next());
        pause(self.op.more / 4);
        let after = self.find(world.log.next());
        let stores = other == Modes::NO_INTERNAL_LOOKUP;
        let has_landed =
            after != before && after.is_some_and(|(_, is_from_outside)| is_from_outside);
        let is_known = world.one_changes_modes && !stores;
        assert!(!(is_known && has_landed), "{after:?} has landed while storing was off");
        cache.set_modes(world.modes());
    }

    fn change_callbacks(&self) {
        let (world, cache) = (self.world, &self.world.cache);
        match self.op.more % 6 {
            0 => world.set_new_callback(),
            1 => _ = cache.clear_new_callback(),
            2 => world.set_get_callback(),
            3 => _ = cache.clear_get_callback(),
            4 => world.set_async_get_callback(),
            _ => world.set_remove_callback(),
        }
    }

    fn shut_down(&self) {
        self.world.cache.shutdown();
        let returned = self.world.log.next();
        let mut notes = self.world.log.notes();
        let first = notes.shut_down.map_or(returned, |first| first.min(returned));
        notes.shut_down = Some(first);
    }

    fn walk(&self) {
        let world = self.world;
        let mut found: Vec<(u8, u64)> = Vec::new();
        for session in world.cache.sessions() {
            found.push((session.id().as_bytes()[0], name_of(session.payload())));
        }
        for (id, name) in found {
            assert!(id < world.ids, "an id that nobody has used");
            self.note_of(id, self.called, Action::Get(Some(name)));
        }
        let stats = world.cache.stats().engine;
        assert!(stats.capacity <= MAX_CAPACITY, "the limit");
        _ = (world.cache.namespace_stats(&namespace()), world.cache.len(), world.cache.modes());
    }
}
