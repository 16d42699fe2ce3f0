//! What the files have cost and brought, beside what the cache counts of its callbacks.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use halfshake::session::SealError;
use prometheus_client::metrics::counter::Counter;

/// Why a file was no session that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// Too short, or not written by this program.
    Form,
    /// No key of the file of keys has sealed it.
    UnknownKey,
    /// Damaged, or the file of another session.
    Forged,
    /// Sealed, but no session.
    Malformed,
}

impl Unopened {
    pub(crate) const ALL: [Self; 4] = [Self::Form, Self::UnknownKey, Self::Forged, Self::Malformed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::UnknownKey => "unknown_key",
            Self::Forged => "forged",
            Self::Malformed => "sealed_malformed",
        }
    }

    pub(super) fn of(error: SealError) -> Self {
        match error {
            SealError::Form => Self::Form,
            SealError::UnknownKey(_) => Self::UnknownKey,
            SealError::Malformed(_) => Self::Malformed,
            _ => Self::Forged,
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) written: Counter,
    /// Not written since there were enough.
    pub(crate) full: Counter,
    pub(crate) write_failures: Counter,
    /// By the callbacks.
    pub(crate) deleted: Counter,
    /// By a sweep.
    pub(crate) expired: Counter,
    pub(crate) delete_failures: Counter,
    pub(crate) key_reloads: Counter,
    pub(crate) key_reload_failures: Counter,
    unopened: [Counter; Unopened::ALL.len()],
    failing: AtomicBool,
}

impl Counters {
    pub(super) fn unopened(&self, why: Unopened) {
        self.unopened[why as usize].inc();
    }

    pub(crate) fn unopened_for(&self, why: Unopened) -> u64 {
        self.unopened[why as usize].get()
    }

    /// Logs the first of a row of failures: a full disk must not fill the log, too.
    pub(super) fn fails(&self, what: &'static str, error: &io::Error) {
        // Relaxed: a flag that publishes nothing.
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!("cannot {what} in --external-dir: {error}; sessions go without it");
        }
    }

    /// A file was written.
    pub(super) fn works(&self) {
        // Relaxed: as above. Looked at first, for it is nearly always so.
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("--external-dir can be written to again");
        }
    }
}
