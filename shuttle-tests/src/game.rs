//! Plays a plan, and judges what came of it.

use crate::evictions;
use crate::history::{Action, Event, NEVER, Operation, check};
use crate::kinds::Meetings;
use crate::outcome::Outcome;
use crate::plan::{Plan, Shape};
use crate::player::{Log, Player};
use crate::subject::{Bytes, CacheOf, Pairs, Place, Subject};
use crate::threads;
use crate::world::{Shared, Told, World};
use halfshake::{Maintenance, RemovalCause};
use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

/// Plays a plan.
///
/// # Panics
/// If a rule is broken, with what shows it.
#[must_use]
pub fn play(plan: &Plan) -> Outcome {
    match plan.shape {
        Shape::Pairs => play_on::<Pairs>(plan),
        Shape::Bytes => play_on::<Bytes>(plan),
    }
}

fn build<S: Subject>(plan: &Plan, world: &Arc<World>) -> CacheOf<S> {
    let builder = Place { one_set: plan.one_set }.builder::<S>();
    let builder = builder
        .capacity(plan.capacity)
        .max_capacity(plan.max_capacity)
        .shards(1)
        .clock(world.clock.clone())
        .maintenance(plan.maintenance)
        .delivery(plan.delivery)
        .removal_listener(world.listener::<S>());
    let builder = match plan.bytes {
        Some(bytes) => builder.capacity_bytes(bytes).weigher(|_, value| 1 + S::name(value) % 3),
        None => builder,
    };
    let builder = match plan.timeout {
        Some(ticks) => builder.time_to_live(Duration::from_millis(ticks)),
        None => builder,
    };
    builder.build().expect("good settings")
}

fn play_on<S: Subject>(plan: &Plan) -> Outcome {
    let world = World::new(plan.delivery);
    let shared = Arc::new(Shared::<S> { cache: build::<S>(plan, &world), world });
    let plan = Arc::new(plan.clone());
    let players: Vec<_> = (0..plan.threads.len())
        .map(|thread| {
            let (shared, plan) = (shared.clone(), plan.clone());
            threads::spawn(thread + 1, move || {
                Player::<S>::new(&shared, &plan, thread + 1).play(&plan.threads[thread])
            })
        })
        .collect();
    let logs: Vec<Log> =
        players.into_iter().map(|player| player.join().expect("no player panics")).collect();
    let Ok(shared) = Arc::try_unwrap(shared) else { panic!("the players have ended") };
    judge(&plan, shared, logs)
}

/// What the keys hold at the end, as look-ups that come after everything.
fn last_look_ups<S: Subject>(plan: &Plan, shared: &Shared<S>) -> Vec<(u64, Operation)> {
    let look_up = |key| {
        let (called, tick) = (shared.world.now(), shared.world.tick());
        let found = shared.cache.get(S::asked(key).borrow());
        let action = Action::Get(found.map(|found| S::read(found.key(), found.value()).1));
        let returned = shared.world.now();
        (key, Operation { called, returned, clock: (tick, tick), timeout: NEVER, action })
    };
    (0..plan.keys).map(look_up).collect()
}

fn judge<S: Subject>(plan: &Plan, shared: Shared<S>, logs: Vec<Log>) -> Outcome {
    quiesce(&shared, plan);
    let shut_down = logs.iter().filter_map(|log| log.shut_down).min();
    let mut operations: Vec<_> = logs.iter().flat_map(|log| log.operations.clone()).collect();
    operations.extend(last_look_ups(plan, &shared));
    shared.cache.validate();
    let Shared { cache, world } = shared;
    let left: Vec<_> = cache.iter().map(|found| S::read(found.key(), found.value())).collect();
    let before = world.told();
    drop(cache);
    let told = world.told();
    if let Some(shut_down) = shut_down {
        let late = told.iter().find(|told| told.event.at > shut_down);
        assert!(late.is_none(), "told after the shutdown had returned: {late:?}");
    }
    judge_end(&left, &told[before.len()..]);
    assert_eq!(world.alive.count(), 0, "entries that outlive the cache");
    evictions::judge(plan, &logs, &told);
    for key in 0..plan.keys {
        let of_key = |of: &(u64, Operation)| (of.0 == key).then_some(of.1);
        let history: Vec<_> = operations.iter().filter_map(of_key).collect();
        let events = before.iter().filter(|told| told.key == key);
        let events: Vec<Event> = events.map(|told| told.event).collect();
        if let Err(why) = check(&history, &events) {
            panic!("{why}\nkey {key} of {plan:?}");
        }
    }
    Outcome {
        operations: operations.len() as u64,
        events: told.len() as u64,
        stored: logs.iter().map(|log| log.stored).sum(),
        refused: logs.iter().map(|log| log.refused).sum(),
        meetings: Meetings::of(logs.iter().map(|log| &log.spans[..])),
        ..Outcome::default()
    }
}

/// So often its threads have their turn before a cache is taken for quiet: one that has taken it on
/// to evict for a lower limit does so later on, also if the limit was raised again.
const TURNS: usize = 64;

/// No player is left: all is delivered, and all that has gone is given back.
fn quiesce<S: Subject>(shared: &Shared<S>, plan: &Plan) {
    let cache = &shared.cache;
    let turns = if plan.maintenance == Maintenance::Thread { TURNS } else { 1 };
    let mut quiet_before = None;
    for _ in 0..threads::PATIENCE {
        _ = cache.run_maintenance(usize::MAX);
        let (stats, lives) = (cache.stats(), cache.iter().count());
        let is_told = stats.undelivered == 0 && stats.entries == lives as u64;
        let is_back = !S::HOLDS || shared.world.alive.count() == lives;
        let is_paid = stats.entries <= cache.capacity();
        let quiet = is_told && is_back && is_paid && stats.retired_entries == 0;
        let quiet = quiet.then_some(stats.removed_total());
        if quiet.is_some() && quiet == quiet_before {
            return;
        }
        quiet_before = quiet;
        (0..turns).for_each(|_| threads::give_way());
    }
    panic!("events that never came, or entries that nobody gave back: {:?}", cache.stats());
}

/// What was left at the end is told of by its end, and nothing else is.
fn judge_end(left: &[(u64, u64)], told: &[Told]) {
    let ends = told.iter().all(|told| told.cause == RemovalCause::Shutdown);
    let mut names: Vec<_> = told.iter().map(|told| (told.key, told.event.value)).collect();
    let mut left = left.to_vec();
    names.sort_unstable();
    left.sort_unstable();
    assert!(ends && names == left, "{left:?} were left, and told of: {told:?}");
}
