//! The sweep: what has expired or was left behind goes, and what stays is counted.

use std::io;
use std::sync::PoisonError;
use std::time::Duration;

use super::known::Listed;
use super::{Deleted, Directory, found};
use crate::external::name::Name;

/// What has a temporary name for longer was left behind by a process that has died.
const TEMPORARY: Duration = Duration::from_secs(60);

impl Directory {
    /// Deletes what has expired and what was left behind, and counts what stays. The answer: how
    /// many sessions have gone.
    pub(in crate::external) fn sweep(&self, now: Duration) -> io::Result<u64> {
        // One count at a time. A panic leaves nothing half-way: the next one begins anew.
        let _alone = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        self.bury();
        self.known().begin_count();
        let (mut listed, mut expired) = (Vec::new(), 0);
        let all = self.folder.list(|entry| {
            if let Some(name) = Name::read(entry) {
                listed.push(name.number());
                expired += u64::from(self.expire(&name, now));
            } else if entry.starts_with("new-") || entry.starts_with("taken-") {
                self.clear_up(entry, now);
            }
        });
        let listed = all.is_ok().then(|| Listed::new(listed));
        self.known().end_count(listed.as_ref());
        all.map(|()| expired)
    }

    /// Tries again to delete what could not be deleted.
    fn bury(&self) {
        for name in self.dead.all() {
            let mut known = self.known();
            match found(self.folder.remove(name.as_str())) {
                Ok(Some(())) => known.left(&name),
                Ok(None) => {}
                Err(_) => continue,
            }
            self.dead.bury(&name);
        }
    }

    /// Whether a file had expired, and is deleted.
    fn expire(&self, name: &Name, now: Duration) -> bool {
        let is_due = |file: &str| -> io::Result<bool> {
            let facts = self.folder.facts(file)?;
            Ok(!facts.is_folder && facts.not_after <= now)
        };
        // Looked at again before it goes: a new one may have come under its name.
        is_due(name.as_str()).is_ok_and(|is_due| is_due)
            && matches!(self.expel(name, is_due), Ok(Deleted::Now))
    }

    /// Deletes a file without a name of a session if nobody is at work on it any more.
    fn clear_up(&self, file: &str, now: Duration) {
        let Ok(facts) = self.folder.facts(file) else { return };
        if facts.changed + TEMPORARY < now {
            // If that fails, the next sweep tries again.
            let _ = self.folder.remove(file);
        }
    }
}
