//! What belongs to one connection: it lies in OpenSSL's object.

use super::hello::Fetch;
use crate::session::{Session, SessionId};
use crate::sync::Lock;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslRef, SslSession};
use std::sync::OnceLock;
use std::time::Duration;

/// Look-ups outside that one connection may cause: honest clients offer one or two sessions.
const LOOKUPS: u32 = 4;

/// See the module's documentation.
struct Connection(Lock<State>);

pub(super) struct State {
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

impl Connection {
    fn new() -> Self {
        let (known, given, fetch) = (Vec::new(), None, None);
        Self(Lock::new(State { lookups: LOOKUPS, auth_not_after: None, known, given, fetch }))
    }
}

/// Where it lies.
fn index() -> Result<Index<Ssl, Connection>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Connection>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    // Two threads may make one each: one is left over.
    let made = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| made))
}

/// Makes room for it. To be done before a context asks.
pub(super) fn reserve() -> Result<(), ErrorStack> {
    index().map(drop)
}

/// Changes what belongs to a connection. `change` must not call user code.
pub(super) fn with<R>(ssl: &mut SslRef, change: impl FnOnce(&mut State) -> R) -> Option<R> {
    let index = index().ok()?;
    if ssl.ex_data(index).is_none() {
        ssl.set_ex_data(index, Connection::new());
    }
    with_known(ssl, change)
}

/// The same, if there is something.
pub(super) fn with_known<R>(ssl: &SslRef, change: impl FnOnce(&mut State) -> R) -> Option<R> {
    let connection = ssl.ex_data(index().ok()?)?;
    Some(change(&mut connection.0.lock()))
}
