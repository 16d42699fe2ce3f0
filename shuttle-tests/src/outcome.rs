//! What came of a plan, or of many.

use crate::kinds::{Kind, Meetings};

/// What came of one plan.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Operations that were checked, on one key each.
    pub operations: u64,
    /// Removal events.
    pub events: u64,
    /// Inserts that were not refused.
    pub stored: u64,
    /// Inserts that were.
    pub refused: u64,
    /// Which operations were under way at the same time.
    pub meetings: Meetings<Kind>,
    /// The same of session caches; their operations and events are counted with the others.
    pub meetings_of_sessions: Meetings<crate::sessions::Kind>,
}

impl Outcome {
    /// That of another plan, too.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.events += other.events;
        self.stored += other.stored;
        self.refused += other.refused;
        self.meetings.add_all(&other.meetings);
        self.meetings_of_sessions.add_all(&other.meetings_of_sessions);
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { operations, events, stored, refused, .. } = self;
        write!(f, "{operations} operations on keys, {events} events, ")?;
        write!(f, "{stored} inserts and {refused} refused")
    }
}
