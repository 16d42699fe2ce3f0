//! What closes loom's blind spots, one by one, so that `loom-tests/tests/blind_spots.rs` can show
//! that it does. Model builds only; the models themselves use all of it through the engine.

use crate::entry::Watched;
use crate::reclaim::{Collector, Guard, Participant, SetUp};
use crate::sync::{AtomicU64, Ordering, Swap};
use std::sync::Arc;

/// An atomic of ours: with a twin, see [`crate::sync`].
#[derive(Debug)]
pub struct Word(AtomicU64);

impl Word {
    /// An atomic of this value.
    pub fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// The value.
    pub fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    /// Exchanges the value if it is `old`.
    ///
    /// # Errors
    /// The value, if it is not.
    pub fn compare_exchange(&self, old: u64, new: u64, done: Ordering) -> Result<u64, u64> {
        // Relaxed on failure: nothing is read then.
        self.0.compare_exchange(old, new, done, Ordering::Relaxed)
    }
}

/// arc-swap as models use it: see [`crate::sync`].
#[derive(Debug)]
pub struct Pointer(Swap<u64>);

impl Pointer {
    /// A pointer to nothing.
    pub fn new() -> Self {
        Self(Swap::new(None))
    }

    /// What it points to.
    pub fn load(&self) -> Option<u64> {
        self.0.load().as_deref().copied()
    }

    /// Lets it point to this.
    pub fn store(&self, value: u64) {
        self.0.swap(Some(Arc::new(value)));
    }
}

impl Default for Pointer {
    fn default() -> Self {
        Self::new()
    }
}

/// crossbeam-epoch as models use it: with a gate, see [`crate::reclaim`].
#[derive(Debug)]
pub struct Gated(Collector);

/// A thread's membership.
#[derive(Debug)]
pub struct Pins(Participant);

/// Its pin.
#[derive(Debug)]
pub struct Pinned(#[expect(dead_code, reason = "it is there to be dropped")] Guard);

impl Gated {
    /// The real collector.
    pub fn new() -> Self {
        crate::reclaim::set_up(SetUp { real: true, batch: 1 });
        Self(Collector::new())
    }

    /// A membership.
    pub fn register(&self) -> Pins {
        Pins(self.0.register())
    }
}

impl Default for Gated {
    fn default() -> Self {
        Self::new()
    }
}

impl Pins {
    /// Pins.
    pub fn pin(&self) -> Pinned {
        Pinned(self.0.pin())
    }
}

/// What an entry holds, in a cell that loom watches, from its making to its end.
#[derive(Debug)]
pub struct Payload(Watched<u64>);

impl Payload {
    /// A new one.
    pub fn new(value: u64) -> Self {
        Self(Watched::new(value))
    }

    /// Reads it.
    pub fn read(&self) -> u64 {
        *self.0.read()
    }

    /// Its memory goes back.
    pub fn bury(&self) {
        self.0.bury();
    }
}
