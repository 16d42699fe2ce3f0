//! Any scripts of operations, of two or three threads at once on one cache of sessions: of all that
//! was done to an id there is an order in which every answer is right.
//!
//! Input: three bytes of settings (capacity and shards, threads, what the store outside does), then
//! one operation after another, dealt out to the threads by turns: a byte that says which, and the
//! bytes that it needs. What an input has too little of is 0.
//!
//! Asserted, after each script: an order explains the history of each id (`tests/history/`); each
//! session that was stored has exactly one removal event; none was taken twice; `validate()`. Which
//! threads meet is not in the input, so a finding may need many runs to come again.

use super::history::{Action, Event, How, NEVER, Operation, check};
use arbitrary::{Arbitrary, Unstructured};
use halfshake::session::{
    Answer, Modes, Namespace, Newly, NotStored, Purpose, Session, SessionCache, SessionId, Side,
    Verdict,
};
use halfshake::{Maintenance, ManualClock, RemovalCause};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

const IDS: u8 = 3;
const MOST_OPERATIONS: usize = 48;
const MAX_CAPACITY: u64 = 8;
const TLS12: u16 = 0x0303;
/// The version of sessions that the store outside gives: it tells them from the others.
const FROM_OUTSIDE: u16 = 0x0304;
const UPTIME: Duration = Duration::from_secs(10_000);

#[derive(Clone, Copy, Debug)]
enum Op {
    Add(u8),
    /// The new callback refuses it, or not.
    New(u8, bool),
    Find(u8),
    Resume(u8),
    Take(u8),
    Remove(u8),
    FlushAll,
    FlushSessions,
    SetCapacity(u64),
    OffAndOn,
    /// By milliseconds.
    Advance(u64),
    Maintain,
    /// Lets other threads go on.
    Wait(u8),
}

/// What the store outside answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    Knows,
    KnowsSome,
    Unknown,
}

/// An input.
#[derive(Debug)]
pub struct Script {
    capacity: u64,
    shards: usize,
    outside: Outside,
    threads: Vec<Vec<Op>>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut byte = || u8::arbitrary(input).unwrap_or(0);
        let first = byte();
        let capacity = 1 + u64::from(first) % MAX_CAPACITY;
        // With one, all ids share a set, as often as not.
        let shards = if first < 128 { 1 } else { 4 };
        let mut threads = vec![Vec::new(); 2 + usize::from(byte() % 2)];
        let outside = [Outside::Knows, Outside::KnowsSome, Outside::Unknown];
        let outside = outside[usize::from(byte()) % outside.len()];
        let count = threads.len();
        for n in 0..MOST_OPERATIONS {
            if input.is_empty() {
                break;
            }
            threads[n % count].push(operation(input));
        }
        Ok(Self { capacity, shards, outside, threads })
    }
}

fn operation(input: &mut Unstructured<'_>) -> Op {
    let mut byte = || u8::arbitrary(input).unwrap_or(0);
    let which = byte();
    // The id stands in the upper bits: operations on ids take one byte.
    let id = (which >> 5) % IDS;
    match which % 32 {
        0..6 => Op::Add(id),
        6..9 => Op::New(id, false),
        9 | 10 => Op::New(id, true),
        11..15 => Op::Find(id),
        15..19 => Op::Resume(id),
        19..22 => Op::Take(id),
        22..24 => Op::Remove(id),
        24 => Op::FlushAll,
        25 => Op::FlushSessions,
        26 => Op::SetCapacity(1 + u64::from(byte()) % MAX_CAPACITY),
        27 => Op::OffAndOn,
        28 => Op::Advance(u64::from(byte()) * 8),
        29 => Op::Maintain,
        _ => Op::Wait(byte() % 64),
    }
}

/// What happened.
#[derive(Debug, Default)]
struct Log {
    /// Numbers that only grow: moments, and the names of sessions.
    now: AtomicU64,
    operations: Mutex<Vec<(u8, Operation)>>,
    events: Mutex<Vec<(u8, Event)>>,
    taken: Mutex<Vec<u64>>,
}

impl Log {
    fn next(&self) -> u64 {
        self.now.fetch_add(1, SeqCst)
    }

    fn note(&self, id: u8, called: u64, action: Action) {
        let returned = self.next();
        // Nobody goes by a clock here: what has expired vanishes with its event.
        let operation = Operation { called, returned, clock: (0, 0), timeout: NEVER, action };
        self.operations.lock().expect("no panic under it").push((id, operation));
    }
}

fn namespace() -> Namespace {
    Namespace::new(b"www").expect("short")
}

fn session(cache: &SessionCache<bool>, id: u8, name: u64, version: u16) -> Session {
    let id = SessionId::new(&[id; 32]).expect("32 bytes");
    cache.make(&namespace(), id, version, &name.to_le_bytes())
}

fn name_of(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload.try_into().expect("a name"))
}

/// The context of a connection says whether the new callback refuses.
fn build(script: &Script, log: &Arc<Log>, clock: &Arc<ManualClock>) -> SessionCache<bool> {
    let (asked, gone_to, outside) = (log.clone(), log.clone(), script.outside);
    SessionCache::<bool>::builder()
        .capacity(script.capacity)
        .max_capacity(MAX_CAPACITY)
        .shards(script.shards)
        .timeout(Duration::from_secs(1))
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .lookup_timeout(Duration::from_secs(600))
        .new_callback(|refuses, _| if *refuses { Verdict::Refuse } else { Verdict::Keep })
        .get_callback(move |_, question| {
            let (id, name) = (question.id()[0], asked.next());
            let knows = match outside {
                Outside::Knows => true,
                Outside::KnowsSome => question.purpose() == Purpose::Take || name % 3 > 0,
                Outside::Unknown => false,
            };
            if !knows {
                return Answer::unknown();
            }
            Answer::handed_over(session(question.cache(), id, name, FROM_OUTSIDE))
        })
        .remove_callback(move |gone| {
            // A cause goes by the moment at which an operation began: it may have expired since.
            // And what a look-up brings while a put is under way goes with it, as replaced, also
            // if what was put has left by then.
            let has_expired = gone.times().not_after() <= gone.cache().wall_now();
            let may_lapse = has_expired || gone.to_session().version() == FROM_OUTSIDE;
            let (id, name) = (gone.id()[0], name_of(gone.payload()));
            let how = match gone.cause() {
                RemovalCause::Replaced if may_lapse => How::ReplacedOrVanished,
                RemovalCause::Replaced => How::Replaced,
                _ => How::Vanished,
            };
            // Not before it had a name.
            let event = Event { value: name, since: name, at: gone_to.next(), clock: 0, how };
            gone_to.events.lock().expect("no panic under it").push((id, event));
        })
        .build()
        .expect("good settings")
}

fn perform(cache: &SessionCache<bool>, clock: &ManualClock, log: &Log, op: Op) {
    let (key, called) = (namespace(), log.next());
    match op {
        Op::Add(id) => match cache.add(&session(cache, id, called, TLS12)) {
            Ok(()) => log.note(id, called, Action::Insert(called)),
            // The time went by meanwhile: nothing is stored, and what was there goes.
            Err(NotStored::Expired) => log.note(id, called, Action::Clear),
            Err(_) => {}
        },
        Op::New(id, refuses) => {
            let new = session(cache, id, called, TLS12);
            match cache.new_session(&refuses, Side::Server, &new) {
                Newly::NotStored(NotStored::Expired) => log.note(id, called, Action::Clear),
                // Either: the callback refuses also what had expired, and was not stored.
                Newly::Refused if new.times().not_after() <= cache.wall_now() => {
                    log.note(id, called, Action::MayInsertOverOrClear(called));
                }
                // Refused or not, it was there, unless there was no room or caching was off.
                _ => log.note(id, called, Action::MayInsertOver(called)),
            }
        }
        Op::Find(id) => {
            let found = cache.find(&key, &[id; 32]).map(|found| name_of(found.payload()));
            log.note(id, called, Action::Get(found));
        }
        Op::Resume(id) => {
            let found = cache.resume(&false, &key, &[id; 32]);
            match found.map(|found| (found.is_external(), name_of(found.payload()))) {
                Some((false, name)) => log.note(id, called, Action::Get(Some(name))),
                Some((true, name)) => log.note(id, called, Action::MayInsert(name)),
                None => {}
            }
        }
        Op::Take(id) => {
            if let Some(taken) = cache.take(&false, &key, &[id; 32]) {
                log.taken.lock().expect("no panic under it").push(name_of(taken.payload()));
            }
        }
        Op::Remove(id) => _ = cache.remove(&key, &[id; 32]),
        Op::FlushAll => _ = cache.flush_all(),
        Op::FlushSessions => _ = cache.flush_sessions(cache.wall_now()),
        Op::SetCapacity(most) => cache.set_capacity(most).map(drop).expect("a good limit"),
        Op::OffAndOn => {
            cache.set_modes(Modes::OFF);
            cache.set_modes(Modes::SERVER);
        }
        Op::Advance(ms) => clock.advance(Duration::from_millis(ms)),
        Op::Maintain => _ = cache.run_maintenance(usize::MAX),
        Op::Wait(times) => (0..times).for_each(|_| std::thread::yield_now()),
    }
}

impl Script {
    /// Plays all of it, and judges.
    pub fn run(self) {
        let (log, clock) = (Arc::new(Log::default()), ManualClock::new());
        log.next(); // 0 is before everything
        clock.set(UPTIME);
        let cache = build(&self, &log, &clock);
        let start = Barrier::new(self.threads.len());
        std::thread::scope(|scope| {
            for ops in &self.threads {
                let (cache, clock, log, start) = (&cache, &clock, &log, &start);
                scope.spawn(move || {
                    start.wait();
                    ops.iter().for_each(|op| perform(cache, clock, log, *op));
                });
            }
        });
        cache.shutdown();
        cache.validate();
        let stored = cache.stats().engine.inserts;
        drop(cache);
        judge(&log, stored);
    }
}

fn judge(log: &Log, stored: u64) {
    let events = log.events.lock().expect("no panic").clone();
    assert_eq!(stored, events.len() as u64, "not one event for each session that was stored");
    let taken = log.taken.lock().expect("no panic").clone();
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), taken.len(), "taken twice: {taken:?}");
    let operations = log.operations.lock().expect("no panic").clone();
    for id in 0..IDS {
        let of = operations.iter().filter(|(of, _)| *of == id).map(|(_, op)| *op);
        let told = events.iter().filter(|(of, _)| *of == id).map(|(_, event)| *event);
        if let Err(why) = check(&of.collect::<Vec<_>>(), &told.collect::<Vec<_>>()) {
            panic!("id {id}: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_event_and_a_second_taker_are_seen() {
        let log = Log::default();
        let called = log.next();
        log.note(0, called, Action::Insert(7));
        let told = Event { value: 7, since: 0, at: log.next(), clock: 0, how: How::Vanished };
        log.events.lock().unwrap().push((0, told));
        judge(&log, 1);
        let refused = |log: &Log, stored| {
            let judged = || judge(log, stored);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(judged)).is_err()
        };
        assert!(refused(&log, 2));
        log.taken.lock().unwrap().extend([7, 7]);
        assert!(refused(&log, 1));
    }
}
