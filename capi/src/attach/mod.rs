//! A cache under the contexts of the host's TLS library: what `halfshake::openssl` is to servers in
//! Rust, without being linked to the library.
//!
//! | the TLS library | the cache |
//! | --- | --- |
//! | the new callback | `new_session` |
//! | the get callback: TLS 1.2 and older | `resume` |
//! | the get callback: TLS 1.3 | `take`: single use |
//! | the remove callback: a connection ended badly | `connection_failed` |
//! | the id context | the namespace |
//!
//! # Who keeps whom
//!
//! A context keeps its `Home` in a slot of its own (`SSL_CTX_set_ex_data`), and each connection
//! that begins with it keeps it, too, with its `State`. Which context that was, the library does
//! not say (a callback for the server name may have switched to another one), but it calls that
//! one's callbacks: so each context has its own, of `callbacks::SETS`.
//!
//! To a home something is `Attached` or nothing: to detach is one store, and callbacks under way
//! go on with what they saw. The library's callbacks stay set all the while, for it reads them with
//! no lock. A cache is kept by nobody here, but during a callback: one that was freed is known as
//! such, as by its handle.

#[expect(unsafe_code, reason = "called by the TLS library")]
mod callbacks;
#[expect(unsafe_code, reason = "calls the TLS library")]
pub(crate) mod library;
mod objects;
pub mod options;
#[expect(unsafe_code, reason = "functions that are looked up by name")]
pub mod symbols;

use crate::foreign;
use crate::result::Outcome;
use crate::shell::{Cache, Live};
use arc_swap::{ArcSwapOption, Guard};
use halfshake::session::{Namespace, Rejection, Session, SessionId, Side, Times};
use library::{Connection, Context, Negotiated, Owned, Settings};
use objects::Objects;
use options::AttachOptions;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

const TLS13: u16 = 0x0304;
/// `SSL_OP_NO_TICKET`.
const NO_TICKET: u32 = 1 << 14;
/// `SSL_OP_NO_ANTI_REPLAY`: since 1.1.1.
const NO_ANTI_REPLAY: u32 = 1 << 24;
/// Look-ups outside that one handshake may cause: honest clients offer one or two sessions.
const LOOKUPS: u32 = 4;

/// What a context has of us, until it ends.
struct Home {
    attached: ArcSwapOption<Attached>,
    /// Which callbacks are its context's.
    set: usize,
}

/// A cache that is attached to a context.
struct Attached {
    shell: &'static Cache,
    /// The shell may be another cache's one day.
    cache: Weak<Live>,
    namespace: Namespace,
    objects: Objects,
    reuses_tls13: bool,
}

/// What belongs to one connection.
struct State {
    /// Of the context that it began with.
    home: Arc<Home>,
    now: Mutex<Now>,
}

/// What is known of the handshake that goes on, or was the last one.
struct Now {
    /// The client's: what tells handshakes of one connection apart (`SSL_clear`, renegotiations).
    /// The second ClientHello of one has the random of the first (RFC 8446, 4.1.2).
    random: Random,
    /// Look-ups outside that are left.
    lookups: u32,
    /// Of the session that is resumed.
    auth_not_after: Option<Duration>,
    /// Taken for this handshake. After a HelloRetryRequest the client proposes it once more.
    taken: Option<Session>,
}

/// That of a ClientHello.
type Random = [u8; 32];

impl Now {
    fn new(random: Random) -> Self {
        Self { random, lookups: LOOKUPS, auth_not_after: None, taken: None }
    }
}

impl State {
    fn new(home: Arc<Home>, random: Random) -> Self {
        Self { home, now: Mutex::new(Now::new(random)) }
    }

    /// A handshake begins or goes on: of an earlier one nothing is left.
    fn begin(&self, random: Random) {
        let mut now = self.now();
        if now.random != random {
            *now = Now::new(random);
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a context is attached with.
pub(crate) struct Plan {
    attached: Attached,
    timeout: Duration,
}

impl Plan {
    pub(crate) fn new(shell: &'static Cache, options: &AttachOptions) -> Outcome<Self> {
        let (namespace, reuses_tls13) = (options.namespace()?, options.reuses_tls13()?);
        let live = shell.live()?;
        let live = live.as_ref().ok_or_else(crate::shell::freed)?;
        let (cache, timeout) = (Arc::downgrade(live), live.sessions.timeout());
        let objects = Objects::new(options.objects)?;
        Ok(Self { attached: Attached { shell, cache, namespace, objects, reuses_tls13 }, timeout })
    }

    /// Carries it out: calls `set_up` with what the context is to be set up with, and with what
    /// attaches the cache.
    fn run<R>(self, set_up: impl FnOnce(&Settings<'_>, &Attach<'_>) -> R) -> R {
        let attached = Arc::new(self.attached);
        let no_anti_replay = if attached.reuses_tls13 { 0 } else { NO_ANTI_REPLAY };
        let settings = Settings {
            id_context: attached.namespace.as_bytes(),
            timeout: whole_seconds(self.timeout),
            options: NO_TICKET | no_anti_replay,
        };
        set_up(&settings, &|home| home.attached.swap(Some(attached.clone())))
    }
}

/// Attaches to a home, and gives what was attached before.
type Attach<'a> = dyn Fn(&Home) -> Option<Arc<Attached>> + 'a;

/// The time-out that a context is given: the library counts in whole seconds, and takes the one in
/// which a session begins for its beginning. With one more, it is the cache's time that decides.
fn whole_seconds(timeout: Duration) -> u64 {
    timeout.as_secs().saturating_add(1 + u64::from(timeout.subsec_nanos() > 0))
}

impl Home {
    /// Detaches what is attached, if something is.
    fn clear(&self) -> bool {
        self.attached.swap(None).is_some()
    }

    /// The handle of the cache that is attached, unless it was freed.
    fn shell(&self) -> Option<&'static Cache> {
        let attached = self.attached.load();
        let attached = attached.as_ref()?;
        attached.cache().map(|_| attached.shell)
    }
}

/// A session was negotiated.
fn begins(set: usize, connection: &Connection<'_>, negotiated: &Negotiated<'_>) {
    let Some(state) = connection.state(set) else { return };
    if let Some(attached) = &*state.home.attached.load() {
        attached.begins(state, connection, negotiated);
    }
}

/// A client proposes a session.
fn proposes(set: usize, connection: &Connection<'_>, id: &[u8]) -> Option<Owned> {
    let state = connection.state(set)?;
    state.begin(connection.random());
    state.home.attached.load().as_ref()?.proposes(state, connection, id)
}

/// A connection has failed: its session is not to be used again.
fn has_failed(context: &Context<'_>, negotiated: &Negotiated<'_>) {
    let Some(home) = context.home() else { return };
    if let Some(attached) = &*home.attached.load() {
        attached.has_failed(negotiated);
    }
}

/// A cache during a callback.
struct Held(Guard<Option<Arc<Live>>>);

impl Deref for Held {
    type Target = Live;
    fn deref(&self) -> &Live {
        self.0.as_ref().expect("`cache` has looked")
    }
}

impl Attached {
    /// The cache, unless it was freed.
    fn cache(&self) -> Option<Held> {
        let live = self.shell.live().ok()?;
        let is_it = live.as_ref().is_some_and(|live| Arc::as_ptr(live) == self.cache.as_ptr());
        is_it.then_some(Held(live))
    }

    fn begins(&self, state: &State, connection: &Connection<'_>, negotiated: &Negotiated<'_>) {
        state.now().taken = None;
        let Some(cache) = self.cache() else { return };
        // A session without an id is its client's to keep, and so is one in a ticket.
        let Ok(id) = SessionId::new(negotiated.id()) else { return };
        if negotiated.version() == TLS13 && connection.issues_tickets() {
            return;
        }
        let Some(namespace) = self.namespace_of(connection, negotiated) else {
            return cache.sessions.reject(Rejection::Namespace);
        };
        let Some(bytes) = negotiated.to_der() else { return };
        let first = state.now().auth_not_after.filter(|_| connection.is_resumed());
        let times = times(&cache, negotiated, first);
        let session = Session::new(&namespace, id, negotiated.version(), times, &bytes);
        let described = foreign::Connection(connection.pointer());
        cache.sessions.new_session(&described, Side::Server, &session);
        let lasts = times.not_after().saturating_sub(cache.sessions.wall_now());
        self.objects.keep(id, &bytes, negotiated, lasts);
    }

    /// Where the sessions of a connection are looked for: as its id context is that of the context
    /// which it has, also if a callback for the ClientHello has switched to that one.
    fn namespace(&self, connection: &Connection<'_>) -> Namespace {
        let home = connection.home_now();
        let attached = home.as_ref().and_then(|home| home.attached.load_full());
        attached.map_or_else(|| self.namespace.clone(), |attached| attached.namespace.clone())
    }

    /// Where a session is stored: by its id context, which is that of the context which its
    /// connection has, or had when a callback for the server name switched to another one. By
    /// another one it would never be found.
    fn namespace_of(
        &self,
        connection: &Connection<'_>,
        session: &Negotiated<'_>,
    ) -> Option<Namespace> {
        let known = [self.namespace(connection), self.namespace.clone()];
        known.into_iter().find(|known| known.as_bytes() == session.id_context())
    }

    fn proposes(&self, state: &State, connection: &Connection<'_>, id: &[u8]) -> Option<Owned> {
        let cache = self.cache()?;
        let taken = state.now().taken.take().filter(|taken| taken.id().as_bytes() == id);
        let (object, auth_not_after) = match taken {
            Some(taken) => {
                let found = (taken.version(), taken.payload());
                (self.object(&cache, connection, id, found)?, taken.times().auth_not_after())
            }
            None => self.look_up(&cache, state, connection, id)?,
        };
        state.now().auth_not_after = Some(auth_not_after);
        Some(object)
    }

    fn look_up(
        &self,
        cache: &Live,
        state: &State,
        connection: &Connection<'_>,
        id: &[u8],
    ) -> Option<(Owned, Duration)> {
        let version = connection.version();
        let described = foreign::Connection(connection.pointer());
        let namespace = self.namespace(connection).proposing(version);
        let left = state.now().lookups;
        let hello = cache.sessions.hello_with_budget(&described, &namespace, left);
        let is_single_use = version == TLS13 && !self.reuses_tls13;
        let found = if is_single_use { hello.take(id) } else { hello.resume(id) };
        state.now().lookups = hello.left();
        let found = found?;
        let object = self.object(cache, connection, id, (found.version(), found.payload()))?;
        // Not where early data is: a replay, random and all, that comes on the same connection
        // (`SSL_clear`) could be given it, too.
        if is_single_use && !connection.takes_early_data() {
            state.now().taken = Some(found.to_session());
        }
        Some((object, found.times().auth_not_after()))
    }

    /// The object of what was found, if it is what was asked for.
    fn object(
        &self,
        cache: &Live,
        connection: &Connection<'_>,
        id: &[u8],
        (found, bytes): (u16, &[u8]),
    ) -> Option<Owned> {
        let reject = |why| {
            cache.sessions.reject(why);
            None
        };
        let version = connection.version();
        if found != version {
            return reject(Rejection::Version);
        }
        let name = SessionId::new(id).ok()?;
        let kept = self.objects.find(&name, bytes);
        let Some(object) = kept.or_else(|| Owned::from_der(connection, bytes)) else {
            return reject(Rejection::Malformed);
        };
        if object.id() != id {
            return reject(Rejection::Id);
        }
        if object.id_context() != self.namespace(connection).as_bytes() {
            return reject(Rejection::Namespace);
        }
        if object.version() != version {
            return reject(Rejection::Version);
        }
        Some(object)
    }

    fn has_failed(&self, negotiated: &Negotiated<'_>) {
        if let Ok(id) = SessionId::new(negotiated.id()) {
            self.objects.forget(&id);
        }
        let Some(cache) = self.cache() else { return };
        let namespace = Namespace::new(negotiated.id_context());
        let namespace = namespace.unwrap_or_else(|_| self.namespace.clone());
        let namespace = namespace.proposing(negotiated.version());
        cache.sessions.connection_failed(&namespace, negotiated.id());
    }
}

/// Its own end, or the cache's, whichever comes first. A connection that was resumed was
/// authenticated when its session was (`first`).
fn times(cache: &Live, session: &Negotiated<'_>, first: Option<Duration>) -> Times {
    let now = cache.sessions.times();
    let auth_not_after = first.map_or(now.auth_not_after(), |f| f.min(now.auth_not_after()));
    Times::new(now.created(), now.not_after().min(session.end()), auth_not_after)
}
