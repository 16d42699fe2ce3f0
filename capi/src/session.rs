//! Sessions, and what names them, as C sees them.

use halfshake::RemovalCause;
use halfshake::session::{
    Answer as Given, Namespace, Purpose as Asked, Rejection, Removed as Gone,
};
use halfshake::session::{Session as Value, Side as Whose, Stage as Reached};
use std::ffi::{CStr, c_int, c_void};
use std::time::Duration;

/// A session: what has to be known to resume it. It never changes, and its secrets are wiped with
/// the last reference. Whoever gets one through a `halfshake_session **` owns that reference and
/// gives it back with halfshake_session_free. A `const halfshake_session *` that a callback is
/// given belongs to the cache and ends with the callback: halfshake_session_dup keeps it.
///
/// References may be used, copied and freed on any thread.
pub struct Session(pub(crate) Value);

/// The name of a session: who may resume it, and its id. Nothing is copied into it, so what it
/// points to must stay until the call is over.
#[repr(C)]
pub struct Key {
    /// The namespace, 1 to 32 bytes: only who looks up with the same one finds the session. Make
    /// it of the virtual host and the policy for client certificates, or of a digest of them.
    pub(crate) ns: *const c_void,
    /// Its length in bytes.
    pub(crate) ns_len: usize,
    /// The session id, 1 to 32 bytes.
    pub(crate) id: *const c_void,
    /// Its length in bytes.
    pub(crate) id_len: usize,
    /// The protocol version as on the wire, 0x0303 for TLS 1.2: that of the session, or in
    /// look-ups the one that the client proposes, which matters to some HALFSHAKE_COMPAT_* only.
    pub(crate) version: u16,
}

/// Where bytes lie, as C likes it: also no bytes lie somewhere.
pub(crate) fn start_of(bytes: &[u8]) -> *const c_void {
    if bytes.is_empty() { c"".as_ptr().cast() } else { bytes.as_ptr().cast() }
}

impl Key {
    pub(crate) fn of(ns: &[u8], id: &[u8], version: u16) -> Self {
        let (ns_len, id_len) = (ns.len(), id.len());
        Self { ns: ns.as_ptr().cast(), ns_len, id: id.as_ptr().cast(), id_len, version }
    }

    pub(crate) fn of_session(session: &Value) -> Self {
        let (namespace, id) = (session.namespace().as_bytes(), session.id().as_bytes());
        Self::of(namespace, id, session.version())
    }

    pub(crate) fn of_question(namespace: &Namespace, id: &[u8]) -> Self {
        Self::of(namespace.as_bytes(), id, namespace.proposed().unwrap_or(0))
    }
}

/// When a session was made and until when it may be used, in milliseconds since 1970.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// When it was made.
    pub created_ms: u64,
    /// From when on it has expired.
    pub not_after_ms: u64,
    /// What no renewal passes.
    pub auth_not_after_ms: u64,
}

impl From<halfshake::session::Times> for Times {
    fn from(times: halfshake::session::Times) -> Self {
        Self {
            created_ms: ms(times.created()),
            not_after_ms: ms(times.not_after()),
            auth_not_after_ms: ms(times.auth_not_after()),
        }
    }
}

impl From<Times> for halfshake::session::Times {
    fn from(times: Times) -> Self {
        let [created, not_after, auth_not_after] =
            [times.created_ms, times.not_after_ms, times.auth_not_after_ms]
                .map(Duration::from_millis);
        Self::new(created, not_after, auth_not_after)
    }
}

/// Whole milliseconds; what no word can tell is the end of time.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whose session it is, or whose handshake.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum Side {
    /// A client's.
    Client = 0,
    /// A server's.
    Server = 1,
}

impl Side {
    pub(crate) fn from_code(code: c_int) -> Option<Whose> {
        const CLIENT: c_int = Side::Client as c_int;
        const SERVER: c_int = Side::Server as c_int;
        match code {
            CLIENT => Some(Whose::Client),
            SERVER => Some(Whose::Server),
            _ => None,
        }
    }
}

/// How far a handshake has come.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum Stage {
    /// It began.
    Started = 0,
    /// It succeeded.
    Finished = 1,
    /// It began on a connection that was up.
    Renegotiated = 2,
}

impl Stage {
    pub(crate) fn from_code(code: c_int) -> Option<Reached> {
        const STARTED: c_int = Stage::Started as c_int;
        const FINISHED: c_int = Stage::Finished as c_int;
        const RENEGOTIATED: c_int = Stage::Renegotiated as c_int;
        match code {
            STARTED => Some(Reached::Started),
            FINISHED => Some(Reached::Finished),
            RENEGOTIATED => Some(Reached::Renegotiated),
            _ => None,
        }
    }
}

/// What the get callback is asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// A session that may be used again.
    Resume = 0,
    /// A session for single use: the store must delete what it gives in the same step, and give
    /// nothing if it can't.
    Take = 1,
}

impl Purpose {
    pub(crate) fn code(asked: Asked) -> c_int {
        let purpose = if asked == Asked::Take { Self::Take } else { Self::Resume };
        purpose as c_int
    }
}

/// Why a session left the cache.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its time was over.
    Expired = 0,
    /// It made room for another one.
    Evicted = 1,
    /// Another session took its id, or it was renewed.
    Replaced = 2,
    /// It was removed.
    Removed = 3,
    /// It was taken: single use.
    Taken = 4,
    /// Its connection ended badly.
    Faulty = 5,
    /// The new callback refused it.
    RefusedByNew = 6,
    /// It was flushed.
    Flushed = 7,
    /// The cache was shut down, or freed.
    Shutdown = 8,
}

impl Cause {
    /// The library's causes, in the order of the numbers above, with their names.
    pub(crate) const ALL: [(RemovalCause, &'static CStr); 9] = [
        (RemovalCause::Expired, c"expired"),
        (RemovalCause::Evicted, c"evicted"),
        (RemovalCause::Replaced, c"replaced"),
        (RemovalCause::Removed, c"removed"),
        (RemovalCause::Taken, c"taken"),
        (RemovalCause::Faulty, c"faulty"),
        (RemovalCause::RefusedByNew, c"refused_by_new"),
        (RemovalCause::Flushed, c"flushed"),
        (RemovalCause::Shutdown, c"shutdown"),
    ];

    fn code(cause: RemovalCause) -> c_int {
        cause as c_int
    }

    pub(crate) fn from_code(code: c_int) -> Option<(RemovalCause, &'static CStr)> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }
}

/// Why a session, or an id, that came from outside was not used: the places in
/// `rejected` of halfshake_stats.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An id that no session can have: of no bytes, or of too many.
    IdLength = 0,
    /// Bytes that are no session.
    Malformed = 1,
    /// A session of another namespace.
    Namespace = 2,
    /// A session with another id.
    Id = 3,
    /// It has expired.
    Expired = 4,
    /// It was made in the future.
    FromTheFuture = 5,
    /// Its payload is too large.
    TooLarge = 6,
    /// Its id was made elsewhere.
    ForeignId = 7,
    /// A session of another protocol version than the connection's.
    Version = 8,
}

impl Reason {
    /// The library's reasons, in the order of the numbers above, with their names.
    pub(crate) const ALL: [(Rejection, &'static CStr); 9] = [
        (Rejection::IdLength, c"id_length"),
        (Rejection::Malformed, c"malformed"),
        (Rejection::Namespace, c"namespace"),
        (Rejection::Id, c"id"),
        (Rejection::Expired, c"expired"),
        (Rejection::FromTheFuture, c"from_the_future"),
        (Rejection::TooLarge, c"too_large"),
        (Rejection::ForeignId, c"foreign_id"),
        (Rejection::Version, c"version"),
    ];
}

/// A newly negotiated session, for the new callback; it ends with the callback. Later versions of
/// the library may add fields at the end.
#[repr(C)]
pub struct Fresh {
    /// The session. It is the cache's; halfshake_session_dup keeps a reference.
    pub(crate) session: *const Session,
    /// 1 if the cache has stored it, where it can be found already; 0 if not.
    pub(crate) stored: c_int,
    /// The library's own.
    pub(crate) own: *const c_void,
}

/// A session that has left the cache, for the remove callback: it lies where it lay, and is gone
/// when the callback returns. Later versions of the library may add fields at the end.
#[repr(C)]
pub struct Removed {
    /// Its name, and its protocol version.
    pub(crate) key: Key,
    /// What the TLS library put in. Secret.
    pub(crate) payload: *const c_void,
    /// Its length in bytes.
    pub(crate) payload_len: usize,
    /// Its times.
    pub(crate) times: Times,
    /// Why it left: an enum halfshake_cause.
    pub(crate) cause: c_int,
}

impl Removed {
    pub(crate) fn of<C>(gone: &Gone<'_, C>) -> Self {
        Self {
            key: Key::of(gone.namespace(), gone.id(), gone.version()),
            payload: start_of(gone.payload()),
            payload_len: gone.payload().len(),
            times: gone.times().into(),
            cause: Cause::code(gone.cause()),
        }
    }
}

/// Where the get callback leaves what it has found, with one of the functions halfshake_answer_*.
/// It ends with the callback.
pub struct Answer(pub(crate) Given);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_the_numbers_and_names_of_the_library() {
        assert_eq!(Cause::ALL.map(|(cause, _)| cause), RemovalCause::ALL);
        for (i, (cause, name)) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(c_int::try_from(i), Ok(Cause::code(cause)));
            assert_eq!(name.to_str(), Ok(cause.name()));
        }
        assert_eq!(Cause::Shutdown as usize, Cause::ALL.len() - 1);
        assert!(Cause::from_code(-1).is_none() && Cause::from_code(9).is_none());
    }

    #[test]
    fn reasons_have_the_names_of_the_library() {
        let ours = Reason::ALL.map(|(reason, _)| reason);
        for reason in Rejection::ALL {
            assert_eq!(ours.iter().filter(|own| **own == reason).count(), 1, "{reason:?}");
        }
        for (reason, name) in Reason::ALL {
            assert_eq!(name.to_str(), Ok(reason.name()));
        }
        assert_eq!(Reason::Version as usize, Reason::ALL.len() - 1);
        assert_eq!(Reason::ALL.len(), Rejection::ALL.len());
    }
}
