//! The session cache with two namespaces: what is done to one leaves the other one alone.
//!
//! Property: a flush of a namespace takes what is of it and nothing else, neither what lies inside
//! nor what a look-up that is out brings meanwhile.
//!
//! Threads: one that flushes a namespace, one that looks up in another one.
//!
//! Not covered: what comes to the namespace that is flushed (`flights.rs` and `late.rs` have it);
//! more than two.

use crate::late::in_turn;
use halfshake::session::model::Sessions;
use halfshake::session::{Answer, Namespace, Session, SessionCache, SessionId};
use halfshake::{Maintenance, ManualClock, RemovalCause};
use loom_tests::{LoneRole, Race, model};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// In both namespaces from the beginning.
const ID: [u8; 32] = [1; 32];
/// In the store alone, and of the other namespace.
const OUTSIDE: [u8; 32] = [2; 32];
const TLS12: u16 = 0x0303;

type Told = Arc<Mutex<Vec<(Vec<u8>, RemovalCause)>>>;

fn flushed() -> Namespace {
    Namespace::new(b"flushed").expect("short")
}

fn other() -> Namespace {
    Namespace::new(b"other").expect("short")
}

fn session(cache: &SessionCache<()>, of: &Namespace, id: &[u8]) -> Session {
    cache.make(of, SessionId::new(id).expect("32 bytes"), TLS12, b"payload")
}

/// A cache over a store that has a session for whoever asks, and the namespaces and causes that its
/// remove callback is told.
fn cache_of_two() -> (SessionCache<()>, Told) {
    let (clock, told) = (ManualClock::new(), Told::default());
    let log = told.clone();
    let cache = SessionCache::builder()
        .capacity(4)
        .shards(1)
        .clock(clock.clone())
        .wall_clock(clock)
        .maintenance(Maintenance::Embedder)
        .breaker(0, Duration::ZERO)
        // Loom's atomics take long to make.
        .remember_unknown(2, Duration::from_secs(2))
        .get_callback(|(), asked| {
            Answer::handed_over(session(asked.cache(), asked.namespace(), asked.id()))
        })
        .remove_callback(move |gone| {
            log.lock().expect("one thread").push((gone.namespace().to_vec(), gone.cause()));
        })
        .build()
        .expect("good settings");
    for of in [flushed(), other()] {
        cache.add(&session(&cache, &of, &ID)).expect("there is room");
    }
    (cache, told)
}

/// A flush of a namespace leaves what is of another one: what lies inside, also under the same id,
/// and what a look-up brings while the flush goes on.
///
/// Threads: one flushes a namespace; one looks up in the other one what only the store has.
fn other_namespace_stays(race: &Race) {
    flush_beside_a_look_up(race, || (), || ());
}
model!(other_namespace_stays, least 30, preemptions 1, sees ["brought meanwhile"]);

/// The same where the look-up is out before, and comes back afterwards.
///
/// Threads: the same; the one that flushes lets the other one begin.
fn other_namespace_is_out(race: &Race) {
    let (begins, lets_begin) = in_turn();
    flush_beside_a_look_up(race, begins, lets_begin);
}
model!(other_namespace_is_out, least 18, preemptions 1, sees ["flushed meanwhile"]);

/// `begins` and `lets_begin`: what the look-up and the flush call first.
fn flush_beside_a_look_up(
    race: &Race,
    begins: impl FnOnce() + 'static,
    lets_begin: impl FnOnce() + 'static,
) {
    // Its end ends the memberships of all caches.
    let memberships = Sessions::new(0);
    let (cache, told) = cache_of_two();
    let (flushing, asking) = (cache.clone(), cache.clone());
    let stage = Rc::new(Cell::new("before"));
    let stage_now = stage.clone();
    let flushes: LoneRole<&'static str> = Box::new(move || {
        lets_begin();
        stage.set("during");
        assert_eq!(flushing.flush_namespace(&flushed()), 1, "not what is of it alone");
        stage.set("after");
        "flushed"
    });
    let looks_up: LoneRole<&'static str> = Box::new(move || {
        let begun = stage_now.get();
        begins();
        let found = asking.resume(&(), &other(), &OUTSIDE).expect("the store has it");
        assert!(found.is_external());
        match (begun, stage_now.get()) {
            (_, "during") => "brought meanwhile",
            ("before", "after") => "flushed meanwhile",
            _ => "one after the other",
        }
    });
    let [_, looked_up] = race.run_alone([flushes, looks_up]);
    race.saw(looked_up);
    let is_inside = |of: &Namespace, id: &[u8]| cache.find(of, id).is_some();
    assert!(!is_inside(&flushed(), &ID), "flushed, and there");
    assert!(is_inside(&other(), &ID), "what lay inside of another one is gone");
    assert!(is_inside(&other(), &OUTSIDE), "what came to another one is gone");
    let events = told.lock().expect("one thread").clone();
    assert_eq!(events, [(b"flushed".to_vec(), RemovalCause::Flushed)], "not one event");
    cache.validate();
    cache.shutdown();
    drop(cache);
    memberships.end();
}
