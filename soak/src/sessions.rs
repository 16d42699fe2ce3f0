//! A session cache with all of its callbacks, and a store outside that answers in every way.

use crate::ledger::{Ledger, Mistake, mix, same};
use crate::worker::Worker;
use crate::world::{Time, World, settle, unless_nested};
use halfshake::session::{
    Answer, Asked, Modes, Namespace, Removed, Session, SessionCache, SessionId, Side, Verdict,
};
use halfshake::{RemovalCause, Stats};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const CAPACITY: u64 = 2_000;
const IDS: u64 = 6_000;
const BURST: u64 = 32;
const NAMES: u64 = 3;
const TLS12: u16 = 0x0303;
/// When the run begins, by the wall clock.
const BEGIN: Duration = Duration::from_secs(1_800_000_000);
const PAYLOAD: usize = 100;

pub(crate) struct Sessions {
    cache: SessionCache<u64>,
    ledger: Arc<Ledger>,
    names: Vec<Namespace>,
    time: Time,
}

fn id_of(of: u64) -> [u8; 32] {
    let mut id = [0; 32];
    for (i, word) in (0..).zip(id.chunks_exact_mut(8)) {
        word.copy_from_slice(&if i == 0 { of } else { mix(of + i) }.to_le_bytes());
    }
    id
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
    word.map_or(u64::MAX, u64::from_le_bytes)
}

fn session(cache: &SessionCache<u64>, name: &Namespace, of: u64, number: u64) -> Option<Session> {
    let mut payload = [7; PAYLOAD];
    for (at, word) in [(0, number), (8, of), (16, mix(number ^ of))] {
        payload[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    Some(cache.make(name, SessionId::new(&id_of(of)).ok()?, TLS12, &payload))
}

/// The number of a session that was found under an id.
///
/// # Panics
/// If it is not what was stored under it: a violation.
fn read(id: &[u8], payload: &[u8]) -> u64 {
    let [number, of, check] = [0, 8, 16].map(|at| word(payload, at));
    let is_whole = payload.len() == PAYLOAD && check == mix(number ^ of);
    assert!(is_whole && of == word(id, 0), "session {number:x} of {of} under another id");
    number
}

/// Sessions that the store outside makes, each of a number of its own.
fn outside(next: &AtomicU64, asked: &Asked<'_, u64>, random: u64) -> Answer {
    let (cache, of) = (asked.cache(), word(asked.id(), 0));
    let number = next.fetch_add(1, Relaxed);
    let made = |of| session(cache, asked.namespace(), of, number);
    match random % 16 {
        0 => Answer::failed(),
        1 => made((of + 1) % IDS).map_or_else(Answer::unknown, Answer::handed_over),
        2 => Answer::serialised(vec![9; 200]),
        3..=4 => made(of).map_or_else(Answer::unknown, |s| Answer::borrowed(&s)),
        5..=6 => made(of).map_or_else(Answer::unknown, Answer::handed_over),
        7..=8 => {
            made(of).map_or_else(Answer::unknown, |s| Answer::serialised(s.to_bytes().to_vec()))
        }
        _ => Answer::unknown(),
    }
}

fn on_remove(ledger: &Arc<Ledger>) -> impl Fn(&Removed<'_, u64>) + Send + Sync + use<> {
    let ledger = ledger.clone();
    move |gone| {
        let number = read(gone.id(), gone.payload());
        ledger.tell(number, gone.cause() == RemovalCause::Taken);
        if number.is_multiple_of(251)
            && let Ok(name) = Namespace::new(gone.namespace())
        {
            unless_nested(|| _ = gone.cache().remove(&name, &id_of(word(gone.id(), 0) + 1)));
        }
    }
}

fn on_get() -> impl Fn(&u64, &Asked<'_, u64>) -> Answer + Send + Sync {
    // Numbers that no worker gives, and no callback before.
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    |connection, asked| outside(&NEXT, asked, mix(*connection))
}

fn on_new(connection: &u64) -> Verdict {
    if mix(*connection).is_multiple_of(16) { Verdict::Refuse } else { Verdict::Keep }
}

impl Sessions {
    pub(crate) fn new(mistake: Option<Mistake>) -> Result<Self, String> {
        let (ledger, time) = (Arc::new(Ledger::new(mistake)), Time::new(BEGIN));
        let cache = SessionCache::<u64>::builder()
            .capacity(CAPACITY)
            .timeout(Duration::from_secs(3))
            .max_lifetime(Duration::from_secs(20))
            .modes(Modes::SERVER | Modes::UPDATE_TIME)
            .sweep_interval(Duration::from_millis(50))
            .clock(time.clock())
            .wall_clock(time.clock())
            .breaker(0, Duration::ZERO)
            .new_callback(|connection, _| on_new(connection))
            .get_callback(on_get())
            .remove_callback(on_remove(&ledger))
            .build()
            .map_err(|error| error.to_string())?;
        let names = (0..NAMES)
            .map(|n| Namespace::new(&[b'a' + n.to_le_bytes()[0]]))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        Ok(Self { cache, ledger, names, time })
    }

    fn step(&self, worker: &mut Worker) {
        let (cache, of, number) = (&self.cache, worker.key(IDS), worker.number());
        let (id, name) = (id_of(of), &self.names[usize::try_from(of % NAMES).unwrap_or(0)]);
        match worker.below(1000) {
            0..=249 => {
                if let Some(session) = session(cache, name, of, number) {
                    worker.call(1, || cache.new_session(&number, Side::Server, &session));
                }
            }
            250..=299 => {
                if let Some(session) = session(cache, name, of, number) {
                    _ = worker.call(1, || cache.add(&session));
                }
            }
            300..=699 => worker.call(1, || {
                cache.resume(&number, name, &id).iter().for_each(|f| _ = read(&id, f.payload()));
            }),
            700..=829 => worker.call(1, || {
                if let Some(taken) = cache.take(&number, name, &id) {
                    let number = read(&id, taken.payload());
                    if !taken.is_external() {
                        self.ledger.taken.add(number);
                    }
                }
            }),
            830..=899 => worker.call(1, || {
                let handle = cache.find(name, &id).and_then(|found| {
                    read(&id, found.payload());
                    found.handle()
                });
                if let Some(handle) = handle.filter(|_| of.is_multiple_of(3)) {
                    cache.remove_exact(&handle);
                }
            }),
            900..=959 => _ = worker.call(1, || cache.remove(name, &id)),
            960..=998 => _ = worker.call(1, || cache.connection_failed(name, &id)),
            _ => self.disturb(worker, name),
        }
    }

    fn disturb(&self, worker: &mut Worker, name: &Namespace) {
        let cache = &self.cache;
        let usual = Modes::SERVER | Modes::UPDATE_TIME;
        worker.operations += 1;
        match worker.below(20) {
            0..=2 => {
                let capacity = 1 + worker.below(CAPACITY);
                let resized = cache.set_capacity(capacity);
                assert!(resized.is_ok(), "capacity {capacity}: {resized:?}");
            }
            3..=4 => _ = cache.set_remove_callback(on_remove(&self.ledger)),
            5..=6 => _ = cache.set_get_callback(on_get()),
            7 => _ = cache.set_new_callback(|connection, _| on_new(connection)),
            8 => _ = cache.flush_namespace(name),
            9 => _ = cache.flush_sessions(cache.wall_now() + Duration::from_millis(100)),
            10 => _ = cache.flush_all(),
            11 => _ = cache.set_timeout(Duration::from_millis(1 + worker.below(5_000))),
            12 => {
                let odd = [
                    Modes::OFF,
                    usual | Modes::NO_INTERNAL_STORE,
                    usual | Modes::NO_INTERNAL_LOOKUP,
                    usual | Modes::NO_AUTO_CLEAR,
                ];
                cache.set_modes(odd[worker.random.usize(..odd.len())]);
            }
            13 => {
                let sessions = cache.sessions().take(500);
                sessions.for_each(|session| _ = read(session.id().as_bytes(), session.payload()));
            }
            _ => _ = cache.set_modes(usual),
        }
    }

    fn check_quiet(&self) -> Result<(), String> {
        let (stats, ledger) = (self.cache.stats(), &self.ledger);
        let (live, told) = (self.walk(), ledger.told.sum().count);
        same("the law: stored = told + live", stats.engine.inserts, told + live)?;
        // A take outside takes the copy inside with it: told of, and found by nobody.
        let (taken, told) = (ledger.taken.sum().count, ledger.told_taken.sum().count);
        same("taken, and not told as taken", taken.saturating_sub(told), 0)?;
        same("entries", stats.engine.entries, live)?;
        same("look-ups that are outside", stats.in_flight, 0)?;
        let panics = stats.get_panics + stats.new_panics + stats.engine.listener_panics;
        same("panics", panics, 0)?;
        self.cache.validate();
        Ok(())
    }
}

impl World for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn burst(&self) -> Box<dyn FnMut(&mut Worker) + '_> {
        Box::new(move |worker| {
            for _ in 0..BURST {
                self.step(worker);
            }
            self.time.pass();
        })
    }

    fn stats(&self) -> Stats {
        self.cache.stats().engine
    }

    fn maintain(&self) {
        self.cache.run_maintenance(usize::MAX);
    }

    fn walk(&self) -> u64 {
        self.cache.sessions().count() as u64
    }

    fn check(&self) -> Result<(), String> {
        // What has expired may be kept by a mode: the walk would not meet it.
        self.cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME);
        settle(self)?;
        for session in self.cache.sessions() {
            read(session.id().as_bytes(), session.payload());
        }
        self.check_quiet()
    }

    fn end(&self) -> Result<(), String> {
        self.cache.shutdown();
        settle(self)?;
        self.check_quiet()
    }
}
