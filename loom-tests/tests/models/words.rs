//! Words that tell others something, and that most models leave alone: counters, the flags of a
//! cache, gauges, the time, the breaker, the count of handles, who is woken.
//!
//! Property: whoever finds in a word what another thread has written there sees, too, what it says
//! of that thread; no count is lost, and what one of several has to do, one of them does.
//!
//! Threads: one that writes, one that reads or writes, too.
//!
//! Not covered: counters that nobody waits for; the threads of a cache, which sleep; a success that
//! closes a breaker, which may undo a failure of just then.

use crate::{K, O, has_event};
use halfshake::Delivery;
use halfshake::RemovalCause::Taken;
use halfshake::model::{Counters, Counting, Grace, Handed, Handles, Inserted, Model, Ticks};
use halfshake::session::model::{Breaker, wait_for};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom_tests::{LoneRole, Race, model, role};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// A role that needs no membership.
fn alone<T>(f: impl FnOnce() -> T + 'static) -> LoneRole<T> {
    Box::new(f)
}

/// One counts an event before and after it has told of it, one looks whether any is left.
fn told_and_left(race: &Race, [before, after]: [fn(&Counting); 2], left: fn(&Counters) -> u64) {
    let (counters, told) = (Counters::default(), Arc::new(AtomicU64::new(0)));
    let me = counters.claim();
    before(&me);
    let doing = told.clone();
    let tells = alone(move || {
        doing.store(1, Relaxed);
        after(&me);
        false
    });
    let looks = alone(move || {
        let none = left(&counters) == 0;
        assert!(!none || told.load(Relaxed) == 1, "what the listener did is not seen");
        none
    });
    let [_, none] = race.run_alone([tells, looks]);
    race.saw(if none { "told" } else { "left" });
}

/// Whoever finds that nothing is outstanding sees what the listener did: so does `shutdown`.
///
/// Threads: one tells of the only entry, one looks.
fn delivered_is_seen(race: &Race) {
    told_and_left(race, [Counting::inserted, Counting::delivered], Counters::outstanding);
}
model!(delivered_is_seen, least 4, sees ["told", "left"]);

/// The same of what was handed over.
///
/// Threads: one tells of the only event, one looks.
fn delivered_late_is_seen(race: &Race) {
    told_and_left(race, [Counting::handed_over, Counting::delivered_late], Counters::undelivered);
}
model!(delivered_late_is_seen, least 4, sees ["told", "left"]);

/// While something is undelivered nobody finds that nothing is, though more is handed over
/// meanwhile.
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
model!(undelivered_is_seen, least 11, sees ["one", "both"]);

/// An event is counted before others can have it, and its delivery after its listener: so a
/// shutdown waits for it.
///
/// Threads: one replaces, and its words are explored; one shuts down.
fn counted_beside_shutdown(race: &Race) {
    let (cache, told) = (Model::new(4), Arc::new(AtomicU64::new(0)));
    // Before there is a block that is free.
    let me = cache.counting_member();
    crate::fill(&cache, &[(K, 1)]);
    let doing = told.clone();
    cache.listen(Some(Box::new(move |_, _, value, _| {
        if value == 1 {
            doing.store(1, Relaxed);
        }
    })));
    let replaces = role(|cache: &Model, me: &_| cache.insert(me, K, 2) == Inserted::Stored);
    let ends = role(move |cache: &Model, me: &_| {
        cache.shutdown(me);
        assert_eq!(told.load(Relaxed), 1, "an event was under way when shutdown returned");
        false
    });
    let members = [me, cache.member()];
    let [stored, _] = race.run_as(&cache, members, [replaces, ends]);
    race.saw(if stored { "stored" } else { "refused" });
    cache.check_law(&cache.member());
}
model!(counted_beside_shutdown, least 290, sees ["stored", "refused"]);

/// While a thread tells of an event that was handed over, nobody finds that nothing is undelivered.
///
/// Threads: one replaces, and its words are explored; one delivers that, and what was handed over
/// before.
fn counted_beside_delivery(race: &Race) {
    let cache = Model::with(4, None, Delivery::Thread);
    // Its list is the first that is looked at.
    let me = cache.counting_member();
    crate::fill(&cache, &[(K, 1), (O, 2), (O, 3)]);
    cache.listen(Some(Box::new(|cache, _, _, _| {
        assert!(cache.undelivered() > 0, "an event is under way, and nobody sees it");
    })));
    let replaces = role(|cache: &Model, me: &_| {
        assert_eq!(cache.insert(me, K, 4), Inserted::Stored);
        0
    });
    let delivers = role(|cache: &Model, me: &_| cache.deliver(me));
    let members = [me, cache.member()];
    let [_, delivered] = race.run_as(&cache, members, [replaces, delivers]);
    race.saw(if delivered == 2 { "both" } else { "the first" });
    let me = cache.member();
    assert_eq!(delivered + cache.deliver(&me), 2, "handed over, and not delivered");
    cache.check_law(&me);
}
model!(counted_beside_delivery, least 24, sees ["both", "the first"]);

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
model!(block_given_on, least 4, sees ["the same", "another"]);

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
model!(block_claimed_once, least 4);

/// What was handed over before the end is found by the delivery thread's last look, which its gauge
/// might keep it from.
///
/// Threads: one hands over and asks for the end, one looks whether it has come, and then takes.
fn handed_before_the_end(race: &Race) {
    let (cache, handed) = (Model::unheard(4, Delivery::Caller), Handed::default());
    cache.listen(None);
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
model!(handed_before_the_end, least 16, sees ["the end", "nothing", "early"]);

/// A listener that was set is heard, whoever clears another one meanwhile.
///
/// Threads: one clears the listener, one sets another and then takes.
fn cleared_or_set(race: &Race) {
    let told = Arc::new(AtomicU64::new(0));
    let cache = Model::unheard(4, Delivery::Caller);
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
    race.saw(if cache.has_listener() { "set last" } else { "cleared last" });
    assert!(!cache.has_listener() || told.load(Relaxed) == 1, "it is set, and was told of nothing");
}
model!(cleared_or_set, least 5, sees ["set last", "cleared last"]);

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
model!(time_goes_on, least 16, sees ["behind", "ahead"]);

/// When the pause is over one look-up is let through, and no more before the next pause is.
///
/// Threads: two that ask.
fn breaker_sends_one(race: &Race) {
    let breaker = Breaker::opens_after(1);
    assert!(breaker.failed(0), "it opens");
    let asks = || {
        let breaker = breaker.clone();
        alone(move || breaker.lets_through(Breaker::PAUSE))
    };
    let through = race.run_alone([asks(), asks()]);
    race.saw(if through[0] { "the first" } else { "the second" });
    assert_ne!(through[0], through[1], "one of two is the probe");
}
model!(breaker_sends_one, least 23, sees ["the first", "the second"]);

/// Two fail at once, where so many failures open the breaker; one of them says that it has.
fn opened_by_two(race: &Race, failures: u64) {
    let breaker = Breaker::opens_after(failures);
    let fails = || {
        let breaker = breaker.clone();
        alone(move || breaker.failed(0))
    };
    let opened = race.run_alone([fails(), fails()]);
    race.saw(if opened[0] { "the first" } else { "the second" });
    assert!(!breaker.lets_through(0), "enough have failed, and it is closed");
    assert_ne!(opened[0], opened[1], "one of them has opened it");
}

/// Each failure counts.
///
/// Threads: two that fail, where two failures open it.
fn breaker_opens_once(race: &Race) {
    opened_by_two(race, 2);
}
model!(breaker_opens_once, least 8, sees ["the first", "the second"]);

/// Of several that fail while it would open, one opens it.
///
/// Threads: two that fail, where one failure opens it.
fn breaker_is_opened_by_one(race: &Race) {
    opened_by_two(race, 1);
}
model!(breaker_is_opened_by_one, least 19, sees ["the first", "the second"]);

/// Who is woken sees what was done before that.
///
/// Threads: one waits, and is polled; one does what that one waits for, and wakes it. Not covered:
/// sleep, for here a thread that waits looks again and again; the time-out.
fn woken_sees(race: &Race) {
    let done = Arc::new(AtomicU64::new(0));
    let sleeper = Arc::new(Mutex::new(None::<Waker>));
    let (doing, sleeping) = (done.clone(), sleeper.clone());
    let waits = alone(move || {
        let mut polls = 0;
        wait_for(|cx| {
            polls += 1;
            if polls == 1 {
                *sleeping.lock().expect("nobody panics") = Some(cx.waker().clone());
            }
            if done.load(Relaxed) == 1 {
                return Poll::Ready(polls);
            }
            assert_eq!(polls, 1, "woken, and what it is woken for is not seen");
            Poll::Pending
        })
    });
    let wakes = alone(move || {
        doing.store(1, Relaxed);
        let woken = sleeper.lock().expect("nobody panics").take();
        woken.inspect(Waker::wake_by_ref).map_or(0, |_| 1)
    });
    let [polls, _] = race.run_alone([waits, wakes]);
    race.saw(if polls == 1 { "at once" } else { "woken" });
}
model!(woken_sees, least 11, sees ["at once", "woken"]);

/// The last handle that goes ends the cache, and sees what was done by way of all others.
///
/// Threads: one drops a handle, one clones another and drops both.
fn last_handle_sees(race: &Race) {
    let handles = Handles::of(2);
    let done = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let uses = |mine: usize, clones: bool| {
        let (handles, done) = (handles.clone(), done.clone());
        alone(move || {
            done[mine].store(1, Relaxed);
            if clones {
                handles.come();
                assert!(!handles.go(), "it has another one");
            }
            let ends = handles.go();
            let sees = done[1 - mine].load(Relaxed) == 1;
            assert!(!ends || sees, "the end does not see what another handle did");
            ends
        })
    };
    let ends = race.run_alone([uses(0, false), uses(1, true)]);
    race.saw(if ends[0] { "the first" } else { "the second" });
    assert_ne!(ends[0], ends[1], "one of them ends the cache");
}
model!(last_handle_sees, least 23, sees ["the first", "the second"]);

/// What the collector has is counted, whoever hands it over, and whoever has it back.
///
/// Threads: one hands over, and a grace period ends on it; another grace period ends on the other.
fn grace_is_counted(race: &Race) {
    let grace = Grace::default();
    let over = grace.hand_over(&[1]);
    let collector = grace.clone();
    let hands_over = alone(move || {
        collector.hand_over(&[2, 3])();
        collector.is_behind()
    });
    let asks = grace.clone();
    let collects = alone(move || {
        let behind = asks.is_behind();
        over();
        behind
    });
    let [behind, first] = race.run_alone([hands_over, collects]);
    assert!(first, "what was handed over before is counted");
    race.saw(if behind { "behind" } else { "not behind" });
    assert!(!grace.is_behind(), "a way was counted, and not back");
}
model!(grace_is_counted, least 69, sees ["behind", "not behind"]);
