//! What belongs to one connection, or to one context: it lies in OpenSSL's objects.

use super::fetch::Fetch;
use crate::session::{Namespace, Session, SessionId};
use crate::sync::Lock;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslRef, SslSession};
use std::sync::OnceLock;
use std::time::Duration;

/// Look-ups outside that one handshake may cause: honest clients offer one or two sessions.
const LOOKUPS: u32 = 4;

/// See the module's documentation.
struct Connection(Lock<State>);

/// What is known of the handshake that goes on, or was the last one.
pub(super) struct State {
    /// Of the client's: what tells handshakes apart (see [`begin`]).
    random: Random,
    /// Look-ups outside that are left.
    pub(super) lookups: u32,
    /// Of the session that is resumed.
    pub(super) auth_not_after: Option<Duration>,
    /// What was looked up before the handshake went on.
    pub(super) known: Vec<(SessionId, Option<Session>)>,
    /// What OpenSSL was given, until the handshake is over: it asks again for the second
    /// ClientHello, if it had to ask for one (RFC 8446, 4.1.4), and that may have been single use.
    pub(super) given: Option<(SessionId, SslSession)>,
    pub(super) fetch: Option<Fetch>,
}

/// That of a ClientHello.
pub(super) type Random = [u8; 32];

impl State {
    fn new(random: Random) -> Self {
        let (known, given, fetch) = (Vec::new(), None, None);
        Self { random, lookups: LOOKUPS, auth_not_after: None, known, given, fetch }
    }
}

/// Where they lie.
struct Indexes {
    connection: Index<Ssl, Connection>,
    namespace: Index<SslContext, Namespace>,
}

fn indexes() -> Result<&'static Indexes, ErrorStack> {
    static INDEXES: OnceLock<Indexes> = OnceLock::new();
    if let Some(indexes) = INDEXES.get() {
        return Ok(indexes);
    }
    // Two threads may make them each: one's are left over.
    let (connection, namespace) = (Ssl::new_ex_index()?, SslContext::new_ex_index()?);
    Ok(INDEXES.get_or_init(|| Indexes { connection, namespace }))
}

/// Notes what a context is attached as. To be done before a context asks.
pub(super) fn name(
    context: &mut SslContextBuilder,
    namespace: &Namespace,
) -> Result<(), ErrorStack> {
    context.set_ex_data(indexes()?.namespace, namespace.clone());
    Ok(())
}

/// What the context is attached as that a connection has now, if it is.
pub(super) fn namespace(ssl: &SslRef) -> Option<&Namespace> {
    ssl.ssl_context().ex_data(indexes().ok()?.namespace)
}

/// A handshake begins or goes on: of an earlier one on the same connection (`SSL_clear`, or a
/// renegotiation) nothing is left. The second ClientHello of one has the random of the first
/// (RFC 8446, 4.1.2).
pub(super) fn begin(ssl: &mut SslRef, random: Random) -> Option<()> {
    let index = indexes().ok()?.connection;
    if ssl.ex_data(index).is_none() {
        ssl.set_ex_data(index, Connection(Lock::new(State::new(random))));
    }
    // What was left is dropped outside of the lock: a look-up under way is user code.
    let is_another = with(ssl, |state| state.random != random)?;
    let _left = is_another.then(|| with(ssl, |state| std::mem::replace(state, State::new(random))));
    Some(())
}

/// Changes what is known of a connection, if there is something. `change` must not call user code.
pub(super) fn with<R>(ssl: &SslRef, change: impl FnOnce(&mut State) -> R) -> Option<R> {
    let connection = ssl.ex_data(indexes().ok()?.connection)?;
    Some(change(&mut connection.0.lock()))
}
