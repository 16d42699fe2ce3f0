//! The functions of the host's TLS library, by name: the only file that knows how OpenSSL 1.1.1,
//! OpenSSL 3 and 4, and LibreSSL differ in what they have. (LibreSSL's by the list of its symbols.)
//!
//! Nothing here is linked. dlsym(3) finds what the program itself sees, so a function that only a
//! plug-in sees (`RTLD_LOCAL`), or that lies in a program which does not export it, is missing.
//!
//! Unsafe is checked by: `capi/tests/c/attach_late.c`, `capi/tests/c/attach.c`.

use crate::result::{Code, Failure, Outcome};
use std::ffi::{CStr, c_int, c_long, c_uchar, c_uint, c_ulong, c_void};
use std::ptr::null_mut;

/// An SSL_CTX, as the headers of the TLS library declare it, too.
pub struct SslContext {
    _of_the_host: [u8; 0],
}

/// `SSL`.
pub(super) struct Ssl {
    _of_the_host: [u8; 0],
}

/// `SSL_SESSION`.
pub(super) struct SslSession {
    _of_the_host: [u8; 0],
}

/// `CRYPTO_EX_DATA`.
pub(super) struct ExData {
    _of_the_host: [u8; 0],
}

pub(super) type NewCallback = unsafe extern "C" fn(*mut Ssl, *mut SslSession) -> c_int;
pub(super) type GetCallback =
    unsafe extern "C" fn(*mut Ssl, *const c_uchar, c_int, *mut c_int) -> *mut SslSession;
pub(super) type RemoveCallback = unsafe extern "C" fn(*mut SslContext, *mut SslSession);

/// An object is ended: the object, what lies in the slot, where the slots are, which it is.
pub(super) type ExEvent =
    unsafe extern "C" fn(*mut c_void, *mut c_void, *mut ExData, c_int, c_long, *mut c_void);
/// An object is copied: whose slots to, whose from, and where what lies in the slot is told.
pub(super) type ExCopied = unsafe extern "C" fn(
    *mut ExData,
    *const ExData,
    *mut *mut c_void,
    c_int,
    c_long,
    *mut c_void,
) -> c_int;

type NewIndex = unsafe extern "C" fn(
    c_long,
    *mut c_void,
    Option<ExEvent>,
    Option<ExCopied>,
    Option<ExEvent>,
) -> c_int;
type NewIndexOf = unsafe extern "C" fn(
    c_int,
    c_long,
    *mut c_void,
    Option<ExEvent>,
    Option<ExCopied>,
    Option<ExEvent>,
) -> c_int;

/// The functions that all of them have, some by another name.
macro_rules! table {
    ($($name:ident $(| $other:ident)?: $type:ty,)*) => {
        #[expect(non_snake_case, reason = "the names are the library's")]
        pub(super) struct Symbols {
            $(pub(super) $name: $type,)*
            new_index: Indexes,
            set_options: SetOptions,
            get_options: Option<GetOptions>,
        }

        impl Symbols {
            /// Looks all of them up.
            pub(super) fn find() -> Outcome<Self> {
                Ok(Self {
                    $($name: {
                        const NAME: &CStr = cstr(concat!(stringify!($name), "\0"));
                        let found = found(NAME)
                            $(.or_else(|| found(cstr(concat!(stringify!($other), "\0")))))?
                            .ok_or_else(|| missing(NAME))?;
                        // SAFETY: a function of this name has this type in each of the libraries.
                        unsafe { std::mem::transmute::<*mut c_void, $type>(found) }
                    },)*
                    new_index: Indexes::find()?,
                    set_options: SetOptions::find(),
                    get_options: found(c"SSL_get_options").map(|found| {
                        // SAFETY: as above.
                        unsafe { std::mem::transmute::<*mut c_void, GetOptions>(found) }
                    }),
                })
            }
        }
    };
}

table! {
    CRYPTO_get_ex_data: unsafe extern "C" fn(*const ExData, c_int) -> *mut c_void,
    ERR_pop_to_mark: unsafe extern "C" fn() -> c_int,
    ERR_set_mark: unsafe extern "C" fn() -> c_int,
    SSL_CTX_ctrl: unsafe extern "C" fn(*mut SslContext, c_int, c_long, *mut c_void) -> c_long,
    SSL_CTX_get_ex_data: unsafe extern "C" fn(*const SslContext, c_int) -> *mut c_void,
    SSL_CTX_set_ex_data: unsafe extern "C" fn(*mut SslContext, c_int, *mut c_void) -> c_int,
    SSL_CTX_sess_set_new_cb: unsafe extern "C" fn(*mut SslContext, Option<NewCallback>),
    SSL_CTX_sess_set_get_cb: unsafe extern "C" fn(*mut SslContext, Option<GetCallback>),
    SSL_CTX_sess_set_remove_cb: unsafe extern "C" fn(*mut SslContext, Option<RemoveCallback>),
    SSL_CTX_set_session_id_context:
        unsafe extern "C" fn(*mut SslContext, *const c_uchar, c_uint) -> c_int,
    SSL_CTX_set_timeout: unsafe extern "C" fn(*mut SslContext, c_long) -> c_long,
    SSL_get_SSL_CTX: unsafe extern "C" fn(*const Ssl) -> *mut SslContext,
    SSL_get_client_random: unsafe extern "C" fn(*const Ssl, *mut c_uchar, usize) -> usize,
    SSL_get_max_early_data: unsafe extern "C" fn(*const Ssl) -> u32,
    SSL_get_ex_data: unsafe extern "C" fn(*const Ssl, c_int) -> *mut c_void,
    SSL_set_ex_data: unsafe extern "C" fn(*mut Ssl, c_int, *mut c_void) -> c_int,
    SSL_session_reused | SSL_cache_hit: unsafe extern "C" fn(*const Ssl) -> c_int,
    SSL_version: unsafe extern "C" fn(*const Ssl) -> c_int,
    SSL_SESSION_free: unsafe extern "C" fn(*mut SslSession),
    SSL_SESSION_get0_id_context:
        unsafe extern "C" fn(*const SslSession, *mut c_uint) -> *const c_uchar,
    SSL_SESSION_get_id: unsafe extern "C" fn(*const SslSession, *mut c_uint) -> *const c_uchar,
    SSL_SESSION_get_protocol_version: unsafe extern "C" fn(*const SslSession) -> c_int,
    SSL_SESSION_get_time: unsafe extern "C" fn(*const SslSession) -> c_long,
    SSL_SESSION_get_timeout: unsafe extern "C" fn(*const SslSession) -> c_long,
    SSL_SESSION_is_resumable: unsafe extern "C" fn(*const SslSession) -> c_int,
    SSL_SESSION_up_ref: unsafe extern "C" fn(*mut SslSession) -> c_int,
    d2i_SSL_SESSION:
        unsafe extern "C" fn(*mut *mut SslSession, *mut *const c_uchar, c_long) -> *mut SslSession,
    i2d_SSL_SESSION: unsafe extern "C" fn(*const SslSession, *mut *mut c_uchar) -> c_int,
}

/// How a slot of an object is made.
enum Indexes {
    /// LibreSSL: a function for each kind of object.
    OfEach { connections: NewIndex, contexts: NewIndex },
    /// OpenSSL: macros over one function.
    OfAll(NewIndexOf),
}

impl Indexes {
    fn find() -> Outcome<Self> {
        if let (Some(connections), Some(contexts)) =
            (found(c"SSL_get_ex_new_index"), found(c"SSL_CTX_get_ex_new_index"))
        {
            let function = |found| {
                // SAFETY: as in the table.
                unsafe { std::mem::transmute::<*mut c_void, NewIndex>(found) }
            };
            let (connections, contexts) = (function(connections), function(contexts));
            return Ok(Self::OfEach { connections, contexts });
        }
        let name = c"CRYPTO_get_ex_new_index";
        let found = found(name).ok_or_else(|| missing(name))?;
        // SAFETY: as in the table.
        Ok(Self::OfAll(unsafe { std::mem::transmute::<*mut c_void, NewIndexOf>(found) }))
    }
}

/// What happens to the objects that have a slot.
pub(super) struct Events {
    pub(super) copied: Option<ExCopied>,
    pub(super) ended: Option<ExEvent>,
}

impl Symbols {
    /// A new slot of connections; below 0 if there is no memory.
    pub(super) fn slot_of_connections(&self, on: &Events) -> c_int {
        const CONNECTIONS: c_int = 0;
        match self.new_index {
            Indexes::OfEach { connections, .. } => {
                // SAFETY: the functions have the types that the library calls, and stay.
                unsafe { connections(0, null_mut(), None, on.copied, on.ended) }
            }
            Indexes::OfAll(new) => {
                // SAFETY: as above.
                unsafe { new(CONNECTIONS, 0, null_mut(), None, on.copied, on.ended) }
            }
        }
    }

    /// A new slot of contexts; below 0 if there is no memory.
    pub(super) fn slot_of_contexts(&self, on: &Events) -> c_int {
        const CONTEXTS: c_int = 1;
        match self.new_index {
            Indexes::OfEach { contexts, .. } => {
                // SAFETY: as above.
                unsafe { contexts(0, null_mut(), None, on.copied, on.ended) }
            }
            Indexes::OfAll(new) => {
                // SAFETY: as above.
                unsafe { new(CONTEXTS, 0, null_mut(), None, on.copied, on.ended) }
            }
        }
    }

    /// The options of a connection; `None` of LibreSSL, whose function is a macro.
    ///
    /// # Safety
    /// The connection is alive.
    pub(super) unsafe fn options(&self, ssl: *const Ssl) -> Option<c_ulong> {
        // SAFETY: the caller vouches for the connection.
        self.get_options.map(|get| unsafe { get(ssl) })
    }

    /// Adds options to a context's.
    ///
    /// # Safety
    /// The context is alive, and nobody else uses it.
    pub(super) unsafe fn set_options(&self, context: *mut SslContext, options: u32) {
        const OPTIONS: c_int = 32;
        match self.set_options {
            // SAFETY: the caller vouches for the context.
            SetOptions::Function(set) => drop(unsafe { set(context, options.into()) }),
            SetOptions::Control => {
                // SAFETY: as above.
                unsafe { (self.SSL_CTX_ctrl)(context, OPTIONS, options.into(), null_mut()) };
            }
        }
    }
}

/// Of 64 bits in OpenSSL 3; those that are asked for are among the lower 32.
type GetOptions = unsafe extern "C" fn(*const Ssl) -> c_ulong;
type SetOptionsOf = unsafe extern "C" fn(*mut SslContext, c_ulong) -> c_ulong;

/// How options are set.
enum SetOptions {
    /// OpenSSL.
    Function(SetOptionsOf),
    /// LibreSSL: a macro over `SSL_CTX_ctrl`.
    Control,
}

impl SetOptions {
    fn find() -> Self {
        let Some(found) = found(c"SSL_CTX_set_options") else { return Self::Control };
        // SAFETY: as in the table; OpenSSL 3's `uint64_t` is the same as 1.1.1's `unsigned long`.
        Self::Function(unsafe { std::mem::transmute::<*mut c_void, SetOptionsOf>(found) })
    }
}

/// What the program sees by this name.
fn found(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name ends with a NUL, and nothing of ours is freed.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

fn missing(name: &CStr) -> Failure {
    let name = name.to_string_lossy();
    let message = format!(
        "{name} is not to be found in this program: it takes a libssl (OpenSSL 1.1.1, 3 or 4, or \
         LibreSSL) that it is linked to, or has loaded with RTLD_GLOBAL"
    );
    Failure::new(Code::HALFSHAKE_NO_LIBRARY, message)
}

const fn cstr(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}
