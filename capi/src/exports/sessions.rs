//! Sessions as objects.
//!
//! Unsafe is checked by: `capi/tests/c/wrong.c`, `capi/tests/c/walk.c`.

use super::arguments::{given, hand, held, id_of};
use crate::raw;
use crate::result::{Code, Failure, guard, guard_or};
use crate::session::{Key, Removed, Session, Times, start_of};
use crate::shell::Cache;
use halfshake::session::{Session as Value, SessionId};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// Makes a session that begins now, with the timeout of the cache, and gives `*session` the only
/// reference. `payload` is what the TLS library needs to resume it; it is copied, and the copy is
/// wiped. Nothing is stored: see halfshake_cache_new_session.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_new(
    cache: Option<&'static Cache>,
    key: Option<&Key>,
    payload: *const c_void,
    payload_len: usize,
    session: Option<&mut MaybeUninit<*mut Session>>,
) -> c_int {
    guard(|| {
        let session = given(session, "session")?.write(null_mut());
        let (live, key) = (held(cache)?, given(key, "key")?);
        // SAFETY: the header demands NULL, or so many bytes, until the call is over.
        let payload = unsafe { raw::bytes("payload", payload, payload_len) }?;
        if u32::try_from(payload.len()).is_err() {
            let message = "payload: a session has less than 4 GiB";
            return Err(Failure::new(Code::HALFSHAKE_BAD_ARGUMENT, message));
        }
        let namespace = key.namespace()?;
        let id = SessionId::new(id_of(&live, key, |_| ())?)?;
        *session = hand(live.sessions.make(&namespace, id, key.version, payload));
        Ok(())
    })
}

/// The same session with other times: one more, of which `*other` gets the only reference.
/// `not_after_ms` and `created_ms` are brought into order: not after `auth_not_after_ms`, and the
/// end not before the beginning.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_with_times(
    session: Option<&Session>,
    times: Option<&Times>,
    other: Option<&mut MaybeUninit<*mut Session>>,
) -> c_int {
    guard(|| {
        let other = given(other, "other")?.write(null_mut());
        let (session, times) = (given(session, "session")?, given(times, "times")?);
        *other = hand(session.0.with_times((*times).into()));
        Ok(())
    })
}

/// One more reference to the session: to be freed by itself. Not a copy, and cheap. NULL if
/// `session` is.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_dup(session: Option<&Session>) -> *mut Session {
    guard_or(null_mut(), || session.map_or(null_mut(), |session| hand(session.0.clone())))
}

/// Gives a reference back; the last one wipes the session. NULL is nothing, as with free(3).
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_free(session: Option<Box<Session>>) {
    guard_or((), || drop(session));
}

/// The session's name and protocol version. What `*key` points to lies in the session and is good
/// until the reference is freed.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_key(
    session: Option<&Session>,
    key: Option<&mut MaybeUninit<Key>>,
) -> c_int {
    guard(|| {
        let session = given(session, "session")?;
        given(key, "key")?.write(Key::of_session(&session.0));
        Ok(())
    })
}

/// What the TLS library put in. Secret. `*payload` lies in the session and is good until the
/// reference is freed.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_payload(
    session: Option<&Session>,
    payload: Option<&mut MaybeUninit<*const c_void>>,
    payload_len: Option<&mut MaybeUninit<usize>>,
) -> c_int {
    guard(|| {
        let bytes = given(session, "session")?.0.payload();
        let (payload, len) = (given(payload, "payload")?, given(payload_len, "payload_len")?);
        payload.write(start_of(bytes));
        len.write(bytes.len());
        Ok(())
    })
}

/// When it was made and until when it may be used.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_times(
    session: Option<&Session>,
    times: Option<&mut MaybeUninit<Times>>,
) -> c_int {
    guard(|| {
        let session = given(session, "session")?;
        given(times, "times")?.write(session.0.times().into());
        Ok(())
    })
}

/// Writes the session down, for a disk or a database (i2d_SSL_SESSION). `*len` is how many bytes
/// that takes; they are written to `buffer` if its `size` is enough. The same on every machine and
/// for later versions. The secrets stand there in the clear: seal them before they leave the
/// machine, and wipe the buffer.
///
/// HALFSHAKE_SHORT_BUFFER: nothing was written. `buffer` may be NULL with `size` 0, to ask for the
/// length.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_to_bytes(
    session: Option<&Session>,
    buffer: *mut c_void,
    size: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> c_int {
    guard(|| {
        let len = given(len, "len")?.write(0);
        let bytes = given(session, "session")?.0.to_bytes();
        *len = bytes.len();
        // SAFETY: the header demands NULL, or so many bytes, which nobody else touches until the
        // call is over.
        let room = unsafe { raw::room(buffer, size) };
        let Some(room) = room.and_then(|room| room.get_mut(..bytes.len())) else {
            let message = format!("buffer: {} bytes are needed, {size} are there", bytes.len());
            return Err(Failure::new(Code::HALFSHAKE_SHORT_BUFFER, message));
        };
        for (room, byte) in room.iter_mut().zip(bytes.iter()) {
            room.write(*byte);
        }
        Ok(())
    })
}

/// The session that halfshake_session_to_bytes wrote down (d2i_SSL_SESSION): `*session` gets the
/// only reference. Whether it may be used is another question, which a cache asks of everything
/// that comes from outside.
///
/// HALFSHAKE_BAD_BYTES: these bytes are no session.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_session_from_bytes(
    bytes: *const c_void,
    len: usize,
    session: Option<&mut MaybeUninit<*mut Session>>,
) -> c_int {
    guard(|| {
        let session = given(session, "session")?.write(null_mut());
        // SAFETY: the header demands NULL, or so many bytes, until the call is over.
        let bytes = unsafe { raw::bytes("bytes", bytes, len) }?;
        *session = hand(Value::from_bytes(bytes)?);
        Ok(())
    })
}

/// In the remove callback: a copy of the session that has left, to keep. `*session` gets the only
/// reference.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_removed_session(
    removed: Option<&Removed>,
    session: Option<&mut MaybeUninit<*mut Session>>,
) -> c_int {
    guard(|| {
        let session = given(session, "session")?.write(null_mut());
        *session = hand(given(removed, "removed")?.to_session()?);
        Ok(())
    })
}
