//! A cache under a context of a TLS library.
//!
//! Unsafe is checked by: `capi/tests/c/attach.c`, `capi/tests/c/wrong.c`.

use super::arguments::given;
use crate::attach::Plan;
use crate::attach::library;
use crate::attach::options::AttachOptions;
use crate::attach::symbols::SslContext;
use crate::raw;
use crate::result::guard;
use crate::shell::Cache;
use std::ffi::c_int;
use std::mem::MaybeUninit;

/// Fills in the default options. `size` is sizeof(halfshake_attach_options).
///
/// HALFSHAKE_BAD_SIZE: the header is another version's than the library.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_attach_options_init(options: *mut AttachOptions, size: usize) -> c_int {
    guard(|| {
        // SAFETY: the header demands NULL, or a structure of that size.
        unsafe { raw::write("options", options, size, AttachOptions::new()) }
    })
}

/// Puts the cache under a server's SSL_CTX, of OpenSSL 1.1.1, 3 or 4, or of LibreSSL: handshakes of
/// its connections store, resume and remove sessions there, and the cache's callbacks are called
/// with the SSL * as the connection. The context's own cache is switched off. A cache may be
/// attached to any number of contexts, and a context goes to another cache by attaching that one.
///
/// What is set in the context: the session cache mode (SSL_SESS_CACHE_SERVER and
/// SSL_SESS_CACHE_NO_INTERNAL), the new, get and remove callback, the session id context, the
/// timeout (that of the cache, which decides; one that is made longer later takes effect in
/// contexts that are attached then), and the options SSL_OP_NO_TICKET (sessions lie here, not with
/// the clients) and SSL_OP_NO_ANTI_REPLAY: with any external cache that protection refuses every
/// session with early data. Sessions of TLS 1.3 are for single use instead, and early data is
/// accepted once. (Where a context accepts early data, a handshake with a HelloRetryRequest is a
/// full one.)
///
/// The library asks the context that a connection began with, also if a callback has switched to
/// another: attach to the one that listens, before connections are made. (To more than 63 contexts
/// at a time: those beyond are mistaken for the one that was switched to.) If it is the callback
/// for the ClientHello that switches, attach to the others, too: the connection has their id
/// context then, which is a namespace of their own or the same. A connection with an id context of
/// its own (SSL_set_session_id_context), which is none of those, is never resumed, for the library
/// does not say what it is: its sessions are not stored, and counted as rejected for their
/// namespace. As with all that sets up an SSL_CTX, no other thread may use it meanwhile.
///
/// The library ends a session by the time that it began with: under HALFSHAKE_MODE_UPDATE_TIME one
/// that is renewed here is refused there all the same.
///
/// End connections with SSL_shutdown: one that is freed without it is taken for one that has
/// failed, and its session is removed. A program that forks its workers afterwards makes the cache
/// with HALFSHAKE_MAINTENANCE_LAZY; each worker has it for itself then.
///
/// The context doesn't keep the cache: one that was freed is a cache that resumes nothing. Nor does
/// the cache keep the context, which may be freed at any time.
///
/// No TLS library is linked to this one: the functions of the one that the program uses are looked
/// up by dlsym(3). A libssl that is out of the program's sight, because it was loaded with
/// RTLD_LOCAL, or is a part of the executable and not exported, can't be found.
///
/// HALFSHAKE_NO_LIBRARY: a function is missing, which the message names. HALFSHAKE_LIBRARY_FAILED:
/// the TLS library has no memory. HALFSHAKE_BAD_SETTING: flags that mean nothing.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_attach(
    cache: Option<&'static Cache>,
    context: *mut SslContext,
    options: *const AttachOptions,
) -> c_int {
    guard(|| {
        let cache = given(cache, "cache")?;
        // SAFETY: the header demands NULL, or a structure whose size stands in it.
        let options = unsafe { raw::read("options", options) }?;
        let plan = Plan::new(cache, &options)?;
        // SAFETY: the header demands NULL, or a context that nobody else uses meanwhile.
        unsafe { library::attach(plan, context) }
    })
}

/// Detaches a context from its cache: from then on its connections store, resume and remove
/// nothing, and callbacks that are under way end as they would have. May be called at any time, on
/// any thread and in a callback. What SSL_CTX_free does, too.
///
/// The context stays as halfshake_attach has set it up, with callbacks that do nothing, for the TLS
/// library reads its settings with no lock. To give it other ones, set them while nobody uses it.
///
/// HALFSHAKE_MISS: nothing was attached.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_detach(context: *mut SslContext) -> c_int {
    guard(|| {
        // SAFETY: the header demands NULL, or a context that is alive.
        unsafe { library::detach(context) }
    })
}

/// Gives `*cache` the cache that is attached to a context.
///
/// HALFSHAKE_MISS: none is, or it was freed; `*cache` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_attached(
    context: *mut SslContext,
    cache: Option<&mut MaybeUninit<*mut Cache>>,
) -> c_int {
    guard(|| {
        let cache = given(cache, "cache")?.write(std::ptr::null_mut());
        // SAFETY: the header demands NULL, or a context that is alive.
        *cache = unsafe { library::attached(context) }?.pointer();
        Ok(())
    })
}
