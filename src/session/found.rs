//! What a look-up of a session returns.

use super::callbacks::Answer;
use super::record::SessionView;
use crate::cache::{Handle, PinnedRef, Taken};
use std::fmt::{Debug, Formatter};

/// A session that may be resumed.
///
/// One that comes from the internal cache stays readable for as long as this lives, whatever
/// happens to it in the cache, and pins the calling thread: drop it before blocking.
pub struct Found<'c>(Source<'c>);

enum Source<'c> {
    Internal(PinnedRef<'c, [u8], [u8]>),
    Taken(Taken<'c, [u8], [u8]>),
    Asked(Answer),
}

impl<'c> Found<'c> {
    /// `None` if the entry is no session.
    pub(super) fn internal(found: PinnedRef<'c, [u8], [u8]>) -> Option<Self> {
        SessionView::of_entry(found.key(), found.value())?;
        Some(Self(Source::Internal(found)))
    }

    pub(super) fn taken(taken: Taken<'c, [u8], [u8]>) -> Option<Self> {
        SessionView::of_entry(taken.key(), taken.value())?;
        Some(Self(Source::Taken(taken)))
    }

    pub(super) fn asked(answer: Answer) -> Self {
        Self(Source::Asked(answer))
    }

    /// The session.
    ///
    /// # Panics
    /// Never: what is no session is not found.
    #[must_use]
    pub fn session(&self) -> SessionView<'_> {
        let of = |key, value| SessionView::of_entry(key, value).expect("checked when it was found");
        match &self.0 {
            Source::Internal(found) => of(found.key(), found.value()),
            Source::Taken(taken) => of(taken.key(), taken.value()),
            Source::Asked(answer) => answer.session().view(),
        }
    }

    /// Whether the get callback gave it; else it was in the internal cache.
    #[must_use]
    pub fn is_external(&self) -> bool {
        matches!(self.0, Source::Asked(_))
    }

    /// The identity of the internal cache's entry, for
    /// [`remove_exact`](super::SessionCache::remove_exact). `None` if it was taken, or asked for.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        match &self.0 {
            Source::Internal(found) => Some(found.handle()),
            Source::Taken(_) | Source::Asked(_) => None,
        }
    }
}

impl Debug for Found<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("session", &self.session()).finish_non_exhaustive()
    }
}
