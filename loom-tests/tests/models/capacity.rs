//! The limits: never passed, never lost, in entries and in bytes.
//!
//! Property: free, granted and live units add up to the limit, so none is passed and none is lost;
//! what waits for readers is bounded, too.
//!
//! Threads: two that insert, take or change the limit; a third one that observes or stands still.
//!
//! Not covered: inserts at limits of more than two, where the limit is not changed meanwhile (it is
//! changed between one and four); more than two inserts that wait for one another's bytes.

use crate::{K, O, X, Y, cache_of, has_event, insert, is_stored, live, take, try_insert};
use halfshake::RemovalCause::{Evicted, Taken};
use halfshake::model::{Inserted, Model};
use halfshake::{Delivery, Refusal};
use loom_tests::{Race, Role, model, role};

/// The limit is used to the full again when all is quiet: no unit was lost.
fn assert_no_unit_is_lost(cache: &Model, limit: usize) {
    let me = cache.member();
    for (i, key) in [K, O, X, O + 2].into_iter().take(limit).enumerate() {
        assert_eq!(cache.insert(&me, key, 100 + i as u64), Inserted::Stored);
    }
    assert_eq!(cache.live(&me).len(), limit, "lasting under-use");
    cache.check_law(&me);
}

/// A limit of one holds one, in whichever set.
///
/// Threads: two that insert into different sets.
fn limit_two_sets(race: &Race) {
    let cache = Model::new(1);
    let [a, b] = race.check(&cache, [try_insert::<bool>(K, 1), try_insert(O, 2)]);
    race.saw(if a && b { "both stored" } else { "one refused" });
    assert!(a || b, "both were refused");
    assert_eq!(live(&cache).len(), 1, "limit 1");
    assert_no_unit_is_lost(&cache, 1);
}
model!(limit_two_sets, least 1200, sees ["both stored"]);

/// A limit of one holds one, in one set.
///
/// Threads: two that insert different keys of one set.
fn limit_one_set(race: &Race) {
    let cache = Model::new(1);
    let [a, b] = race.check(&cache, [try_insert::<bool>(K, 1), try_insert(X, 2)]);
    race.saw(if a && b { "both stored" } else { "one refused" });
    assert!(a || b, "both were refused");
    assert_eq!(live(&cache).len(), 1, "limit 1");
    assert_no_unit_is_lost(&cache, 1);
}
model!(limit_one_set, least 8_000, preemptions 1, sees ["both stored"]);

/// Of two that want the last unit one gets it, and the other makes room: the limit holds at every
/// instant.
///
/// Threads: two that insert new keys, into the set of the one that is there and into the other set;
/// one observes; limit 2. What makes room is the oldest, in set 0, where the observer looks last.
fn limit_last_unit(race: &Race) {
    let cache = cache_of(2, &[(K, 1)]);
    let observe = role(|cache: &Model, me: &_| {
        let seen = cache.observe(me);
        assert!(seen <= 2, "the limit was passed for an observer");
        seen
    });
    let [a, b, seen] = race.check(&cache, [try_insert(X, 2), try_insert(O, 3), observe]);
    race.saw(["none", "one", "two"][seen as usize]);
    assert_eq!((a, b), (1, 1), "refused, though there was one to make room");
    assert_eq!(live(&cache), [2, 3], "limit 2");
    assert_eq!(cache.events(), [(1, Evicted)], "not the oldest, and once");
    assert_no_unit_is_lost(&cache, 2);
}
model!(limit_last_unit, least 280, preemptions 1, sees ["one", "two"]);

/// While the last unit is held by an insert under way, another one is refused once it has helped
/// a few times, or gets what is given back; and nothing is lost by that.
///
/// Threads: one holds the only unit and gives it back, after as many turns as the other one has;
/// one inserts.
fn limit_held(race: &Race) {
    let cache = Model::new(1);
    cache.hold_unit();
    let gives_back = role(|cache: &Model, _: &_| {
        (0..4).for_each(|_| loom::thread::yield_now());
        cache.give_unit_back();
        Inserted::Unchanged
    });
    let inserts = role(|cache, me| cache.insert(me, K, 1));
    let [_, inserted] = race.check(&cache, [gives_back, inserts]);
    let stored = match inserted {
        Inserted::Stored => vec![1],
        Inserted::Refused(Refusal::Full) => vec![],
        other => panic!("{other:?}"),
    };
    race.saw(if stored.is_empty() { "full" } else { "stored" });
    assert_eq!(live(&cache), stored);
    assert_no_unit_is_lost(&cache, 1);
}
model!(limit_held, least 12, sees ["full", "stored"]);

/// A replacement needs no unit, and gives none away.
///
/// Threads: one replaces the only entry, one inserts into another set; limit 1.
fn limit_replace(race: &Race) {
    let cache = cache_of(1, &[(K, 1)]);
    let [replaced, inserted] = race.check(&cache, [try_insert::<bool>(K, 2), try_insert(O, 3)]);
    assert!(replaced || inserted);
    assert_eq!(live(&cache).len(), 1, "limit 1");
    assert_no_unit_is_lost(&cache, 1);
}
model!(limit_replace, least 2600);

/// What a take frees can be used at once by another set.
///
/// Threads: one takes the only entry, one inserts into another set; limit 1.
fn limit_take(race: &Race) {
    let cache = cache_of(1, &[(K, 1)]);
    let [taken, _] = race.check(&cache, [take(K), insert(O, 2)]);
    race.saw(if taken.is_some() { "taken" } else { "evicted" });
    assert_eq!(has_event(&cache, 1, Taken), taken.is_some());
    assert_eq!(live(&cache), [2]);
    assert_no_unit_is_lost(&cache, 1);
}
model!(limit_take, least 380, sees ["taken", "evicted"]);

/// Of two inserts of one key one has a unit too many, and gives it back.
///
/// Threads: two that insert the same key; limit 2.
fn limit_given_back(race: &Race) {
    let cache = Model::new(2);
    race.check(&cache, [insert::<()>(K, 1), insert(K, 2)]);
    assert_no_unit_is_lost(&cache, 2);
}
model!(limit_given_back, least 8700);

/// A new entry takes the bytes of several victims, and gives back what it does not need.
///
/// Threads: one inserts an entry of three bytes where two entries of two fill the limit of four;
/// one takes one of these.
fn limit_bytes(race: &Race) {
    let cache = weighing(4, &[(K, 1, 2), (O, 2, 2)]);
    let put = role(|cache, me| Some(u64::from(is_stored(cache.insert_weighing(me, X, 3, 3)))));
    let [stored, taken] = race.check(&cache, [put, take(K)]);
    race.saw(if taken.is_some() { "taken" } else { "evicted" });
    assert_eq!(stored, Some(1));
    assert_eq!(live(&cache), [3], "three bytes and two are above the limit of four");
    let me = cache.member();
    assert_eq!(cache.insert_weighing(&me, K, 4, 4), Inserted::Stored, "bytes were lost");
    cache.check_law(&me);
}
model!(limit_bytes, least 2300, sees ["taken", "evicted"]);

/// Two inserts that each hold half of the bytes that both need give them back and try again: with
/// one preemption both are stored, one after the other. With more, one of them may be refused.
///
/// Threads: two that insert an entry as large as the limit, each with one victim.
fn limit_bytes_halves(race: &Race) {
    let cache = weighing(2, &[(K, 1, 1), (O, 2, 1)]);
    let put = |key, value| {
        role(move |cache: &Model, me: &_| match cache.insert_weighing(me, key, value, 2) {
            Inserted::Stored => true,
            Inserted::Refused(Refusal::Full | Refusal::NoRoom) => false,
            other => panic!("{other:?}"),
        })
    };
    let [a, b] = race.check(&cache, [put(X, 3), put(O + 2, 4)]);
    let both = race.preemptions() == Some(1);
    assert!(a && b || (a || b) && !both, "one did not get what the other gave back: {a} {b}");
    assert_eq!(live(&cache).len(), 1);
}
model!(limit_bytes_halves, least 9900, preemptions 1);

fn weighing(bytes: u64, entries: &[(u64, u64, u32)]) -> Model {
    let cache = Model::with(4, Some(bytes), Delivery::Caller);
    let me = cache.member();
    for (key, value, weight) in entries {
        assert_eq!(cache.insert_weighing(&me, *key, *value, *weight), Inserted::Stored);
    }
    cache
}

/// While a reader stands still, what it keeps from being freed does not grow beyond the limit in
/// bytes and what the inserts under way retire: others are refused, until it goes.
///
/// Threads: two, each of which replaces an entry of half the limit three times, in sets of their
/// own; a third is pinned all the time.
fn bytes_while_stalled(race: &Race) {
    let cache = weighing(4, &[(K, 1, 2), (O, 2, 2)]);
    let reader = cache.member();
    let pin = cache.pin(&reader);
    let replace = |key: u64, first: u64| {
        role(move |cache: &Model, me: &_| {
            let mut stored = 0;
            for value in first..first + 3 {
                stored += u64::from(is_stored(cache.insert_weighing(me, key, value, 2)));
                let kept = cache.retired_weight();
                assert!(kept <= 4 + 2 * 2, "above the bound: {kept}");
            }
            stored
        })
    };
    let [a, b] = race.run(&cache, [replace(K, 10), replace(O, 20)]);
    race.saw(if a + b == 4 { "both at once" } else { "one after the other" });
    drop((pin, reader));
    let me = cache.member();
    cache.collect(&me);
    assert!(is_stored(cache.insert_weighing(&me, K, 9, 2)), "no room after the grace period");
    cache.check_law(&me);
}
model!(bytes_while_stalled, least 6900);

fn set_to<T: Default + 'static>(limit: u64) -> Role<T> {
    role(move |cache, me| {
        cache.set_limit(me, limit);
        T::default()
    })
}

fn lower_to_one<T: Default + 'static>() -> Role<T> {
    set_to(1)
}

/// A limit that is lowered while an insert holds a unit is held when both are done, at the latest
/// when the sweeper has paid the rest.
///
/// Threads: one lowers the limit from 2 to 1, one inserts.
fn set_limit_insert(race: &Race) {
    let cache = cache_of(2, &[(K, 1)]);
    race.check(&cache, [lower_to_one(), try_insert::<bool>(O, 2)]);
    race.saw(if live(&cache).len() > 1 { "pending" } else { "paid" });
    let me = cache.member();
    assert_eq!(cache.set_limit(&me, 1), 0, "a debt that nobody pays");
    assert!(cache.live(&me).len() <= 1, "above the limit");
    drop(me);
    assert_no_unit_is_lost(&cache, 1);
}
model!(set_limit_insert, least 76, sees ["paid"]);

/// Two who lower the limit evict together what is above it, and nothing else.
///
/// Threads: two lower the limit from 2 to 1.
fn set_limit_twice(race: &Race) {
    let cache = cache_of(2, &[(K, 1), (O, 2)]);
    race.check(&cache, [lower_to_one::<()>(), lower_to_one()]);
    assert_eq!(live(&cache).len(), 1, "not what the limit allows");
    assert_no_unit_is_lost(&cache, 1);
}
model!(set_limit_twice, least 430);

/// Of two who pay one debt neither leaves to the other what nobody pays then.
///
/// Threads: two lower the limit from 3 to 1.
fn set_limit_relied(race: &Race) {
    let cache = cache_of(3, &[(K, 1), (O, 2), (X, 3)]);
    race.check(&cache, [lower_to_one::<()>(), lower_to_one()]);
    assert_eq!(live(&cache).len(), 1, "not what the limit allows");
    assert_no_unit_is_lost(&cache, 1);
}
model!(set_limit_relied, least 4000);

/// The same of a debt that came while the other one was about to have paid.
///
/// Threads: one lowers the limit from 3 to 2, one to 1; or one of them raises it again.
fn set_limit_lowered_again(race: &Race) {
    let cache = cache_of(3, &[(K, 1), (O, 2), (X, 3)]);
    race.check(&cache, [set_to::<()>(2), lower_to_one()]);
    let (limit, left) = (cache.limit(), live(&cache).len() as u64);
    race.saw(if limit == 1 { "lowered twice" } else { "raised" });
    // What has left does not come back when it is raised.
    assert!(left == 1 || left == limit, "{left} of {limit}: not what the limit allows");
}
model!(set_limit_lowered_again, least 830, sees ["lowered twice", "raised"]);

/// Nothing has to leave for a limit that is raised, however many raise it at once.
///
/// Threads: one raises the limit from 2 to 4, one to 3.
fn set_limit_raised_twice(race: &Race) {
    let cache = cache_of(2, &[(K, 1), (O, 2)]);
    race.check(&cache, [set_to::<()>(4), set_to(3)]);
    race.saw(if cache.limit() == 4 { "four" } else { "three" });
    assert_eq!(live(&cache), [1, 2], "evicted though no limit was below two");
    let limit = usize::try_from(cache.limit()).expect("small");
    assert_no_unit_is_lost(&cache, limit);
}
model!(set_limit_raised_twice, least 160, sees ["three", "four"]);

/// No more is live than the highest limit of those that race.
///
/// Threads: one lowers the limit from 2 to 1; one sets it to 2 again and inserts.
fn set_limit_raised_again(race: &Race) {
    let cache = cache_of(2, &[(K, 1), (O, 2)]);
    let again_and_insert = role(|cache: &Model, me: &_| {
        cache.set_limit(me, 2);
        cache.insert(me, X, 3);
        let seen = cache.observe(me);
        assert!(seen <= 2, "{seen} are live, and no limit was above two");
    });
    race.check(&cache, [lower_to_one(), again_and_insert]);
    race.saw(if cache.limit() == 1 { "lowered last" } else { "raised last" });
}
model!(set_limit_raised_again, least 10_000, sees ["lowered last", "raised last"]);

/// What a take frees pays the debt of a lowered limit, and is not used twice.
///
/// Threads: one lowers the limit from 2 to 1, one takes.
fn set_limit_take(race: &Race) {
    let cache = cache_of(2, &[(K, 1), (O, 2)]);
    race.check(&cache, [lower_to_one(), take(K)]);
    assert!(live(&cache).len() <= 1, "above the limit");
    assert_no_unit_is_lost(&cache, 1);
}
model!(set_limit_take, least 290);

/// As `set_limit_take`, with an insert that wants what the take frees.
///
/// Threads: one lowers the limit from 2 to 1, one takes and inserts.
fn set_limit_reused(race: &Race) {
    let cache = cache_of(2, &[(K, 1), (O, 2)]);
    let take_and_insert = role(|cache, me| {
        cache.take(me, K);
        is_stored(cache.insert(me, Y, 3))
    });
    race.check(&cache, [lower_to_one(), take_and_insert]);
    let me = cache.member();
    assert_eq!(cache.set_limit(&me, 1), 0, "a debt that nobody pays");
    assert!(cache.live(&me).len() <= 1, "above the limit");
    drop(me);
    assert_no_unit_is_lost(&cache, 1);
}
model!(set_limit_reused, least 33, preemptions 1);

/// Whoever sees more entries than the old limit sees the new one: the limit holds at every instant,
/// also while it is raised.
///
/// Threads: one raises the limit from 1 to 2, one inserts into another set, one observes.
fn set_limit_observed(race: &Race) {
    let cache = cache_of(1, &[(K, 1)]);
    let raise = role(|cache, me| {
        cache.set_limit(me, 2);
    });
    let observe = role(|cache, me| {
        let seen = u64::from(cache.observe(me));
        assert!(seen <= cache.limit(), "the limit was passed for an observer");
    });
    race.check(&cache, [raise, insert(O, 2), observe]);
    race.saw(if live(&cache).len() == 2 { "two" } else { "one" });
}
model!(set_limit_observed, least 870, sees ["one", "two"]);

/// Where the new entry of a key needs more bytes than the old one gives, others make room: the key
/// is never absent.
///
/// Threads: one replaces an entry of one byte by one of two, the limit; one looks up.
fn limit_bytes_replace(race: &Race) {
    let cache = weighing(2, &[(K, 1, 1), (O, 2, 1)]);
    let replace = role(|cache, me| {
        assert_eq!(cache.insert_weighing(me, K, 3, 2), Inserted::Stored);
        3
    });
    let get = role(|cache, me| cache.get(me, K).expect("a key that is replaced is never absent"));
    let [_, got] = race.check(&cache, [replace, get]);
    race.saw(if got == 1 { "old" } else { "new" });
    assert_eq!(live(&cache), [3]);
}
model!(limit_bytes_replace, least 250, sees ["old", "new"]);
