//! A session cache on clocks of its own, with callbacks that note what they were told.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod later;

use halfshake::session::{
    Answer, Namespace, Purpose, Session, SessionBuilder, SessionCache, SessionId, Side, Times,
    Verdict,
};
use halfshake::{Maintenance, ManualClock, RemovalCause};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const TLS12: u16 = 0x0303;
/// When the tests begin, by the wall clock.
pub(crate) const BEGIN: Duration = Duration::from_secs(1_800_000_000);

/// The embedder's connection: a number.
pub(crate) type Connection = u64;
pub(crate) type Cache = SessionCache<Connection>;

/// One call of a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    New(Connection, u8),
    Get(Connection, u8, Purpose),
    Remove(u8, RemovalCause),
}

/// What the callbacks do and have seen.
#[derive(Default)]
pub(crate) struct World {
    calls: Mutex<Vec<Call>>,
    /// What the external store holds: an answer by first byte of the id.
    pub(crate) outside: Mutex<HashMap<u8, Answer>>,
    pub(crate) refuses: Mutex<bool>,
}

impl World {
    /// The calls since the last time.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().expect("no test panics under it"))
    }

    pub(crate) fn note(&self, call: Call) {
        self.calls.lock().expect("no test panics under it").push(call);
    }

    pub(crate) fn keeps_outside(&self, id: u8, answer: Answer) {
        self.outside.lock().expect("no test panics under it").insert(id, answer);
    }

    pub(crate) fn ask(&self, id: u8) -> Answer {
        self.outside
            .lock()
            .expect("no test panics under it")
            .get(&id)
            .cloned()
            .unwrap_or_else(Answer::unknown)
    }
}

pub(crate) struct Rig {
    pub(crate) cache: Cache,
    pub(crate) world: Arc<World>,
    pub(crate) clock: Arc<ManualClock>,
}

/// It says what its look-ups propose, which only some compat presets ask for.
pub(crate) fn namespace() -> Namespace {
    Namespace::new(b"www").expect("short").proposing(TLS12)
}

pub(crate) fn id(first: u8) -> SessionId {
    SessionId::new(&[first; 32]).expect("32 bytes")
}

pub(crate) fn rig() -> Rig {
    rig_with(|builder| builder)
}

/// A cache of 100 sessions whose three callbacks are set.
pub(crate) fn rig_with(
    set_up: impl FnOnce(SessionBuilder<Connection>) -> SessionBuilder<Connection>,
) -> Rig {
    let clock = ManualClock::new();
    clock.set(BEGIN);
    let world = Arc::new(World::default());
    let builder = SessionCache::builder()
        .capacity(100)
        .timeout(Duration::from_secs(100))
        .max_lifetime(Duration::from_secs(1000))
        .maintenance(Maintenance::Embedder)
        .clock(clock.clone())
        .wall_clock(clock.clone());
    let builder = set_up(builder);
    let cache = builder.build().expect("good settings");
    let rig = Rig { cache, world, clock };
    rig.set_new();
    rig.set_get();
    rig.set_remove();
    rig
}

impl Rig {
    pub(crate) fn set_new(&self) {
        let world = self.world.clone();
        self.cache.set_new_callback(move |connection, new| {
            world.note(Call::New(*connection, new.session().id().as_bytes()[0]));
            if *world.refuses.lock().expect("no test panics under it") {
                Verdict::Refuse
            } else {
                Verdict::Keep
            }
        });
    }

    pub(crate) fn set_get(&self) {
        let world = self.world.clone();
        self.cache.set_get_callback(move |connection, asked| {
            world.note(Call::Get(*connection, asked.id()[0], asked.purpose()));
            world.ask(asked.id()[0])
        });
    }

    pub(crate) fn set_remove(&self) {
        let world = self.world.clone();
        self.cache.set_remove_callback(move |gone| {
            world.note(Call::Remove(gone.id()[0], gone.cause()));
        });
    }

    pub(crate) fn session(&self, first: u8) -> Session {
        self.cache.make(&namespace(), id(first), TLS12, &[first; 100])
    }

    /// A session of such times, in seconds from the beginning of the test.
    pub(crate) fn session_from_to(&self, first: u8, created: i64, not_after: i64) -> Session {
        let at = |s: i64| BEGIN.checked_add_signed_s(s);
        let times = Times::new(at(created), at(not_after), at(1000));
        Session::new(&namespace(), id(first), TLS12, times, &[first; 100])
    }

    /// A server's new session.
    pub(crate) fn begin(&self, first: u8) -> halfshake::session::Newly {
        self.cache.new_session(&1, Side::Server, &self.session(first))
    }

    /// Whether a client that proposes it may resume, and where it was found.
    pub(crate) fn resume(&self, first: u8) -> Option<bool> {
        let found = self.cache.resume(&2, &namespace(), &[first; 32])?;
        assert_eq!(found.payload(), &[first; 100], "the payload of another session");
        Some(found.is_external())
    }

    /// Whether the internal cache holds it.
    pub(crate) fn holds(&self, first: u8) -> bool {
        self.cache.find(&namespace(), &[first; 32]).is_some()
    }

    /// What was told of a session since the last time.
    pub(crate) fn removals(&self, first: u8) -> Vec<RemovalCause> {
        let calls = self.world.calls().into_iter();
        let causes = calls.filter_map(|call| match call {
            Call::Remove(id, cause) if id == first => Some(cause),
            _ => None,
        });
        causes.collect()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.cache.validate();
        }
    }
}

trait Seconds {
    fn checked_add_signed_s(self, seconds: i64) -> Duration;
}

impl Seconds for Duration {
    fn checked_add_signed_s(self, seconds: i64) -> Duration {
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { self.saturating_sub(by) } else { self.saturating_add(by) }
    }
}
