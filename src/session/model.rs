//! The session cache as models see it: the real one, with an external store of one session. Model
//! builds only.
//!
//! All is about one id. The payload of a session is its name, a number above 0; the store's word is
//! the name of the session that it holds, or 0. Look-ups that would wait for another one give up.

use super::breaker::Breaker as Inner;
use super::modes::Modes;
use super::outcome::{Seat, block_on};
use super::outside::{Begun, Question};
use super::{
    Answer, Compat, Namespace, Newly, Purpose, Resumed, Session, SessionCache, SessionHandle,
    SessionId, Side, Verdict,
};
use crate::builder::Maintenance;
use crate::clock::ManualClock;
use crate::engine::forget_model_locals;
use crate::removal::RemovalCause;
use crate::sync::{AtomicU64, Lock, Ordering, PlainBool, exploring_words, yield_now};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const ID: [u8; 32] = [7; 32];
const TLS12: u16 = 0x0303;

/// A session cache under a model.
#[derive(Clone, Debug)]
pub struct Sessions {
    cache: SessionCache<()>,
    store: Arc<AtomicU64>,
    events: Arc<Mutex<Vec<(u64, RemovalCause)>>>,
    meanwhile: Meanwhile,
    clock: Arc<ManualClock>,
}

/// What happens while the next event is told.
#[derive(Clone, Default)]
struct Meanwhile(Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or it gave up waiting.
    Nothing,
    /// A session of that name in the internal cache.
    Inside(u64),
    /// One from the store.
    Outside(u64),
}

impl Sessions {
    /// An empty cache over a store that holds a session of this name, or none (0).
    pub fn new(outside: u64) -> Self {
        Self::like(Compat::strict(), outside)
    }

    /// The same, where a removal tells the store of an id also if nothing of it is inside.
    pub fn telling_of_absent(outside: u64) -> Self {
        Self::like(Compat::strict().with(Compat::REMOVE_TELLS_OF_ABSENT), outside)
    }

    fn like(compat: Compat, outside: u64) -> Self {
        forget_model_locals();
        let store = Arc::new(AtomicU64::new(outside));
        let events = Arc::new(Mutex::new(Vec::new()));
        let meanwhile = Meanwhile::default();
        let (told, log, act) = (store.clone(), events.clone(), meanwhile.clone());
        let clock = ManualClock::new();
        let cache = SessionCache::builder()
            .capacity(4)
            .shards(1)
            .clock(clock.clone())
            .wall_clock(clock.clone())
            .maintenance(Maintenance::Embedder)
            .lookup_timeout(Duration::ZERO)
            // Loom's atomics take long to make: what is there by default took most of the time.
            .remember_unknown(2, Duration::from_secs(2))
            .breaker(0, Duration::ZERO)
            .compat(compat)
            .remove_callback(move |gone| {
                if gone.payload().is_empty() {
                    // AcqRel: as below.
                    told.swap(0, Ordering::AcqRel);
                    return;
                }
                let name = name_of(gone.payload());
                log.lock().expect("one thread").push((name, gone.cause()));
                let act = act.0.lock().expect("one thread").take();
                act.into_iter().for_each(|act| act());
                if gone.cause() == RemovalCause::Replaced {
                    return;
                }
                // What is gone here is deleted there, if it is the same.
                // AcqRel: a store orders those who use it, also those who find nothing to delete. A
                // read-modify-write: it sees the latest.
                if told.fetch_add(0, Ordering::AcqRel) == name {
                    // AcqRel, Acquire: as above.
                    let _ = told.compare_exchange(name, 0, Ordering::AcqRel, Ordering::Acquire);
                }
            })
            .build()
            .expect("good settings");
        let sessions = Self { cache, store, events, meanwhile, clock };
        sessions.ask_outside();
        sessions
    }

    /// Asks the store from now on.
    pub fn ask_outside(&self) {
        let asked = self.store.clone();
        self.cache.set_get_callback(move |(), question| {
            // AcqRel: a store orders those who use it. A read-modify-write: it answers with the
            // latest.
            let name = match question.purpose() {
                Purpose::Resume => asked.fetch_add(0, Ordering::AcqRel),
                Purpose::Take => asked.swap(0, Ordering::AcqRel),
            };
            match name {
                0 => Answer::unknown(),
                name => Answer::handed_over(session(question.cache(), name)),
            }
        });
    }

    /// Asks the store no longer.
    pub fn ask_nobody(&self) {
        self.cache.clear_get_callback();
    }

    /// Stores a session in the cache alone.
    pub fn add(&self, name: u64) {
        self.cache.add(&session(&self.cache, name)).expect("there is room");
    }

    /// Stores a session in the store alone.
    pub fn keep_outside(&self, name: u64) {
        // AcqRel: as in `new`.
        self.store.swap(name, Ordering::AcqRel);
    }

    /// Deletes what the store holds.
    pub fn delete_outside(&self) {
        self.keep_outside(0);
    }

    /// A client proposes the id.
    pub fn resume(&self) -> Found {
        found_by(self.cache.resume(&(), &namespace(), &ID))
    }

    /// As `resume`, of one who has looked inside in vain.
    pub fn resume_outside(&self) -> Found {
        self.asking(|question| {
            found_by(self.cache.resume_outside(question, self.cache.rules(), None))
        })
    }

    fn depart(&self) -> Begun<'_> {
        self.asking(|question| self.cache.depart(question, self.cache.rules(), None))
    }

    /// What comes of the question of one who has looked inside in vain.
    fn asking<R>(&self, ask: impl FnOnce(&Question<'_, ()>) -> R) -> R {
        let (name, key) = (namespace(), self.cache.key(&namespace(), &ID).expect("a good id"));
        ask(&Question { connection: &(), namespace: &name, id: &ID, key: &key, spend: &|| true })
    }

    /// As `resume`, but whoever joins another look-up waits for it.
    pub fn resume_patiently(&self) -> Found {
        let seat = match self.depart() {
            Begun::Over(found) => {
                return found.map_or(Found::Nothing, |f| Found::Outside(name_of(f.payload())));
            }
            Begun::Waits(seat) => seat,
        };
        loop {
            let mut cx = Context::from_waker(Waker::noop());
            match seat.poll(&mut cx, |_, _| unreachable!("the callback answers at once")) {
                Poll::Ready(answer) => {
                    let name = answer.map(|answer| name_of(answer.payload()));
                    return name.map_or(Found::Nothing, Found::Outside);
                }
                Poll::Pending => yield_now(),
            }
        }
    }

    /// A store that answers once it is told to.
    pub fn ask_later(&self) -> Later {
        let later = Later(Arc::new(Lock::new((None, Vec::new()))));
        let asked = later.0.clone();
        self.cache.set_async_get_callback(move |(), question| {
            let (asked, cache) = (asked.clone(), question.cache().clone());
            poll_fn(move |cx| {
                let mut asked = asked.lock();
                let Some(name) = asked.0 else {
                    asked.1.push(cx.waker().clone());
                    return Poll::Pending;
                };
                Poll::Ready(Answer::handed_over(session(&cache, name)))
            })
        });
        later
    }

    /// A client proposes the id, of a store that answers later.
    pub fn wait(&self) -> Waits {
        let Begun::Waits(seat) = self.depart() else { panic!("the store answers later") };
        let woken = Arc::new(Woken(PlainBool::new(true)));
        Waits { cache: self.cache.clone(), seat, woken }
    }

    /// What the internal cache holds.
    pub fn found(&self) -> Option<u64> {
        Some(name_of(self.cache.find(&namespace(), &ID)?.payload()))
    }

    /// The identity of what the internal cache holds.
    pub fn handle(&self) -> Option<SessionHandle> {
        self.cache.find(&namespace(), &ID)?.handle()
    }

    /// Calls of the get callback.
    pub fn asked(&self) -> u64 {
        self.cache.stats().asked
    }

    /// Takes the session of the id.
    pub fn take(&self) -> Option<u64> {
        Some(name_of(self.cache.take(&(), &namespace(), &ID)?.payload()))
    }

    /// Does this while the next event is told, on the thread that tells of it.
    pub fn while_told(&self, act: impl FnOnce() + Send + 'static) {
        *self.meanwhile.0.lock().expect("one thread") = Some(Box::new(act));
    }

    /// Removes the session of the id.
    pub fn remove(&self) -> bool {
        self.cache.remove(&namespace(), &ID)
    }

    /// Removes that very session.
    pub fn remove_exact(&self, handle: &SessionHandle) -> bool {
        self.cache.remove_exact(handle)
    }

    /// Removes all sessions.
    pub fn flush(&self) -> u64 {
        self.cache.flush_all()
    }

    /// Removes all sessions of the id's namespace.
    pub fn flush_namespace(&self) -> u64 {
        self.cache.flush_namespace(&namespace())
    }

    /// Stores no sessions by itself from now on.
    pub fn store_nothing(&self) {
        self.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_STORE);
    }

    /// Looks for nothing in the internal cache from now on.
    pub fn look_outside_alone(&self) {
        self.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_LOOKUP);
    }

    /// Looks for sessions in the internal cache from now on.
    pub fn look_inside(&self) {
        self.cache.set_modes(Modes::SERVER);
    }

    /// Whether that is in force.
    pub fn looks_inside(&self) -> bool {
        self.cache.modes() == Modes::SERVER
    }

    /// Renews sessions when they are used, and lets half of their timeout go by.
    pub fn renew_from_now_on(&self) {
        self.cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME);
        self.clock.advance(self.cache.timeout() / 2);
    }

    /// Switches caching off.
    pub fn switch_off(&self) {
        self.cache.set_modes(Modes::OFF);
    }

    /// A session is negotiated. The new callback writes it to the store, then keeps or refuses it.
    pub fn negotiate(&self, name: u64, refuses: bool) -> Newly {
        let store = self.store.clone();
        self.cache.set_new_callback(move |(), new| {
            // AcqRel: as in `new`.
            store.swap(name_of(new.session().payload()), Ordering::AcqRel);
            if refuses { Verdict::Refuse } else { Verdict::Keep }
        });
        self.cache.new_session(&(), Side::Server, &session(&self.cache, name))
    }

    /// Lets a session of this name come to its end, half of whose timeout had gone by, and then
    /// does what is done with one that the new callback has refused.
    pub fn refuse_at_its_end(&self, name: u64) {
        // AcqRel: as in `new`. A step that is explored, for the clock's is none.
        self.store.swap(0, Ordering::AcqRel);
        self.clock.advance(self.cache.timeout() / 2);
        let refused = session(&self.cache, name);
        self.cache.remove_session(&refused, RemovalCause::RefusedByNew);
    }

    /// Lets a session come to its end, half of whose timeout had gone by, and then takes what its
    /// id has.
    pub fn take_at_its_end(&self) -> Option<u64> {
        // AcqRel: as in `new`. A step that is explored, for the clock's is none.
        self.store.fetch_add(0, Ordering::AcqRel);
        self.clock.advance(self.cache.timeout() / 2);
        self.take()
    }

    /// A session is negotiated. The new callback writes it to the store, and deletes it there again
    /// if it has left here meanwhile.
    pub fn negotiate_with_care(&self, name: u64) -> Newly {
        let store = self.store.clone();
        self.cache.set_new_callback(move |(), new| {
            // AcqRel: as in `new`.
            store.swap(name_of(new.session().payload()), Ordering::AcqRel);
            if new.has_left() {
                // AcqRel: as in `new`.
                store.swap(0, Ordering::AcqRel);
            }
            Verdict::Keep
        });
        self.cache.new_session(&(), Side::Server, &session(&self.cache, name))
    }

    /// A session is negotiated while nothing is stored by itself. The new callback switches storing
    /// on, deletes what the store holds, and refuses.
    pub fn refuse_unstored(&self, name: u64) -> Newly {
        let (store, modes) = (self.store.clone(), Modes::SERVER);
        self.store_nothing();
        self.cache.set_new_callback(move |(), new| {
            new.cache().set_modes(modes);
            // AcqRel: as in `new`.
            store.swap(0, Ordering::AcqRel);
            Verdict::Refuse
        });
        self.cache.new_session(&(), Side::Server, &session(&self.cache, name))
    }

    /// The events so far: name and cause.
    pub fn events(&self) -> Vec<(u64, RemovalCause)> {
        self.events.lock().expect("one thread").clone()
    }

    /// Ends a model: checks every invariant, and that each session that was stored has one event.
    pub fn end(self) {
        self.cache.validate();
        self.cache.shutdown();
        let (stats, events) = (self.cache.stats(), self.events());
        assert_eq!(stats.engine.inserts, events.len() as u64, "one event for each: {events:?}");
        drop(self);
        forget_model_locals();
    }
}

/// The breaker of look-ups outside by itself; its words are explored.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Inner>);

impl Breaker {
    /// For how long it stays open, in ticks.
    pub const PAUSE: u64 = 10;

    /// One that so many failures in a row open.
    pub fn opens_after(failures: u64) -> Self {
        let pause = Duration::from_millis(Self::PAUSE);
        Self(Arc::new(exploring_words(|| Inner::new(failures, pause))))
    }

    /// Whether a look-up may go outside.
    pub fn lets_through(&self, now: u64) -> bool {
        self.0.lets_through(now)
    }

    /// A look-up has failed; whether that has opened it.
    pub fn failed(&self, now: u64) -> bool {
        self.0.failed(now)
    }
}

/// Polls until it is ready, on this thread, as those do who wait for an answer; the flag that they
/// are woken by is explored.
pub fn wait_for<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let answer = exploring_words(|| block_on(Duration::MAX, poll));
    answer.unwrap_or_else(|_| panic!("584 million years are over"))
}

/// See [`Sessions::ask_later`].
#[derive(Clone, Debug)]
pub struct Later(Arc<Lock<(Option<u64>, Vec<Waker>)>>);

impl Later {
    /// Answers with the session of this name.
    pub fn answer(&self, name: u64) {
        let mut asked = self.0.lock();
        asked.0 = Some(name);
        let waiting = std::mem::take(&mut asked.1);
        drop(asked);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[derive(Debug)]
struct Woken(PlainBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        // Relaxed: a flag of the model's own, which orders nothing.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A look-up that waits.
pub struct Waits {
    cache: SessionCache<()>,
    seat: Seat,
    woken: Arc<Woken>,
}

impl std::fmt::Debug for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waits")
    }
}

impl Waits {
    /// Polls it, if it was woken since the last time: the name of the session that it has brought.
    pub fn poll_if_woken(&self) -> Option<u64> {
        // Relaxed: as in `wake`.
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        let (outcome, waker) = (self.seat.outcome().clone(), Waker::from(self.woken.clone()));
        let fly = |cargo, cx: &mut Context<'_>| self.cache.fly(&outcome, cargo, cx);
        match self.seat.poll(&mut Context::from_waker(&waker), fly) {
            Poll::Ready(answer) => Some(name_of(answer.expect("the store has it").payload())),
            Poll::Pending => None,
        }
    }

    /// Polls it as long as it is woken.
    pub fn poll_while_woken(&self) -> Option<u64> {
        // Relaxed: as in `wake`.
        let is_woken = || self.woken.0.load(Ordering::Relaxed);
        while is_woken() {
            let polled = self.poll_if_woken();
            if polled.is_some() {
                return polled;
            }
        }
        None
    }
}

fn namespace() -> Namespace {
    Namespace::new(b"n").expect("short")
}

fn session(cache: &SessionCache<()>, name: u64) -> Session {
    let id = SessionId::new(&ID).expect("32 bytes");
    cache.make(&namespace(), id, TLS12, &name.to_le_bytes())
}

fn found_by(found: Option<Resumed<'_>>) -> Found {
    found.map_or(Found::Nothing, |found| match (name_of(found.payload()), found.is_external()) {
        (name, true) => Found::Outside(name),
        (name, false) => Found::Inside(name),
    })
}

fn name_of(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload.try_into().expect("a name"))
}
