//! How many handles a cache has.
//!
//! Loom: `last_handle_sees`.

use crate::sync::{Flag, Ordering, Word};

/// Counts them: the last one that goes ends the cache, once.
#[derive(Debug)]
pub(crate) struct Handles {
    there: Word,
    /// The last one has gone.
    ended: Flag,
}

impl Handles {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { there: Word::new(0), ended: Flag::new(false) }
    }

    /// One more.
    pub(crate) fn come(&self) {
        // Relaxed: whoever clones holds a handle; only the last drop orders anything.
        self.there.fetch_add(1, Ordering::Relaxed);
    }

    /// One less; whether this thread has to end the cache. It sees what others did before theirs
    /// went.
    pub(crate) fn go(&self) -> bool {
        // AcqRel: whatever other handles did comes before the end.
        let last = self.there.fetch_sub(1, Ordering::AcqRel) == 1;
        // Once: a listener that is told of the end may make handles of its own, and drop them.
        // Relaxed: they come after.
        last && !self.ended.swap(true, Ordering::Relaxed)
    }
}
