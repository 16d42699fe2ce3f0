//! New sessions, flushes, and handshakes that are noted.
//!
//! Unsafe is checked by: `capi/tests/c/wrong.c`.

use super::arguments::{given, held, known};
use crate::foreign::Connection;
use crate::raw;
use crate::result::{Code, Failure, guard};
use crate::session::{Session, Side, Stage};
use crate::shell::Cache;
use halfshake::session::{Namespace, Newly};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::time::Duration;

/// A session was negotiated: stores it, then calls the new callback, which may refuse it. `side`
/// is an enum halfshake_side. `connection` is handed to the callback and may be NULL. The session
/// stays the caller's; the cache has a copy.
///
/// HALFSHAKE_OK: stored. Any other code above 0 says why it is not; the callback was called all
/// the same, but for HALFSHAKE_OFF and HALFSHAKE_REJECTED. HALFSHAKE_REFUSED: the callback did not
/// want it, and it has left again.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_new_session(
    cache: Option<&'static Cache>,
    connection: *mut c_void,
    side: c_int,
    session: Option<&Session>,
) -> c_int {
    guard(|| {
        let (live, session) = (held(cache)?, given(session, "session")?.0.clone());
        let side = known(Side::from_code(side), "side", side)?;
        match live.sessions.new_session(&Connection(connection), side, &session) {
            Newly::Stored => Ok(()),
            Newly::NotStored(why) => Err(why.into()),
            _ => Err(Failure::new(
                Code::HALFSHAKE_REFUSED,
                "the new callback refused the session; it is not stored",
            )),
        }
    })
}

/// Stores a session, or replaces the one of its id; the new callback is not called
/// (SSL_CTX_add_session). The session stays the caller's; the cache has a copy.
///
/// HALFSHAKE_OK: stored. Any other code above 0 says why not; nothing has changed then, but for
/// HALFSHAKE_EXPIRED, with which the old session of its id is gone.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_add(
    cache: Option<&'static Cache>,
    session: Option<&Session>,
) -> c_int {
    guard(|| {
        let (live, session) = (held(cache)?, given(session, "session")?.0.clone());
        Ok(live.sessions.add(&session)?)
    })
}

/// Removes what has expired by a time in milliseconds since 1970: with what halfshake_cache_now
/// gives, what has expired (SSL_CTX_flush_sessions, which counts seconds). `*removed`, unless
/// `removed` is NULL, is how many sessions went.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_flush(
    cache: Option<&'static Cache>,
    time_ms: u64,
    removed: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        count(removed, held(cache)?.sessions.flush_sessions(Duration::from_millis(time_ms)));
        Ok(())
    })
}

/// Removes all sessions of a namespace. `*removed`, unless `removed` is NULL, is how many there
/// were. Sessions that are stored meanwhile may stay.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_flush_namespace(
    cache: Option<&'static Cache>,
    ns: *const c_void,
    ns_len: usize,
    removed: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        let live = held(cache)?;
        // SAFETY: the header demands NULL, or so many bytes, until the call is over.
        let namespace = Namespace::new(unsafe { raw::bytes("ns", ns, ns_len) }?)?;
        count(removed, live.sessions.flush_namespace(&namespace));
        Ok(())
    })
}

/// Removes all sessions (SSL_CTX_flush_sessions with 0). `*removed`, unless `removed` is NULL, is
/// how many there were. Sessions that are stored meanwhile may stay.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_flush_all(
    cache: Option<&'static Cache>,
    removed: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        count(removed, held(cache)?.sessions.flush_all());
        Ok(())
    })
}

fn count(removed: Option<&mut MaybeUninit<u64>>, sessions: u64) {
    if let Some(removed) = removed {
        removed.write(sessions);
    }
}

/// Notes how far a handshake of the program's has come, for the counters of
/// SSL_CTX_sess_number(3): `side` is an enum halfshake_side, `stage` an enum halfshake_stage.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_note(
    cache: Option<&'static Cache>,
    side: c_int,
    stage: c_int,
) -> c_int {
    guard(|| {
        let live = held(cache)?;
        let side = known(Side::from_code(side), "side", side)?;
        live.sessions.note(side, known(Stage::from_code(stage), "stage", stage)?);
        Ok(())
    })
}
