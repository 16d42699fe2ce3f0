//! The handle that C has: a shell around a cache.
//!
//! A shell is never given back to the allocator, so a pointer to one is good for ever, and one
//! whose cache was freed says so. Whoever is inside of a call keeps the cache itself, by a guard
//! that costs a hit no shared write: a callback may free the cache that calls it, and another
//! thread may free it at the same time.
//!
//! Shells that were freed wait in a queue, and those that have waited longest are used again, but
//! only once 256 others wait: a program that makes and frees caches for ever needs no
//! more memory than that, and a stale handle names another cache only after so many.

use crate::foreign::{Connection, GetCallback, Hook, NewCallback, RemoveCallback};
use crate::result::{Code, Failure, Outcome};
use arc_swap::{ArcSwapOption, Guard};
use halfshake::session::{Compat, SessionCache};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As the header says.
const WAITING: usize = 256;

static FREED: Mutex<VecDeque<&'static Cache>> = Mutex::new(VecDeque::new());

/// A cache of sessions. All functions may be called with it from any thread, also from a callback.
pub struct Cache {
    live: ArcSwapOption<Live>,
}

/// A cache until it is freed.
pub(crate) struct Live {
    pub(crate) sessions: SessionCache<Connection>,
    pub(crate) quirks: Compat,
    pub(crate) id_max: usize,
    hooks: Mutex<Hooks>,
    ending: AtomicBool,
}

/// The callbacks that are set, for who asks which.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) new: Option<Arc<Hook<NewCallback>>>,
    pub(crate) get: Option<Arc<Hook<GetCallback>>>,
    pub(crate) remove: Option<Arc<Hook<RemoveCallback>>>,
}

impl Live {
    pub(crate) fn new(
        sessions: SessionCache<Connection>,
        quirks: Compat,
        id_max: usize,
    ) -> Arc<Self> {
        let (hooks, ending) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { sessions, quirks, id_max, hooks, ending })
    }

    /// Under it nobody's code is called and nothing of the caller's is dropped.
    pub(crate) fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// A shell for a cache that was just built.
    pub(crate) fn around(live: Arc<Live>) -> &'static Self {
        let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
        let used = if freed.len() > WAITING { freed.pop_front() } else { None };
        drop(freed);
        let shell =
            used.unwrap_or_else(|| Box::leak(Box::new(Self { live: ArcSwapOption::empty() })));
        shell.live.store(Some(live));
        shell
    }

    /// The handle for C.
    pub(crate) fn pointer(&'static self) -> *mut Self {
        std::ptr::from_ref(self).cast_mut()
    }

    /// The cache, for as long as the answer lives.
    pub(crate) fn live(&self) -> Outcome<Guard<Option<Arc<Live>>>> {
        let live = self.live.load();
        if live.is_some() {
            return Ok(live);
        }
        Err(freed())
    }

    /// Shuts the cache down and lets go of it. Others who are inside keep it until they leave.
    pub(crate) fn free(&'static self) -> Outcome {
        let guard = self.live()?;
        let Some(live) = &*guard else { return Err(freed()) };
        // Relaxed: who comes second only has to be told; the shell's own word orders the rest.
        if live.ending.swap(true, Ordering::Relaxed) {
            return Err(freed());
        }
        // While the shell still has it: the remove callback may ask the cache.
        live.sessions.shutdown();
        self.live.store(None);
        FREED.lock().unwrap_or_else(PoisonError::into_inner).push_back(self);
        Ok(())
    }
}

pub(crate) fn freed() -> Failure {
    let message = "this halfshake_cache was freed: no handle of it may be used any more";
    Failure::new(Code::HALFSHAKE_BAD_CACHE, message)
}
