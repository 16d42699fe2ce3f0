//! What a look-up has found: copied at once.

use super::model::copy;
use halfshake::session::{Resumed, Session};

/// What a look-up has found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) session: Session,
    pub(crate) is_external: bool,
}

impl Found {
    /// A copy: nothing stays pinned.
    pub(crate) fn of(resumed: Resumed<'_>) -> Self {
        let session = copy(&resumed.to_session());
        assert!(session.payload() == resumed.payload() && session.times() == resumed.times());
        Self { session, is_external: resumed.is_external() }
    }
}
