//! A folder of the disk, held by its descriptor: locked, private, and the same one to the end.
//!
//! The lock is on the folder itself, so nobody loses it by deleting files. Names are looked up in
//! the descriptor, not along the path. A folder that is moved is used where it lies; in one that
//! was removed nothing can be written, and nothing is found, whatever has its path by then.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::fs::{flock, linkat, openat, renameat, statat, unlinkat};

use crate::external::owner;
use crate::setup_error::SetupError;

/// The largest file that is read: a session has 64 KiB at most, and some bytes around it.
const MOST_BYTES: u64 = (64 << 10) + 1024;
const PRIVATE: u32 = 0o700;
/// Whoever is not the owner.
const OTHERS: u32 = 0o077;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Folder {
    /// Locked until the process ends, however it ends.
    file: File,
}

/// What can be told of a file without opening it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// When it expires.
    pub(super) not_after: Duration,
    /// When it was written, or got its name.
    pub(super) changed: Duration,
    /// Not a file at all, and can't be deleted like one.
    pub(super) is_folder: bool,
}

impl Folder {
    /// Makes it if it is not there, and locks it.
    pub(super) fn open(path: &Path, shared: bool) -> Result<Self, SetupError> {
        let unusable = |source| SetupError::ExternalDir { path: path.into(), source };
        match DirBuilder::new().mode(PRIVATE).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unusable(error)),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(rustix::fs::CWD, path, flags, Mode::empty());
        let file = File::from(opened.map_err(|error| unusable(error.into()))?);
        // Of what was opened: a link on the way there may lead elsewhere now.
        let metadata = file.metadata().map_err(unusable)?;
        if !owner::is_trusted(metadata.uid()) {
            return Err(SetupError::ExternalDirOwner { path: path.into() });
        }
        if metadata.mode() & OTHERS != 0 {
            return Err(SetupError::ExternalDirOpen { path: path.into() });
        }
        let operation = if shared {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        flock(&file, operation).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => SetupError::ExternalDirInUse { path: path.into() },
            _ => unusable(error.into()),
        })?;
        Ok(Self { file })
    }

    /// Writes a file that is not there yet.
    pub(super) fn write_new(
        &self,
        name: &str,
        not_after: Duration,
        bytes: &[u8],
    ) -> io::Result<()> {
        let expires = UNIX_EPOCH.checked_add(not_after).ok_or(ErrorKind::InvalidInput)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | alone();
        let mut file = File::from(openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(bytes)?;
        file.set_modified(expires)
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = openat(&self.file, name, OFlags::RDONLY | alone(), Mode::empty())?;
        let mut bytes = Vec::new();
        File::from(file).take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Gives a file another name, which another file may have had.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.file, from, &self.file, to)?)
    }

    /// The same if no other file has that name; whether it was so.
    pub(super) fn rename_to_free(&self, from: &str, to: &str) -> io::Result<bool> {
        // Every file system has this, and not every one a rename that replaces nothing.
        match linkat(&self.file, from, &self.file, to, AtFlags::empty()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        // It has both names now; should it keep the old one, too, that one is swept.
        let _ = self.remove(from);
        Ok(true)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.file, name, AtFlags::empty())?)
    }

    /// Of a link itself, should it be one.
    pub(super) fn facts(&self, name: &str) -> io::Result<Facts> {
        let found = statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Facts {
            not_after: since_1970(found.st_mtime, found.st_mtime_nsec),
            changed: since_1970(found.st_ctime, found.st_ctime_nsec),
            is_folder: FileType::from_raw_mode(found.st_mode).is_dir(),
        })
    }

    /// Calls `of` with all names that are there.
    pub(super) fn list(&self, mut of: impl FnMut(&str)) -> io::Result<()> {
        // The list of one that was removed is empty, and no failure.
        if self.file.metadata()?.nlink() == 0 {
            return Err(ErrorKind::NotFound.into());
        }
        for entry in Dir::read_from(&self.file)? {
            // Nothing of ours has a name that is no text.
            if let Ok(name) = entry?.file_name().to_str() {
                of(name);
            }
        }
        Ok(())
    }
}

/// A link leads out of the folder, a pipe would be waited for, and a child process needs none.
fn alone() -> OFlags {
    OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC
}

/// What was before 1970 is as old as anything can be.
fn since_1970(seconds: i64, nanoseconds: impl TryInto<u32>) -> Duration {
    let Ok(seconds) = u64::try_from(seconds) else { return Duration::ZERO };
    Duration::new(seconds, nanoseconds.try_into().unwrap_or(0))
}
