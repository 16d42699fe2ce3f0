//! The files that could not be deleted: dead for this process, as if they were gone.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::external::name::Name;

/// So many that can't be deleted: nothing in such a directory is trusted.
const MOST: usize = 65_536;

/// See the module's documentation. Has a lock of its own, so that who only reads a file waits for
/// nobody who changes one.
#[derive(Debug, Default)]
pub(super) struct Dead(Mutex<HashSet<Name>>);

impl Dead {
    pub(super) fn has(&self, name: &Name) -> bool {
        let dead = self.lock();
        dead.len() == MOST || dead.contains(name)
    }

    pub(super) fn add(&self, name: &Name) {
        let mut dead = self.lock();
        if dead.len() < MOST {
            dead.insert(name.clone());
        }
    }

    pub(super) fn all(&self) -> Vec<Name> {
        self.lock().iter().cloned().collect()
    }

    /// It was deleted after all.
    pub(super) fn bury(&self, name: &Name) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Name>> {
        // A panic can't leave it half-way: each change is one insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
