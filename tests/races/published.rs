//! Plain memory that one ordering of the library alone publishes, where models have no word for it:
//! with that one relaxed, the thread sanitizer sees a race. What waits here waits by relaxed loads,
//! which order nothing.

use super::done;
use halfshake::session::{Answer, Namespace, SessionCache};
use halfshake::{Cache, Delivery, Maintenance, RemovalCause};
use std::cell::UnsafeCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::task::{Poll, Waker};

/// Written by one thread, then read by another one.
#[derive(Default)]
struct Plain(UnsafeCell<u64>);

// SAFETY: one thread writes, and the other one reads what the library says is there: that is what
// the sanitizer checks.
unsafe impl Sync for Plain {}

const WRITTEN: u64 = 7;

impl Plain {
    fn write(&self) {
        // SAFETY: nobody reads yet.
        unsafe { *self.0.get() = WRITTEN };
    }

    fn is_written(&self) -> bool {
        // SAFETY: nobody writes any more.
        unsafe { *self.0.get() == WRITTEN }
    }
}

fn wait_for(word: &AtomicU64) {
    while word.load(Relaxed) == 0 {
        std::thread::yield_now();
    }
}

pub(super) fn all() {
    shutdown_shows_what_listeners_did();
    gauge_of_events_shows_what_listeners_did();
    last_handle_shows_what_others_did();
    all_that_a_cache_is_made_of_ends_with_its_last_handle();
    future_sees_what_was_done_before_it_was_woken();
}

/// A cache with an entry of which its delivery thread tells.
fn told_by_its_thread(listener: impl Fn() + Send + Sync + 'static) -> Cache<u64, u64> {
    let builder = Cache::<u64, u64>::builder()
        .capacity(8)
        .maintenance(Maintenance::Embedder)
        .delivery(Delivery::Thread)
        .removal_listener(move |_| listener());
    let cache = builder.build().expect("good settings");
    cache.insert(1, 1).expect("there is room");
    cache
}

/// The count of delivered events. The entry is taken and held, so that the delivery thread does
/// not retire it: that would order the two as well.
fn shutdown_shows_what_listeners_did() {
    let plain = Arc::new(Plain::default());
    let writes = plain.clone();
    let cache = told_by_its_thread(move || {
        // Meanwhile the shutdown begins.
        (0..20).for_each(|_| std::thread::yield_now());
        writes.write();
    });
    let taken = cache.take(&1).expect("it is there");
    cache.shutdown();
    assert!(plain.is_written(), "a listener is still under way");
    drop(taken);
    cache.validate();
}

/// The count of events that were left to the delivery thread.
fn gauge_of_events_shows_what_listeners_did() {
    let plain = Arc::new(Plain::default());
    let writes = plain.clone();
    let cache = told_by_its_thread(move || writes.write());
    assert!(cache.remove(&1), "it is there");
    while cache.stats().undelivered != 0 {
        std::thread::yield_now();
    }
    assert!(plain.is_written(), "a listener is still under way");
    cache.shutdown();
    cache.validate();
}

/// The count of handles.
fn last_handle_shows_what_others_did() {
    let plain = Arc::new(Plain::default());
    let (reads, gone) = (plain.clone(), Arc::new(AtomicU64::new(0)));
    let builder = Cache::<u64, u64>::builder()
        .capacity(8)
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |last| {
            assert_eq!(last.cause(), RemovalCause::Shutdown);
            assert!(reads.is_written(), "another handle was used after the last one");
        });
    let cache = builder.build().expect("good settings");
    cache.insert(1, 1).expect("there is room");
    let (other, goes) = (cache.clone(), gone.clone());
    let thread = std::thread::spawn(move || {
        plain.write();
        drop(other);
        goes.store(1, Relaxed);
    });
    wait_for(&gone);
    drop(cache);
    thread.join().expect("it ends");
}

/// The same, for the cache's own memory: the other thread has used it, and nothing but its handle
/// says that it does so no more; it ends afterwards, which would order the two as well.
fn all_that_a_cache_is_made_of_ends_with_its_last_handle() {
    let (gone, freed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let builder = Cache::<u64, Box<u64>>::builder().capacity(8).maintenance(Maintenance::Embedder);
    let cache = builder.build().expect("good settings");
    let (other, goes, stays) = (cache.clone(), gone.clone(), freed.clone());
    let thread = std::thread::spawn(move || {
        for key in 0..20 {
            done(other.insert(key, Box::new(key)));
            done(other.take(&(key / 2)));
        }
        drop(other);
        goes.store(1, Relaxed);
        wait_for(&stays);
    });
    wait_for(&gone);
    drop(cache);
    freed.store(1, Relaxed);
    thread.join().expect("it ends");
}

/// A future, and who wakes it.
#[derive(Default)]
struct Later {
    asleep: AtomicU64,
    waker: UnsafeCell<Option<Waker>>,
    done: AtomicU64,
    plain: Plain,
}

// SAFETY: the waker is written before `asleep`, and then belongs to who has seen that.
unsafe impl Sync for Later {}
// SAFETY: as above.
unsafe impl Send for Later {}

/// Whether a parked thread was woken.
fn future_sees_what_was_done_before_it_was_woken() {
    let builder = SessionCache::<u64>::builder().capacity(8).maintenance(Maintenance::Embedder);
    let cache = builder.build().expect("good settings");
    let later = Arc::new(Later::default());
    let sleeps = later.clone();
    done(cache.set_async_get_callback(move |_, _| {
        let later = sleeps.clone();
        poll_fn(move |cx| {
            if later.done.load(Relaxed) == 1 {
                assert!(later.plain.is_written(), "polled before it was woken");
                return Poll::Ready(Answer::unknown());
            }
            // SAFETY: nobody looks before `asleep` says so; it is polled again after that.
            unsafe { *later.waker.get() = Some(cx.waker().clone()) };
            later.asleep.store(1, Release);
            Poll::Pending
        })
    }));
    let wakes = later.clone();
    let thread = std::thread::spawn(move || {
        while wakes.asleep.load(Acquire) == 0 {
            std::thread::yield_now();
        }
        // SAFETY: it is there, and nobody writes it again before `done` says so.
        let waker = unsafe { (*wakes.waker.get()).take() };
        wakes.plain.write();
        wakes.done.store(1, Relaxed);
        waker.expect("it was written").wake();
    });
    let name = Namespace::new(b"www").expect("short");
    assert!(cache.take(&0, &name, &[7; 32]).is_none());
    thread.join().expect("it ends");
    cache.shutdown();
    cache.validate();
}
