//! One cache, the store outside, the callbacks between them, and what was noted.

use super::super::history::{NEVER, Operation};
use super::threads::{During, during, pause, set_during};
use super::{Kind, MAX_CAPACITY, Op, Outside, Script, Span};
use halfshake::session::{
    Answer, Asked, Modes, Namespace, New, Purpose, Removed, Session, SessionCache, SessionId,
    Times, Verdict,
};
use halfshake::{Clock, Maintenance, ManualClock, RemovalCause};
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

pub(super) const TLS12: u16 = 0x0303;
/// The version of sessions that the store outside makes: it tells them from the others.
pub(super) const FROM_OUTSIDE: u16 = 0x0304;
const UPTIME: Duration = Duration::from_secs(10_000);
/// Room for some sessions.
const FEW_BYTES: u64 = 500;
const TIMEOUT: Duration = Duration::from_secs(1);
/// Enough of its time has gone by when a session is stored: it is renewed when it is used.
const AGE: Duration = Duration::from_millis(250);
/// The same again, and how often.
const AGING: Duration = Duration::from_millis(160);
const AGES: u32 = 6;

/// A removal event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) id: u8,
    pub(super) name: u64,
    pub(super) cause: RemovalCause,
    /// Which operation told of it; none: the end of the cache.
    pub(super) by: Option<During>,
    pub(super) at: u64,
    pub(super) clock: u64,
    /// By its own time, or as one that may have gone with what was put over it: a cause goes by the
    /// moment at which an operation began.
    pub(super) may_lapse: bool,
    pub(super) is_from_outside: bool,
}

/// After an operation, sessions are there no more, neither inside nor on their way there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    /// Of all ids, if there is none.
    pub(super) id: Option<u8>,
    /// That one; else all that were there before `called`.
    pub(super) name: Option<u64>,
    pub(super) called: u64,
    pub(super) returned: u64,
}

/// A session that an operation found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) id: u8,
    pub(super) name: u64,
    pub(super) called: u64,
    pub(super) returned: u64,
    pub(super) is_taken: bool,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) operations: Vec<(u8, Operation)>,
    pub(super) told: Vec<Told>,
    pub(super) gone: Vec<Gone>,
    pub(super) seen: Vec<Seen>,
    /// Names of sessions that were taken inside.
    pub(super) taken_inside: Vec<u64>,
    /// When a session was there at the latest.
    pub(super) born: HashMap<u64, u64>,
    pub(super) spans: Vec<Vec<Span>>,
    /// When a shutdown had returned.
    pub(super) shut_down: Option<u64>,
    /// Until when the new callback was told of a session.
    pub(super) told_new: HashMap<u64, u64>,
}

/// What happened, and what the store outside holds.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Numbers that only grow: moments, and the names of sessions.
    now: AtomicU64,
    notes: Mutex<Notes>,
    pub(super) outside: Mutex<HashMap<u8, Session>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    pub(super) fn next(&self) -> u64 {
        self.now.fetch_add(1, SeqCst)
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    fn delete_outside(&self, id: u8, name: u64) {
        let mut outside = lock(&self.outside);
        if outside.get(&id).is_some_and(|kept| name_of(kept.payload()) == name) {
            outside.remove(&id);
        }
    }
}

pub(super) struct World {
    pub(super) cache: SessionCache<bool>,
    pub(super) log: Arc<Log>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) ids: u8,
    outside: Outside,
    /// What can be said of an answer depends on what else is done.
    pub(super) changes_modes: bool,
    pub(super) one_changes_modes: bool,
    pub(super) has_new: bool,
    pub(super) renews: bool,
    /// The store outside knows every id, and nothing that is done keeps a look-up from asking it.
    pub(super) always_finds: bool,
    /// Who has taken a session out of the cache gets it, or another taker gets one: none may have
    /// it from outside, and none is being told of.
    pub(super) is_taken_once: bool,
    /// Each event is told of.
    pub(super) tells_all: bool,
    /// What was counted as an adapter would.
    pub(super) rejected: AtomicU64,
    ages: AtomicU32,
}

pub(super) fn namespace() -> Namespace {
    Namespace::new(b"www").expect("short")
}

pub(super) fn session(cache: &SessionCache<bool>, id: u8, name: u64, version: u16) -> Session {
    let id = SessionId::new(&[id; 32]).expect("32 bytes");
    let made = cache.make(&namespace(), id, version, &name.to_le_bytes());
    let times = made.times();
    let created = times.created().saturating_sub(AGE);
    made.with_times(Times::new(created, times.not_after(), times.auth_not_after()))
}

pub(super) fn name_of(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload.try_into().expect("a name"))
}

/// A resumption renews what it finds, by putting another entry into its place.
pub(super) fn is_by_use(cause: RemovalCause, by: Option<During>) -> bool {
    cause == RemovalCause::Replaced && by.is_some_and(|by| by.kind.resumes())
}

/// The name in a payload that lies in the cache: it stays what it is while it can be read.
pub(super) fn read<'p>(payload: impl Fn() -> &'p [u8]) -> u64 {
    let name = name_of(payload());
    pause(31);
    assert_eq!(name_of(payload()), name, "what was read has changed");
    name
}

pub(super) fn ticks(clock: &ManualClock) -> u64 {
    u64::try_from(clock.now().as_millis()).expect("no more than a few hours")
}

/// The context of a connection says whether the new callback refuses.
fn tell_new(log: &Log, keeps: bool, refuses: bool, new: &New<'_, bool>) -> Verdict {
    let (id, name) = (new.session().id().as_bytes()[0], name_of(new.session().payload()));
    if keeps && !refuses {
        lock(&log.outside).insert(id, new.session().clone());
        if new.has_left() {
            log.delete_outside(id, name);
        }
    }
    let until = log.next();
    log.notes().told_new.insert(name, until);
    if refuses { Verdict::Refuse } else { Verdict::Keep }
}

fn answer(log: &Log, outside: Outside, asked: &Asked<'_, bool>) -> Answer {
    if let Some(by) = during() {
        let may_ask = by.kind != Kind::Hello || by.asked == 0;
        assert!(may_ask, "a ClientHello asked outside once more than it may");
        set_during(Some(During { asked: by.asked + 1, ..by }));
    }
    let (id, name, takes) = (asked.id()[0], log.next(), asked.purpose() == Purpose::Take);
    let knows = match outside {
        Outside::Knows => true,
        Outside::KnowsSome => takes || name % 3 > 0,
        Outside::Keeps | Outside::Unknown | Outside::Nobody => false,
    };
    if knows {
        log.notes().born.insert(name, name);
        return Answer::handed_over(session(asked.cache(), id, name, FROM_OUTSIDE));
    }
    let mut kept = lock(&log.outside);
    let kept = if takes { kept.remove(&id) } else { kept.get(&id).cloned() };
    kept.map_or_else(Answer::unknown, Answer::handed_over)
}

fn tell(log: &Log, clock: &ManualClock, gone: &Removed<'_, bool>) {
    let (id, name, cause) = (gone.id()[0], read(|| gone.payload()), gone.cause());
    let has_expired = gone.times().not_after() <= gone.cache().wall_now();
    let by = during();
    if let Some(by) = by {
        assert!(by.kind.tells_of(cause), "{by:?} told of {cause:?}");
        assert!(by.kind != Kind::FlushSessions || has_expired, "flushed before its time");
        // What had expired is not what a removal answers for.
        let counts = cause != RemovalCause::Expired || !by.kind.removes();
        set_during(Some(During { told: by.told + u64::from(counts), ..by }));
    }
    // Who has left for room is still good, and so is who is renewed.
    if cause != RemovalCause::Evicted && !is_by_use(cause, by) {
        log.delete_outside(id, name);
    }
    let is_from_outside = gone.version() == FROM_OUTSIDE;
    let told = Told {
        id,
        name,
        cause,
        by,
        at: log.next(),
        clock: ticks(clock),
        may_lapse: has_expired || is_from_outside,
        is_from_outside,
    };
    log.notes().told.push(told);
}

impl Kind {
    /// Whether it resumes sessions, which renews them.
    fn resumes(self) -> bool {
        matches!(self, Self::Resume | Self::ResumeAsync | Self::Hello)
    }

    /// Whether it removes the session of an id.
    fn removes(self) -> bool {
        matches!(self, Self::Remove | Self::RemoveExact | Self::ConnectionFailed)
    }

    /// Whether this operation may tell of a session that left for this cause.
    pub(super) fn tells_of(self, cause: RemovalCause) -> bool {
        use Kind::{
            Add, ConnectionFailed, FlushAll, FlushNamespace, FlushSessions, Hello, Maintain, New,
            NewRefused, Remove, RemoveExact, SetCapacity, Shutdown, Take, TakeAsync,
        };
        let (puts, flushes) = (
            matches!(self, Add | New | NewRefused),
            matches!(self, FlushAll | FlushNamespace | FlushSessions),
        );
        let takes = matches!(self, Take | TakeAsync | Hello);
        // What a look-up outside brings makes room for itself.
        let makes_room = puts || self.resumes() || matches!(self, SetCapacity | Maintain);
        match cause {
            // What is used may be renewed.
            RemovalCause::Replaced => puts || self.resumes(),
            RemovalCause::Evicted => makes_room,
            // Who takes one from outside removes what is inside.
            RemovalCause::Expired => {
                makes_room || flushes || takes || self.removes() || self == Shutdown
            }
            RemovalCause::Taken => takes,
            RemovalCause::Removed => matches!(self, Remove | RemoveExact),
            RemovalCause::Faulty => self == ConnectionFailed,
            RemovalCause::RefusedByNew => self == NewRefused,
            RemovalCause::Flushed => flushes,
            RemovalCause::Shutdown => self == Shutdown,
            _ => false,
        }
    }
}

impl World {
    pub(super) fn new(script: &Script) -> Self {
        let (log, clock) = (Arc::new(Log::default()), ManualClock::new());
        log.next(); // 0 is before everything
        clock.set(UPTIME);
        let settings = script.settings;
        let builder = SessionCache::<bool>::builder()
            .capacity(settings.capacity)
            .max_capacity(MAX_CAPACITY)
            .shards(settings.shards)
            .fewest_sets(settings.sets)
            .timeout(TIMEOUT)
            .clock(clock.clone())
            .wall_clock(clock.clone())
            .maintenance(Maintenance::Embedder)
            .remember_unknown(64, TIMEOUT)
            .lookup_timeout(Duration::from_secs(600));
        let builder = match settings.has_few_bytes {
            true => builder.capacity_bytes(FEW_BYTES),
            false => builder,
        };
        let changes = |ops: &&Vec<Op>| ops.iter().any(|op| op.kind == Kind::Modes);
        let changers = script.threads.iter().filter(changes).count();
        let hinders = script.has(&[Kind::Modes, Kind::Callbacks, Kind::Shutdown])
            || script.has(&[Kind::Advance, Kind::SetTimeout]) && !settings.renews;
        let world = Self {
            cache: builder.build().expect("good settings"),
            log,
            clock,
            ids: settings.ids,
            outside: settings.outside,
            changes_modes: changers > 0,
            one_changes_modes: changers == 1,
            has_new: script.has(&[Kind::New, Kind::NewRefused]),
            renews: settings.renews,
            always_finds: settings.outside == Outside::Knows && !hinders,
            is_taken_once: matches!(settings.outside, Outside::Unknown | Outside::Nobody)
                && !script.has(&[Kind::New, Kind::NewRefused, Kind::Callbacks, Kind::Modes]),
            tells_all: !script.has(&[Kind::Deafen]),
            rejected: AtomicU64::new(0),
            ages: AtomicU32::new(AGES),
        };
        world.cache.set_modes(world.modes());
        world.set_remove_callback();
        if settings.has_new_callback {
            world.set_new_callback();
        }
        world.set_get_callback();
        world
    }

    /// Whether a look-up outside may bring what is then stored.
    pub(super) fn lands(&self) -> bool {
        matches!(self.outside, Outside::Knows | Outside::KnowsSome | Outside::Keeps)
    }

    /// Whether what was stored may come back under its name.
    pub(super) fn keeps(&self) -> bool {
        self.outside == Outside::Keeps
    }

    /// Those that hold when no operation changes them.
    pub(super) fn modes(&self) -> Modes {
        if self.renews { Modes::SERVER | Modes::UPDATE_TIME } else { Modes::SERVER }
    }

    /// How long a session with these times lives, in ticks. Where that depends on when it was used
    /// none expires, unless no history is to explain it: see `advance`.
    pub(super) fn life(&self, times: Times) -> u64 {
        let life = times.not_after().saturating_sub(times.created() + AGE);
        if self.renews { NEVER } else { u64::try_from(life.as_millis()).unwrap_or(NEVER) }
    }

    /// A timeout for what is made from now on. Where sessions are renewed none is short.
    pub(super) fn other_timeout(&self, which: u8) -> Duration {
        const ALL: [Duration; 4] =
            [TIMEOUT, Duration::from_secs(2), Duration::ZERO, Duration::from_millis(500)];
        ALL[usize::from(which) % if self.renews { 2 } else { 4 }]
    }

    /// The clock goes on.
    pub(super) fn advance(&self, by: Duration) {
        // For as long as other operations take, or none would meet it.
        pause(8);
        self.clock.advance(by);
    }

    /// A moment later sessions are due to be renewed once more: a few times, which together stay
    /// below the time that they live.
    pub(super) fn age(&self) {
        let has_some = |ages: u32| ages.checked_sub(1);
        if self.renews && self.ages.fetch_update(SeqCst, SeqCst, has_some).is_ok() {
            self.advance(AGING);
        }
    }

    pub(super) fn set_remove_callback(&self) {
        let (log, clock) = (self.log.clone(), self.clock.clone());
        self.cache.set_remove_callback(move |gone| tell(&log, &clock, gone));
    }

    pub(super) fn set_new_callback(&self) {
        let (log, keeps) = (self.log.clone(), self.keeps());
        self.cache.set_new_callback(move |refuses, new| tell_new(&log, keeps, *refuses, new));
    }

    pub(super) fn set_get_callback(&self) {
        let (log, outside) = (self.log.clone(), self.outside);
        if outside != Outside::Nobody {
            self.cache.set_get_callback(move |_, asked| {
                let answer = answer(&log, outside, asked);
                // Others have their turn while it is on its way.
                pause(3);
                answer
            });
        }
    }

    /// One whose answer is there at the second time that it is asked for.
    pub(super) fn set_async_get_callback(&self) {
        let (log, outside) = (self.log.clone(), self.outside);
        if outside != Outside::Nobody {
            self.cache.set_async_get_callback(move |_, asked| {
                let mut answer = Some(answer(&log, outside, asked));
                let mut is_there = false;
                poll_fn(move |cx| {
                    if !std::mem::replace(&mut is_there, true) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Ready(answer.take().unwrap_or_else(Answer::failed))
                })
            });
        }
    }
}
