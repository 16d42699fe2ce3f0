//! Look-ups as futures: under tokio and without any runtime, cancelled, panicking, late.

use crate::sessions::later::{Store, askers, patient, poll_once, resume, take};
use crate::sessions::{BEGIN, Cache, Call, id, namespace, rig, rig_with};
use halfshake::RemovalCause::Taken;
use halfshake::session::{Answer, Namespace, Purpose, Session, SessionCache};
use halfshake::{Maintenance, ManualClock};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[test]
fn hit_inside_is_ready_at_the_first_poll() {
    let rig = rig();
    rig.begin(1);
    assert_eq!(poll_once(pin!(resume(&rig.cache, 1))), Poll::Ready(Some(false)));
    assert_eq!(rig.world.calls(), [Call::New(1, 1)]);
}

#[test]
fn futures_can_move_between_threads() {
    fn is_send(_: impl Send) {}
    let (cache, name) = (rig().cache.clone(), namespace());
    is_send(cache.resume_async(&1, &name, &[1; 32]));
    is_send(cache.take_async(&1, &name, &[1; 32]));
    let hello = cache.hello(&1, &name);
    is_send(hello.resume_async(&[1; 32]));
    is_send(hello.take_async(&[1; 32]));
}

#[test]
fn look_up_is_lazy() {
    let rig = patient();
    let store = Store::of(&rig);
    let name = namespace();
    drop(rig.cache.resume_async(&1, &name, &[1; 32]));
    drop(rig.cache.take_async(&1, &name, &[1; 32]));
    assert_eq!((rig.cache.stats().asked, store.futures()), (0, 0));
}

#[test]
fn answer_is_stored_and_used_without_a_runtime() {
    let rig = patient();
    Store::of(&rig).answers(Answer::handed_over(rig.session(1)));
    assert_eq!(pollster::block_on(resume(&rig.cache, 1)), Some(true));
    assert!(rig.holds(1));
    assert_eq!(pollster::block_on(resume(&rig.cache, 1)), Some(false));
}

#[test]
fn builder_sets_an_asynchronous_callback() {
    let (made, clock) = (rig().session(1), ManualClock::new());
    clock.set(BEGIN);
    let builder = SessionCache::<u64>::builder().capacity(10).maintenance(Maintenance::Embedder);
    let cache = builder
        .clock(clock.clone())
        .wall_clock(clock)
        .async_get_callback(move |_, asked| {
            assert_eq!(asked.id(), &[1; 32]);
            let answer = Answer::handed_over(made.clone());
            async move { answer }
        })
        .build()
        .unwrap();
    let name = namespace();
    let found = pollster::block_on(cache.resume_async(&7, &name, &[1; 32]));
    assert_eq!((found.is_some(), cache.stats().asked), (true, 1));
    drop(found);
    cache.validate();
}

#[test]
fn blocking_callback_serves_asynchronous_look_ups_too() {
    let rig = rig();
    rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
    assert_eq!(poll_once(pin!(resume(&rig.cache, 4))), Poll::Ready(Some(true)));
    assert_eq!(rig.world.calls(), [Call::Get(4, 1, Purpose::Resume)]);
}

#[tokio::test]
async fn tasks_that_miss_one_id_ask_once_and_share_the_answer() {
    let rig = Arc::new(patient());
    let store = Store::of(&rig);
    let tasks = askers(&rig, 8).await;
    store.answers(Answer::borrowed(&rig.session(1)));
    for task in tasks {
        assert_eq!(task.await.unwrap(), Some(true));
    }
    let stats = rig.cache.stats();
    assert_eq!((stats.asked, stats.used, stats.found, stats.in_flight), (1, 8, 1, 0));
}

#[tokio::test]
async fn cancelled_askers_strand_nobody_and_cost_no_second_call() {
    for cancelled in 1..8 {
        let rig = Arc::new(patient());
        let store = Store::of(&rig);
        let mut tasks = askers(&rig, 8).await;
        // The one who asked first among them: it is he who has polled the store's future.
        for task in tasks.drain(..cancelled) {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        store.answers(Answer::borrowed(&rig.session(1)));
        for task in tasks {
            assert_eq!(task.await.unwrap(), Some(true));
        }
        assert_eq!((rig.cache.stats().asked, store.futures()), (1, 0));
        assert!(rig.holds(1));
    }
}

#[test]
fn woken_asker_who_leaves_without_polling_hands_the_look_up_on() {
    let rig = patient();
    let store = Store::of(&rig);
    let mut first = Box::pin(resume(&rig.cache, 1));
    assert_eq!(poll_once(first.as_mut()), Poll::Pending);
    let woken = Arc::new(Mutex::new(0));
    struct Count(Arc<Mutex<u32>>);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let waker = Waker::from(Arc::new(Count(woken.clone())));
    let mut second = Box::pin(resume(&rig.cache, 2));
    assert_eq!(second.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
    store.answers(Answer::borrowed(&rig.session(1)));
    let before = *woken.lock().unwrap();
    assert!(before > 0, "the store's answer has woken all who wait");
    // Both were woken. The second one looks, but is not the one who goes on.
    drop(first);
    assert_eq!(second.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Some(true)));
}

#[test]
fn last_one_who_leaves_ends_the_look_up() {
    let rig = patient();
    let store = Store::of(&rig);
    let (mut first, mut second) =
        (Box::pin(resume(&rig.cache, 1)), Box::pin(resume(&rig.cache, 2)));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    drop(second);
    assert_eq!((store.futures(), rig.cache.stats().in_flight), (1, 1));
    drop(first);
    assert_eq!((store.futures(), rig.cache.stats().in_flight), (0, 0));
    store.answers(Answer::borrowed(&rig.session(1)));
    assert_eq!(pollster::block_on(resume(&rig.cache, 3)), Some(true), "it asks anew");
    assert_eq!(rig.cache.stats().asked, 2);
}

#[test]
fn time_out_is_a_miss_and_ends_the_look_up() {
    let rig = rig_with(|builder| builder.lookup_timeout(Duration::from_millis(2)));
    let store = Store::of(&rig);
    assert_eq!(pollster::block_on(resume(&rig.cache, 1)), None);
    assert!(!pollster::block_on(take(&rig.cache, 1)));
    assert_eq!(rig.resume(1), None);
    assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none());
    let stats = rig.cache.stats();
    assert_eq!((stats.timed_out, stats.in_flight, store.futures()), (4, 0, 0));
    assert_eq!(stats.remembered, 0, "a time-out says nothing of the id");
}

#[test]
fn threads_that_block_share_an_asynchronous_look_up() {
    let rig = patient();
    let store = Store::of(&rig);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| rig.resume(1))).collect();
        let tasks: Vec<_> = (0..4)
            .map(|i| scope.spawn(move || i))
            .map(|thread| thread.join().unwrap())
            .map(|connection| {
                let cache = &rig.cache;
                scope.spawn(move || pollster::block_on(resume(cache, connection)))
            })
            .collect();
        while rig.cache.stats().joined < 7 {
            std::thread::yield_now();
        }
        store.answers(Answer::borrowed(&rig.session(1)));
        for thread in threads.into_iter().chain(tasks) {
            assert_eq!(thread.join().unwrap(), Some(true));
        }
    });
    assert_eq!(rig.cache.stats().asked, 1);
}

#[test]
fn task_joins_a_look_up_whose_callback_blocks() {
    let rig = patient();
    let session = rig.session(1);
    rig.cache.set_get_callback(move |_, asked| {
        while asked.cache().stats().joined == 0 {
            std::thread::yield_now();
        }
        Answer::borrowed(&session)
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| rig.resume(1));
        while rig.cache.stats().in_flight == 0 {
            std::thread::yield_now();
        }
        assert_eq!(pollster::block_on(resume(&rig.cache, 3)), Some(true));
        assert_eq!(first.join().unwrap(), Some(true));
    });
}

#[test]
fn answer_is_not_stored_if_its_id_was_removed_while_the_future_was_out() {
    let rig = patient();
    let store = Store::of(&rig);
    let mut look_up = Box::pin(resume(&rig.cache, 1));
    assert!(poll_once(look_up.as_mut()).is_pending());
    rig.cache.remove(&namespace(), &[1; 32]);
    let mut later = Box::pin(resume(&rig.cache, 2));
    assert!(poll_once(later.as_mut()).is_pending());
    assert_eq!(rig.cache.stats().joined, 0, "it joined one from before the removal");
    store.answers(Answer::borrowed(&rig.session(1)));
    assert_eq!(poll_once(look_up.as_mut()), Poll::Ready(Some(true)));
    assert!(!rig.holds(1));
    assert_eq!(poll_once(later.as_mut()), Poll::Ready(Some(true)));
    assert!(rig.holds(1), "asked after the removal");
}

#[test]
fn future_that_looks_up_its_own_id_gets_a_counted_miss() {
    let rig = patient();
    let session = rig.session(1);
    let cache = rig.cache.clone();
    rig.cache.set_async_get_callback(move |_, _| {
        let (cache, session): (Cache, Session) = (cache.clone(), session.clone());
        async move {
            assert_eq!(resume(&cache, 7).await, None);
            Answer::borrowed(&session)
        }
    });
    assert_eq!(pollster::block_on(resume(&rig.cache, 1)), Some(true));
    assert_eq!(rig.cache.stats().nested, 1);
    rig.cache.clear_get_callback();
}

#[test]
fn asynchronous_take_happens_once() {
    let rig = patient();
    let store = Store::of(&rig);
    rig.cache.add(&rig.session(1)).unwrap();
    assert!(pollster::block_on(take(&rig.cache, 1)));
    assert_eq!(rig.world.calls(), [Call::Remove(1, Taken)]);
    store.answers(Answer::handed_over(rig.session(1)));
    assert!(pollster::block_on(take(&rig.cache, 1)), "the store has it, too");
    assert!(!rig.holds(1));
    store.answers(Answer::unknown());
    assert!(!pollster::block_on(take(&rig.cache, 1)));
}

#[test]
fn nothing_lands_while_an_asynchronous_take_is_outside_even_if_it_is_cancelled() {
    for cancelled in [false, true] {
        let rig = patient();
        let store = Store::of(&rig);
        let mut take = Box::pin(take(&rig.cache, 1));
        assert!(poll_once(take.as_mut()).is_pending());
        // This one departs while the take is out, and asks before the store has deleted it.
        let mut look_up = Box::pin(resume(&rig.cache, 2));
        assert!(poll_once(look_up.as_mut()).is_pending());
        store.answers(Answer::borrowed(&rig.session(1)));
        if cancelled {
            drop(take);
        } else {
            assert_eq!(poll_once(take.as_mut()), Poll::Ready(true));
        }
        assert_eq!(poll_once(look_up.as_mut()), Poll::Ready(Some(true)));
        assert!(!rig.holds(1), "a copy of what was taken ({cancelled})");
    }
}

#[test]
fn session_taken_inside_while_an_asynchronous_take_is_out_is_taken_once() {
    let rig = patient();
    let store = Store::of(&rig);
    let mut outside = Box::pin(take(&rig.cache, 1));
    assert!(poll_once(outside.as_mut()).is_pending());
    rig.cache.add(&rig.session(1)).unwrap();
    assert!(rig.cache.take(&2, &namespace(), &[1; 32]).is_some());
    store.answers(Answer::handed_over(rig.session(1)));
    assert_eq!(poll_once(outside.as_mut()), Poll::Ready(false), "taken inside and outside");
}

#[test]
fn budget_of_a_hello_bounds_asynchronous_look_ups() {
    let rig = patient();
    Store::of(&rig).answers(Answer::unknown());
    let name = namespace();
    let hello = rig.cache.hello(&1, &name);
    for first in 0..=255 {
        assert!(pollster::block_on(hello.resume_async(&[first; 32])).is_none());
        assert!(pollster::block_on(hello.take_async(&[first; 31])).is_none());
    }
    let stats = rig.cache.stats();
    assert_eq!((stats.asked, stats.over_budget), (4, 2 * 256 - 4));
}

#[test]
fn one_get_callback_is_set_at_a_time() {
    let rig = rig();
    assert!(rig.cache.get_callback().is_some() && rig.cache.async_get_callback().is_none());
    assert!(rig.cache.set_async_get_callback(|_, _| async { Answer::unknown() }).is_none());
    assert!(rig.cache.get_callback().is_none());
    let set = rig.cache.async_get_callback().unwrap();
    let old = rig.cache.set_async_get_callback(|_, _| async { Answer::failed() }).unwrap();
    assert!(Arc::ptr_eq(&set, &old));
    assert!(rig.cache.clear_get_callback().is_none());
    assert!(rig.cache.async_get_callback().is_none());
}

#[test]
fn what_comes_later_is_checked_as_well() {
    let rig = patient();
    let other = rig.cache.make(&Namespace::new(b"other").unwrap(), id(1), 0x0303, b"");
    Store::of(&rig).answers(Answer::borrowed(&other));
    assert_eq!(pollster::block_on(resume(&rig.cache, 1)), None);
    assert!(!pollster::block_on(take(&rig.cache, 1)));
    assert_eq!(rig.cache.stats().rejected.iter().sum::<u64>(), 2);
    assert!(rig.cache.is_empty());
}

#[test]
fn who_joins_and_looks_late_gets_no_expired_session() {
    let rig = patient();
    let store = Store::of(&rig);
    let mut first = Box::pin(resume(&rig.cache, 1));
    let mut second = Box::pin(resume(&rig.cache, 2));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    store.answers(Answer::borrowed(&rig.session(1)));
    assert_eq!(poll_once(first.as_mut()), Poll::Ready(Some(true)));
    rig.advance(200);
    assert_eq!(poll_once(second.as_mut()), Poll::Ready(None), "100 s after it expired");
}
