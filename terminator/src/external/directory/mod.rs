//! A directory of small files: written whole, taken by one, swept by age.
//!
//! A file appears under its name by a rename, so it is never seen half-written. It is taken by a
//! rename to a name that nobody else makes, so of any number of takers, in any number of processes,
//! one gets it. Its time of modification is when its session expires, so a sweep opens nothing.
//!
//! Within this process a name is given or lost under a lock ([`Known`]), which keeps the count of
//! files exact. It delays nobody who would not wait all the same: the kernel changes a directory
//! for one caller at a time, too. What other processes do is counted by the next sweep.
//!
//! A file that is about to come is announced, and whoever deletes the file of that name forestalls
//! it: what was deleted is not there afterwards, however slow its writer was.
//!
//! What could not be deleted is dead all the same, for this process: it is not found any more, and
//! each sweep tries again to delete it. Should it outlive the process, it comes back.
//!
//! Nothing is synchronised to the disk. When the machine loses its power, files may be lost or cut
//! off, which is a miss; and a deletion may be lost, with which a taken session would be back.

mod dead;
mod folder;
mod known;
mod sweep;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::dead::Dead;
use self::folder::Folder;
use self::known::Known;
use super::name::Name;
use crate::setup_error::SetupError;

/// Whether a file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Now,
    NotThereAreEnough,
    /// Somebody has deleted the file of that name meanwhile, which would have been this one.
    NotItWasForestalled,
}

/// Whether a file was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deleted {
    Now,
    NothingThere,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Directory {
    folder: Folder,
    most: u64,
    known: Mutex<Known>,
    dead: Dead,
    sweeping: Mutex<()>,
    /// Makes temporary names nobody else's.
    own: String,
    next: AtomicU64,
}

impl Directory {
    /// Makes it if it is not there, locks it and sweeps it.
    pub(super) fn open(path: &Path, most: u64, shared: bool) -> Result<Self, SetupError> {
        let directory = Self {
            folder: Folder::open(path, shared)?,
            most,
            known: Mutex::default(),
            dead: Dead::default(),
            sweeping: Mutex::default(),
            own: format!("{:016x}", fastrand::Rng::new().u64(..)),
            next: AtomicU64::new(0),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unusable = |source| SetupError::ExternalDir { path: path.into(), source };
        directory.sweep(now).map_err(unusable)?;
        Ok(directory)
    }

    pub(super) fn files(&self) -> u64 {
        self.known().files()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic can't leave it half-way: none of its functions can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn temporary(&self, purpose: &str) -> String {
        // Relaxed: a read-modify-write, so each has a number of its own.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{purpose}-{}-{number}", self.own)
    }

    /// Says that a file is going to be written. Who deletes it before it is there forestalls it.
    pub(super) fn announce(&self, name: Name) -> Coming<'_> {
        let number = self.known().announce(&name);
        Coming { directory: self, name, number }
    }

    /// Writes a file, or replaces it, unless there are enough.
    pub(super) fn write(
        &self,
        coming: &Coming<'_>,
        not_after: Duration,
        bytes: &[u8],
    ) -> io::Result<Written> {
        if let Err(why_not) = self.has_room(&self.known(), coming)? {
            return Ok(why_not);
        }
        let temporary = self.temporary("new");
        let written = self
            .folder
            .write_new(&temporary, not_after, bytes)
            .and_then(|()| self.name_written(coming, &temporary));
        if !matches!(written, Ok(Written::Now)) {
            // It may not have come into being.
            let _ = self.folder.remove(&temporary);
        }
        written
    }

    fn name_written(&self, coming: &Coming<'_>, temporary: &str) -> io::Result<Written> {
        let mut known = self.known();
        let is_free = match self.has_room(&known, coming)? {
            Ok(is_free) => is_free,
            Err(why_not) => return Ok(why_not),
        };
        self.folder.rename(temporary, coming.name.as_str())?;
        known.came(&coming.name, is_free);
        Ok(Written::Now)
    }

    /// Whether the name of a file that is coming is free: if not, it replaces the one that is
    /// there. Or why it may not come.
    fn has_room(&self, known: &Known, coming: &Coming<'_>) -> io::Result<Result<bool, Written>> {
        if !known.is_expected(&coming.name, coming.number) {
            return Ok(Err(Written::NotItWasForestalled));
        }
        let is_free = found(self.folder.facts(coming.name.as_str()))?.is_none();
        if self.dead.has(&coming.name) || (is_free && known.files() >= self.most) {
            return Ok(Err(Written::NotThereAreEnough));
        }
        Ok(Ok(is_free))
    }

    /// What is in a file, if there is one.
    pub(super) fn read(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        if self.dead.has(name) {
            return Ok(None);
        }
        found(self.folder.read(name.as_str()))
    }

    /// The same for one caller alone, and the file has gone from its place.
    pub(super) fn take(&self, name: &Name) -> io::Result<Option<Taken<'_>>> {
        let private = self.temporary("taken");
        let coming = {
            let mut known = self.known();
            if self.dead.has(name) || found(self.folder.rename(name.as_str(), &private))?.is_none()
            {
                return Ok(None);
            }
            known.left(name);
            let number = known.announce(name);
            Coming { directory: self, name: name.clone(), number }
        };
        let mut taken = Taken { coming, private, bytes: Vec::new() };
        taken.bytes = self.folder.read(&taken.private)?;
        Ok(Some(taken))
    }

    /// Deletes a file, and forestalls what is coming under its name. If it can't be deleted, it is
    /// not found any more all the same.
    pub(super) fn delete(&self, name: &Name) -> io::Result<Deleted> {
        let mut known = self.known();
        known.forestall(name);
        match found(self.folder.remove(name.as_str())) {
            Ok(Some(())) => {
                known.left(name);
                Ok(Deleted::Now)
            }
            Ok(None) => Ok(Deleted::NothingThere),
            Err(error) => {
                self.dead.add(name);
                Err(error)
            }
        }
    }

    /// What is coming under that name is not to come. What is there stays.
    pub(super) fn forestall(&self, name: &Name) {
        self.known().forestall(name);
    }

    /// Deletes a file if that is what is in it, and not if another one has come since it was read.
    pub(super) fn discard(&self, name: &Name, bytes: &[u8]) -> io::Result<Deleted> {
        self.expel(name, |private| Ok(self.folder.read(private)? == bytes))
    }

    /// Deletes a file if it is the one that is meant. It is looked at where no other process can
    /// exchange it, and put back if it is another one.
    fn expel(
        &self,
        name: &Name,
        is_meant: impl FnOnce(&str) -> io::Result<bool>,
    ) -> io::Result<Deleted> {
        let private = self.temporary("taken");
        let mut known = self.known();
        if found(self.folder.rename(name.as_str(), &private))?.is_none() {
            return Ok(Deleted::NothingThere);
        }
        if is_meant(&private).unwrap_or(false) {
            known.left(name);
            // Nobody looks under that name: should it stay, it is swept.
            let _ = self.folder.remove(&private);
            return Ok(Deleted::Now);
        }
        match self.folder.rename_to_free(&private, name.as_str()) {
            Ok(true) => {}
            // Another process has written one more meanwhile, which is newer.
            Ok(false) => drop(self.folder.remove(&private)),
            Err(_) => known.left(name),
        }
        Ok(Deleted::NothingThere)
    }
}

/// A file that is about to get its name.
#[derive(Debug)]
pub(super) struct Coming<'d> {
    directory: &'d Directory,
    name: Name,
    number: u64,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.directory.known().withdraw(&self.name, self.number);
    }
}

/// A file that one has taken: deleted when this is dropped.
#[derive(Debug)]
pub(super) struct Taken<'d> {
    coming: Coming<'d>,
    private: String,
    bytes: Vec<u8>,
}

impl Taken<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// It was not used: back with it to its place, unless it was deleted meanwhile, or another one
    /// is there.
    pub(super) fn put_back(self) -> io::Result<()> {
        let Coming { directory, name, .. } = &self.coming;
        let mut known = directory.known();
        if directory.has_room(&known, &self.coming)? == Ok(true)
            && directory.folder.rename_to_free(&self.private, name.as_str())?
        {
            known.came(name, true);
        }
        Ok(())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // It may be back in its place. Nobody looks under this name: should it stay, it is swept.
        let _ = self.coming.directory.folder.remove(&self.private);
    }
}

/// `None` for what is not there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
