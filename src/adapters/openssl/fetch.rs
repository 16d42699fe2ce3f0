//! A look-up before the handshake goes on, while it is under way.

use crate::session::{Session, SessionId};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::Result as Caught;

/// Ids with what was found.
pub(super) type Known = Vec<(SessionId, Option<Session>)>;

/// See the module's documentation.
pub(super) struct Fetch {
    pub(super) ids: Vec<SessionId>,
    pub(super) look_up: Pin<Box<dyn Future<Output = Known> + Send>>,
}

impl Fetch {
    /// What was found; after a panic nothing.
    pub(super) async fn done(mut self) -> (Known, Caught<()>) {
        let step = |context: &mut Context<'_>| {
            let poll = || self.look_up.as_mut().poll(context);
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(step) => step.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        };
        match poll_fn(step).await {
            Ok(known) => (known, Ok(())),
            Err(panic) => (self.ids.into_iter().map(|id| (id, None)).collect(), Err(panic)),
        }
    }
}
