//! The page's three callbacks over a cache.
//!
//! Unsafe is checked by: `tests/adapters/openssl_adapter.rs`, `tests/adapters/openssl_matrix.rs`.

use super::objects::Objects;
use super::{Describe, Options, connection, sys};
use crate::error::ConfigError;
use crate::panics::discard;
use crate::session::{Namespace, Rejection, Session, SessionCache, SessionId, Side, Times};
use openssl::ssl::{
    SslContextBuilder, SslContextRef, SslRef, SslSession, SslSessionRef, SslVersion,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

const TLS13: u16 = 0x0304;

/// A cache that is attached to a context.
pub(super) struct Attached<C: 'static> {
    pub(super) cache: SessionCache<C>,
    pub(super) namespace: Namespace,
    pub(super) describe: Arc<Describe<C>>,
    pub(super) objects: Objects,
    pub(super) looks_up_first: bool,
    pub(super) reuses_tls13: bool,
}

/// Sets the three of them.
pub(super) fn set<C: Send + Sync + 'static>(
    context: &mut SslContextBuilder,
    attached: &Arc<Attached<C>>,
) {
    let (new, get, remove) = (attached.clone(), attached.clone(), attached.clone());
    context.set_new_session_callback(move |ssl, session| {
        without_panic(|| new.begins(ssl, &session));
    });
    // SAFETY: what it gives was made for this call, or belongs to this context alone: the objects
    // are this attachment's, which is this context's.
    unsafe {
        context.set_get_session_callback(move |ssl, id| {
            without_panic(|| get.proposes(ssl, id)).flatten()
        });
    }
    context.set_remove_session_callback(move |context, session| {
        without_panic(|| remove.has_failed(context, session));
    });
}

/// No panic reaches OpenSSL's frames.
pub(super) fn without_panic<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(discard).ok()
}

impl<C: Send + Sync + 'static> Attached<C> {
    pub(super) fn new(cache: &SessionCache<C>, options: Options<C>) -> Result<Self, ConfigError> {
        Ok(Self {
            cache: cache.clone(),
            objects: Objects::new(options.objects)?,
            namespace: options.namespace,
            describe: options.describe,
            looks_up_first: options.looks_up_first.is_some(),
            reuses_tls13: options.reuses_tls13,
        })
    }

    /// A session was negotiated.
    fn begins(&self, ssl: &mut SslRef, negotiated: &SslSessionRef) {
        // A session without an id is its client's to keep, and so is one in a ticket.
        let Ok(id) = SessionId::new(negotiated.id()) else { return };
        let Some(version) = number(negotiated.protocol_version()) else { return };
        if version == TLS13 && sys::issues_tickets(ssl) {
            return;
        }
        let Some(namespace) = self.namespace_of(ssl, negotiated) else {
            return self.cache.reject(Rejection::Namespace);
        };
        let Ok(bytes) = negotiated.to_der() else { return };
        let bytes = crate::wiping::Wiping::new(bytes);
        let first = connection::with(ssl, |state| {
            state.given = None;
            state.auth_not_after
        });
        let first = first.flatten();
        let times = self.times(negotiated, first.filter(|_| ssl.session_reused()));
        let session = Session::new(&namespace, id, version, times, &bytes);
        self.cache.new_session(&(self.describe)(ssl), Side::Server, &session);
        let lasts = times.not_after().saturating_sub(self.cache.wall_now());
        self.objects.keep(id, &bytes, negotiated, lasts);
    }

    /// Its own end, or the cache's, whichever comes first. A connection that was resumed was
    /// authenticated when its session was (`first`).
    fn times(&self, session: &SslSessionRef, first: Option<Duration>) -> Times {
        let now = self.cache.times();
        let seconds = |s: i64| Duration::from_secs(u64::try_from(s).unwrap_or(0));
        let end = seconds(session.time().saturating_add(session.timeout()));
        let auth_not_after = first.map_or(now.auth_not_after(), |f| f.min(now.auth_not_after()));
        Times::new(now.created(), now.not_after().min(end), auth_not_after)
    }

    /// Where the sessions of a connection are looked for: as its id context is that of the context
    /// which it has, also if a callback for the ClientHello has switched to that one.
    pub(super) fn namespace<'a>(&'a self, ssl: &'a SslRef) -> &'a Namespace {
        connection::namespace(ssl).unwrap_or(&self.namespace)
    }

    /// Where a session is stored: by its id context, which is that of the context which its
    /// connection has, or had when a callback for the server name switched to another one. By
    /// another one it would never be found.
    fn namespace_of(&self, ssl: &SslRef, session: &SslSessionRef) -> Option<Namespace> {
        let name = sys::id_context(session);
        let now = self.namespace(ssl);
        [now, &self.namespace].into_iter().find(|known| known.as_bytes() == name).cloned()
    }

    /// A client proposes a session.
    fn proposes(&self, ssl: &mut SslRef, id: &[u8]) -> Option<SslSession> {
        let version = ssl.version2().and_then(number)?;
        let mut random = [0; 32];
        ssl.client_random(&mut random);
        connection::begin(ssl, random)?;
        let given = connection::with(ssl, |state| {
            let (given, session) = state.given.as_ref()?;
            (given.as_bytes() == id).then(|| session.clone())
        });
        if let Some(session) = given.flatten() {
            return Some(session);
        }
        let known = connection::with(ssl, |state| {
            let known = state.known.iter_mut().find(|(known, _)| known.as_bytes() == id);
            known.map(|(_, session)| session.take())
        });
        let (session, auth_not_after) = match known.flatten() {
            // Looked up before: it is taken out, for it may have been single use.
            Some(session) => {
                let session = session?;
                let found = (session.version(), session.payload());
                let object = self.object(self.namespace(ssl), id, version, found)?;
                (object, session.times().auth_not_after())
            }
            None => self.look_up(ssl, id, version)?,
        };
        let given = SessionId::new(id).ok().filter(|_| self.is_single_use(version));
        connection::with(ssl, |state| {
            state.auth_not_after = Some(auth_not_after);
            state.given = given.map(|id| (id, session.clone()));
        });
        Some(session)
    }

    fn look_up(&self, ssl: &mut SslRef, id: &[u8], version: u16) -> Option<(SslSession, Duration)> {
        // What is outside was looked up before, or is not looked up.
        let left = connection::with(ssl, |state| state.lookups)?;
        let budget = if self.looks_up_first { 0 } else { left };
        let context = (self.describe)(ssl);
        let namespace = self.namespace(ssl).proposing(version);
        let hello = self.cache.hello_with_budget(&context, &namespace, budget);
        let found = if self.is_single_use(version) { hello.take(id) } else { hello.resume(id) };
        let left = hello.left();
        let found = found.and_then(|found| {
            let bytes = (found.version(), found.payload());
            let object = self.object(&namespace, id, version, bytes)?;
            Some((object, found.times().auth_not_after()))
        });
        connection::with(ssl, |state| state.lookups = state.lookups.min(left));
        found
    }

    pub(super) fn is_single_use(&self, version: u16) -> bool {
        version == TLS13 && !self.reuses_tls13
    }

    /// The object of what was found, if it is what was asked for.
    pub(super) fn object(
        &self,
        namespace: &Namespace,
        id: &[u8],
        version: u16,
        (found, bytes): (u16, &[u8]),
    ) -> Option<SslSession> {
        let name = SessionId::new(id).ok()?;
        let reject = |why| {
            self.cache.reject(why);
            None
        };
        if found != version {
            return reject(Rejection::Version);
        }
        let kept = self.objects.find(&name, bytes);
        let Some(object) = kept.or_else(|| SslSession::from_der(bytes).ok()) else {
            return reject(Rejection::Malformed);
        };
        if object.id() != id {
            return reject(Rejection::Id);
        }
        if sys::id_context(&object) != namespace.as_bytes() {
            return reject(Rejection::Namespace);
        }
        if number(object.protocol_version()) != Some(version) {
            return reject(Rejection::Version);
        }
        Some(object)
    }

    /// A connection has failed: its session is not to be used again.
    fn has_failed(&self, _: &SslContextRef, session: &SslSessionRef) {
        let Ok(id) = SessionId::new(session.id()) else { return };
        self.objects.forget(&id);
        let version = number(session.protocol_version()).unwrap_or(0);
        let namespace = Namespace::new(sys::id_context(session));
        let namespace = namespace.unwrap_or_else(|_| self.namespace.clone());
        self.cache.connection_failed(&namespace.proposing(version), id.as_bytes());
    }
}

/// A version as on the wire.
pub(super) fn number(version: SslVersion) -> Option<u16> {
    [
        (SslVersion::TLS1_3, TLS13),
        (SslVersion::TLS1_2, 0x0303),
        (SslVersion::TLS1_1, 0x0302),
        (SslVersion::TLS1, 0x0301),
        (SslVersion::SSL3, 0x0300),
    ]
    .into_iter()
    .find_map(|(known, number)| (known == version).then_some(number))
}
