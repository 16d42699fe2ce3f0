//! Timeouts, limits, settings and counters, to the last unit. One claim a test.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::world;
use crate::world::{Event, MILLISECOND, SECOND, logged, until};
use halfshake::{
    BadSetting, BytesCache, Cache, ConfigError, Delivery, Maintenance, ManualClock, Refusal,
    RemovalCause,
};
use std::time::Duration;

mod time {
    use super::*;

    #[test]
    fn an_entry_is_expired_from_its_deadline_on() {
        let (builder, clock, events) = logged(10);
        let cache = builder.time_to_live(SECOND).build().unwrap();
        clock.set(MILLISECOND * 5);
        cache.insert(1, 1).unwrap();
        clock.set(SECOND + MILLISECOND * 5 - Duration::from_nanos(1));
        assert!(cache.contains(&1) && cache.get(&1).is_some());
        clock.set(SECOND + MILLISECOND * 5);
        assert!(!cache.contains(&1) && cache.get(&1).is_none() && cache.iter().next().is_none());
        assert!(cache.get_many(&[&1]).get(0).is_none());
        let mut reader = cache.reader();
        assert!(reader.get(&1).is_none() && reader.take(&1).is_none() && !reader.contains(&1));
        assert_eq!(events.len(), 0, "what finds nothing tells nothing");
        assert!(cache.insert_if_absent(1, 2).unwrap().is_none());
        assert_eq!(events.sorted(), [(1, 1, RemovalCause::Expired)]);
        cache.validate();
    }

    #[test]
    fn a_timeout_of_its_own_counts_for_an_entry() {
        let (builder, clock, _) = logged(10);
        let cache = builder.time_to_live(SECOND).build().unwrap();
        cache.insert_with_timeout(1, 1, SECOND * 2).unwrap();
        cache.insert_with_timeout(2, 2, MILLISECOND).unwrap();
        cache.insert(3, 3).unwrap();
        clock.advance(MILLISECOND);
        assert!(cache.contains(&1) && !cache.contains(&2) && cache.contains(&3));
        clock.advance(SECOND);
        assert!(cache.contains(&1) && !cache.contains(&3));
        cache.validate();
    }

    #[test]
    fn a_timeout_of_zero_stores_nothing_and_the_old_entry_goes() {
        let (builder, clock, events) = logged(1);
        let cache = builder.build().unwrap();
        cache.insert_with_timeout(1, 1, Duration::ZERO).unwrap();
        assert_eq!((cache.stats().inserts, cache.len()), (0, 0));
        cache.insert_with_timeout(1, 2, SECOND).unwrap();
        cache.insert_with_timeout(1, 3, Duration::ZERO).unwrap();
        assert_eq!(events.sorted(), [(1, 2, RemovalCause::Replaced)]);
        cache.insert_with_timeout(1, 4, SECOND).unwrap();
        clock.advance(SECOND);
        cache.insert_with_timeout(1, 5, Duration::ZERO).unwrap();
        assert_eq!(events.sorted(), [(1, 4, RemovalCause::Expired)]);
        assert!(cache.get(&1).is_none() && cache.is_empty());
        // Its unit is free again.
        cache.insert(2, 2).unwrap();
        assert_eq!((events.len(), cache.len()), (0, 1));
        cache.validate();
    }

    #[test]
    fn a_nanosecond_is_a_tick_and_the_largest_timeout_never_ends() {
        let (builder, clock, _) = logged(10);
        let cache = builder.build().unwrap();
        clock.set(SECOND);
        cache.insert_with_timeout(1, 1, Duration::from_nanos(1)).unwrap();
        cache.insert_with_timeout(2, 2, Duration::from_secs(u64::MAX)).unwrap();
        cache.insert_with_timeout(3, 3, Duration::MAX).unwrap();
        cache.insert(4, 4).unwrap();
        assert!(cache.contains(&1));
        clock.advance(MILLISECOND);
        assert!(!cache.contains(&1));
        clock.advance(Duration::MAX);
        for key in 2..=4 {
            assert!(cache.contains(&key), "{key} after 584 years");
        }
        assert_eq!(cache.flush(Duration::MAX), 1, "what never expires is not due, ever");
        assert_eq!(cache.len(), 3);
        cache.validate();
    }

    #[test]
    fn a_clock_that_steps_back_resurrects_nothing() {
        let (builder, clock, _) = logged(10);
        let cache = builder.time_to_live(SECOND).build().unwrap();
        cache.insert(1, 1).unwrap();
        clock.set(SECOND);
        assert!(!cache.contains(&1));
        clock.set(Duration::ZERO);
        assert!(!cache.contains(&1) && cache.now() == SECOND);
        cache.insert(2, 2).unwrap();
        clock.set(SECOND * 2 - MILLISECOND);
        assert!(cache.contains(&2));
        clock.set(SECOND * 2);
        assert!(!cache.contains(&2));
        cache.validate();
    }

    #[test]
    fn what_is_told_of_an_expired_entry_is_that_it_expired() {
        let ways: [fn(&Cache<u64, u64>); 6] = [
            |c| c.clear(),
            |c| c.shutdown(),
            |c| c.retain(|_, _| true),
            |c| c.insert(1, 2).unwrap(),
            |c| assert_eq!(c.flush(Duration::ZERO), 1),
            |c| assert_eq!(c.run_maintenance(usize::MAX).expired, 1),
        ];
        for go in ways {
            let (builder, clock, events) = logged(10);
            let cache = builder.build().unwrap();
            cache.insert_with_timeout(1, 1, SECOND).unwrap();
            clock.advance(SECOND);
            go(&cache);
            assert_eq!(events.sorted(), [(1, 1, RemovalCause::Expired)]);
            cache.validate();
        }
    }

    #[test]
    fn a_flush_removes_what_will_have_expired() {
        let (builder, clock, events) = logged(10);
        let cache = builder.build().unwrap();
        for key in 1..=4 {
            cache.insert_with_timeout(key, key, SECOND * u32::try_from(key).unwrap()).unwrap();
        }
        clock.set(SECOND);
        assert_eq!(cache.flush(SECOND * 3), 3);
        let told: Vec<Event> = events.sorted();
        let (expired, flushed) = (RemovalCause::Expired, RemovalCause::Flushed);
        assert_eq!(told, [(1, 1, expired), (2, 2, flushed), (3, 3, flushed)]);
        assert!(cache.contains(&4));
        cache.validate();
    }

    #[test]
    fn a_sweep_stops_at_its_budget_and_goes_on_where_it_stopped() {
        let (builder, clock, events) = logged(2_000);
        let cache = builder.time_to_live(SECOND).build().unwrap();
        for key in 0..2_000 {
            cache.insert(key, key).unwrap();
        }
        clock.advance(SECOND);
        let mut pieces = 0;
        while !cache.is_empty() {
            let before = events.len();
            let progress = cache.run_maintenance(100);
            assert_eq!(events.len() - before, usize::try_from(progress.expired).unwrap());
            assert!(progress.expired <= 100 + 64 * 13, "bounded: the rest of one step at most");
            pieces += 1;
        }
        assert!(pieces > 1 && events.len() == 2_000);
        cache.validate();
    }

    #[test]
    fn a_sweep_looks_no_further_once_its_budget_is_spent() {
        let (builder, clock, events) = logged(8);
        let cache = builder.time_to_live(SECOND).build().unwrap();
        cache.insert(1, 1).unwrap();
        clock.advance(SECOND);
        let progress = cache.run_maintenance(0);
        assert_eq!((progress.expired, progress.swept_sets, events.len()), (0, 0, 0));
        let progress = cache.run_maintenance(1);
        assert_eq!((progress.expired, events.len()), (1, 1));
        cache.validate();
    }
}

mod steps {
    use super::*;

    #[test]
    fn a_step_looks_at_a_part_and_goes_on_where_it_stopped() {
        let (builder, clock, events) = logged(100_000);
        let cache = builder.time_to_live(SECOND).build().unwrap();
        for key in 0..20_000 {
            cache.insert(key, key).unwrap();
        }
        clock.advance(SECOND);
        let mut steps = 0;
        while !cache.is_empty() {
            let progress = cache.run_maintenance_step();
            assert_eq!((progress.swept_sets, progress.complete), (64, false));
            steps += 1;
        }
        assert!(steps > 20_000 / (64 * 15), "{steps}: a set holds fifteen at most");
        assert!(steps <= 100_000 / 8 / 64 + 1, "{steps}: each set once");
        assert_eq!(cache.stats().swept_sets, 64 * steps);
        assert_eq!(events.len(), 20_000);
        cache.validate();
    }
}

mod capacity {
    use super::*;

    #[test]
    fn a_limit_is_lowered_at_once_and_raised_to_the_maximum() {
        let (builder, _, events) = logged(20);
        let cache = builder.max_capacity(50).build().unwrap();
        for key in 0..20 {
            cache.insert(key, key).unwrap();
        }
        assert_eq!(cache.set_capacity(5).unwrap().pending, 0);
        assert_eq!((cache.len(), cache.capacity(), cache.max_capacity()), (5, 5, 50));
        let told = events.sorted();
        assert_eq!(told.len(), 15);
        assert!(told.iter().all(|(_, _, cause)| *cause == RemovalCause::Evicted));
        for key in 100..200 {
            cache.insert(key, key).unwrap();
            assert_eq!(cache.len(), 5);
        }
        cache.set_capacity(50).unwrap();
        events.sorted();
        for key in 200..245 {
            cache.insert(key, key).unwrap();
        }
        assert_eq!((cache.len(), events.len()), (50, 0));
        for bad in [0, 51, u64::MAX] {
            assert!(cache.set_capacity(bad).is_err());
        }
        assert_eq!(cache.capacity(), 50);
        cache.validate();
    }

    #[test]
    fn the_oldest_that_was_not_used_goes_first() {
        let (builder, _, events) = logged(4);
        let cache = builder.build().unwrap();
        for key in 0..4 {
            cache.insert(key, key).unwrap();
        }
        assert!(cache.get(&0).is_some() && cache.contains(&1));
        cache.insert(4, 4).unwrap();
        assert_eq!(events.sorted(), [(1, 1, RemovalCause::Evicted)]);
        cache.validate();
    }

    #[test]
    fn what_has_expired_goes_before_what_has_not() {
        let (builder, clock, events) = logged(4);
        let cache = builder.build().unwrap();
        for key in 0..3 {
            cache.insert(key, key).unwrap();
        }
        cache.insert_with_timeout(3, 3, SECOND).unwrap();
        clock.advance(SECOND);
        cache.insert(4, 4).unwrap();
        assert_eq!(events.sorted(), [(3, 3, RemovalCause::Expired)]);
        cache.validate();
    }
}

mod bytes {
    use super::*;

    fn of(limit: u64) -> (Cache<u64, u64>, world::Events) {
        let (builder, _, events) = logged(100);
        let cache = builder.capacity_bytes(limit).weigher(|_, value| *value).build().unwrap();
        (cache, events)
    }

    #[test]
    fn the_limit_is_reached_and_never_passed() {
        let (cache, events) = of(100);
        for key in 0..10 {
            cache.insert(key, 10).unwrap();
        }
        assert_eq!((cache.stats().bytes, events.len()), (100, 0));
        cache.insert(10, 1).unwrap();
        assert_eq!((cache.stats().bytes, events.len()), (91, 1));
        cache.insert(11, 9).unwrap();
        assert_eq!((cache.stats().bytes, events.len()), (100, 1));
        cache.validate();
    }

    #[test]
    fn one_large_entry_takes_as_many_victims_as_it_needs() {
        let (cache, events) = of(100);
        for key in 0..10 {
            cache.insert(key, 10).unwrap();
        }
        cache.insert(10, 35).unwrap();
        assert_eq!((events.len(), cache.stats().bytes, cache.len()), (4, 95, 7));
        cache.insert(11, 100).unwrap();
        assert_eq!((cache.stats().bytes, cache.len()), (100, 1));
        assert!(events.sorted().iter().all(|(_, _, cause)| *cause == RemovalCause::Evicted));
        cache.validate();
    }

    #[test]
    fn what_is_larger_than_the_limit_is_handed_back_and_nothing_changes() {
        let (cache, events) = of(100);
        cache.insert(1, 10).unwrap();
        let refused = cache.insert(1, 101).unwrap_err();
        assert_eq!((refused.key, refused.value), (1, 101));
        assert_eq!(refused.refusal, Refusal::TooLarge { weight: 101, limit: 100 });
        assert_eq!((cache.get_cloned(&1), events.len()), (Some(10), 0));
        assert_eq!(cache.stats().refused_too_large, 1);
        cache.validate();
    }

    #[test]
    fn a_larger_value_replaces_its_entry_in_one_step() {
        for others in 0..3u64 {
            let (cache, events) = of(100);
            for key in 1..=others {
                cache.insert(key, 30).unwrap();
            }
            cache.insert(0, 40).unwrap();
            // The victims are others, never the entry that is replaced.
            assert!(cache.replace(0, 90).unwrap().is_none(), "{others} others");
            let told = events.sorted();
            assert_eq!(told[0], (0, 40, RemovalCause::Replaced));
            assert!(told[1..].iter().all(|(_, _, cause)| *cause == RemovalCause::Evicted));
            assert_eq!((cache.get_cloned(&0), cache.stats().bytes), (Some(90), 90));
            cache.insert(0, 100).unwrap();
            assert_eq!(events.sorted(), [(0, 90, RemovalCause::Replaced)]);
            cache.validate();
        }
    }

    #[test]
    fn an_entry_of_bytes_weighs_its_allocation() {
        let each = 32 + 100 + BytesCache::<ahash::RandomState>::OVERHEAD as u64;
        let cache = BytesCache::builder()
            .capacity(100)
            .capacity_bytes(each * 3)
            .maintenance(Maintenance::Embedder)
            .build()
            .unwrap();
        for key in 0..5u8 {
            cache.insert(&[key; 32], &[key; 100]).unwrap();
        }
        assert_eq!((cache.len(), cache.stats().bytes), (3, each * 3));
        cache.validate();
    }

    #[test]
    fn retired_bytes_are_bounded_while_a_reader_stalls() {
        let (builder, _, _) = logged(1_000);
        let cache = builder.capacity_bytes(100).weigher(|_, value| *value).build().unwrap();
        let mut reader = cache.reader();
        cache.insert(0, 10).unwrap();
        assert!(reader.get(&0).is_some());
        let refused = (1..1_000).find_map(|key| cache.insert(key, 10).err()).unwrap();
        assert_eq!((refused.refusal, refused.value), (Refusal::NoRoom, 10));
        let stats = cache.stats();
        assert!(stats.retired_bytes > 100 && stats.retired_bytes <= 120, "{stats:?}");
        reader.unpin();
        cache.insert(refused.key, refused.value).unwrap();
        until("memory is reclaimed", || {
            cache.run_maintenance(usize::MAX);
            cache.stats().retired_bytes == 0
        });
        cache.validate();
    }
}

mod settings {
    use super::*;

    fn bad(build: Result<Cache<u64, u64>, ConfigError>) -> Vec<BadSetting> {
        build.unwrap_err().settings().to_vec()
    }

    #[test]
    fn every_bad_setting_is_told() {
        let built = Cache::<u64, u64>::builder()
            .capacity_bytes(0)
            .shards(3)
            .sweep_interval(Duration::from_micros(999))
            .build();
        let error = built.unwrap_err();
        assert_eq!(
            error.settings(),
            [
                BadSetting::NoCapacity,
                BadSetting::NoBytes,
                BadSetting::Shards { shards: 3 },
                BadSetting::SweepInterval
            ]
        );
        let text = error.to_string();
        for word in ["capacity:", "capacity_bytes:", "shards: 3", "sweep_interval:"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn each_bad_setting_is_told_by_itself() {
        let fine = || Cache::<u64, u64>::builder().capacity(10);
        let max = BadSetting::MaxBelowCapacity { max: 9, capacity: 10 };
        assert_eq!(bad(fine().max_capacity(9).build()), [max]);
        for shards in [0, 3, 2048] {
            assert_eq!(bad(fine().shards(shards).build()), [BadSetting::Shards { shards }]);
        }
        let most = bad(fine().capacity(u64::MAX).build());
        assert!(matches!(most[..], [BadSetting::CapacityTooLarge { entries: u64::MAX, .. }]));
        for shards in [1, 1024] {
            let cache = fine().shards(shards).max_capacity(10).build().unwrap();
            cache.insert(1, 1).unwrap();
            cache.validate();
        }
    }

    #[test]
    fn a_cache_without_a_listener_counts_all_the_same() {
        for delivery in [Delivery::Caller, Delivery::Thread] {
            let builder = Cache::<u64, u64>::builder().capacity(10).delivery(delivery);
            let cache = builder.clock(ManualClock::new()).build().unwrap();
            for key in 0..20 {
                cache.insert(key, key).unwrap();
            }
            until("all is counted", || cache.len() == 10);
            assert_eq!(cache.stats().removed_by(RemovalCause::Evicted), 10);
            assert!(!cache.has_removal_listener());
            until("memory is reclaimed", || cache.stats().retired_entries == 0);
            cache.validate();
        }
    }
}

#[test]
fn the_counters_tell_what_was_done() {
    let (builder, clock, _) = logged(3);
    let cache = builder.weigher(|_, _| 7).build().unwrap();
    for key in 0..5 {
        cache.insert_with_timeout(key, key, SECOND).unwrap();
    }
    let live: Vec<_> = cache.iter().map(|r| *r.key()).collect();
    assert!(cache.get(&live[0]).is_some() && cache.get(&9).is_none());
    assert_eq!(cache.get_many(&[&live[0], &9, &live[1]]).iter().flatten().count(), 2);
    assert!(cache.take(&live[0]).is_some() && cache.take(&9).is_none());
    let mut reader = cache.reader();
    assert!(reader.get(&live[1]).is_some() && reader.get(&9).is_none());
    assert!(!cache.contains(&9) && cache.remove(&live[1]) && !cache.remove(&9));
    clock.advance(SECOND);
    assert!(cache.get(&live[2]).is_none() && cache.take(&live[2]).is_none());
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses_unknown, stats.misses_expired), (5, 4, 2));
    assert_eq!((stats.lookups(), stats.misses()), (11, 6));
    assert_eq!((stats.inserts, stats.entries, stats.bytes), (5, 1, 7));
    assert_eq!((stats.capacity, stats.capacity_bytes), (3, None));
    let limited = BytesCache::builder().capacity(3).capacity_bytes(100).build().unwrap();
    assert_eq!(limited.stats().capacity_bytes, Some(100));
    assert_eq!(stats.removed_total(), 4);
    for (cause, count) in
        [(RemovalCause::Evicted, 2), (RemovalCause::Taken, 1), (RemovalCause::Removed, 1)]
    {
        assert_eq!(stats.removed_by(cause), count, "{cause}");
    }
    assert_eq!(stats.inserts, stats.entries + stats.removed_total());
    drop(reader);
    let after = cache.run_maintenance(usize::MAX);
    assert_eq!((after.expired, after.complete), (1, true));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.entries), (5, 0), "a reader that has gone still counts");
    assert_eq!(stats.sweeps, 1);
    cache.validate();
}

#[test]
fn a_large_batch_answers_each_key_in_its_place() {
    let (builder, _, _) = logged(1_000);
    let cache = builder.build().unwrap();
    let stored = cache.insert_many((0..500).map(|key| (key, key * 2)));
    assert!(stored.len() == 500 && stored.iter().all(Result::is_ok));
    let keys: Vec<u64> = (0..600).rev().collect();
    let keys: Vec<&u64> = keys.iter().collect();
    let right: Vec<_> = keys.iter().map(|k| (**k < 500).then_some(**k * 2)).collect();
    let found = cache.get_many(&keys);
    assert_eq!(found.iter().map(|v| v.copied()).collect::<Vec<_>>(), right);
    let mut reader = cache.reader();
    let found = reader.get_many(&keys);
    assert_eq!(found.iter().map(|v| v.as_deref().copied()).collect::<Vec<_>>(), right);
    assert!(!cache.get_many(&keys).is_empty() && cache.get_many::<u64>(&[]).is_empty());
    cache.validate();
}
