//! A directory of small files: written whole, taken by one, swept by age.
//!
//! A file appears under its name by a rename, so it is never seen half-written. It is taken by a
//! rename to a name that nobody else makes, so of any number of takers, in any number of processes,
//! one gets it. Its time of modification is when its session expires, so a sweep opens nothing.
//!
//! What could not be deleted is dead all the same, for this process: it is not found any more, and
//! each sweep tries again to delete it. Should it outlive the process, it comes back.
//!
//! Nothing is synchronised to the disk. When the machine loses its power, files may be lost or cut
//! off, which is a miss; and a deletion may be lost, with which a taken session would be back.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::name::Name;
use crate::setup_error::SetupError;

/// The largest file that is read: a session has 64 KiB at most, and some bytes around it.
const MOST_BYTES: u64 = (64 << 10) + 1024;
/// What has a temporary name for longer was left behind by a process that has died.
const TEMPORARY: Duration = Duration::from_secs(60);
const LOCK: &str = "lock";
const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// So many that can't be deleted: nothing in such a directory is trusted.
const MOST_DEAD: usize = 65_536;

/// Whether a file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Now,
    NotThereAreEnough,
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
    path: PathBuf,
    most: u64,
    /// As exact as the last sweep, for others may delete files, or write some.
    files: AtomicI64,
    /// Could not be deleted.
    dead: Mutex<HashSet<Name>>,
    /// Makes temporary names nobody else's.
    own: String,
    next: AtomicU64,
    /// Held until the process ends, however it ends.
    _lock: File,
}

impl Directory {
    /// Makes it if it is not there, locks it and sweeps it.
    pub(super) fn open(path: &Path, most: u64, shared: bool) -> Result<Self, SetupError> {
        let unusable = |source| SetupError::ExternalDir { path: path.into(), source };
        match DirBuilder::new().mode(PRIVATE_DIRECTORY).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unusable(error)),
            _ => {}
        }
        if fs::metadata(path).map_err(unusable)?.mode() & 0o077 != 0 {
            return Err(SetupError::ExternalDirOpen { path: path.into() });
        }
        let lock = lock(&path.join(LOCK), shared).map_err(|source| match source.kind() {
            ErrorKind::WouldBlock => SetupError::ExternalDirInUse { path: path.into() },
            _ => unusable(source),
        })?;
        let directory = Self {
            path: path.into(),
            most,
            files: AtomicI64::new(0),
            dead: Mutex::default(),
            own: format!("{:016x}", fastrand::Rng::new().u64(..)),
            next: AtomicU64::new(0),
            _lock: lock,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        directory.sweep(now).map_err(unusable)?;
        Ok(directory)
    }

    pub(super) fn files(&self) -> u64 {
        // Relaxed: a count that publishes nothing.
        u64::try_from(self.files.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn count(&self, more: i64) -> u64 {
        // Relaxed: a read-modify-write, so none is lost.
        u64::try_from(self.files.fetch_add(more, Ordering::Relaxed)).unwrap_or(0)
    }

    fn place(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_str())
    }

    fn temporary(&self, purpose: &str) -> PathBuf {
        // Relaxed: a read-modify-write, so each has a number of its own.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{purpose}-{}-{number}", self.own))
    }

    /// Writes a file, or replaces it, unless there are enough.
    pub(super) fn write(
        &self,
        name: &Name,
        not_after: Duration,
        bytes: &[u8],
    ) -> io::Result<Written> {
        if self.count(1) >= self.most || self.is_dead(name) {
            self.count(-1);
            return Ok(Written::NotThereAreEnough);
        }
        let temporary = self.temporary("new");
        let written = write_new(&temporary, not_after, bytes)
            .and_then(|()| fs::rename(&temporary, self.place(name)));
        if let Err(error) = written {
            self.count(-1);
            // It may not have come into being.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(Written::Now)
    }

    /// What is in a file, if there is one.
    pub(super) fn read(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        if self.is_dead(name) {
            return Ok(None);
        }
        found(read_whole(&self.place(name)))
    }

    /// The same for one caller alone, and the file is gone.
    pub(super) fn take(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        let private = self.temporary("taken");
        if self.is_dead(name) || found(fs::rename(self.place(name), &private))?.is_none() {
            return Ok(None);
        }
        self.count(-1);
        let bytes = read_whole(&private);
        // Nobody looks under that name: should it stay, it is swept.
        let _ = fs::remove_file(&private);
        bytes.map(Some)
    }

    /// Deletes a file. If that fails, it is not found any more all the same.
    pub(super) fn delete(&self, name: &Name) -> io::Result<Deleted> {
        match found(fs::remove_file(self.place(name))) {
            Ok(Some(())) => {
                self.count(-1);
                Ok(Deleted::Now)
            }
            Ok(None) => Ok(Deleted::NothingThere),
            Err(error) => {
                let mut dead = self.dead();
                if dead.len() < MOST_DEAD {
                    dead.insert(name.clone());
                }
                Err(error)
            }
        }
    }

    fn is_dead(&self, name: &Name) -> bool {
        let dead = self.dead();
        dead.len() == MOST_DEAD || dead.contains(name)
    }

    fn dead(&self) -> MutexGuard<'_, HashSet<Name>> {
        // A panic can't leave it half-way: each change is one insertion or removal.
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries again to delete what could not be deleted.
    fn bury(&self) {
        let dead: Vec<Name> = self.dead().iter().cloned().collect();
        for name in dead {
            if found(fs::remove_file(self.place(&name))).is_ok() {
                self.dead().remove(&name);
            }
        }
    }

    /// Deletes what has expired and what was left behind, and counts what stays. The answer: how
    /// many sessions have gone.
    pub(super) fn sweep(&self, now: Duration) -> io::Result<u64> {
        self.bury();
        // Relaxed: as in `files`.
        let before = self.files.load(Ordering::Relaxed);
        let (mut kept, mut expired) = (0_i64, 0);
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            // It may have gone meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            if Name::is_one(name) {
                if since_1970(metadata.mtime()) > now {
                    kept += 1;
                } else if fs::remove_file(entry.path()).is_ok() {
                    expired += 1;
                }
            } else if (name.starts_with("new-") || name.starts_with("taken-"))
                && since_1970(metadata.ctime()) + TEMPORARY < now
            {
                // As above.
                let _ = fs::remove_file(entry.path());
            }
        }
        // A difference, so that what others count meanwhile is not lost.
        self.count(kept.saturating_sub(before));
        Ok(expired)
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

fn lock(path: &Path, shared: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_FILE)
        .custom_flags(no_links())
        .open(path)?;
    let operation = if shared {
        FlockOperation::NonBlockingLockShared
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    flock(&file, operation)?;
    Ok(file)
}

fn write_new(path: &Path, not_after: Duration, bytes: &[u8]) -> io::Result<()> {
    let expires = UNIX_EPOCH.checked_add(not_after).ok_or(ErrorKind::InvalidInput)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .custom_flags(no_links())
        .open(path)?;
    file.write_all(bytes)?;
    file.set_modified(expires)
}

fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(no_links()).open(path)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A link leads out of the directory, and a pipe would be waited for.
fn no_links() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// Whole seconds, as the file system tells them.
fn since_1970(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;
    use std::sync::Barrier;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use tempfile::{TempDir, tempdir};

    use super::{Deleted, Directory, LOCK, Written};
    use crate::external::name::Name;
    use crate::setup_error::SetupError;

    const YEAR_2100: Duration = Duration::from_secs(4_102_444_800);

    fn folder() -> TempDir {
        tempdir().expect("a temporary folder")
    }

    fn open(path: &Path, most: u64, shared: bool) -> Directory {
        Directory::open(path, most, shared).expect("a directory")
    }

    fn name(of: u64) -> Name {
        Name::of(b"namespace", &of.to_be_bytes())
    }

    fn kept(directory: &Directory, of: u64) {
        let written = directory.write(&name(of), YEAR_2100, &of.to_be_bytes());
        assert_eq!(written.expect("it is written"), Written::Now);
    }

    fn now() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
    }

    #[test]
    fn of_concurrent_takers_in_several_processes_one_gets_a_file() {
        let folder = folder();
        let path = folder.path().join("sessions");
        let two = [open(&path, 1000, true), open(&path, 1000, true)];
        for round in 0..200 {
            kept(&two[0], round);
            let begin = Barrier::new(4);
            let take = |directory: &Directory| {
                begin.wait();
                directory.take(&name(round)).expect("a disk that works")
            };
            let got: Vec<_> = std::thread::scope(|scope| {
                let take = &take;
                let of = |taker: u32| &two[usize::from(taker % 2 == 1)];
                let takers: Vec<_> =
                    (0..4).map(|taker| scope.spawn(move || take(of(taker)))).collect();
                takers.into_iter().map(|taker| taker.join().expect("no panic")).collect()
            });
            let got: Vec<_> = got.into_iter().flatten().collect();
            assert_eq!(got, [round.to_be_bytes().to_vec()], "round {round}");
        }
        let left: Vec<_> = fs::read_dir(&path).expect("a folder").collect();
        assert_eq!(left.len(), 1, "the lock alone: {left:?}");
    }

    #[test]
    fn a_file_is_read_until_it_is_deleted_and_taken_once() {
        let folder = folder();
        let directory = open(&folder.path().join("sessions"), 10, false);
        kept(&directory, 1);
        for _ in 0..2 {
            assert!(directory.read(&name(1)).expect("it is read").is_some());
        }
        assert_eq!(directory.delete(&name(1)).expect("it is deleted"), Deleted::Now);
        assert_eq!(directory.delete(&name(1)).expect("it is gone"), Deleted::NothingThere);
        assert_eq!(directory.read(&name(1)).expect("a miss"), None);
        kept(&directory, 2);
        assert!(directory.take(&name(2)).expect("it is taken").is_some());
        assert_eq!(directory.take(&name(2)).expect("a miss"), None);
        assert_eq!(directory.files(), 0);
    }

    #[test]
    fn there_are_never_more_files_than_the_limit() {
        let folder = folder();
        let directory = open(&folder.path().join("sessions"), 2, false);
        kept(&directory, 1);
        kept(&directory, 2);
        let third = || directory.write(&name(3), YEAR_2100, b"3").expect("no failure");
        assert_eq!(third(), Written::NotThereAreEnough);
        // By another hand: the next sweep sees it.
        fs::remove_file(directory.place(&name(1))).expect("it was there");
        assert_eq!(third(), Written::NotThereAreEnough);
        directory.sweep(now()).expect("a folder");
        assert_eq!((directory.files(), third()), (1, Written::Now));
    }

    #[test]
    fn a_sweep_deletes_what_has_expired_and_what_the_dead_have_left() {
        let folder = folder();
        let path = folder.path().join("sessions");
        let directory = open(&path, 10, false);
        let soon = now() + Duration::from_secs(1000);
        kept(&directory, 1);
        directory.write(&name(2), soon, b"2").expect("it is written");
        for left in ["new-dead-1", "taken-dead-2", "another file"] {
            fs::write(path.join(left), b"left").expect("it is written");
        }
        assert_eq!(directory.sweep(now()).expect("a folder"), 0);
        assert_eq!((directory.files(), fs::read_dir(&path).expect("a folder").count()), (2, 6));
        assert_eq!(directory.sweep(soon).expect("a folder"), 1, "at the very time");
        assert_eq!(directory.files(), 1);
        let mut left: Vec<_> = fs::read_dir(&path).expect("a folder").flatten().collect();
        left.retain(|entry| entry.file_name() != name(1).as_str());
        let mut left: Vec<_> = left.into_iter().map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, ["another file", LOCK]);
    }

    #[test]
    fn one_process_has_the_directory_unless_all_of_them_share_it() {
        let folder = folder();
        let path = folder.path().join("sessions");
        let in_use = |shared| {
            let error = Directory::open(&path, 1, shared).expect_err("it is in use");
            assert!(matches!(error, SetupError::ExternalDirInUse { .. }), "{error}");
        };
        let alone = open(&path, 1, false);
        in_use(false);
        in_use(true);
        drop(alone);
        let shared = (open(&path, 1, true), open(&path, 1, true));
        in_use(false);
        drop(shared);
        open(&path, 1, false);
    }

    #[test]
    fn everything_is_for_its_owner_alone() {
        let folder = folder();
        let path = folder.path().join("sessions");
        let directory = open(&path, 10, false);
        kept(&directory, 1);
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!((mode(&directory.place(&name(1))), mode(&path.join(LOCK))), (0o600, 0o600));
        drop(directory);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).expect("it is ours");
        let error = Directory::open(&path, 1, false).expect_err("others can enter");
        assert!(matches!(error, SetupError::ExternalDirOpen { .. }), "{error}");
    }

    #[test]
    fn what_is_no_file_is_neither_followed_nor_waited_for() {
        let folder = folder();
        let directory = open(&folder.path().join("sessions"), 10, false);
        let outside = folder.path().join("outside");
        fs::write(&outside, b"not ours").expect("it is written");
        symlink(&outside, directory.place(&name(1))).expect("a link");
        assert!(directory.read(&name(1)).is_err(), "a link");
        assert!(directory.take(&name(1)).is_err(), "a link");
        assert_eq!(fs::read(&outside).expect("it is still there"), b"not ours");
        fs::create_dir(directory.place(&name(2))).expect("a folder");
        assert!(directory.read(&name(2)).is_err(), "a folder");
        let pipe = directory.place(&name(3));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("a pipe");
        assert_eq!(directory.read(&name(3)).expect("nobody writes"), Some(Vec::new()));
    }

    #[test]
    fn what_could_not_be_deleted_is_dead_until_it_is_deleted() {
        let folder = folder();
        let directory = open(&folder.path().join("sessions"), 10, false);
        kept(&directory, 1);
        let (place, aside) = (directory.place(&name(1)), folder.path().join("aside"));
        fs::rename(&place, &aside).expect("it is there");
        fs::create_dir(&place).expect("what is no file can't be deleted");
        assert!(directory.delete(&name(1)).is_err());
        // It is back, as after a fault of the disk.
        fs::remove_dir(&place).expect("it is there");
        fs::rename(&aside, &place).expect("it is there");
        assert_eq!(directory.read(&name(1)).expect("a miss"), None);
        assert_eq!(directory.take(&name(1)).expect("a miss"), None);
        directory.sweep(now()).expect("a folder");
        assert!(!place.exists(), "the sweep has deleted it");
        kept(&directory, 1);
        assert!(directory.read(&name(1)).expect("it is read").is_some(), "another one");
    }

    #[test]
    fn a_directory_that_has_gone_is_a_failure_to_write_and_a_miss() {
        let folder = folder();
        let path = folder.path().join("sessions");
        let directory = open(&path, 10, false);
        kept(&directory, 1);
        fs::remove_dir_all(&path).expect("it was there");
        assert!(directory.write(&name(2), YEAR_2100, b"2").is_err());
        assert_eq!(directory.read(&name(1)).expect("a miss"), None);
        assert_eq!(directory.take(&name(1)).expect("a miss"), None);
        assert_eq!(directory.delete(&name(1)).expect("it is gone"), Deleted::NothingThere);
        assert!(directory.sweep(now()).is_err());
        assert_eq!(directory.files(), 1, "as of the last sweep");
    }
}
