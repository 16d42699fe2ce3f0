//! The functions that the host's TLS library calls. No panic leaves them.
//!
//! Unsafe is checked by: `capi/tests/c/attach_threads.c`, `capi/tests/c/attach_upstream.c`.

use super::library::{Connection, Context, Library, Negotiated};
use super::symbols::{
    ExCopied, ExData, ExEvent, GetCallback, NewCallback, Ssl, SslContext, SslSession,
};
use super::{Home, State};
use crate::raw;
use crate::result::guard_or;
use arc_swap::ArcSwapOption;
use std::ffi::{c_int, c_long, c_uchar, c_void};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

type Set = (NewCallback, GetCallback);

macro_rules! sets {
    ($($set:literal)*) => { [$((on_new::<$set>, on_get::<$set>)),*] };
}

/// The new and the get callback of a context, which by themselves say whose they are. The first
/// ones are shared by those for which there are no others left.
pub(super) const SETS: [Set; 64] = sets! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
};

/// Whose they are. A home that has ended leaves its callbacks to another one.
static HOMES: [Mutex<Weak<Home>>; SETS.len()] = [const { Mutex::new(Weak::new()) }; SETS.len()];

fn place(set: usize) -> Option<MutexGuard<'static, Weak<Home>>> {
    Some(HOMES.get(set).filter(|_| set != 0)?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A home with callbacks of its own, if there are some left. One at a time.
pub(super) fn new_home() -> Arc<Home> {
    let is_free = |set: &usize| place(*set).is_some_and(|home| home.strong_count() == 0);
    let set = (1..SETS.len()).find(is_free).unwrap_or(0);
    let home = Arc::new(Home { attached: ArcSwapOption::empty(), set });
    if let Some(mut place) = place(set) {
        *place = Arc::downgrade(&home);
    }
    home
}

/// Whose callbacks these are, if they are of one alone.
pub(super) fn home_of(set: usize) -> Option<Arc<Home>> {
    place(set)?.upgrade()
}

/// A session was negotiated. 0: no reference to it is kept.
unsafe extern "C" fn on_new<const SET: usize>(ssl: *mut Ssl, session: *mut SslSession) -> c_int {
    guard_or(0, || {
        // SAFETY: the library gives what is alive until this returns.
        let connection = unsafe { Connection::given(ssl) };
        // SAFETY: as above.
        let negotiated = unsafe { Negotiated::given(session) };
        if let (Some(connection), Some(negotiated)) = (connection, negotiated) {
            super::begins(SET, &connection, &negotiated);
        }
        0
    })
}

/// A client proposes a session: an object with a reference for the library, or NULL.
unsafe extern "C" fn on_get<const SET: usize>(
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
        super::proposes(SET, &connection, id).map_or(null_mut(), super::library::Owned::into_raw)
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
pub(super) const OF_CONNECTIONS: (ExCopied, ExEvent) = (connection_is_copied, connection_ends);
/// A context ends.
pub(super) const OF_CONTEXTS: ExEvent = context_ends;

/// A copy has what it had before, nothing: two can't own one state.
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
            // SAFETY: only `state` puts something into the slot, which ends here.
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
