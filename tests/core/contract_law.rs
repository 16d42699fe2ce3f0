//! The law of removal, for sessions, under everything at once: exactly one event for each session
//! that was stored, and none that comes back.

use crate::sessions::{BEGIN, TLS12};
use halfshake::RemovalCause;
use halfshake::session::{
    Answer, Modes, Namespace, Session, SessionCache, SessionId, Side, Verdict,
};
use halfshake::{Maintenance, ManualClock};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const THREADS: u64 = 4;
const STEPS: u64 = 4_000;
const IDS: u64 = 24;

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % most
    }
}

fn name(of: u64) -> Namespace {
    Namespace::new(&[u8::try_from(of).expect("few")]).expect("one byte")
}

fn id(of: u64) -> [u8; 32] {
    [u8::try_from(of).expect("few"); 32]
}

/// A session whose payload is its name: a number that no other one has.
fn session(cache: &SessionCache<u64>, of: u64, number: u64) -> Session {
    let id = SessionId::new(&id(of)).expect("32 bytes");
    cache.make(&name(of % 3), id, TLS12, &number.to_le_bytes())
}

fn number(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload.try_into().expect("a number"))
}

fn step(cache: &SessionCache<u64>, clock: &ManualClock, random: &mut Random, number: u64) {
    let of = random.below(IDS);
    let (name, id) = (name(of % 3), id(of));
    match random.below(64) {
        0..16 => drop(cache.new_session(&number, Side::Server, &session(cache, of, number))),
        16..20 => drop(cache.add(&session(cache, of, number))),
        20..40 => drop(cache.resume(&number, &name, &id)),
        40..48 => drop(cache.take(&number, &name, &id)),
        48..52 => drop(cache.remove(&name, &id)),
        52..54 => drop(cache.connection_failed(&name, &id)),
        54 => drop(cache.flush_namespace(&name)),
        55 => drop(cache.flush_all()),
        56 => drop(cache.flush_sessions(cache.wall_now())),
        57 => drop(cache.set_capacity(1 + random.below(16))),
        58 => clock.advance(Duration::from_millis(random.below(40))),
        59 => drop(cache.run_maintenance(usize::MAX)),
        60 => drop(cache.set_modes(Modes::OFF)),
        61 => drop(cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_STORE)),
        _ => drop(cache.set_modes(Modes::SERVER)),
    }
}

/// Each `every`-th call of any callback panics.
fn run(seed: u64, every: u64) {
    println!("seed {seed}, every {every}th call panics");
    let clock = ManualClock::new();
    clock.set(BEGIN);
    let calls = Arc::new(Mutex::new(0u64));
    let events = Arc::new(Mutex::new(Vec::<(u64, RemovalCause)>::new()));
    let maybe_panic = move || {
        let nth = {
            let mut calls = calls.lock().expect("no panic under it");
            *calls += 1;
            *calls
        };
        assert!(!nth.is_multiple_of(every), "injected");
    };
    let (new, get, remove) = (maybe_panic.clone(), maybe_panic.clone(), maybe_panic);
    let told = events.clone();
    let cache = SessionCache::<u64>::builder()
        .capacity(8)
        .max_capacity(16)
        .timeout(Duration::from_millis(200))
        .maintenance(Maintenance::Embedder)
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .new_callback(move |connection, _| {
            new();
            if connection.is_multiple_of(5) { Verdict::Refuse } else { Verdict::Keep }
        })
        .get_callback(move |connection, asked| {
            get();
            let of = u64::from(asked.id()[0]);
            match connection % 4 {
                0 => Answer::unknown(),
                1 => Answer::handed_over(session(asked.cache(), (of + 1) % IDS, 0)),
                // The name of what comes from outside is its asker's, with a bit of its own.
                _ => Answer::handed_over(session(asked.cache(), of, connection | 1 << 60)),
            }
        })
        // What panics all the time is to be asked all the same.
        .breaker(0, Duration::ZERO)
        .remove_callback(move |gone| {
            let event = (number(gone.payload()), gone.cause());
            assert!(
                gone.cache()
                    .find(&name(u64::from(gone.namespace()[0])), gone.id())
                    .is_none_or(|found| number(found.payload()) != event.0)
            );
            told.lock().expect("no panic under it").push(event);
            remove();
        })
        .build()
        .expect("good settings");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, clock) = (&cache, &clock);
            scope.spawn(move || {
                let mut random = Random(seed * 1000 + thread);
                for i in 0..STEPS {
                    let number = 1 + i * THREADS + thread;
                    let step = || step(cache, clock, &mut random, number);
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(step)) {
                        assert_eq!(panic.downcast_ref::<&str>(), Some(&"injected"));
                    }
                }
            });
        }
    });
    drop(catch_unwind(AssertUnwindSafe(|| cache.shutdown())));
    check(&cache, &events.lock().expect("no panic under it"), every);
}

fn check(cache: &SessionCache<u64>, events: &[(u64, RemovalCause)], every: u64) {
    let stats = cache.stats();
    assert_eq!(stats.engine.inserts, events.len() as u64, "one event for each that was stored");
    let mut times = HashMap::<u64, u32>::new();
    events.iter().for_each(|(number, _)| *times.entry(*number).or_default() += 1);
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "told of twice: {twice:?}");
    assert_eq!(cache.len(), 0);
    assert!(stats.asked > 100, "hardly anybody asked outside");
    assert!(every < 4 || stats.rejected.iter().sum::<u64>() > 10, "hardly anything was rejected");
    cache.validate();
}

#[test]
fn every_session_that_was_stored_has_exactly_one_event() {
    (0..6).for_each(|seed| run(seed, u64::MAX));
}

#[test]
fn panics_of_every_callback_leave_the_law_intact() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"injected") {
            usual(panic);
        }
    }));
    [1, 2, 3, 7, 20, 61, 200].into_iter().for_each(|every| run(every, every));
}
