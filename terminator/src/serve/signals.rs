//! The signals that end the server or make it read its certificate again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::setup_error::SetupError;

#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Stop,
    Reload,
}

impl Signals {
    pub(super) fn install() -> Result<Self, SetupError> {
        let install = |kind| signal(kind).map_err(|source| SetupError::Signals { source });
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hangup: install(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Resolves at the next Ctrl-C or SIGTERM; a SIGHUP before it asks for nothing any more.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
