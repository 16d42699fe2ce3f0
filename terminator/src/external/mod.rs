//! Sessions in files: the three callbacks of the session cache, as the manual page of OpenSSL has
//! them for sessions that are "saved to disk".
//!
//! ```text
//! new callback     a session is negotiated     seal ─ write under a temporary name ─ rename
//! get callback     the cache does not hold it  TLS 1.2: read ─ open
//!                                              TLS 1.3: rename away ─ read ─ unlink ─ open
//! remove callback  it left the cache           unlink, or leave it
//! ```
//!
//! A file survives the process, so a restart costs clients nothing. It goes with the session if
//! that may not be used any more, and stays if only the cache in memory has lost it:
//!
//! | cause | file | because |
//! | --- | --- | --- |
//! | `Expired`, `Removed`, `Flushed`, `Faulty`, `RefusedByNew` | deleted | it is not to be used |
//! | `Taken` | deleted, before the taker gets it | single use holds over a restart |
//! | `Evicted`, `Shutdown` | stays | this is what the directory is for |
//! | `Replaced` | stays | it has the name of the new session, which overwrites it |
//!
//! `Replaced` is told of before the new callback writes the new session, so deleting would do no
//! harm either; but a file that is renamed over is never missing in between.
//!
//! A disk that fails is a miss and a counter, never a failed handshake. What is read is trusted
//! only if it opens under one of the keys, for the very id and namespace that are asked for; then
//! the cache checks it once more. One thing no seal can do: who may write to the directory can put
//! a file back that was deleted, and with it a TLS 1.3 session that was used.
//!
//! # Several processes
//!
//! A process that has the directory for itself (a lock says so) asks its memory first. Processes
//! that share one can't: a session in the memory of one may have been taken through another. So
//! they keep none in memory ([`Modes::NO_INTERNAL`]), and the rename decides who gets it.

mod counters;
mod directory;
mod keys;
mod name;
mod owner;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use halfshake::RemovalCause;
use halfshake::session::{
    Answer, Asked, KeyRing, Modes, New, Purpose, Removed, SealError, Session, SessionBuilder,
    SessionCache, Verdict,
};

pub(crate) use self::counters::{Counters, Unopened};
use self::directory::{Deleted, Directory, Written};
use self::name::Name;
use crate::setup_error::SetupError;

/// How often files are looked for whose sessions have expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What the arguments say of it.
#[derive(Debug, Clone)]
pub(crate) struct ExternalSettings {
    pub(crate) directory: PathBuf,
    pub(crate) seal_key: PathBuf,
    pub(crate) most_files: u64,
    pub(crate) shared: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct External {
    settings: ExternalSettings,
    directory: Directory,
    keys: ArcSwap<KeyRing>,
    counters: Counters,
}

impl External {
    pub(crate) fn open(settings: ExternalSettings) -> Result<Arc<Self>, SetupError> {
        let keys = ArcSwap::from_pointee(keys::read(&settings.seal_key, None)?);
        let directory = Directory::open(&settings.directory, settings.most_files, settings.shared)?;
        Ok(Arc::new(Self { settings, directory, keys, counters: Counters::default() }))
    }

    /// Reads the keys again; if that fails, the old ones stay.
    pub(crate) fn reload_keys(&self) -> Result<(), SetupError> {
        match keys::read(&self.settings.seal_key, Some(&self.keys.load())) {
            Ok(keys) => {
                self.keys.store(Arc::new(keys));
                self.counters.key_reloads.inc();
                Ok(())
            }
            Err(error) => {
                self.counters.key_reload_failures.inc();
                Err(error)
            }
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn settings(&self) -> &ExternalSettings {
        &self.settings
    }

    /// Files now, by the last sweep and what this process has done since.
    pub(crate) fn files(&self) -> u64 {
        self.directory.files()
    }

    /// A cache with the three callbacks.
    pub(crate) fn attach(self: &Arc<Self>, builder: SessionBuilder<()>) -> SessionBuilder<()> {
        let modes =
            if self.settings.shared { Modes::SERVER | Modes::NO_INTERNAL } else { Modes::SERVER };
        let (new, get, remove) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        builder
            .modes(modes)
            // To ask the disk again costs little, and others may write to it, or bring a key.
            .remember_unknown(0, Duration::ZERO)
            .new_callback(move |&(), negotiated| new.keep(negotiated))
            .get_callback(move |&(), asked| get.find(asked))
            .remove_callback(move |gone| remove.left(gone))
    }

    /// The new callback. A session that only the memory has is good all the same.
    fn keep(&self, new: &New<'_, ()>) -> Verdict {
        if self.write(new.session()) || new.is_stored() { Verdict::Keep } else { Verdict::Refuse }
    }

    /// Whether it is in a file now.
    fn write(&self, session: &Session) -> bool {
        let name = Name::of(session.namespace().as_bytes(), session.id().as_bytes());
        let sealed = match self.keys.load().seal(session) {
            Ok(sealed) => sealed,
            Err(error) => {
                self.counters.write_failures.inc();
                tracing::error!("cannot seal a session: {error}; give --seal-key a new key");
                return false;
            }
        };
        match self.directory.write(&name, session.times().not_after(), &sealed) {
            Ok(Written::Now) => {
                self.counters.written.inc();
                self.counters.works();
                true
            }
            Ok(Written::NotThereAreEnough) => {
                self.counters.full.inc();
                false
            }
            Err(error) => {
                self.counters.write_failures.inc();
                self.counters.fails("write", &error);
                false
            }
        }
    }

    /// The get callback.
    fn find(&self, asked: &Asked<'_, ()>) -> Answer {
        let name = Name::of(asked.namespace().as_bytes(), asked.id());
        let take = asked.purpose() != Purpose::Resume;
        let read = if take { self.directory.take(&name) } else { self.directory.read(&name) };
        let sealed = match read {
            Ok(Some(sealed)) => sealed,
            Ok(None) => return Answer::unknown(),
            Err(error) => {
                self.counters.fails("read", &error);
                return Answer::failed();
            }
        };
        if take {
            self.counters.deleted.inc();
        }
        match self.keys.load().open(asked.namespace(), asked.id(), &sealed) {
            Ok(session) => Answer::handed_over(session),
            Err(error) => {
                self.counters.unopened(Unopened::of(error));
                // A key can come back; what is damaged stays damaged.
                if !take && !matches!(error, SealError::UnknownKey(_)) {
                    self.delete(&name);
                }
                Answer::unknown()
            }
        }
    }

    /// The remove callback.
    fn left(&self, gone: &Removed<'_, ()>) {
        match gone.cause() {
            RemovalCause::Evicted | RemovalCause::Shutdown | RemovalCause::Replaced => {}
            _ => self.delete(&Name::of(gone.namespace(), gone.id())),
        }
    }

    fn delete(&self, name: &Name) {
        match self.directory.delete(name) {
            Ok(Deleted::Now) => drop(self.counters.deleted.inc()),
            Ok(Deleted::NothingThere) => {}
            Err(error) => {
                self.counters.delete_failures.inc();
                self.counters.fails("delete", &error);
            }
        }
    }

    /// Deletes what has expired, again and again.
    pub(crate) async fn sweep(self: Arc<Self>, cache: SessionCache<()>) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        // The first one comes at once, and the directory was swept when it was opened.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let (external, now) = (Arc::clone(&self), cache.wall_now());
            let swept = tokio::task::spawn_blocking(move || external.directory.sweep(now)).await;
            match swept {
                Ok(Ok(expired)) => drop(self.counters.expired.inc_by(expired)),
                Ok(Err(error)) => self.counters.fails("list", &error),
                Err(_) => return,
            }
        }
    }
}
