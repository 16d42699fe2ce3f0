//! A directory of sessions with its key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::{TempDir, tempdir};

use super::{Server, text};

pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(crate) const OTHER_KEY: &str =
    "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let disk = Self { folder: tempdir().expect("a temporary folder") };
        disk.set_keys(KEY);
        disk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn set_keys(&self, keys: &str) {
        let file = self.path("keys");
        fs::write(&file, keys).expect("the keys are written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    pub(crate) fn serve(&self, more: &[&str]) -> Server {
        self.serve_command(more, |_| ())
    }

    pub(crate) fn serve_command(
        &self,
        more: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Server {
        let (directory, keys) = (self.path("sessions"), self.path("keys"));
        let disk = ["--external-dir", text(&directory), "--seal-key", text(&keys)];
        Server::start_command(&[&disk[..], more].concat(), prepare)
    }

    /// The files of sessions, in one order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("sessions")).expect("the directory is there");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }
}
