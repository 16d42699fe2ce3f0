//! What a look-up outside ends with, for those who have joined it.

use super::record::Session;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Empty until the one who asks is done, in whatever way.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    answer: Mutex<Option<Option<Session>>>,
    ready: Condvar,
}

impl Outcome {
    /// A panic can't leave it half-way: it is written in one step.
    fn answer(&self) -> MutexGuard<'_, Option<Option<Session>>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody, once: what comes later changes nothing.
    pub(super) fn tell(&self, session: Option<Session>) {
        self.answer().get_or_insert(session);
        self.ready.notify_all();
    }

    /// Waits for the answer; `Err` if it does not come in time.
    pub(super) fn wait(&self, timeout: Duration) -> Result<Option<Session>, TimedOut> {
        let nobody = |answer: &mut Option<Option<Session>>| answer.is_none();
        let waited = self.ready.wait_timeout_while(self.answer(), timeout, nobody);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone().ok_or(TimedOut)
    }
}

/// The answer did not come in time.
#[derive(Debug)]
pub(super) struct TimedOut;

/// Tells those who have joined that there is nothing, unless something was told before: also if
/// the callback panics.
#[derive(Debug)]
pub(super) struct NothingElse<'o>(pub(super) Option<&'o Outcome>);

impl Drop for NothingElse<'_> {
    fn drop(&mut self) {
        if let Some(outcome) = self.0 {
            outcome.tell(None);
        }
    }
}
