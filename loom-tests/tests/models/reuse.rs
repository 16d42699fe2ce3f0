//! Ways are used again after a grace period, and not before: readers, ABA, and want of room.
//!
//! Property: a way, a number of one and a block of memory each have one owner, from whoever unlinks
//! to whoever claims; none is used again while somebody reads, and none is lost, not with a thread
//! that ends or stands still either.
//!
//! Threads: one that reads or stands still, and one or two that free and want ways.
//!
//! Not covered: the maintenance thread's rounds (`tests/core/limits.rs` has them), and the memory
//! of a large cache's own but for who has its blocks and chunks.
//!
//! Ways are claimed in circular order. `worn` prepares set 0 so that the next way in turn is the
//! one that K lives in: whoever frees it too early gives it away at once.

use crate::{K, X, Y, cache_of, has_event, insert, is_stored, live, take};
use halfshake::Refusal;
use halfshake::RemovalCause::Taken;
use halfshake::model::{Blocks, Inserted, Memory, Model, Retired};
use loom::cell::UnsafeCell;
use loom_tests::{LoneRole, Race, model, role};
use std::rc::Rc;

/// K with value 1 in the way that is next in turn, and nothing else in the set.
fn worn() -> Model {
    let cache = cache_of(4, &[(K, 1), (Y, 10), (Y, 11), (Y, 12)]);
    let me = cache.member();
    assert_eq!(cache.take(&me, Y), Some(12));
    cache.collect(&me);
    cache
}

/// A slow reader reads one entry to the end, though its way is wanted for another.
///
/// Threads: a slow reader, and one that takes the entry and inserts another key.
fn reuse_slow_reader(race: &Race) {
    let cache = worn();
    let get = role(|cache, me| {
        cache.get_slowly(me, K, X);
    });
    let reuse = role(|cache, me| {
        assert_eq!(cache.take(me, K), Some(1));
        cache.insert(me, X, 2);
    });
    race.check(&cache, [get, reuse]);
    assert_eq!(live(&cache), [2], "not the last one alone");
}
model!(reuse_slow_reader, least 400);

/// Two inserts, one of which needs the way that the other's thread has just freed.
///
/// Threads: one inserts, one takes and inserts.
fn reuse_insert(race: &Race) {
    let cache = worn();
    let reuse = role(|cache, me| {
        assert_eq!(cache.take(me, K), Some(1));
        cache.insert(me, X, 2);
    });
    race.check(&cache, [insert(Y, 3), reuse]);
    assert_eq!(live(&cache), [2, 3], "not the last two");
}
model!(reuse_insert, least 4400, sees ["freed before the joins"]);

/// ABA: the control word must not look unchanged to an insert when its key came meanwhile, in the
/// way of an entry that went.
///
/// Threads: one inserts X, one takes K and inserts X.
fn aba_insert(race: &Race) {
    let cache = worn();
    let take_and_insert = role(|cache, me| {
        assert_eq!(cache.take(me, K), Some(1));
        cache.insert(me, X, 3);
    });
    race.check(&cache, [insert(X, 2), take_and_insert]);
    // Three of them in `worn`.
    assert_eq!((live(&cache).len(), cache.events().len()), (1, 3 + 2), "five left");
}
model!(aba_insert, least 6500);

/// ABA: a take must not unlink another entry, in the way of the one that it looked up.
///
/// Threads: one takes K, one takes K and inserts X.
fn aba_take(race: &Race) {
    let cache = worn();
    let take_and_insert = role(|cache, me| {
        let taken = cache.take(me, K);
        cache.insert(me, X, 2);
        taken
    });
    let [a, b] = race.check(&cache, [take(K), take_and_insert]);
    race.saw(if a.is_some() { "first" } else { "second" });
    assert_ne!(a.is_some(), b.is_some(), "not one winner: {a:?} {b:?}");
    assert!(!has_event(&cache, 2, Taken), "another entry was taken");
    assert_eq!(live(&cache), [2], "not the last one alone");
}
model!(aba_take, least 390, sees ["first", "second"]);

/// While a reader stays pinned ways run out: an insert is refused, changes nothing, and succeeds
/// when the reader has gone.
///
/// Threads: one replaces until no way is left, one looks up. A third is pinned all the time.
fn no_room(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let reader = cache.member();
    let pin = cache.pin(&reader);
    let replace = role(|cache, me| {
        for value in 2..5 {
            assert!(is_stored(cache.insert(me, K, value)), "there is a way for each");
        }
        let inserted = cache.insert(me, K, 5);
        assert_eq!(inserted, Inserted::Refused(Refusal::NoRoom), "a way that waits was used");
        Some(4)
    });
    let get = role(|cache, me| {
        let got = cache.get(me, K);
        assert!(got.is_some_and(|value| value < 5), "a refused insert changed something: {got:?}");
        got
    });
    let [_, got] = race.run(&cache, [replace, get]);
    race.saw(if got == Some(4) { "last" } else { "earlier" });
    assert_eq!(live(&cache), [4], "a refused insert changed something");
    drop((pin, reader));
    let me = cache.member();
    cache.collect(&me);
    assert!(is_stored(cache.insert(&me, K, 9)), "no room after the grace period");
    cache.check_law(&me);
}
model!(no_room, least 4100, sees ["last", "earlier"]);

/// What a thread retires and then leaves alone is free for others: nobody's bag keeps it.
///
/// Threads: one has retired three ways before, and never comes back; two insert into that set,
/// which has no way left but by helping the collector.
fn idle_retirer(race: &Race) {
    let cache = Model::new(4);
    let idle = cache.member();
    for value in 1..5 {
        assert!(is_stored(cache.insert(&idle, K, value)));
    }
    let put = |key, value| {
        role(move |cache: &Model, me: &_| {
            assert!(is_stored(cache.insert(me, key, value)), "an idle thread keeps ways");
        })
    };
    race.run(&cache, [put(X, 5), put(Y, 6)]);
    assert_eq!(live(&cache).len(), 2);
    cache.check_law(&idle);
}
model!(idle_retirer, least 6800, batch 8);

/// What a thread has retired is free for others when it has ended.
///
/// Threads: one, which has replaced an entry before, replaces it again and ends; one inserts
/// another key.
fn thread_exit(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let own = cache.member();
    assert!(is_stored(cache.insert(&own, K, 2)));
    let replace_and_end = role(move |cache: &Model, _: &_| {
        assert!(is_stored(cache.insert(&own, K, 3)));
        drop(own);
    });
    race.run(&cache, [replace_and_end, insert(X, 4)]);
    let me = cache.member();
    // No way is left but those of the thread that has ended.
    assert!(is_stored(cache.insert(&me, X, 5)), "a thread took ways with it");
    assert_eq!(live(&cache), [3, 5]);
    cache.check_law(&me);
}
model!(thread_exit, least 1_500, batch 8);

/// What a thread retires is taken once, though it writes over what was taken before.
///
/// Threads: one that retires two ways more, as far as there is room, and one that takes twice.
fn ring_wraps(race: &Race) {
    let ring = Retired::default();
    assert!(ring.push(1) && ring.push(2), "room for two");
    let (adding, taking) = (ring.clone(), ring.clone());
    // What found no room counts as taken, by the one who kept it.
    let adds: LoneRole<Vec<u32>> =
        Box::new(move || [3, 4].into_iter().filter(|way| !adding.push(*way)).collect());
    let takes: LoneRole<Vec<u32>> = Box::new(move || [taking.take(), taking.take()].concat());
    let mut all: Vec<_> = race.run_alone([adds, takes]).concat();
    let left = ring.take();
    race.saw(if left == [3, 4] { "both are left" } else { "taken while others were added" });
    all.extend(left);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4], "each way once");
}
model!(ring_wraps, least 40, sees ["both are left", "taken while others were added"]);

/// What is taken from a ring was read before its place is written again.
///
/// Threads: one that takes from a full ring, and one that adds to it if there is room. The numbers
/// are atomics, and loom never reads what is written later: a cell stands for one of them, which
/// loom has to see read before it is written. That `take` reads before it claims is not seen here.
fn ring_read_first(race: &Race) {
    let ring = Retired::default();
    assert!(ring.push(1) && ring.push(2), "room for two");
    let number = Rc::new(UnsafeCell::new(()));
    // Creation does not advance the creator's clock; a write does.
    number.with_mut(|_| ());
    let (taking, adding, read) = (ring.clone(), ring.clone(), number.clone());
    let takes: LoneRole<bool> = Box::new(move || {
        // As the numbers are: before the claim.
        read.with(|_| ());
        taking.take() == [1, 2]
    });
    let adds: LoneRole<bool> = Box::new(move || {
        let has_room = adding.push(3);
        if has_room {
            number.with_mut(|_| ());
        }
        has_room
    });
    let [taken, added] = race.run_alone([takes, adds]);
    assert!(taken, "nobody else takes");
    race.saw(if added { "room" } else { "full" });
    assert_eq!(ring.take(), if added { vec![3] } else { vec![] }, "each way once");
}
model!(ring_read_first, least 8, sees ["room", "full"]);

/// Of two who take at once each way is one's.
///
/// Threads: one that retires two ways, two that take.
fn ring_two_takers(race: &Race) {
    let ring = Retired::default();
    let adding = ring.clone();
    let adds: LoneRole<Vec<u32>> =
        Box::new(move || [1, 2].into_iter().filter(|way| !adding.push(*way)).collect());
    let takes = || -> LoneRole<Vec<u32>> {
        let ring = ring.clone();
        Box::new(move || ring.take())
    };
    let mut all: Vec<_> = race.run_alone([adds, takes(), takes()]).concat();
    all.extend(ring.take());
    all.sort_unstable();
    assert_eq!(all, [1, 2], "each way once");
}
model!(ring_two_takers, least 370);

/// Free blocks of memory are with one thread at a time, and none is lost.
///
/// Threads: two, each of which takes blocks twice, and gives the first ones back in between.
/// Not covered: the memory of the blocks, which has one owner if they have.
fn depot_takes(race: &Race) {
    let depot = Blocks::default();
    for block in 1..=3 {
        depot.give(&[block]);
    }
    let role = || -> LoneRole<Vec<usize>> {
        let depot = depot.clone();
        Box::new(move || {
            let first = depot.take();
            if !first.is_empty() {
                depot.give(&first);
            }
            depot.take()
        })
    };
    let mut all: Vec<_> = race.run_alone([role(), role()]).concat();
    loop {
        let left = depot.take();
        if left.is_empty() {
            break;
        }
        all.extend(left);
    }
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3], "each block once");
}
model!(depot_takes, least 83);

/// Blocks that are given while others are taken stay apart, and none is lost.
///
/// Threads: one gives two blocks together, one takes what is there.
fn depot_gives(race: &Race) {
    let depot = Blocks::default();
    depot.give(&[1]);
    let (giving, taking) = (depot.clone(), depot.clone());
    let gives: LoneRole<Vec<usize>> = Box::new(move || {
        giving.give(&[2, 3]);
        Vec::new()
    });
    let takes: LoneRole<Vec<usize>> = Box::new(move || taking.take());
    let mut all: Vec<_> = race.run_alone([gives, takes]).concat();
    race.saw(if all == [1] { "the old one" } else { "the new ones" });
    all.extend(depot.take());
    all.extend(depot.take());
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3], "each block once");
}
model!(depot_gives, least 11, sees ["the old one", "the new ones"]);

/// Two threads take blocks of one memory at the same time. What each has of it, and how many chunks
/// were mapped and are spare at the end.
fn taken_by_two(race: &Race, batches_left: usize) -> ([Vec<usize>; 2], [usize; 2]) {
    let memory = Memory::nearly_used_up(batches_left);
    let role = || -> LoneRole<Vec<usize>> {
        let memory = memory.clone();
        Box::new(move || memory.take())
    };
    let taken = race.run_alone([role(), role()]);
    let mut all = taken.concat();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert!(count > 0 && all.len() == count, "a block was given twice");
    (taken, memory.mapped_and_spare())
}

/// A chunk is cut up by several: each has blocks of its own.
///
/// Threads: two that take a batch each, which is what the chunk has left.
fn chunk_cut_by_two(race: &Race) {
    let (taken, chunks) = taken_by_two(race, 2);
    race.saw(if taken[0] < taken[1] { "in their order" } else { "the other way round" });
    assert_eq!(chunks, [2, 1], "nobody needed another one");
}
model!(chunk_cut_by_two, least 34, sees ["in their order", "the other way round"]);

/// A chunk that has come to its end is replaced once, and no other one is lost.
///
/// Threads: two that find it used up.
fn chunk_replaced_by_two(race: &Race) {
    let (_, [mapped, spare]) = taken_by_two(race, 0);
    race.saw(if spare == 0 { "one replaced it" } else { "both had another one" });
    assert_eq!(mapped - spare, 2, "a chunk is lost: neither used up, nor in use, nor spare");
}
model!(chunk_replaced_by_two, least 186, sees ["one replaced it", "both had another one"]);

/// Of what a chunk has left one gets the last, and the other one gets of the next chunk.
///
/// Threads: two that take a batch each, where one is left.
fn chunk_ends_between_two(race: &Race) {
    let (_, chunks) = taken_by_two(race, 1);
    assert_eq!(chunks, [2, 0], "the spare one is in use");
}
model!(chunk_ends_between_two, least 34);
