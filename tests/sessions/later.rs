//! A store that answers later, and look-ups of session 1 that wait for it.

use super::{Cache, Connection, Rig, namespace, rig_with};
use halfshake::session::Answer;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A store whose answers the test gives, when it likes; it counts its futures.
#[derive(Default)]
pub(crate) struct Store {
    answer: Mutex<Option<Answer>>,
    waiting: Mutex<Vec<Waker>>,
    alive: Arc<()>,
}

impl Store {
    pub(crate) fn of(rig: &Rig) -> Arc<Self> {
        let store = Arc::new(Self::default());
        let asked = store.clone();
        rig.cache.set_async_get_callback(move |_, _| {
            let (store, alive) = (asked.clone(), asked.alive.clone());
            async move {
                let answer = store.wait().await;
                drop(alive);
                answer
            }
        });
        store
    }

    async fn wait(&self) -> Answer {
        poll_fn(|cx| {
            let answer = self.answer.lock().expect("no test panics under it").clone();
            self.waiting.lock().expect("no test panics under it").push(cx.waker().clone());
            answer.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.answer.lock().expect("no test panics under it") = Some(answer);
        let waiting = std::mem::take(&mut *self.waiting.lock().expect("no test panics under it"));
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Futures that are not dropped.
    pub(crate) fn futures(&self) -> usize {
        Arc::strong_count(&self.alive) - 1
    }
}

/// A rig on which nothing ends because of the time.
pub(crate) fn patient() -> Rig {
    rig_with(|builder| builder.lookup_timeout(Duration::from_secs(600)))
}

/// Whether a client may resume session 1, and where it was found.
pub(crate) async fn resume(cache: &Cache, connection: Connection) -> Option<bool> {
    let name = namespace();
    let found = cache.resume_async(&connection, &name, &[1; 32]).await?;
    Some(found.is_external())
}

pub(crate) async fn take(cache: &Cache, connection: Connection) -> bool {
    cache.take_async(&connection, &namespace(), &[1; 32]).await.is_some()
}

/// Tasks that propose session 1, once all but the first have joined it.
pub(crate) async fn askers(rig: &Arc<Rig>, count: u64) -> Vec<JoinHandle<Option<bool>>> {
    let tasks = (0..count).map(|connection| {
        let rig = rig.clone();
        tokio::task::spawn(async move { resume(&rig.cache, connection).await })
    });
    let tasks = tasks.collect();
    while rig.cache.stats().joined < count - 1 {
        tokio::task::yield_now().await;
    }
    tasks
}

pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
