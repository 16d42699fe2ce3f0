//! Panics in what asynchronous look-ups run: the callback, its futures, their ends, wakers.

use crate::sessions;
use crate::sessions::later::{Store, askers, patient, poll_once, resume, take};
use halfshake::session::Answer;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Panics when it is polled, as told, and when it is dropped.
struct Grenade(Option<Answer>);

impl Future for Grenade {
    type Output = Answer;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        match &self.0 {
            Some(answer) => Poll::Ready(answer.clone()),
            None => panic!("the poll"),
        }
    }
}

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("the end");
    }
}

#[test]
fn future_that_panics_again_when_it_is_dropped_aborts_nothing_and_loses_no_answer() {
    for answers in [false, true] {
        let rig = patient();
        let answer = answers.then(|| Answer::borrowed(&rig.session(1)));
        rig.cache.set_async_get_callback(move |_, _| Grenade(answer.clone()));
        let asked = || pollster::block_on(resume(&rig.cache, 1));
        assert!(catch_unwind(AssertUnwindSafe(asked)).is_err());
        assert_eq!(rig.holds(1), answers, "what was brought is lost, or came from nowhere");
        assert_eq!(rig.cache.stats().in_flight, 0);
        rig.cache.clear_get_callback();
    }
    let rig = patient();
    rig.cache.set_async_get_callback(|_, _| Grenade(None));
    let taken = || pollster::block_on(take(&rig.cache, 1));
    assert!(catch_unwind(AssertUnwindSafe(taken)).is_err());
    assert_eq!(rig.cache.stats().in_flight, 0);
}

#[tokio::test]
async fn panic_of_the_future_has_one_caller_and_the_others_miss() {
    let rig = Arc::new(patient());
    let all = rig.cache.clone();
    rig.cache.set_async_get_callback(move |_, _| {
        let cache = all.clone();
        async move {
            while cache.stats().joined < 3 {
                tokio::task::yield_now().await;
            }
            panic!("injected")
        }
    });
    let tasks = askers(&rig, 4).await;
    let (mut panicked, mut missed) = (0, 0);
    for task in tasks {
        match task.await {
            Ok(found) => missed += u32::from(found.is_none()),
            Err(error) => panicked += u32::from(error.is_panic()),
        }
    }
    assert_eq!((panicked, missed), (1, 3));
    let stats = rig.cache.stats();
    assert_eq!((stats.get_panics, stats.in_flight, rig.cache.len()), (1, 0, 0));
    rig.cache.clear_get_callback();
}

#[test]
fn panic_of_the_callback_itself_leaves_nothing_behind() {
    let rig = patient();
    let callback = |_: &u64,
                    _: &halfshake::session::Asked<'_, u64>|
     -> std::future::Ready<Answer> { panic!("injected") };
    rig.cache.set_async_get_callback(callback);
    for _ in 0..2 {
        let asked = || pollster::block_on(resume(&rig.cache, 1));
        assert!(catch_unwind(AssertUnwindSafe(asked)).is_err());
        let taken = || pollster::block_on(take(&rig.cache, 1));
        assert!(catch_unwind(AssertUnwindSafe(taken)).is_err());
    }
    let stats = rig.cache.stats();
    assert_eq!((stats.get_panics, stats.in_flight), (4, 0));
}

#[test]
fn look_up_whose_future_panics_is_over_also_while_it_is_kept() {
    let rig = patient();
    rig.cache.set_async_get_callback(|_, _| {
        std::future::poll_fn(|_| -> Poll<Answer> { panic!("injected") })
    });
    let name = sessions::namespace();
    let mut resumes = Box::pin(rig.cache.resume_async(&1, &name, &[1; 32]));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(resumes.as_mut()))).is_err());
    assert_eq!(rig.cache.stats().in_flight, 0);
    let mut takes = Box::pin(rig.cache.take_async(&1, &name, &[1; 32]));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(takes.as_mut()))).is_err());
    // While a take is out nothing of its key lands.
    rig.set_get();
    rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
    assert_eq!(rig.resume(1), Some(true));
    assert!(rig.holds(1), "the take is out still");
}

#[test]
fn waker_that_panics_leaves_nobody_asleep() {
    struct Wakes(Option<Arc<Mutex<u32>>>);
    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            *self.0.as_ref().expect("injected").lock().unwrap() += 1;
        }
    }
    let rig = patient();
    let store = Store::of(&rig);
    let woken = Arc::new(Mutex::new(0));
    let wakers = [None, Some(woken.clone()), None];
    let mut look_ups: Vec<_> = wakers
        .into_iter()
        .map(|wakes| {
            let mut look_up = Box::pin(resume(&rig.cache, 1));
            let waker = Waker::from(Arc::new(Wakes(wakes)));
            assert!(look_up.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            look_up
        })
        .collect();
    store.answers(Answer::borrowed(&rig.session(1)));
    assert!(*woken.lock().unwrap() > 0, "asleep for ever");
    for look_up in &mut look_ups {
        assert_eq!(poll_once(look_up.as_mut()), Poll::Ready(Some(true)));
    }
}

/// Never answers, and panics when it is dropped.
struct Dud;

impl Future for Dud {
    type Output = Answer;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Pending
    }
}

impl Drop for Dud {
    fn drop(&mut self) {
        panic!("the end");
    }
}

#[test]
fn panic_of_a_future_that_is_given_up_is_counted_and_leaves_no_drop() {
    let rig = patient();
    rig.cache.set_async_get_callback(|_, _| Dud);
    let mut waits = Box::pin(resume(&rig.cache, 1));
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(waits);
    let mut waits = Box::pin(take(&rig.cache, 1));
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(waits);
    assert_eq!((rig.cache.stats().get_panics, rig.cache.stats().in_flight), (2, 0));
    let rig =
        sessions::rig_with(|builder| builder.lookup_timeout(std::time::Duration::from_millis(2)));
    rig.cache.set_async_get_callback(|_, _| Dud);
    assert!(rig.cache.resume(&1, &sessions::namespace(), &[1; 32]).is_none());
    assert!(rig.cache.take(&1, &sessions::namespace(), &[1; 32]).is_none());
    assert!(!pollster::block_on(take(&rig.cache, 1)));
    assert_eq!(pollster::block_on(resume(&rig.cache, 1)), None);
    assert_eq!((rig.cache.stats().get_panics, rig.cache.stats().in_flight), (4, 0));
}
