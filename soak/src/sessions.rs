//! A session cache with all of its callbacks, and a store outside that answers in every way.

use crate::ledger::{Lately, Ledger, Mistake, Shared, Sum, mix, same};
use crate::worker::Worker;
use crate::world::{Time, World, settle, unless_nested};
use halfshake::session::{
    Answer, Asked, Modes, Namespace, New, Removed, Resumed, Session, SessionCache, SessionId, Side,
    Times, Verdict,
};
use halfshake::{RemovalCause, Stats};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
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
    name: &'static str,
    cache: SessionCache<u64>,
    books: Arc<Books>,
    names: Vec<Namespace>,
    time: Time,
    /// The cache has seen this time, in milliseconds: what it finds ends later.
    seen: AtomicU64,
}

/// Who was stored, and who was told of.
#[derive(Debug, Default)]
struct Books {
    /// Of sessions that workers have made, as they were made.
    ledger: Ledger,
    /// Of those from outside, and of renewed ones: nobody is told whether they were stored.
    others_told: Shared,
    lately: Lately,
}

impl Books {
    fn tell(&self, said: &Said, created: Duration, is_taken: bool) {
        if said.is_own(created) {
            return self.ledger.tell(said.number, is_taken);
        }
        if is_taken {
            self.ledger.told_taken.count(1);
        }
        self.others_told.count(1);
        self.lately.tell(mix(said.number) ^ mix(said.created_ms(created)));
    }
}

/// Numbers from here on are workers', those below the store's outside.
const WORKERS: u64 = 1 << 48;

/// What a session says of itself.
struct Said {
    number: u64,
    made_ms: u64,
}

impl Said {
    fn created_ms(&self, created: Duration) -> u64 {
        u64::try_from(created.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether it is a worker's, and as it was made: who renews a session changes its times.
    fn is_own(&self, created: Duration) -> bool {
        self.number >= WORKERS && self.created_ms(created) == self.made_ms
    }
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

/// Makes a session that lives for so long, if it is given, else for the cache's timeout.
fn session(
    cache: &SessionCache<u64>,
    name: &Namespace,
    (of, number): (u64, u64),
    lives: Option<Duration>,
) -> Option<Session> {
    let id = SessionId::new(&id_of(of)).ok()?;
    let times = cache.make(name, id, TLS12, &[]).times();
    let now = times.created();
    let end = lives.map_or(times.not_after(), |lives| now + lives);
    let times = Times::new(now, end, times.auth_not_after());
    let made_ms = u64::try_from(times.created().as_millis()).unwrap_or(u64::MAX);
    let mut payload = [7; PAYLOAD];
    for (at, word) in [(0, number), (8, of), (16, mix(number ^ of)), (24, made_ms)] {
        payload[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    Some(Session::new(name, id, TLS12, times, &payload))
}

/// What a session says that was found under an id.
///
/// # Panics
/// If it is not what was stored under it: a violation.
fn read(id: &[u8], payload: &[u8]) -> Said {
    let [number, of, check, made_ms] = [0, 8, 16, 24].map(|at| word(payload, at));
    let is_whole = payload.len() == PAYLOAD && check == mix(number ^ of);
    assert!(is_whole && of == word(id, 0), "session {number:x} of {of} under another id");
    Said { number, made_ms }
}

/// Sessions that the store outside makes, each of a number of its own.
fn outside(next: &AtomicU64, asked: &Asked<'_, u64>, random: u64) -> Answer {
    let (cache, of) = (asked.cache(), word(asked.id(), 0));
    let number = next.fetch_add(1, Relaxed);
    let lives = random.is_multiple_of(5).then(|| Duration::from_millis(1 + random % 30));
    let made = |of| session(cache, asked.namespace(), (of, number), lives);
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

fn on_remove(books: &Arc<Books>) -> impl Fn(&Removed<'_, u64>) + Send + Sync + use<> {
    let books = books.clone();
    move |gone| {
        let said = read(gone.id(), gone.payload());
        let is_taken = gone.cause() == RemovalCause::Taken;
        books.tell(&said, gone.times().created(), is_taken);
        if said.number.is_multiple_of(251)
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

/// Knows whether it was stored, also of one that it refuses.
fn on_new(books: &Arc<Books>) -> impl Fn(&u64, &New<'_, u64>) -> Verdict + Send + Sync + use<> {
    let books = books.clone();
    move |connection, new| {
        if new.is_stored() {
            let session = new.session();
            books.ledger.stored.add(read(session.id().as_bytes(), session.payload()).number);
        }
        if mix(*connection).is_multiple_of(16) { Verdict::Refuse } else { Verdict::Keep }
    }
}

impl Sessions {
    pub(crate) fn new(name: &'static str, mistake: Option<Mistake>) -> Result<Self, String> {
        let books = Arc::new(Books { ledger: Ledger::new(mistake), ..Books::default() });
        let time = Time::new(BEGIN);
        let cache = SessionCache::<u64>::builder()
            .capacity(CAPACITY)
            .timeout(Duration::from_secs(3))
            .max_lifetime(Duration::from_secs(20))
            .modes(Modes::SERVER | Modes::UPDATE_TIME)
            .sweep_interval(Duration::from_millis(50))
            .clock(time.clock())
            .wall_clock(time.clock())
            .breaker(0, Duration::ZERO)
            .new_callback(on_new(&books))
            .get_callback(on_get())
            .remove_callback(on_remove(&books))
            .build()
            .map_err(|error| error.to_string())?;
        let names = (0..NAMES)
            .map(|n| Namespace::new(&[b'a' + n.to_le_bytes()[0]]))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        Ok(Self { name, cache, books, names, time, seen: AtomicU64::new(0) })
    }

    /// Lets time pass, and sometimes the cache see it.
    fn pass(&self, worker: &mut Worker) {
        self.time.pass();
        if worker.once_in(8) {
            let now = self.time.now_ms();
            self.cache.run_maintenance(16);
            self.seen.fetch_max(now, Release);
        }
    }

    /// Checks what a look-up inside has found that began when the cache had seen this time.
    fn found(&self, id: &[u8], found: &Resumed<'_>, seen: u64) -> Said {
        let said = read(id, found.payload());
        assert!(!self.books.ledger.misreads(), "a value that was misread on purpose");
        let end = found.times().not_after();
        assert!(
            found.is_external() || Duration::from_millis(seen) < end,
            "session {:x} was found at {seen} ms, and its end was {end:?}",
            said.number
        );
        said
    }

    fn step(&self, worker: &mut Worker) {
        let (cache, of, number) = (&self.cache, worker.key(IDS), worker.number());
        let (id, name) = (id_of(of), &self.names[usize::try_from(of % NAMES).unwrap_or(0)]);
        let lives = worker.once_in(4).then(|| Duration::from_millis(1 + worker.below(30)));
        let seen = self.seen.load(Acquire);
        // All of them may store something: a look-up, what is outside.
        let held = self.time.hold();
        match worker.below(1000) {
            0..=249 => {
                if let Some(session) = session(cache, name, (of, number), lives) {
                    worker.call(1, || cache.new_session(&number, Side::Server, &session));
                }
            }
            250..=299 => {
                if let Some(session) = session(cache, name, (of, number), lives)
                    && worker.call(1, || cache.add(&session)).is_ok()
                {
                    self.books.ledger.stored.add(number);
                }
            }
            300..=699 => worker.call(1, || {
                let found = cache.resume(&number, name, &id);
                found.iter().for_each(|found| _ = self.found(&id, found, seen));
            }),
            700..=829 => worker.call(1, || {
                if let Some(taken) = cache.take(&number, name, &id) {
                    let said = self.found(&id, &taken, seen);
                    if !taken.is_external() {
                        self.books.ledger.taken.add(said.number);
                    }
                }
            }),
            830..=899 => worker.call(1, || {
                let handle = cache.find(name, &id).and_then(|found| {
                    self.found(&id, &found, seen);
                    found.handle()
                });
                if let Some(handle) = handle.filter(|_| of.is_multiple_of(3)) {
                    cache.remove_exact(&handle);
                }
            }),
            900..=959 => _ = worker.call(1, || cache.remove(name, &id)),
            960..=998 => _ = worker.call(1, || cache.connection_failed(name, &id)),
            _ => {
                drop(held);
                self.disturb(worker, name);
            }
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
            3..=4 => _ = cache.set_remove_callback(on_remove(&self.books)),
            5..=6 => _ = cache.set_get_callback(on_get()),
            7 => _ = cache.set_new_callback(on_new(&self.books)),
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

    /// What lives: of those that workers have made, and are as they were made; and of the others.
    fn live(&self) -> (Sum, u64) {
        let (mut own, mut others) = (Sum::default(), 0);
        for session in self.cache.sessions() {
            let said = read(session.id().as_bytes(), session.payload());
            if said.is_own(session.times().created()) {
                own.add(said.number);
            } else {
                others += 1;
            }
        }
        (own, others)
    }

    fn check_quiet(&self) -> Result<(), String> {
        let (stats, books) = (self.cache.stats(), &self.books);
        let ledger = &books.ledger;
        let (own, others) = self.live();
        let told = ledger.told.sum();
        same("the law: stored = told + live", ledger.stored.sum(), told.and(own))?;
        let removed = told.count + books.others_told.sum().count;
        let live = own.count + others;
        same("the law: inserts = told + live, of all", stats.engine.inserts, removed + live)?;
        same("removals", stats.engine.removed_total(), removed)?;
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
        self.name
    }

    fn burst(&self) -> Box<dyn FnMut(&mut Worker) + '_> {
        Box::new(move |worker| {
            for _ in 0..BURST {
                self.step(worker);
            }
            self.pass(worker);
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
        // The cache has seen the time by now, which stands still.
        let now = Duration::from_millis(self.time.now_ms());
        if self.cache.sessions().any(|session| now >= session.times().not_after()) {
            return Err(format!("a session is there at {now:?} that has ended"));
        }
        self.check_quiet()
    }

    fn end(&self) -> Result<(), String> {
        self.cache.shutdown();
        settle(self)?;
        self.check_quiet()
    }
}
