//! Removal events: who is told, when, and who retires the entry.
//!
//! Property: each entry that leaves is told of once, to the listener of the moment, by a thread
//! that is not pinned; and its way is retired once, after the last holder's last look at it.
//!
//! Threads: one that unlinks, and one or two of those that deliver, set listeners or read.
//!
//! Not covered: the delivery thread's sleep (`tests/core/listener.rs` has it); a listener that
//! panics while threads of the model wait for it, for loom can't switch threads in a panic.

use crate::{K, O, X, cache_of, has_event, insert, live, take};
use halfshake::Delivery;
use halfshake::RemovalCause::{Removed, Replaced, Taken};
use halfshake::model::{Member, Model};
use loom_tests::{Race, Role, model, role};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts what it is told.
fn counting(told: &Arc<AtomicU64>) -> halfshake::model::Callback {
    let told = told.clone();
    Box::new(move |_, _, _, _| {
        told.fetch_add(1, Relaxed);
    })
}

/// While the listener is exchanged, each event goes to the old one or to the new one, once.
///
/// Threads: one takes, one sets another listener.
fn listener_swap(race: &Race) {
    let (old, new) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let cache = cache_of(4, &[(K, 1)]);
    cache.listen(Some(counting(&old)));
    let callback = counting(&new);
    let swap = role(move |cache, _| {
        cache.listen(Some(callback));
        None
    });
    let [taken, _] = race.check(&cache, [take(K), swap]);
    assert_eq!(taken, Some(1));
    let told = (old.load(Relaxed), new.load(Relaxed));
    race.saw(if told.0 == 1 { "old" } else { "new" });
    assert_eq!(told.0 + told.1, 1, "told {told:?} times by (old, new)");
}
model!(listener_swap, least 4, sees ["old", "new"]);

/// When the listener is cleared, an event is told or not, and the entry is counted and reclaimed.
///
/// Threads: one takes, one clears the listener.
fn listener_clear(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let clear = role(|cache, _| {
        cache.deafen();
        None
    });
    race.check(&cache, [take(K), clear]);
    race.saw(if cache.events().is_empty() { "untold" } else { "told" });
}
model!(listener_clear, least 4, sees ["told", "untold"]);

/// A listener may use the cache: its entry is no longer findable, and it is not pinned.
///
/// Threads: one removes a key, whose listener looks it up and inserts it again; one inserts
/// another.
fn listener_reenters(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    cache.listen(Some(Box::new(|cache, key, value, cause| {
        if cause == Removed {
            let me = cache.member();
            assert_ne!(cache.get(&me, key), Some(value), "findable in its own event");
            cache.insert(&me, key, 3);
        }
    })));
    let remove = role(|cache, me| assert!(cache.remove(me, K)));
    race.check(&cache, [remove, insert(X, 2)]);
    assert_eq!(live(&cache), [2, 3]);
}
model!(listener_reenters, least 6900);

/// A listener that panics when an entry was removed or taken.
fn panicking() -> halfshake::model::Callback {
    Box::new(|_, _, _, cause| {
        if [Removed, Taken].contains(&cause) {
            // Past the hook, which would print.
            resume_unwind(Box::new("the listener's"));
        }
    })
}

/// Does something that may panic; whether it did.
fn caught<T>(act: impl Fn(&Model, &Member) -> T + 'static) -> Role<bool> {
    role(move |cache, me| catch_unwind(AssertUnwindSafe(|| act(cache, me))).is_err())
}

/// The panic of a listener reaches who removed, and costs nothing else: the unit and the way of the
/// entry are free again.
///
/// Threads: one removes, and its listener panics; one inserts into another set; limit 1.
fn listener_panics(race: &Race) {
    let cache = cache_of(1, &[(K, 1)]);
    cache.listen(Some(panicking()));
    let [panicked, _] = race.run(&cache, [caught(|cache, me| cache.remove(me, K)), insert(O, 2)]);
    race.saw(if panicked { "panicked" } else { "evicted" });
    assert_eq!(has_event(&cache, 1, Removed), panicked);
    assert_eq!(live(&cache), [2]);
    cache.check_law_after_panics(&cache.member(), u64::from(panicked));
}
model!(listener_panics, least 380, sees ["panicked", "evicted"]);

/// As `listener_panics`, for a taken entry, which its taker would have kept.
///
/// Threads: one takes, and its listener panics; one reads slowly.
fn listener_panics_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    cache.listen(Some(panicking()));
    let get = role(|cache: &Model, me: &_| cache.get_slowly(me, K, X).is_some());
    let [panicked, found] = race.run(&cache, [caught(|cache, me| cache.take(me, K)), get]);
    race.saw(if found { "found" } else { "absent" });
    assert!(panicked && has_event(&cache, 1, Taken));
    cache.check_law_after_panics(&cache.member(), 1);
}
model!(listener_panics_take, least 75, sees ["found", "absent"]);

/// What is handed over is told once, by whoever delivers, and then reclaimed.
///
/// Threads: one replaces twice, one delivers; the rest is delivered at the end.
fn hand_over(race: &Race) {
    let cache = Model::with(4, None, Delivery::Thread);
    crate::fill(&cache, &[(K, 1)]);
    let replace = role(|cache, me| {
        cache.insert(me, K, 2);
        cache.insert(me, K, 3);
        0
    });
    let deliver = role(|cache, me| cache.deliver(me));
    let [_, delivered] = race.run(&cache, [replace, deliver]);
    race.saw(["none", "one", "both"][usize::try_from(delivered).expect("few")]);
    let me = cache.member();
    assert_eq!(cache.deliver(&me), 2 - delivered, "handed over, and not delivered");
    assert_eq!(cache.events(), [(1, Replaced), (2, Replaced)], "not told in order, or not once");
    cache.check_law(&me);
}
model!(hand_over, least 11, sees ["none", "one", "both"]);

/// What leaves after a listener was set is told to that one, also where another thread delivers.
///
/// Threads: one sets another listener and then takes, one delivers; the rest is delivered at the
/// end.
fn hand_over_after_listen(race: &Race) {
    let cache = Model::with(4, None, Delivery::Thread);
    crate::fill(&cache, &[(K, 1)]);
    let (old, new) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    cache.listen(Some(counting(&old)));
    let callback = counting(&new);
    let set_and_take = role(move |cache: &Model, me: &Member| {
        cache.listen(Some(callback));
        assert_eq!(cache.take(me, K), Some(1));
        0
    });
    let deliver = role(|cache: &Model, me: &Member| cache.deliver(me));
    let [_, delivered] = race.run(&cache, [set_and_take, deliver]);
    race.saw(if delivered == 1 { "delivered" } else { "late" });
    let me = cache.member();
    assert_eq!(cache.deliver(&me), 1 - delivered, "handed over, and not delivered");
    let told = (old.load(Relaxed), new.load(Relaxed));
    assert_eq!(told, (0, 1), "told {told:?} times by (old, new), and the new one was set before");
    cache.check_law(&me);
}
model!(hand_over_after_listen, least 25, sees ["delivered", "late"]);

/// As `hand_over_after_listen`, where there was no listener before.
///
/// Threads: one sets a listener and then takes, one delivers; the rest is delivered at the end.
fn hand_over_after_first_listen(race: &Race) {
    let cache = Model::unheard(4, Delivery::Thread);
    crate::fill(&cache, &[(K, 1)]);
    let set_and_take = role(|cache: &Model, me: &Member| {
        cache.listen(None);
        assert_eq!(cache.take(me, K), Some(1));
    });
    let deliver = role(|cache: &Model, me: &Member| {
        cache.deliver(me);
    });
    race.run(&cache, [set_and_take, deliver]);
    let me = cache.member();
    cache.deliver(&me);
    assert!(has_event(&cache, 1, Taken), "told to nobody, and the listener was set before");
    cache.check_law(&me);
}
model!(hand_over_after_first_listen, least 34);

/// Two that deliver share what was handed over.
///
/// Threads: two that deliver two events, a third hands one over meanwhile.
fn deliver_deliver(race: &Race) {
    let cache = Model::with(4, None, Delivery::Thread);
    crate::fill(&cache, &[(K, 1), (K, 2)]);
    let deliver = || role(|cache: &Model, me: &_| cache.deliver(me));
    let replace = role(|cache, me| {
        cache.insert(me, K, 3);
        0
    });
    let [a, b, _] = race.run(&cache, [deliver(), deliver(), replace]);
    let me = cache.member();
    assert_eq!(a + b + cache.deliver(&me), 2, "handed over, and not delivered");
    cache.check_law(&me);
}
model!(deliver_deliver, least 730);

/// With a delivery thread a taken entry has two holders, the taker and that thread: both read it,
/// and the last one retires it, once.
///
/// Threads: one takes, reads and gives back, one delivers.
fn two_holders(race: &Race) {
    let cache = Model::with(4, None, Delivery::Thread);
    crate::fill(&cache, &[(K, 1)]);
    let deliver = role(|cache, me| Some(cache.deliver(me)));
    let [taken, delivered] = race.run(&cache, [take(K), deliver]);
    race.saw(if delivered == Some(1) { "delivered" } else { "late" });
    assert_eq!(taken, Some(1));
    let me = cache.member();
    cache.deliver(&me);
    assert!(has_event(&cache, 1, Taken));
    cache.check_law(&me);
}
model!(two_holders, least 15, sees ["delivered", "late"]);

/// As `two_holders`, while a slow reader still looks at the entry.
///
/// Threads: one takes and gives back, one delivers, one reads slowly.
fn two_holders_read(race: &Race) {
    let cache = Model::with(4, None, Delivery::Thread);
    crate::fill(&cache, &[(K, 1)]);
    let deliver = role(|cache, me| Some(cache.deliver(me)));
    let get = role(|cache, me| cache.get_slowly(me, K, X));
    race.run(&cache, [take(K), deliver, get]);
    let me = cache.member();
    cache.deliver(&me);
    cache.check_law(&me);
}
model!(two_holders_read, least 700);
