//! Sessions under everything at once, one id at a time: there is an order of all that was done in
//! which every answer is right, and a session vanishes with its event, and with nothing else.
//!
//! Every way out of the cache is told of by the remove callback, so each of its events, but for
//! replacements, lets the session vanish; what took it out (a take, a flush, the limit, the time)
//! is not believed.

use crate::history::{Action, Event, How, NEVER, Operation, check};
use crate::random;
use crate::sessions::{BEGIN, TLS12, namespace};
use halfshake::RemovalCause;
use halfshake::session::{
    Answer, Modes, Newly, NotStored, Purpose, Session, SessionBuilder, SessionCache, SessionId,
    Side, Verdict,
};
use halfshake::{Maintenance, ManualClock};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

const IDS: u8 = 6;
const STEPS: u64 = 24;
/// The version of sessions that the store outside gives: it tells them from the others.
const FROM_OUTSIDE: u16 = 0x0304;

/// Gives numbers that only grow: moments, and the names of sessions.
#[derive(Debug, Default)]
struct Numbers(AtomicU64);

impl Numbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, SeqCst)
    }
}

/// What happened, by id.
#[derive(Debug, Default)]
struct Log {
    now: Numbers,
    operations: Mutex<Vec<(u8, Operation)>>,
    events: Mutex<Vec<(u8, Event)>>,
    taken: Mutex<Vec<u64>>,
}

impl Log {
    fn note(&self, id: u8, called: u64, action: Action) {
        let returned = self.now.next();
        // Nobody goes by a clock here: what has expired vanishes with its event.
        let operation = Operation { called, returned, clock: (0, 0), timeout: NEVER, action };
        self.operations.lock().expect("no panic under it").push((id, operation));
    }

    /// `may_lapse`: if it was replaced, it may have been absent for a while before.
    fn event(&self, id: u8, name: u64, cause: RemovalCause, may_lapse: bool) {
        let how = match cause {
            RemovalCause::Replaced if may_lapse => How::ReplacedOrVanished,
            RemovalCause::Replaced => How::Replaced,
            _ => How::Vanished,
        };
        let at = self.now.next();
        let event = Event { value: name, since: 0, at, clock: 0, how, at_once: true };
        self.events.lock().expect("no panic under it").push((id, event));
    }
}

fn session(cache: &SessionCache<u8>, id: u8, name: u64, version: u16) -> Session {
    let id = SessionId::new(&[id; 32]).expect("32 bytes");
    cache.make(&namespace(), id, version, &name.to_le_bytes())
}

fn name_of(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload.try_into().expect("a name"))
}

/// The store outside knows every id, and gives a session of another name each time.
fn cache(log: &Arc<Log>, clock: &Arc<ManualClock>, capacity: u64) -> SessionCache<u8> {
    let (asked, gone_to) = (log.clone(), log.clone());
    let builder: SessionBuilder<u8> = SessionCache::builder();
    builder
        .capacity(capacity)
        .max_capacity(16)
        .timeout(Duration::from_secs(10))
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .lookup_timeout(Duration::from_secs(600))
        .new_callback(|_, new| {
            let refuses = name_of(new.session().payload()).is_multiple_of(5);
            if refuses { Verdict::Refuse } else { Verdict::Keep }
        })
        .get_callback(move |_, question| {
            let (id, name) = (question.id()[0], asked.now.next());
            if question.purpose() == Purpose::Resume && name.is_multiple_of(3) {
                return Answer::unknown();
            }
            Answer::handed_over(session(question.cache(), id, name, FROM_OUTSIDE))
        })
        .remove_callback(move |gone| {
            // Causes go by the moment at which an operation began: it may have expired since. And
            // what a look-up brings while a put is under way goes with it, as replaced, also if
            // what was put has left by then.
            let has_expired = gone.times().not_after() <= gone.cache().wall_now();
            let may_lapse = has_expired || gone.to_session().version() == FROM_OUTSIDE;
            gone_to.event(gone.id()[0], name_of(gone.payload()), gone.cause(), may_lapse);
        })
        .build()
        .expect("good settings")
}

fn step(cache: &SessionCache<u8>, clock: &ManualClock, log: &Log, random: u64) {
    let id = u8::try_from(random / 64 % u64::from(IDS)).expect("few");
    let (key, called) = (namespace(), log.now.next());
    match random % 64 {
        0..12 => {
            // Its name is its moment.
            match cache.add(&session(cache, id, called, TLS12)) {
                Ok(()) => log.note(id, called, Action::Insert(called)),
                // The time went by meanwhile: nothing is stored, and what was there goes.
                Err(NotStored::Expired) => log.note(id, called, Action::Clear),
                Err(_) => {}
            }
        }
        12..20 => {
            let new = session(cache, id, called, TLS12);
            match cache.new_session(&0, Side::Server, &new) {
                Newly::NotStored(NotStored::Expired) => log.note(id, called, Action::Clear),
                // Either: the callback refuses also what had expired, and was not stored.
                Newly::Refused if new.times().not_after() <= cache.wall_now() => {
                    log.note(id, called, Action::MayInsertOverOrClear(called));
                }
                // Refused or not, it was there, unless there was no room or caching was off.
                _ => log.note(id, called, Action::MayInsertOver(called)),
            }
        }
        20..36 => {
            let found = cache.find(&key, &[id; 32]).map(|found| name_of(found.payload()));
            log.note(id, called, Action::Get(found));
        }
        36..46 => {
            let found = cache.resume(&0, &key, &[id; 32]);
            match found.map(|found| (found.is_external(), name_of(found.payload()))) {
                Some((false, name)) => log.note(id, called, Action::Get(Some(name))),
                Some((true, name)) => log.note(id, called, Action::MayInsert(name)),
                None => {}
            }
        }
        46..54 => {
            if let Some(taken) = cache.take(&0, &key, &[id; 32]) {
                let name = name_of(taken.payload());
                log.taken.lock().expect("no panic under it").push(name);
            }
        }
        54..58 => _ = cache.remove(&key, &[id; 32]),
        58 => _ = cache.flush_all(),
        59 => _ = cache.set_capacity(1 + random / 1024 % 16).expect("a good limit"),
        60 => {
            cache.set_modes(Modes::OFF);
            cache.set_modes(Modes::SERVER);
        }
        61 => clock.advance(Duration::from_secs(6)),
        62 => _ = cache.run_maintenance(usize::MAX),
        _ => _ = cache.flush_sessions(cache.wall_now()),
    }
}

fn round(seed: u64, threads: u64) -> Result<(), String> {
    let (log, clock) = (Arc::new(Log::default()), ManualClock::new());
    log.now.next(); // 0 is before everything
    clock.set(BEGIN);
    let cache = cache(&log, &clock, 2 + seed % 5);
    let start = Barrier::new(usize::try_from(threads).expect("few"));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (cache, clock, log, start) = (&cache, &clock, &log, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..STEPS {
                    let state = random::nth(seed, thread * STEPS + n);
                    step(cache, clock, log, state);
                }
            });
        }
    });
    cache.shutdown();
    cache.validate();
    let stats = cache.stats();
    drop(cache);
    let events = log.events.lock().expect("no panic").clone();
    assert_eq!(stats.engine.inserts, events.len() as u64, "one event for each that was stored");
    let taken = log.taken.lock().expect("no panic").clone();
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), taken.len(), "taken twice: {taken:?}");
    let operations = log.operations.lock().expect("no panic").clone();
    (0..IDS).try_for_each(|id| {
        let of = operations.iter().filter(|(of, _)| *of == id).map(|(_, op)| *op);
        let told = events.iter().filter(|(of, _)| *of == id).map(|(_, event)| *event);
        check(&of.collect::<Vec<_>>(), &told.collect::<Vec<_>>())
    })
}

#[test]
fn every_history_of_an_id_has_an_order_that_explains_it() {
    let seed = std::env::var("HALFSHAKE_SEED").ok().map(|text| text.parse().expect("a number"));
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("seed") >> 16);
    for n in 0..120 {
        let threads = 3 + n % 6;
        if let Err(why) = round(seed + n, threads) {
            panic!("HALFSHAKE_SEED={} with {threads} threads: {why}", seed + n);
        }
    }
}
