//! The functions that the host's TLS library calls. No panic leaves them.

use super::library::{Connection, Context, Library, Negotiated};
use super::symbols::{ExCopied, ExData, ExEvent, Ssl, SslContext, SslSession};
use super::{Home, State};
use crate::raw;
use crate::result::guard_or;
use std::ffi::{c_int, c_long, c_uchar, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

/// A session was negotiated. 0: no reference to it is kept.
pub(super) unsafe extern "C" fn on_new(ssl: *mut Ssl, session: *mut SslSession) -> c_int {
    guard_or(0, || {
        // SAFETY: the library gives what is alive until this returns.
        let connection = unsafe { Connection::given(ssl) };
        // SAFETY: as above.
        let negotiated = unsafe { Negotiated::given(session) };
        if let (Some(connection), Some(negotiated)) = (connection, negotiated) {
            super::begins(&connection, &negotiated);
        }
        0
    })
}

/// A client proposes a session: an object with a reference for the library, or NULL.
pub(super) unsafe extern "C" fn on_get(
    ssl: *mut Ssl,
    id: *const c_uchar,
    len: c_int,
    copy: *mut c_int,
) -> *mut SslSession {
    guard_or(null_mut(), || {
        // SAFETY: the library gives a place for the answer.
        if let Some(copy) = unsafe { copy.as_mut() } {
            // The reference is handed over.
            *copy = 0;
        }
        let len = usize::try_from(len).unwrap_or(0);
        // SAFETY: the library gives so many bytes, until this returns.
        let Ok(id) = (unsafe { raw::bytes("id", id.cast(), len) }) else { return null_mut() };
        // SAFETY: as in `on_new`.
        let Some(connection) = (unsafe { Connection::given(ssl) }) else { return null_mut() };
        super::proposes(&connection, id).map_or(null_mut(), super::library::Owned::into_raw)
    })
}

/// A connection has failed.
pub(super) unsafe extern "C" fn on_remove(context: *mut SslContext, session: *mut SslSession) {
    guard_or((), || {
        // SAFETY: as in `on_new`.
        let context = unsafe { Context::given(context) };
        // SAFETY: as in `on_new`.
        let negotiated = unsafe { Negotiated::given(session) };
        if let (Some(context), Some(negotiated)) = (context, negotiated) {
            super::has_failed(&context, &negotiated);
        }
    });
}

/// What happens to connections, and so to their slot.
pub(super) const OF_CONNECTIONS: (ExEvent, ExCopied, ExEvent) =
    (connection_is_made, connection_is_copied, connection_ends);
/// A context ends.
pub(super) const OF_CONTEXTS: ExEvent = context_ends;

unsafe extern "C" fn connection_is_made(
    ssl: *mut c_void,
    _: *mut c_void,
    _: *mut ExData,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    guard_or((), || {
        // SAFETY: the library gives a connection that is being made: it has its context already.
        if let Some(connection) = unsafe { Connection::given(ssl.cast()) } {
            connection.settle();
        }
    });
}

/// A copy keeps the state that it was made with: two can't own one.
unsafe extern "C" fn connection_is_copied(
    to: *mut ExData,
    _: *const ExData,
    state: *mut *mut c_void,
    slot: c_int,
    _: c_long,
    _: *mut c_void,
) -> c_int {
    guard_or(0, || {
        let Some(library) = Library::known() else { return 0 };
        let own = library.in_slot(to, slot);
        // SAFETY: the library gives the place of what it is about to put into the copy's slot.
        unsafe { state.write(own) };
        1
    })
}

unsafe extern "C" fn connection_ends(
    _: *mut c_void,
    state: *mut c_void,
    _: *mut ExData,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    guard_or((), || {
        if !state.is_null() {
            // SAFETY: only `settle` puts something into the slot, which ends here.
            drop(unsafe { Box::<State>::from_raw(state.cast()) });
        }
    });
}

unsafe extern "C" fn context_ends(
    _: *mut c_void,
    home: *mut c_void,
    _: *mut ExData,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    guard_or((), || {
        if !home.is_null() {
            // SAFETY: as above.
            drop(unsafe { Arc::<Home>::from_raw(home.cast_const().cast()) });
        }
    });
}
