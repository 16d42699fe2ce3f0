//! What a look-up finds: a session where it lies, one that was taken, or one from outside.

use super::entry::View;
use super::id::Key;
use super::record::{Session, Times};
use crate::cache::{Handle, PinnedRef, Taken};

/// The identity of a session in the internal cache: it never means another one.
#[derive(Clone, Copy)]
pub struct SessionHandle {
    pub(super) handle: Handle,
    pub(super) key: Key,
}

impl std::fmt::Debug for SessionHandle {
    /// Without the id.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.handle).finish()
    }
}

/// A session that was found, readable for as long as this lives.
///
/// From the internal cache it is read where it lies, and the thread is pinned meanwhile: drop it
/// before blocking or writing much, or take a copy ([`to_session`](Self::to_session)).
pub struct Resumed<'c>(pub(super) Found<'c>);

pub(super) enum Found<'c> {
    Inside(PinnedRef<'c, [u8], [u8]>),
    Taken(Taken<'c, [u8], [u8]>),
    Outside(Session),
}

impl Resumed<'_> {
    fn view(&self) -> Result<View<'_>, &Session> {
        match &self.0 {
            Found::Inside(found) => Ok(View { key: found.key(), value: found.value() }),
            Found::Taken(taken) => Ok(View { key: taken.key(), value: taken.value() }),
            Found::Outside(session) => Err(session),
        }
    }

    /// What the TLS library put in. Secret.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.view().map_or_else(Session::payload, View::payload)
    }

    /// The protocol version that it was negotiated for.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.view().map_or_else(Session::version, View::version)
    }

    /// When it was made, and until when it may be used.
    #[must_use]
    pub fn times(&self) -> Times {
        self.view().map_or_else(Session::times, View::times)
    }

    /// Whether it came from outside: the get callback gave it, or another look-up shared what it
    /// had found meanwhile.
    #[must_use]
    pub fn is_external(&self) -> bool {
        matches!(self.0, Found::Outside(_))
    }

    /// The whole session, to keep: a copy, or the very session that the get callback gave.
    #[must_use]
    pub fn to_session(&self) -> Session {
        self.view().map_or_else(Session::clone, View::to_session)
    }

    /// Its identity in the internal cache, if it was found there and is not taken.
    #[must_use]
    pub fn handle(&self) -> Option<SessionHandle> {
        let Found::Inside(found) = &self.0 else { return None };
        let key = Key::from_table(found.key())?;
        Some(SessionHandle { handle: found.handle(), key })
    }
}

impl std::fmt::Debug for Resumed<'_> {
    /// Without the session, which is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resumed").field("external", &self.is_external()).finish_non_exhaustive()
    }
}
