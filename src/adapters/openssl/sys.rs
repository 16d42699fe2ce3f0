//! What the `openssl` crate does not say of the page's family: time-outs, the id context, what the
//! library itself has counted.
//!
//! Unsafe is checked by: `tests/adapters/openssl_adapter.rs`, `tests/adapters/openssl_contexts.rs`.

use crate::session::SslCounters;
use foreign_types::ForeignTypeRef;
use openssl::ssl::{SslContextBuilder, SslContextRef, SslRef, SslSessionRef};
use openssl_sys::{
    SSL, SSL_CTX, SSL_CTX_ctrl, SSL_SESSION, SSL_client_hello_get0_ext, SSL_ctrl,
    SSL_get_max_early_data,
};
use std::ffi::{c_int, c_long, c_uchar, c_uint, c_ulong};
use std::time::Duration;

// SAFETY: as the headers of OpenSSL 1.1.1 and 3 declare them.
unsafe extern "C" {
    fn SSL_CTX_set_timeout(context: *mut SSL_CTX, seconds: c_long) -> c_long;
    fn SSL_CTX_get_timeout(context: *const SSL_CTX) -> c_long;
    /// Of 64 bits in OpenSSL 3; those that are asked for are among the lower 32.
    fn SSL_get_options(ssl: *const SSL) -> c_ulong;
    fn SSL_CTX_set_recv_max_early_data(context: *mut SSL_CTX, bytes: u32) -> c_int;
    fn SSL_SESSION_get0_id_context(session: *const SSL_SESSION, len: *mut c_uint)
    -> *const c_uchar;
    fn SSL_SESSION_is_resumable(session: *const SSL_SESSION) -> c_int;
}

/// `SSL_OP_NO_ANTI_REPLAY`: since 1.1.1.
pub(super) const NO_ANTI_REPLAY: u64 = 1 << 24;

/// The bits of `SSL_OP_NO_TICKET` and `SSL_OP_NO_TLSv1_3`.
const NO_TICKET: u32 = 14;
const NO_TLS13: u32 = 29;

/// OpenSSL counts in whole seconds, and takes the one in which a session begins for its beginning.
/// With one more, it is the cache's time that decides.
fn whole_seconds(time: Duration) -> c_long {
    let more = 1 + u64::from(time.subsec_nanos() > 0);
    c_long::try_from(time.as_secs().saturating_add(more)).unwrap_or(c_long::MAX)
}

/// No session of this context that is made from now on ends before.
pub(super) fn set_timeout(context: &mut SslContextBuilder, timeout: Duration) {
    // SAFETY: the context is alive, and exclusively borrowed.
    unsafe { SSL_CTX_set_timeout(context.as_ptr(), whole_seconds(timeout)) };
}

/// How much early data is read, or skipped where it is refused, before a client has sent too much.
pub(super) fn set_most_early_data(context: &mut SslContextBuilder, bytes: u32) {
    // SAFETY: the context is alive, and exclusively borrowed.
    unsafe { SSL_CTX_set_recv_max_early_data(context.as_ptr(), bytes) };
}

pub(super) fn timeout(context: &SslContextRef) -> Duration {
    // SAFETY: the context is alive.
    let seconds = unsafe { SSL_CTX_get_timeout(context.as_ptr()) };
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The context in which a session was negotiated.
pub(super) fn id_context(session: &SslSessionRef) -> &[u8] {
    let mut len = 0;
    // SAFETY: the session is alive, and `len` is written to.
    let context = unsafe { SSL_SESSION_get0_id_context(session.as_ptr(), &raw mut len) };
    let Ok(len @ 1..) = usize::try_from(len) else { return &[] };
    // SAFETY: it points into the session, which nobody changes while it is borrowed.
    unsafe { std::slice::from_raw_parts(context, len) }
}

/// Whether the library has not marked it as one that must not be resumed.
pub(super) fn is_resumable(session: &SslSessionRef) -> bool {
    // SAFETY: the session is alive.
    unsafe { SSL_SESSION_is_resumable(session.as_ptr()) == 1 }
}

/// Whether a session of TLS 1.3 goes to its client whole, encrypted, and is never asked for here:
/// what a server that has switched tickets on again sends. Where early data is accepted, and
/// OpenSSL itself protects from replays, it keeps sessions all the same.
pub(super) fn issues_tickets(ssl: &SslRef) -> bool {
    // SAFETY: the connection is alive.
    let early_data = unsafe { SSL_get_max_early_data(ssl.as_ptr()) };
    !has(ssl, NO_TICKET) && (early_data == 0 || has(ssl, NO_ANTI_REPLAY.ilog2()))
}

/// Whether a connection has this option.
fn has(ssl: &SslRef, bit: u32) -> bool {
    // SAFETY: the connection is alive.
    unsafe { SSL_get_options(ssl.as_ptr()) >> bit & 1 == 1 }
}

/// Whether a connection may come to TLS 1.3, as it is set up now.
pub(super) fn speaks_tls13(ssl: &SslRef) -> bool {
    const GET_MAX_PROTO_VERSION: c_int = 131;
    const TLS13: c_long = 0x0304;
    // SAFETY: the connection is alive; this command reads a number, and nothing else.
    let newest = unsafe { SSL_ctrl(ssl.as_ptr(), GET_MAX_PROTO_VERSION, 0, std::ptr::null_mut()) };
    // 0: the newest that there is.
    (newest == 0 || newest >= TLS13) && !has(ssl, NO_TLS13)
}

/// An extension of the ClientHello, inside of the callback for it.
pub(super) fn client_hello_extension(ssl: &SslRef, kind: u16) -> Option<&[u8]> {
    let (mut extension, mut len) = (std::ptr::null(), 0);
    // SAFETY: the connection is alive; outside of the callback the answer is 0.
    let found = unsafe {
        SSL_client_hello_get0_ext(ssl.as_ptr(), kind.into(), &raw mut extension, &raw mut len)
    };
    if found != 1 || extension.is_null() {
        return None;
    }
    // SAFETY: it points into the ClientHello, which is there until the callback has ended.
    Some(unsafe { std::slice::from_raw_parts(extension, len) })
}

/// What the library has counted.
pub(super) fn statistics(context: &SslContextRef) -> SslCounters {
    // Of `SSL_CTRL_SESS_NUMBER`.
    const FIRST: c_int = 20;
    let read = |command| {
        let number =
            // SAFETY: the context is alive; these commands read a number, and nothing else.
            unsafe { SSL_CTX_ctrl(context.as_ptr(), FIRST + command, 0, std::ptr::null_mut()) };
        u64::try_from(number).unwrap_or(0)
    };
    SslCounters {
        number: read(0),
        connect: read(1),
        connect_good: read(2),
        connect_renegotiate: read(3),
        accept: read(4),
        accept_good: read(5),
        accept_renegotiate: read(6),
        hits: read(7),
        cb_hits: read(8),
        misses: read(9),
        timeouts: read(10),
        cache_full: read(11),
    }
}
