//! Names and messages.

use crate::result::{self, Code, guard_or};
use crate::session::{Cause, Reason};
use std::ffi::{CStr, c_char, c_int};

/// The version of the library, for example "0.1.0". HALFSHAKE_VERSION is the header's. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// What went wrong in this thread's last call that returned neither HALFSHAKE_OK nor
/// HALFSHAKE_MISS, and what to do about it. One line of English, for a log; "" if there was no
/// such call.
///
/// Never NULL. It stays good until the next such call on this thread: do not free it, nor give it
/// to another thread. A callback that calls the library may replace it.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_error_message() -> *const c_char {
    guard_or(c"".as_ptr(), result::message)
}

/// The name of an enum halfshake_result for logs, in lower case: "ok", "miss", "bad_argument".
///
/// Never NULL: "unknown" if the number is none. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_result_name(result: c_int) -> *const c_char {
    guard_or(c"unknown".as_ptr(), || {
        let named = Code::ALL.iter().find(|(code, _)| *code as c_int == result);
        named.map_or(c"unknown", |(_, name)| name).as_ptr()
    })
}

/// The name of an enum halfshake_cause for metrics and logs: "expired", "refused_by_new".
///
/// Never NULL: "unknown" if the number is none. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cause_name(cause: c_int) -> *const c_char {
    guard_or(c"unknown".as_ptr(), || {
        Cause::from_code(cause).map_or(c"unknown", |(_, name)| name).as_ptr()
    })
}

/// Whether a session that left for this cause could still have been used: 1 or 0, and 0 for a
/// number that is none. An external store keeps sessions that were EVICTED, and deletes those
/// that are not to be used again.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cause_was_live(cause: c_int) -> c_int {
    guard_or(0, || Cause::from_code(cause).map_or(0, |(cause, _)| c_int::from(cause.was_live())))
}

/// The name of an enum halfshake_reason for metrics and logs: "id_length", "from_the_future".
///
/// Never NULL: "unknown" if the number is none. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_reason_name(reason: c_int) -> *const c_char {
    guard_or(c"unknown".as_ptr(), || {
        let named = usize::try_from(reason).ok().and_then(|at| Reason::ALL.get(at));
        named.map_or(c"unknown", |(_, name)| name).as_ptr()
    })
}
