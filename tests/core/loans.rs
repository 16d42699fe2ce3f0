//! Each kind of loan keeps what it lends, with no other loan beside it that could do so instead:
//! while it lives, others take the entry away in every way that there is and collect all that they
//! may; once it has gone, the same amount of collecting frees the entry.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::sessions;
use crate::sessions::{namespace, rig};
use crate::world::{Alive, until};
use halfshake::{Batch, BytesCache, Cache, Delivery, Maintenance};
use std::sync::{Arc, Mutex};

type Pairs = Cache<u64, Alive>;

/// Rounds of maintenance that free all that nobody holds: shown by each test at its end.
const ROUNDS: usize = 10;

/// A key of the entry that is lent, and another one that may need its room.
const LENT: u64 = 1;
const OTHER: u64 = 2;

const CHANGES: [fn(&Pairs); 6] = [
    |c| assert!(c.remove(&LENT)),
    |c| c.insert(LENT, Alive::default()).unwrap(),
    |c| c.insert(OTHER, Alive::default()).unwrap(),
    |c| drop(c.take(&LENT).unwrap()),
    |c| c.clear(),
    |c| c.shutdown(),
];

/// A full cache of one entry, a clone of what is returned, too.
fn stocked() -> (Pairs, Alive) {
    let cache = Pairs::builder().capacity(1).maintenance(Maintenance::Embedder).build().unwrap();
    let alive = Alive::default();
    cache.insert(LENT, alive.clone()).unwrap();
    (cache, alive)
}

/// Another thread does so, and collects; its end hands over what it has retired.
fn elsewhere<C: Sync>(cache: &C, change: impl FnOnce(&C) + Send, collect: impl Fn(&C) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            change(cache);
            (0..ROUNDS).for_each(|_| collect(cache));
        });
        // The scope would not wait for the end of its thread locals, which may pin once more.
        thread.join().unwrap();
    });
}

fn collect(cache: &Pairs) {
    cache.run_maintenance(usize::MAX);
}

/// The loan has gone: so goes the entry.
#[track_caller]
fn freed(cache: &Pairs, alive: &Alive) {
    elsewhere(cache, |_| {}, collect);
    assert_eq!(alive.count(), 0, "nobody holds it any more");
    cache.validate();
}

/// `lend` makes a loan of the entry in a variable of its own; the value that it lends.
macro_rules! outlives_every_change {
    ($cache:ident, $alive:ident, $lend:block, $value:expr) => {
        for change in CHANGES {
            let ($cache, $alive) = stocked();
            {
                let loan = $lend;
                elsewhere(&$cache, change, collect);
                assert_eq!($alive.count(), 1, "the loan keeps the value");
                let value: fn(&_) -> &Alive = $value;
                assert_eq!(value(&loan).count(), 1);
            }
            freed(&$cache, &$alive);
        }
    };
}

#[test]
fn what_get_lends_is_kept_by_it_alone() {
    outlives_every_change!(cache, alive, { cache.get(&LENT).unwrap() }, |found| found);
}

#[test]
fn what_get_many_lends_is_kept_by_it_alone() {
    fn first<'b>(many: &'b Batch<'_, u64, Alive>) -> &'b Alive {
        many.get(0).unwrap()
    }
    outlives_every_change!(cache, alive, { cache.get_many(&[&LENT, &OTHER]) }, first);
}

#[test]
fn what_a_walk_lends_is_kept_by_it_alone() {
    outlives_every_change!(cache, alive, { cache.iter().next().unwrap() }, |found| found);
}

/// `lend` makes loans of a reader; `check` sees that they are what they were.
macro_rules! outlives_every_change_of_a_reader {
    ($reader:ident, { $($lend:tt)* }, { $($check:tt)* }) => {
        for change in CHANGES {
            let (cache, alive) = stocked();
            let mut $reader = cache.reader();
            $($lend)*
            elsewhere(&cache, change, collect);
            $($check)*
            drop($reader);
            freed(&cache, &alive);
        }
    };
}

#[test]
fn what_a_reader_lends_is_kept_by_it_alone() {
    outlives_every_change_of_a_reader!(
        reader,
        {
            let lent = reader.get(&LENT).unwrap();
        },
        {
            assert_eq!((*lent.key(), lent.value().count()), (LENT, 1));
        }
    );
}

#[test]
fn what_a_reader_lends_again_is_kept_by_the_new_pin() {
    outlives_every_change_of_a_reader!(
        reader,
        {
            assert!(reader.get(&LENT).is_some() && reader.is_pinned());
            let lent = reader.get(&LENT).unwrap();
        },
        {
            assert_eq!((*lent.key(), lent.value().count()), (LENT, 1));
        }
    );
}

#[test]
fn what_a_batch_of_a_reader_lends_is_kept_by_it_alone() {
    outlives_every_change_of_a_reader!(
        reader,
        {
            let many = reader.get_many(&[&LENT, &OTHER]);
        },
        {
            assert_eq!(many[0].as_ref().unwrap().value().count(), 1);
        }
    );
}

#[test]
fn what_a_pinned_reader_lends_is_kept_until_its_pin_ends() {
    outlives_every_change_of_a_reader!(
        reader,
        {
            let pinned = reader.pinned();
            let lent = pinned.get(&LENT).unwrap();
        },
        {
            assert_eq!((*lent.key(), lent.value().count()), (LENT, 1));
            assert!(pinned.get(&LENT).is_none_or(|now| !std::ptr::eq(now.value(), lent.value())));
        }
    );
}

#[test]
fn what_was_taken_is_kept_by_its_taker_alone() {
    let changes: [fn(&Pairs); 3] =
        [|c| c.insert(LENT, Alive::default()).unwrap(), |c| c.clear(), |c| c.shutdown()];
    for change in changes {
        let (cache, alive) = stocked();
        let taken = cache.take(&LENT).unwrap();
        elsewhere(&cache, change, collect);
        assert_eq!((*taken.key(), taken.value().count()), (LENT, 1));
        drop(taken);
        freed(&cache, &alive);
    }
}

#[test]
fn what_was_taken_is_kept_by_its_taker_though_its_event_was_delivered() {
    let builder = Pairs::builder().capacity(1).maintenance(Maintenance::Embedder);
    let cache = builder.delivery(Delivery::Thread).removal_listener(|_| ()).build().unwrap();
    let alive = Alive::default();
    cache.insert(LENT, alive.clone()).unwrap();
    let taken = cache.take(&LENT).unwrap();
    until("it was told of", || {
        let stats = cache.stats();
        (stats.removed_total(), stats.undelivered) == (1, 0)
    });
    elsewhere(&cache, |_| {}, collect);
    assert_eq!(taken.value().count(), 1);
    drop(taken);
    freed(&cache, &alive);
}

#[test]
fn what_an_event_lends_is_kept_until_its_listener_returns() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let listener = move |gone: &halfshake::Removal<'_, u64, Alive>| {
        elsewhere(&gone.cache(), |_| {}, collect);
        log.lock().unwrap().push((*gone.key(), gone.value().count()));
    };
    let (cache, alive) = stocked();
    cache.set_removal_listener(Some(listener));
    assert!(cache.remove(&LENT));
    assert_eq!(*seen.lock().unwrap(), [(LENT, 1)], "alive while it was told of");
    freed(&cache, &alive);
}

#[test]
fn bytes_that_are_lent_are_not_wiped() {
    let changes: [fn(&BytesCache); 4] = [
        |c| assert!(c.remove(&b"key"[..])),
        |c| c.insert(b"key", b"VALUE").unwrap(),
        |c| c.insert(b"KEY", b"VALUE").unwrap(),
        |c| c.clear(),
    ];
    let collect = |c: &BytesCache| _ = c.run_maintenance(usize::MAX);
    for change in changes {
        let one = BytesCache::builder().capacity(1).maintenance(Maintenance::Embedder);
        let cache = one.build().unwrap();
        cache.insert(b"key", b"value").unwrap();
        let found = cache.get(&b"key"[..]).unwrap();
        elsewhere(&cache, change, collect);
        assert_eq!((found.key(), &*found), (&b"key"[..], &b"value"[..]));
        assert_eq!(cache.stats().retired_entries, 1, "it waits");
        drop(found);
        elsewhere(&cache, |_| {}, collect);
        assert_eq!(cache.stats().retired_entries, 0);
        cache.validate();
    }
}

#[test]
fn a_session_that_was_found_is_kept_by_it_alone() {
    let rig = rig();
    let session = rig.session(1);
    let bytes = session.id().as_bytes();
    let collect = |c: &sessions::Cache| _ = c.run_maintenance(usize::MAX);
    for resumes in [false, true] {
        rig.cache.add(&session).unwrap();
        let found = if resumes {
            rig.cache.resume(&1, &namespace(), bytes).unwrap()
        } else {
            rig.cache.find(&namespace(), bytes).unwrap()
        };
        let handle = found.handle().unwrap();
        elsewhere(&rig.cache, |c| assert!(c.remove(&namespace(), bytes)), collect);
        assert_eq!(found.to_session().payload(), session.payload());
        assert_eq!(rig.cache.stats().engine.retired_entries, 1, "it waits");
        drop(found);
        elsewhere(&rig.cache, |_| {}, collect);
        assert_eq!(rig.cache.stats().engine.retired_entries, 0);
        assert!(!rig.cache.remove_exact(&handle), "a handle keeps nothing");
    }
}
