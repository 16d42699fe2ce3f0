//! The host's TLS library, and its objects for as long as a callback has them.
//!
//! Unsafe is checked by: `capi/tests/c/attach.c`, `capi/tests/c/attach_threads.c`,
//! `capi/tests/c/attach_contexts.c`.

use super::callbacks;
use super::symbols::{Events, ExData, Ssl, SslContext, SslSession, Symbols};
use super::{Attached, Home, NO_ANTI_REPLAY, NO_TICKET, Plan, Random, State};
use crate::result::{Code, Failure, Outcome};
use crate::shell::Cache;
use std::ffi::{c_int, c_long, c_uchar, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// The library, with the two slots in which we keep what is ours.
pub(super) struct Library {
    symbols: Symbols,
    /// Of a context: its [`Home`], counted.
    on_contexts: c_int,
    /// Of a connection: its [`State`].
    on_connections: c_int,
}

static LIBRARY: OnceLock<Library> = OnceLock::new();

/// One thread at a time looks for the library, or gives a context its home.
static ATTACHING: Mutex<()> = Mutex::new(());

impl Library {
    /// The library, if something was attached before.
    pub(super) fn known() -> Option<&'static Self> {
        LIBRARY.get()
    }

    /// Looks for the library. What was not there may have been loaded since: that is not kept.
    fn find() -> Outcome<&'static Self> {
        if let Some(known) = LIBRARY.get() {
            return Ok(known);
        }
        let symbols = Symbols::find()?;
        let (copied, ended) = callbacks::OF_CONNECTIONS;
        let events = Events { copied: Some(copied), ended: Some(ended) };
        let on_connections = symbols.slot_of_connections(&events);
        let events = Events { copied: None, ended: Some(callbacks::OF_CONTEXTS) };
        let on_contexts = symbols.slot_of_contexts(&events);
        if on_connections < 0 || on_contexts < 0 {
            return Err(failed("make a slot of its objects"));
        }
        Ok(LIBRARY.get_or_init(|| Self { symbols, on_contexts, on_connections }))
    }

    /// What lies in a slot.
    pub(super) fn in_slot(&self, slots: *const ExData, slot: c_int) -> *mut c_void {
        // SAFETY: the library has given the slots, to its own callback.
        unsafe { (self.symbols.CRYPTO_get_ex_data)(slots, slot) }
    }
}

fn failed(to: &str) -> Failure {
    Failure::new(Code::HALFSHAKE_LIBRARY_FAILED, format!("the TLS library could not {to}"))
}

/// An object of the library's that is alive for `'a`.
pub(super) struct Object<'a, T> {
    library: &'static Library,
    pointer: NonNull<T>,
    alive: PhantomData<&'a T>,
}

pub(super) type Context<'a> = Object<'a, SslContext>;
pub(super) type Connection<'a> = Object<'a, Ssl>;
pub(super) type Negotiated<'a> = Object<'a, SslSession>;

impl<T> Object<'_, T> {
    /// What a callback was given.
    ///
    /// # Safety
    /// The object is alive for `'a`, and this library's.
    pub(super) unsafe fn given(pointer: *mut T) -> Option<Self> {
        let (library, pointer) = (Library::known()?, NonNull::new(pointer)?);
        Some(Self { library, pointer, alive: PhantomData })
    }
}

impl Context<'_> {
    /// Its home, to which something may be attached.
    pub(super) fn home(&self) -> Option<Arc<Home>> {
        let (get, slot) = (self.library.symbols.SSL_CTX_get_ex_data, self.library.on_contexts);
        // SAFETY: the context is alive.
        let home: *const Home = unsafe { get(self.pointer.as_ptr(), slot) }.cast();
        if home.is_null() {
            return None;
        }
        // SAFETY: the slot has what `settle` has put there, until the context ends.
        unsafe { Arc::increment_strong_count(home) };
        // SAFETY: this is the count that was just added.
        Some(unsafe { Arc::from_raw(home) })
    }

    /// Its home; it gets one if it has none.
    fn settle(&self) -> Outcome<Arc<Home>> {
        if let Some(home) = self.home() {
            return Ok(home);
        }
        let home = callbacks::new_home();
        let counted = Arc::into_raw(home.clone());
        let (set, slot) = (self.library.symbols.SSL_CTX_set_ex_data, self.library.on_contexts);
        // SAFETY: the context is alive, and whoever attaches does not do so twice at a time.
        let done = unsafe { set(self.pointer.as_ptr(), slot, counted.cast_mut().cast()) };
        if done == 1 {
            return Ok(home);
        }
        // SAFETY: the library has not taken that count.
        drop(unsafe { Arc::from_raw(counted) });
        Err(failed("keep the cache in the context"))
    }

    /// Sets the context up, and calls `attach` with its home before the callbacks are set. What was
    /// attached before is handed out.
    fn set_up(
        &self,
        settings: &Settings<'_>,
        attach: &dyn Fn(&Home) -> Option<Arc<Attached>>,
    ) -> Outcome<Option<Arc<Attached>>> {
        const CACHE_MODE: c_int = 44;
        /// `SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL`.
        const SERVER_NO_INTERNAL: c_long = 0x302;
        let (symbols, context) = (&self.library.symbols, self.pointer.as_ptr());
        let home = self.settle()?;
        let len = c_uint::try_from(settings.id_context.len()).unwrap_or(c_uint::MAX);
        let bytes: *const c_uchar = settings.id_context.as_ptr();
        // SAFETY: the context is alive, and so many bytes are copied.
        let done = unsafe { (symbols.SSL_CTX_set_session_id_context)(context, bytes, len) };
        if done != 1 {
            return Err(failed("set the session id context"));
        }
        let seconds = c_long::try_from(settings.timeout).unwrap_or(c_long::MAX);
        // SAFETY: the context is alive.
        unsafe { (symbols.SSL_CTX_set_timeout)(context, seconds) };
        // SAFETY: the context is alive, and the header demands that nobody else uses it.
        unsafe { symbols.set_options(context, settings.options) };
        let former = attach(&home);
        // SAFETY: as above; this command takes a number.
        unsafe {
            (symbols.SSL_CTX_ctrl)(context, CACHE_MODE, SERVER_NO_INTERNAL, null_mut());
        }
        let (on_new, on_get) = callbacks::SETS[home.set];
        // SAFETY: as above, and the callbacks have the types that the library calls.
        unsafe { (symbols.SSL_CTX_sess_set_new_cb)(context, Some(on_new)) };
        // SAFETY: as above.
        unsafe { (symbols.SSL_CTX_sess_set_get_cb)(context, Some(on_get)) };
        // SAFETY: as above.
        unsafe { (symbols.SSL_CTX_sess_set_remove_cb)(context, Some(callbacks::on_remove)) };
        Ok(former)
    }
}

/// What a context is set up with.
pub(super) struct Settings<'s> {
    pub(super) id_context: &'s [u8],
    /// In seconds.
    pub(super) timeout: u64,
    pub(super) options: u32,
}

/// Attaches a cache to a context.
///
/// # Safety
/// The context is NULL or alive, and nobody else uses it.
pub(crate) unsafe fn attach(plan: Plan, context: *mut SslContext) -> Outcome {
    let pointer = NonNull::new(context).ok_or_else(|| Failure::null("context"))?;
    let one = ATTACHING.lock().unwrap_or_else(PoisonError::into_inner);
    let library = Library::find()?;
    let context = Context { library, pointer, alive: PhantomData };
    let former = plan.run(|settings, attach| context.set_up(settings, attach))?;
    drop(one);
    // Not under the lock: objects of sessions end, which the program may be told of.
    drop(former);
    Ok(())
}

/// Detaches a context.
///
/// # Safety
/// The context is NULL or alive.
pub(crate) unsafe fn detach(context: *mut SslContext) -> Outcome {
    // SAFETY: the caller vouches for the context.
    let home = unsafe { home_of(context) }?;
    if home.is_some_and(|home| home.clear()) { Ok(()) } else { Err(Failure::miss()) }
}

/// The cache that is attached to a context.
///
/// # Safety
/// The context is NULL or alive.
pub(crate) unsafe fn attached(context: *mut SslContext) -> Outcome<&'static Cache> {
    // SAFETY: the caller vouches for the context.
    let home = unsafe { home_of(context) }?;
    home.and_then(|home| home.shell()).ok_or_else(Failure::miss)
}

/// The home of a context, if it has one.
///
/// # Safety
/// The context is NULL or alive.
unsafe fn home_of(context: *mut SslContext) -> Outcome<Option<Arc<Home>>> {
    if context.is_null() {
        return Err(Failure::null("context"));
    }
    // SAFETY: the caller vouches for the context.
    Ok(unsafe { Context::given(context) }.and_then(|context| context.home()))
}

impl<'a> Connection<'a> {
    /// What the cache's callbacks are given.
    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer.as_ptr().cast()
    }

    /// The protocol version as on the wire.
    pub(super) fn version(&self) -> u16 {
        // SAFETY: the connection is alive.
        let version = unsafe { (self.library.symbols.SSL_version)(self.pointer.as_ptr()) };
        u16::try_from(version).unwrap_or(0)
    }

    /// That of its client's last ClientHello.
    pub(super) fn random(&self) -> Random {
        let mut random = Random::default();
        let (get, len) = (self.library.symbols.SSL_get_client_random, random.len());
        // SAFETY: the connection is alive, and so many bytes are written.
        unsafe { get(self.pointer.as_ptr(), random.as_mut_ptr(), len) };
        random
    }

    /// Whether its handshake resumes a session.
    pub(super) fn is_resumed(&self) -> bool {
        // SAFETY: the connection is alive.
        unsafe { (self.library.symbols.SSL_session_reused)(self.pointer.as_ptr()) == 1 }
    }

    /// Whether its server would accept early data.
    pub(super) fn takes_early_data(&self) -> bool {
        // SAFETY: the connection is alive.
        unsafe { (self.library.symbols.SSL_get_max_early_data)(self.pointer.as_ptr()) != 0 }
    }

    /// Whether its sessions of TLS 1.3 go to their client whole, encrypted, and are never asked for
    /// here: what a server that has switched tickets on again sends. Where early data is accepted,
    /// and the library itself protects from replays, it keeps sessions all the same. LibreSSL has
    /// no sessions of TLS 1.3.
    pub(super) fn issues_tickets(&self) -> bool {
        // SAFETY: the connection is alive.
        let options = unsafe { self.library.symbols.options(self.pointer.as_ptr()) };
        options.is_some_and(|options| {
            let protects = options & c_ulong::from(NO_ANTI_REPLAY) == 0;
            options & c_ulong::from(NO_TICKET) == 0 && !(protects && self.takes_early_data())
        })
    }

    /// What we know of it, which begins now if this is the first callback, of this set.
    pub(super) fn state(&self, set: usize) -> Option<&'a State> {
        if let Some(state) = self.slot() {
            return Some(state);
        }
        let state = Box::into_raw(Box::new(State::new(self.home(set)?, self.random())));
        let (put, slot) = (self.library.symbols.SSL_set_ex_data, self.library.on_connections);
        // SAFETY: the connection is alive, and this thread's.
        let done = unsafe { put(self.pointer.as_ptr(), slot, state.cast()) };
        if done != 1 {
            // SAFETY: the library has not taken it.
            drop(unsafe { Box::from_raw(state) });
        }
        self.slot()
    }

    /// The home of the context that it began with: whose callbacks are called. If they are of
    /// several, that of the context which it has now.
    fn home(&self, set: usize) -> Option<Arc<Home>> {
        if let Some(home) = callbacks::home_of(set) {
            return Some(home);
        }
        self.home_now()
    }

    /// That of the context which it has now: a callback may have switched to another one.
    pub(super) fn home_now(&self) -> Option<Arc<Home>> {
        // SAFETY: the connection is alive.
        let context = unsafe { (self.library.symbols.SSL_get_SSL_CTX)(self.pointer.as_ptr()) };
        // SAFETY: it is alive as long as the connection.
        unsafe { Context::given(context) }?.home()
    }

    fn slot(&self) -> Option<&'a State> {
        let (get, slot) = (self.library.symbols.SSL_get_ex_data, self.library.on_connections);
        // SAFETY: the connection is alive.
        let state: *const State = unsafe { get(self.pointer.as_ptr(), slot) }.cast();
        // SAFETY: the slot has what `state` has put there, until the connection ends.
        unsafe { state.as_ref() }
    }
}

impl<'a> Negotiated<'a> {
    pub(super) fn id(&self) -> &'a [u8] {
        self.bytes(self.library.symbols.SSL_SESSION_get_id)
    }

    /// The context in which it was negotiated.
    pub(super) fn id_context(&self) -> &'a [u8] {
        self.bytes(self.library.symbols.SSL_SESSION_get0_id_context)
    }

    fn bytes(
        &self,
        get: unsafe extern "C" fn(*const SslSession, *mut c_uint) -> *const c_uchar,
    ) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: the session is alive, and `len` is written to.
        let bytes = unsafe { get(self.pointer.as_ptr(), &raw mut len) };
        let Ok(len @ 1..) = usize::try_from(len) else { return &[] };
        // SAFETY: they lie in the session, which nobody changes while a callback has it.
        unsafe { std::slice::from_raw_parts(bytes, len) }
    }

    /// The protocol version as on the wire.
    pub(super) fn version(&self) -> u16 {
        let get = self.library.symbols.SSL_SESSION_get_protocol_version;
        // SAFETY: the session is alive.
        u16::try_from(unsafe { get(self.pointer.as_ptr()) }).unwrap_or(0)
    }

    /// When it expires by its own time-out, since 1970.
    pub(super) fn end(&self) -> Duration {
        // SAFETY: the session is alive.
        let time = unsafe { (self.library.symbols.SSL_SESSION_get_time)(self.pointer.as_ptr()) };
        let get = self.library.symbols.SSL_SESSION_get_timeout;
        // SAFETY: the session is alive.
        let timeout = unsafe { get(self.pointer.as_ptr()) };
        Duration::from_secs(u64::try_from(time.saturating_add(timeout)).unwrap_or(0))
    }

    /// Whether the library has not marked it as one that must not be resumed.
    pub(super) fn is_resumable(&self) -> bool {
        let is_resumable = self.library.symbols.SSL_SESSION_is_resumable;
        // SAFETY: the session is alive.
        unsafe { is_resumable(self.pointer.as_ptr()) == 1 }
    }

    /// One more reference.
    pub(super) fn to_owned(&self) -> Option<Owned> {
        let (library, pointer) = (self.library, self.pointer);
        // SAFETY: the session is alive.
        let done = unsafe { (library.symbols.SSL_SESSION_up_ref)(pointer.as_ptr()) };
        (done == 1).then(|| Owned(Object { library, pointer, alive: PhantomData }))
    }

    /// As bytes.
    pub(super) fn to_der(&self) -> Option<Zeroizing<Vec<u8>>> {
        let (write, session) = (self.library.symbols.i2d_SSL_SESSION, self.pointer.as_ptr());
        // SAFETY: the session is alive; NULL asks for the length.
        let len = usize::try_from(unsafe { write(session, null_mut()) }).ok()?;
        let mut der = Zeroizing::new(vec![0; len]);
        let mut at = der.as_mut_ptr();
        // SAFETY: so many bytes are written.
        let written = unsafe { write(session, &raw mut at) };
        (len > 0 && usize::try_from(written) == Ok(len)).then_some(der)
    }
}

/// A session object of our own: one reference.
pub(super) struct Owned(Negotiated<'static>);

// SAFETY: references to a session are counted by atomics, and what we read of one never changes
// but for its mark, which the library itself reads with no lock.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    /// A fresh object of bytes. What is wrong with them is kept from the thread's errors, by which
    /// a program learns whether its handshake has failed.
    pub(super) fn from_der(of: &Connection<'_>, der: &[u8]) -> Option<Self> {
        let (library, len) = (of.library, c_long::try_from(der.len()).ok()?);
        let mut at = der.as_ptr();
        // SAFETY: the errors are this thread's.
        unsafe { (library.symbols.ERR_set_mark)() };
        // SAFETY: so many bytes are read; a new object is made.
        let made = unsafe { (library.symbols.d2i_SSL_SESSION)(null_mut(), &raw mut at, len) };
        // SAFETY: as above; without a mark, for there was no error before, all of them go.
        unsafe { (library.symbols.ERR_pop_to_mark)() };
        let pointer = NonNull::new(made)?;
        Some(Self(Object { library, pointer, alive: PhantomData }))
    }

    /// Hands the reference over.
    pub(super) fn into_raw(self) -> *mut SslSession {
        let pointer = self.0.pointer.as_ptr();
        std::mem::forget(self);
        pointer
    }
}

impl Deref for Owned {
    type Target = Negotiated<'static>;
    fn deref(&self) -> &Negotiated<'static> {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and given back once.
        unsafe { (self.0.library.symbols.SSL_SESSION_free)(self.0.pointer.as_ptr()) };
    }
}
