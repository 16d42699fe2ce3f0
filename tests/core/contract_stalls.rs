//! Nobody is left waiting: not by a look-up that hangs, nor by one whose asker goes away, nor by
//! what its future does.

use crate::sessions::later::{patient, poll_once, resume};
use crate::sessions::{Cache, Rig, namespace, rig_with};
use crate::tried::{amount, tried};
use crate::world::until;
use halfshake::session::{Answer, BreakerState};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

fn resumes(cache: &Cache) -> bool {
    resumes_that(cache, 1)
}

fn resumes_that(cache: &Cache, id: u8) -> bool {
    cache.resume(&3, &namespace(), &[id; 32]).is_some()
}

/// A rig on which so many failures open the breaker.
fn impatient(timeout: Duration, failures: u64) -> Rig {
    rig_with(|builder| {
        let builder = builder.lookup_timeout(timeout);
        builder.breaker(failures, Duration::from_secs(600))
    })
}

/// The first look-up outside hangs, all others find session 1. The callback and each future have
/// one of what this gives.
fn hang_at_first(rig: &Rig) -> Arc<()> {
    let (calls, alive) = (AtomicU64::new(0), Arc::new(()));
    let (answer, counted) = (Answer::borrowed(&rig.session(1)), alive.clone());
    rig.cache.set_async_get_callback(move |_, _| {
        let (hangs, answer, alive) =
            (calls.fetch_add(1, SeqCst) == 0, answer.clone(), counted.clone());
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            drop(alive);
            answer
        }
    });
    alive
}

#[test]
fn look_up_that_hangs_is_ended_by_who_comes_after_the_time_out() {
    let rig = impatient(Duration::from_millis(300), 1_000);
    let alive = hang_at_first(&rig);
    let mut first = pin!(resume(&rig.cache, 1));
    assert!(poll_once(first.as_mut()).is_pending());
    // The second asker may join, and waits for the time-out; the next one comes later than that.
    let second = resumes(&rig.cache);
    assert!(second || resumes(&rig.cache), "a miss without end");
    let stats = rig.cache.stats();
    assert_eq!((stats.asked, Arc::strong_count(&alive)), (2, 2), "the callback has one as well");
    assert!(stats.timed_out >= 1, "the first asker has waited in vain");
    // The first asker was never polled again, as in a task that waits for something else.
    assert_eq!(poll_once(first.as_mut()), Poll::Ready(None));
    assert_eq!(rig.cache.stats().in_flight, 0);
}

#[test]
fn all_who_still_wait_for_a_look_up_that_hangs_have_timed_out_when_it_is_ended() {
    // Unless this thread stands still for so long while they come.
    while !three_come_and_time_out(Duration::from_millis(300)) {}
}

/// Whether all of them had come before the time was over.
fn three_come_and_time_out(timeout: Duration) -> bool {
    let rig = impatient(timeout, 1_000);
    hang_at_first(&rig);
    let begun = Instant::now();
    let mut askers: Vec<_> = (0..3).map(|_| Box::pin(resume(&rig.cache, 1))).collect();
    let all_wait = askers.iter_mut().all(|asker| poll_once(asker.as_mut()).is_pending());
    if begun.elapsed() >= timeout {
        return false;
    }
    assert!(all_wait);
    // This one waits no longer.
    askers.pop();
    until("the time is over", || begun.elapsed() > timeout + timeout / 5);
    assert!(resumes(&rig.cache), "it asks anew");
    let stats = rig.cache.stats();
    assert_eq!((stats.asked, stats.timed_out, stats.in_flight), (2, 2, 0));
    for asker in &mut askers {
        assert_eq!(poll_once(asker.as_mut()), Poll::Ready(None));
    }
    assert_eq!(rig.cache.stats().timed_out, 2, "each once");
    true
}

#[test]
fn breaker_hears_once_of_a_look_up_that_hangs() {
    let rig = impatient(Duration::from_millis(50), 2);
    rig.cache.set_async_get_callback(|_, _| std::future::pending());
    let mut first = pin!(resume(&rig.cache, 1));
    assert!(poll_once(first.as_mut()).is_pending());
    let mut misses = 0;
    while rig.cache.stats().breaker == BreakerState::Closed {
        assert!(!resumes(&rig.cache));
        misses += 1;
    }
    let stats = rig.cache.stats();
    assert_eq!(stats.asked, 2, "{misses} misses: one look-up is one failure");
}

#[test]
fn future_that_is_woken_again_and_again_ends_with_the_time_out() {
    let rig = impatient(Duration::from_millis(20), 0);
    rig.cache.set_async_get_callback(|_, _| {
        poll_fn(|cx: &mut Context<'_>| {
            cx.waker().wake_by_ref();
            Poll::<Answer>::Pending
        })
    });
    assert!(!resumes(&rig.cache));
    assert!(rig.cache.take(&3, &namespace(), &[1; 32]).is_none());
    assert_eq!((rig.cache.stats().timed_out, rig.cache.stats().in_flight), (2, 0));
}

/// A future that never answers, and whose end the test holds up.
struct EndsLate {
    begins: Sender<()>,
    ends: Arc<Mutex<Receiver<()>>>,
}

impl Future for EndsLate {
    type Output = Answer;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Pending
    }
}

impl Drop for EndsLate {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.begins.send(());
        let _ = self.ends.lock().expect("no test panics under it").recv();
    }
}

#[test]
fn askers_share_one_look_up_also_while_an_abandoned_one_ends() {
    let rig = Arc::new(patient());
    let (begins, begun) = channel();
    let (end, ends) = channel::<()>();
    let ends = Arc::new(Mutex::new(ends));
    rig.cache.set_async_get_callback(move |_, _| EndsLate {
        begins: begins.clone(),
        ends: ends.clone(),
    });
    let mut abandoned = Box::pin(resume(&rig.cache, 1));
    assert!(poll_once(abandoned.as_mut()).is_pending());
    std::thread::scope(|scope| {
        scope.spawn(|| drop(abandoned));
        begun.recv().unwrap();
        let mut askers: Vec<_> = (0..4).map(|asker| Box::pin(resume(&rig.cache, asker))).collect();
        for asker in &mut askers {
            assert!(poll_once(asker.as_mut()).is_pending());
        }
        assert_eq!((rig.cache.stats().asked, rig.cache.stats().joined), (2, 3));
        drop(end);
    });
}

#[test]
fn callback_that_blocks_for_ever_is_a_miss_for_all_others_and_heard_of_once() {
    let misses = amount(5, 100_000);
    let rig = impatient(Duration::from_nanos(1), 2);
    let (go, goes) = channel::<()>();
    let goes = Mutex::new(goes);
    rig.cache.set_get_callback(move |_, _| {
        goes.lock().expect("no test panics under it").recv().expect("it is told");
        Answer::unknown()
    });
    std::thread::scope(|scope| {
        let blocks = |id| {
            let (cache, asked) = (&rig.cache, rig.cache.stats().asked);
            let blocked = scope.spawn(move || resumes_that(cache, id));
            while cache.stats().asked == asked {
                std::thread::yield_now();
            }
            blocked
        };
        let first = blocks(1);
        for _ in 0..misses {
            assert!(!resumes(&rig.cache));
        }
        assert_eq!(rig.cache.stats().breaker, BreakerState::Closed, "one look-up is one failure");
        let second = blocks(2);
        assert!(!resumes_that(&rig.cache, 2));
        let stats = rig.cache.stats();
        let expected = (misses + 1, 2, BreakerState::Open);
        assert_eq!((stats.timed_out, stats.asked, stats.breaker), expected);
        for blocked in [first, second] {
            go.send(()).expect("it waits");
            assert!(!blocked.join().expect("no panic"));
        }
    });
    tried(
        "6",
        "a get callback that does not return, and others who look for the same session",
        &format!("{misses} look-ups beside it"),
        "each is a miss once its time is over; nobody asks again; the breaker hears of it once",
    );
}

/// Notes that it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Polls a look-up when it is told, and tells how that went, and whether it has been woken since.
fn joins(cache: Cache, told: Receiver<()>, tells: Sender<Option<bool>>) {
    let flag = Arc::new(Flag::default());
    let mut look_up = pin!(resume(&cache, 2));
    while told.recv().is_ok() {
        let waker = Waker::from(flag.clone());
        let polled = look_up.as_mut().poll(&mut Context::from_waker(&waker));
        let over = match polled {
            Poll::Ready(found) => found,
            Poll::Pending => None,
        };
        tells.send(over).expect("the test listens");
        if over.is_some() {
            return;
        }
        // Told again: whether it was woken.
        if told.recv().is_ok() {
            tells.send(Some(flag.0.swap(false, SeqCst))).expect("the test listens");
        }
    }
}

#[test]
fn asker_who_finds_another_one_polling_is_woken_when_that_one_leaves_it() {
    let rig = patient();
    let answer = Answer::borrowed(&rig.session(1));
    let (tell, told) = channel();
    let (tells, hears) = channel();
    let (tell, hears) = (Arc::new(Mutex::new(tell)), Arc::new(Mutex::new(hears)));
    let asks_other = {
        let (tell, hears) = (tell.clone(), hears.clone());
        move || -> Option<bool> {
            tell.lock().unwrap().send(()).unwrap();
            hears.lock().unwrap().recv().unwrap()
        }
    };
    let (polls, other) = (Arc::new(AtomicU64::new(0)), asks_other.clone());
    rig.cache.set_async_get_callback(move |_, _| {
        let (answer, polls, other) = (answer.clone(), polls.clone(), other.clone());
        poll_fn(move |cx| match polls.fetch_add(1, SeqCst) {
            // By the first asker, then by the one who has joined.
            0 | 1 => Poll::Pending,
            2 => {
                // Both are woken; the other one comes first, and finds it out.
                cx.waker().wake_by_ref();
                assert_eq!(other(), Some(true), "woken");
                assert_eq!(other(), None);
                Poll::Pending
            }
            _ => Poll::Ready(answer.clone()),
        })
    });
    let cache = rig.cache.clone();
    let mut first = pin!(resume(&rig.cache, 1));
    assert!(poll_once(first.as_mut()).is_pending());
    let joining = std::thread::spawn(move || joins(cache, told, tells));
    assert_eq!(asks_other(), None);
    // The first one is polled once more, and then never again, as by a `select!` that goes on with
    // something else.
    assert!(poll_once(first.as_mut()).is_pending());
    assert_eq!(asks_other(), Some(true), "nobody goes on with it");
    assert_eq!(asks_other(), Some(true), "from outside");
    joining.join().unwrap();
}

/// A future that has answered, and looks the same session up when it is dropped.
struct LooksUpAgain {
    cache: Cache,
    answer: Answer,
    found: Arc<Mutex<Option<bool>>>,
}

impl Future for LooksUpAgain {
    type Output = Answer;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Ready(self.answer.clone())
    }
}

impl Drop for LooksUpAgain {
    fn drop(&mut self) {
        let found = resumes(&self.cache);
        *self.found.lock().expect("no test panics under it") = Some(found);
    }
}

#[test]
fn end_of_a_future_may_look_the_same_session_up() {
    let rig = patient();
    let found: Arc<Mutex<Option<bool>>> = Arc::default();
    let (cache, answer) = (rig.cache.clone(), Answer::borrowed(&rig.session(1)));
    let seen = found.clone();
    rig.cache.set_async_get_callback(move |_, _| LooksUpAgain {
        cache: cache.clone(),
        answer: answer.clone(),
        found: seen.clone(),
    });
    assert_eq!(pollster::block_on(resume(&rig.cache, 1)), Some(true));
    assert_eq!(found.lock().unwrap().take(), Some(true), "it is inside by then");
    rig.cache.clear_get_callback();
}

#[test]
fn future_that_parks_the_thread_after_it_was_woken_strands_nobody() {
    let rig = patient();
    let answer = Answer::borrowed(&rig.session(1));
    rig.cache.set_async_get_callback(move |_, _| {
        let (answer, mut polled) = (answer.clone(), false);
        poll_fn(move |cx| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(answer.clone());
            }
            cx.waker().wake_by_ref();
            // As a lock or a channel may: what wakes the thread is used up.
            std::thread::park();
            Poll::Pending
        })
    });
    assert!(resumes(&rig.cache));
    assert_eq!(rig.cache.stats().timed_out, 0);
}
