//! OpenSSL servers (feature `openssl`): the page's three callbacks, set in one call.
//!
//! ```
//! use halfshake::openssl::{Options, attach};
//! use halfshake::session::{Namespace, SessionCache};
//! use openssl::ssl::{SslAcceptor, SslMethod};
//! use std::time::Duration;
//!
//! let cache = SessionCache::<()>::builder()
//!     .capacity(100_000)
//!     .timeout(Duration::from_secs(7200))
//!     .build()?;
//! let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
//! attach(&mut acceptor, &cache, Options::new(&Namespace::new(b"www.example.org, no mTLS")?))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | OpenSSL | the cache |
//! | --- | --- |
//! | the new callback | [`new_session`](SessionCache::new_session) |
//! | the get callback: TLS 1.2 and older | [`resume`](SessionCache::resume) |
//! | the get callback: TLS 1.3 | [`take`](SessionCache::take): single use |
//! | the remove callback: a connection ended badly | [`connection_failed`] |
//! | the id context | the [`Namespace`] |
//!
//! [`connection_failed`]: SessionCache::connection_failed
//!
//! So the cache is the only one: the context's own is switched off (`NO_INTERNAL`), and with it
//! what it does not keep of the page (`SessionCache` does). The cache outlives the context: attach
//! it to the one after a reload of certificates, too, and clients go on resuming.
//!
//! # What `attach` sets
//!
//! The mode, the three callbacks, the id context, the time-out (that of the cache, which decides;
//! one that is made longer later takes effect in contexts that are attached then), and the options
//! `NO_TICKET` (sessions lie here, not with the clients) and `NO_ANTI_REPLAY`: OpenSSL's protection
//! looks into its own cache, so with any external one it refuses every session with early data.
//! Here single use protects: early data is accepted once, and what is replayed finds no session.
//!
//! OpenSSL ends a session by the time that it began with: under `UPDATE_TIME` one that is renewed
//! here is refused there all the same. DTLS is not attached to: its sessions are not stored.
//!
//! # Shut down
//!
//! OpenSSL takes a connection that is freed without `SSL_shutdown` for one that has failed, and has
//! its session removed, as RFC 5246 (7.2.1) once wanted. A server that just drops its streams never
//! resumes: call `shutdown`, or set quiet shutdown.
//!
//! # Objects
//!
//! By default a session lies in the cache as bytes, and each look-up makes a fresh object of them
//! (some microseconds): any number of contexts may share a cache. [`Options::objects`] keeps the
//! objects, too, of one context; then a look-up of one that is there costs a reference count.
//!
//! # Look-ups that take time
//!
//! OpenSSL waits for its get callback. [`Options::look_up_first`] looks up before the handshake
//! goes on, so that nothing is waited for: see [`hello`].
//!
//! # Several contexts
//!
//! OpenSSL asks the context that a connection began with, also if a callback has switched to
//! another one. Attach the one that listens. If it is the callback for the ClientHello that
//! switches, attach the others, too: the connection has their id context then, which is a namespace
//! of their own or the same. The callback for the server name is called when a session is already
//! resumed, so sessions are those of the context that listens.
//!
//! A connection with an id context of its own (`SSL_set_session_id_context`), which is none of
//! those, is never resumed, for OpenSSL does not say what it is: its sessions are not stored, and
//! counted as rejected for their namespace.
//!
//! # Panics
//!
//! None reaches OpenSSL. A callback that panics (the cache counts it) makes a miss of a look-up;
//! [`hello::look_up`] passes it on to its caller, and the handshake goes on without a session.
//!
//! Tested with OpenSSL 3; the C library, which does the same, also with 1.1.1 and 4. LibreSSL and
//! BoringSSL handle TLS 1.3 otherwise, and are not tested.

#[expect(unsafe_code, reason = "a callback that OpenSSL trusts with what it gives")]
mod callbacks;
mod connection;
mod fetch;
pub mod hello;
mod objects;
#[expect(unsafe_code, reason = "functions that the openssl crate does not have")]
mod sys;

use crate::error::ConfigError;
use crate::session::{Namespace, SessionCache, SslCounters};
use callbacks::Attached;
use openssl::error::ErrorStack;
use openssl::ssl::{
    ClientHelloResponse, SslAlert, SslContextBuilder, SslContextRef, SslOptions, SslRef,
    SslSessionCacheMode,
};
use std::fmt::{Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

/// What a connection is to the cache's callbacks.
type Describe<C> = dyn Fn(&SslRef) -> C + Send + Sync;

/// How a cache is attached.
pub struct Options<C: 'static> {
    namespace: Namespace,
    describe: Arc<Describe<C>>,
    objects: u64,
    /// The embedder's callback for the ClientHello.
    looks_up_first: Option<Arc<hello::OwnCallback>>,
    reuses_tls13: bool,
}

impl<C: Default + 'static> Options<C> {
    /// For this namespace; the cache's callbacks are given the default of a connection.
    #[must_use]
    pub fn new(namespace: &Namespace) -> Self {
        Self::with_connection(namespace, |_| C::default())
    }
}

impl<C: 'static> Options<C> {
    /// For this namespace; the function says what the cache's callbacks are given of a connection.
    /// It is called once for each of their calls, or once for each connection that is looked up
    /// first.
    #[must_use]
    pub fn with_connection(
        namespace: &Namespace,
        describe: impl Fn(&SslRef) -> C + Send + Sync + 'static,
    ) -> Self {
        Self {
            namespace: namespace.clone(),
            describe: Arc::new(describe),
            objects: 0,
            looks_up_first: None,
            reuses_tls13: false,
        }
    }

    /// Keeps so many sessions as objects of this context, beside their bytes: a look-up that finds
    /// one costs a reference count instead of some microseconds. 0, the default: none.
    #[must_use]
    pub fn objects(self, most: u64) -> Self {
        Self { objects: most, ..self }
    }

    /// Looks sessions up before the handshake goes on: see [`hello`]. The context's callback for
    /// the ClientHello is set for that.
    #[must_use]
    pub fn look_up_first(self) -> Self {
        self.look_up_first_after(|_, _| Ok(ClientHelloResponse::SUCCESS))
    }

    /// As [`look_up_first`](Self::look_up_first), where the server has a callback for the
    /// ClientHello of its own: it is called before, and once more each time that the handshake goes
    /// on. If it panics, the handshake fails.
    #[must_use]
    pub fn look_up_first_after(
        self,
        own: impl Fn(&mut SslRef, &mut SslAlert) -> Result<ClientHelloResponse, ErrorStack>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { looks_up_first: Some(Arc::new(own)), ..self }
    }

    /// Lets a session of TLS 1.3 be used more than once. RFC 8446 (C.4) advises against it, for
    /// clients can be told apart by it; and early data can be replayed then, so don't accept any.
    #[must_use]
    pub fn reuse_tls13(self) -> Self {
        Self { reuses_tls13: true, ..self }
    }
}

impl<C> Debug for Options<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("namespace", &self.namespace)
            .field("objects", &self.objects)
            .field("looks_up_first", &self.looks_up_first.is_some())
            .field("reuses_tls13", &self.reuses_tls13)
            .finish_non_exhaustive()
    }
}

/// Why a cache is not attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// OpenSSL could not do it.
    #[error("OpenSSL could not attach the session cache: {0}")]
    OpenSsl(#[from] ErrorStack),
    /// There can't be so many objects.
    #[error("there can't be so many session objects: {0}")]
    Objects(#[from] ConfigError),
}

/// Attaches a cache to a server's context: see the module's documentation.
///
/// What was set before of the session cache's mode, callbacks, time-out and id context is replaced.
///
/// # Errors
/// If OpenSSL has no memory, or there can't be so many objects. The context is half attached then,
/// and not to be used.
pub fn attach<C: Send + Sync + 'static>(
    context: &mut SslContextBuilder,
    cache: &SessionCache<C>,
    options: Options<C>,
) -> Result<(), AttachError> {
    connection::name(context, &options.namespace)?;
    context.set_session_id_context(options.namespace.as_bytes())?;
    sys::set_timeout(context, cache.timeout());
    let no_anti_replay = SslOptions::from_bits_retain(sys::NO_ANTI_REPLAY);
    let no_anti_replay = if options.reuses_tls13 { SslOptions::empty() } else { no_anti_replay };
    context.set_options(SslOptions::NO_TICKET | no_anti_replay);
    context.set_session_cache_mode(SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL);
    let own = options.looks_up_first.clone();
    let attached = Arc::new(Attached::new(cache, options)?);
    callbacks::set(context, &attached);
    if let Some(own) = own {
        hello::set(context, attached, own);
    }
    Ok(())
}

/// Takes up to so many bytes of early data (0-RTT) from a client that resumes with TLS 1.3; 0, as
/// without this call, takes none.
///
/// `set_max_early_data` alone is not enough above 16384: OpenSSL tells the client one number and
/// keeps to another, by which it breaks off connections that send what they were allowed to.
///
/// # Errors
/// If OpenSSL refuses.
pub fn take_early_data(context: &mut SslContextBuilder, bytes: u32) -> Result<(), ErrorStack> {
    context.set_max_early_data(bytes)?;
    // Where early data is refused, OpenSSL counts its records as they are encrypted. Of what is
    // accepted a session's own limit lets through no more than it was promised.
    sys::set_most_early_data(context, bytes.saturating_mul(2).saturating_add(16_384));
    Ok(())
}

/// What a stored value goes through before OpenSSL is given it, for the fuzz target of that; and
/// for the tests, which run what it has found.
#[cfg(any(fuzzing, feature = "validate"))]
#[doc(hidden)]
pub fn judge<C: Send + Sync + 'static>(
    cache: &SessionCache<C>,
    options: Options<C>,
    (id, version): (&[u8], u16),
    bytes: &[u8],
) -> Option<openssl::ssl::SslSession> {
    let namespace = options.namespace.clone();
    let attached = Attached::new(cache, options).ok()?;
    attached.object(&namespace, id, version, (version, bytes))
}

/// What the library itself has counted of a context (`SSL_CTX_sess_number` and the rest). With a
/// cache attached `number` and `cache_full` are 0; `cb_hits` are the sessions that the cache gave,
/// and `misses` those that it did not.
#[must_use]
pub fn library_counters(context: &SslContextRef) -> SslCounters {
    sys::statistics(context)
}

/// The time-out of a context's new sessions: that of the cache when it was attached, rounded up to
/// a second that has begun, and one more; for OpenSSL counts from the last one.
#[must_use]
pub fn library_timeout(context: &SslContextRef) -> Duration {
    sys::timeout(context)
}
