//! Words that tell others something, and that most models leave alone: counters, the flags of a
//! cache, gauges, the time.
//!
//! Property: whoever finds in a word what another thread has written there sees, too, what it says
//! of that thread; and no count is lost.
//!
//! Threads: one that writes, one that reads or writes, too.
//!
//! Not covered: counters beside whole operations; the threads of a cache, which sleep.

use crate::{K, has_event};
use halfshake::Delivery;
use halfshake::RemovalCause::Taken;
use halfshake::model::{Counters, Handed, Model, Ticks};
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom_tests::{LoneRole, Race, model, role};
use std::sync::Arc;

/// A role that needs no membership.
fn alone<T>(f: impl FnOnce() -> T + 'static) -> LoneRole<T> {
    Box::new(f)
}

/// Whoever finds that nothing is outstanding sees what the listener did: so does `shutdown`.
///
/// Threads: one tells of the only entry, one looks.
fn delivered_is_seen(race: &Race) {
    let (counters, told) = (Counters::default(), Arc::new(AtomicU64::new(0)));
    let me = counters.claim();
    me.inserted();
    let doing = told.clone();
    let tells = alone(move || {
        doing.store(1, Relaxed);
        me.delivered();
        false
    });
    let looks = alone(move || {
        let all = counters.outstanding() == 0;
        assert!(!all || told.load(Relaxed) == 1, "what the listener did is not seen");
        all
    });
    let [_, all] = race.run_alone([tells, looks]);
    race.saw(if all { "told" } else { "outstanding" });
}
model!(delivered_is_seen, least 6, sees ["told", "outstanding"]);

/// The same of what is handed over; and while something is undelivered nobody finds that nothing
/// is, though more is handed over meanwhile.
///
/// Threads: one hands a second event over and tells of the first, one looks.
fn undelivered_is_seen(race: &Race) {
    let counters = Counters::default();
    let me = counters.claim();
    me.handed_over();
    let tells = alone(move || {
        me.handed_over();
        me.delivered_late();
        0
    });
    let looks = alone(move || counters.undelivered());
    let [_, left] = race.run_alone([tells, looks]);
    race.saw(if left == 1 { "one" } else { "both" });
    assert!(left > 0, "one event is undelivered all the time, and nobody sees it");
}
model!(undelivered_is_seen, least 6, sees ["one", "both"]);

/// A block is given on with its counts: none is lost.
///
/// Threads: one counts and leaves, one comes and counts.
fn block_given_on(race: &Race) {
    let counters = Counters::default();
    let me = counters.claim();
    let leaves = alone(move || {
        me.hit();
        drop(me);
    });
    let coming = counters.clone();
    let comes = alone(move || coming.claim().hit());
    race.run_alone([leaves, comes]);
    race.saw(if counters.blocks() == 1 { "the same" } else { "another" });
    assert_eq!(counters.hits(), 2, "a count was lost");
}
model!(block_given_on, least 6, sees ["the same", "another"]);

/// A block has one owner at a time.
///
/// Threads: two that come and count, where one block is free.
fn block_claimed_once(race: &Race) {
    let counters = Counters::default();
    drop(counters.claim());
    let comes = || {
        let counters = counters.clone();
        alone(move || {
            let me = counters.claim();
            me.hit();
            me
        })
    };
    drop(race.run_alone([comes(), comes()]));
    assert_eq!((counters.blocks(), counters.hits()), (2, 2), "a count was lost");
}
model!(block_claimed_once, least 6);

/// What was handed over before the end is found by the delivery thread's last look, which its gauge
/// might keep it from.
///
/// Threads: one hands over and asks for the end, one looks whether it has come, and then takes.
fn handed_before_the_end(race: &Race) {
    let (cache, handed) = (Model::exploring(4, Delivery::Caller), Handed::default());
    crate::fill(&cache, &[(K, 1)]);
    let (giving, taking) = (handed.clone(), handed.clone());
    let gives = role(move |cache, me| {
        giving.give(cache, cache.take_held(me, K).expect("it is there"));
        cache.ask_to_stop();
        None
    });
    let takes = role(move |cache: &Model, _: &_| {
        let last = cache.must_stop();
        Some((last, taking.take(cache)))
    });
    let [_, taken] = race.run(&cache, [gives, takes]);
    let (last, found) = taken.expect("the second role");
    race.saw(match (last, found.len()) {
        (true, _) => "the end",
        (false, 0) => "nothing",
        (false, _) => "early",
    });
    assert!(!last || found.len() == 1, "handed over before the end, and not found at the end");
    let me = cache.member();
    for held in found.into_iter().chain(handed.take(&cache)) {
        cache.give_back(&me, held);
    }
    assert!(has_event(&cache, 1, Taken));
    cache.check_law(&me);
}
model!(handed_before_the_end, least 6, sees ["the end", "nothing", "early"]);

/// A listener that was set is heard, whoever clears another one meanwhile.
///
/// Threads: one clears the listener, one sets another and then takes.
fn cleared_or_set(race: &Race) {
    let told = Arc::new(AtomicU64::new(0));
    let cache = Model::exploring(4, Delivery::Caller);
    crate::fill(&cache, &[(K, 1)]);
    let clears = role(|cache: &Model, _: &_| {
        cache.deafen();
        None
    });
    let telling = told.clone();
    let sets = role(move |cache: &Model, me: &_| {
        cache.listen(Some(Box::new(move |_, _, _, _| telling.store(1, Relaxed))));
        cache.take(me, K)
    });
    let [_, taken] = race.check(&cache, [clears, sets]);
    assert_eq!(taken, Some(1));
    race.saw(if cache.is_heard() { "set last" } else { "cleared last" });
    assert!(!cache.is_heard() || told.load(Relaxed) == 1, "it is set, and was told of nothing");
}
model!(cleared_or_set, least 6, sees ["set last", "cleared last"]);

/// Time turns back for nobody, and is the largest that anybody has seen.
///
/// Threads: two that set the clock and look at it, one of them, which sets it back, twice.
fn time_goes_on(race: &Race) {
    let ticks = Ticks::default();
    let (first, second) = (ticks.clone(), ticks.clone());
    let ahead = alone(move || {
        first.set_clock(5);
        (0, first.now())
    });
    let behind = alone(move || {
        second.set_clock(3);
        let once = second.now();
        (once, second.now())
    });
    let [(_, ahead), (once, again)] = race.run_alone([ahead, behind]);
    race.saw(if once == 3 { "behind" } else { "ahead" });
    assert!(once <= again, "time turned back from {once} to {again}");
    assert_eq!(ticks.seen(), ahead.max(again), "the largest that was seen");
}
model!(time_goes_on, least 6, sees ["behind", "ahead"]);
