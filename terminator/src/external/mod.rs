//! Sessions in files: the three callbacks of the session cache, as the manual page of OpenSSL has
//! them for sessions that are "saved to disk".
//!
//! ```text
//! new callback     a session is negotiated     seal ─ write under a temporary name ─ rename
//! get callback     the cache does not hold it  TLS 1.2: read ─ open
//!                                              TLS 1.3: rename away ─ read ─ open ─ unlink
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
//! # A session that leaves while it is written
//!
//! It can be found before the new callback has run, so it may have left before its file is there,
//! and must not come back from it. So the callback announces the file first, then looks whether the
//! session is still in memory, then writes. If it has left before that look, nothing is written. If
//! it leaves later, the remove callback is called, and before a taker gets it: that forestalls the
//! file, or deletes it if it is there. What is evicted after the look keeps its file; before it, it
//! has none, for nobody can tell any more why it left. A file that a newer session of its id would
//! overwrite is forestalled, too, lest it come last.
//!
//! # Files that can't be used
//!
//! A damaged file is deleted, and only that one: what was written under its name since it was read
//! stays. A file whose key is unknown stays, for a key can come back: who has taken it puts it
//! back, unless it was to be deleted meanwhile.
//!
//! A disk that fails is a miss and a counter, never a failed handshake. What is read is trusted
//! only if it opens under one of the keys, for the very id and namespace that are asked for; then
//! the cache checks it once more. One thing no seal can do: who may write to the directory can put
//! a file back that was deleted, and with it a TLS 1.3 session that was used.
//!
//! # Several processes
//!
//! A process that has the directory for itself (it holds a lock on it) asks its memory first.
//! Processes that share one can't: a session in the memory of one may have been taken through
//! another. So they keep none in memory ([`Modes::NO_INTERNAL`]), and the rename decides who gets
//! it.

mod counters;
mod directory;
mod keys;
mod name;
mod owner;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use halfshake::RemovalCause;
use halfshake::session::{
    Answer, Asked, KeyRing, Modes, New, Purpose, Removed, Session, SessionBuilder, SessionCache,
    Verdict,
};

pub(crate) use self::counters::{Counters, Unopened};
use self::directory::{Coming, Deleted, Directory, Written};
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
        let session = new.session();
        let name = Name::of(session.namespace().as_bytes(), session.id().as_bytes());
        // First announced, then looked for: who removes it later forestalls the file.
        let coming = self.directory.announce(name);
        if new.has_left() {
            return Verdict::Keep;
        }
        if self.write(&coming, session) || new.is_stored() {
            Verdict::Keep
        } else {
            Verdict::Refuse
        }
    }

    /// Whether it is in a file now.
    fn write(&self, coming: &Coming<'_>, session: &Session) -> bool {
        let sealed = match self.keys.load().seal(session) {
            Ok(sealed) => sealed,
            Err(error) => {
                self.counters.write_failures.inc();
                tracing::error!("cannot seal a session: {error}; give --seal-key a new key");
                return false;
            }
        };
        match self.directory.write(coming, session.times().not_after(), &sealed) {
            Ok(Written::Now) => {
                self.counters.written.inc();
                self.counters.works();
                true
            }
            Ok(Written::NotThereAreEnough) => {
                self.counters.full.inc();
                false
            }
            Ok(Written::NotItWasForestalled) => false,
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
        let answer = match asked.purpose() {
            Purpose::Resume => self.read(asked, &name),
            _ => self.take(asked, &name),
        };
        match answer {
            Ok(Some(session)) => Answer::handed_over(session),
            Ok(None) => Answer::unknown(),
            Err(error) => {
                self.counters.fails("read", &error);
                Answer::failed()
            }
        }
    }

    fn read(&self, asked: &Asked<'_, ()>, name: &Name) -> io::Result<Option<Session>> {
        let Some(sealed) = self.directory.read(name)? else { return Ok(None) };
        let opened = self.open_sealed(asked, &sealed);
        // A key can come back; what is damaged stays damaged.
        if opened.as_ref().is_err_and(|why| *why != Unopened::UnknownKey) {
            self.count_deleted(self.directory.discard(name, &sealed));
        }
        Ok(opened.ok())
    }

    fn take(&self, asked: &Asked<'_, ()>, name: &Name) -> io::Result<Option<Session>> {
        let Some(taken) = self.directory.take(name)? else { return Ok(None) };
        let opened = self.open_sealed(asked, taken.bytes());
        if opened.as_ref().is_err_and(|why| *why == Unopened::UnknownKey) {
            taken.put_back()?;
        } else {
            drop(taken);
            self.counters.deleted.inc();
        }
        Ok(opened.ok())
    }

    fn open_sealed(&self, asked: &Asked<'_, ()>, sealed: &[u8]) -> Result<Session, Unopened> {
        let opened = self.keys.load().open(asked.namespace(), asked.id(), sealed);
        opened.map_err(Unopened::of).inspect_err(|why| self.counters.unopened(*why))
    }

    /// The remove callback.
    fn left(&self, gone: &Removed<'_, ()>) {
        let name = || Name::of(gone.namespace(), gone.id());
        match gone.cause() {
            RemovalCause::Evicted | RemovalCause::Shutdown => {}
            RemovalCause::Replaced => self.directory.forestall(&name()),
            _ => self.count_deleted(self.directory.delete(&name())),
        }
    }

    fn count_deleted(&self, deleted: io::Result<Deleted>) {
        match deleted {
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
