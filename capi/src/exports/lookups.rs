//! Look-ups.

use super::arguments::{found, given, hand, held, id_of};
use crate::foreign::Connection;
use crate::result::{Failure, Outcome, guard};
use crate::session::{Key, Session};
use crate::shell::{Cache, Live};
use halfshake::session::{Hello, Namespace, Resumed};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

/// A client proposes a session: looks it up in the cache, else asks the get callback, and gives
/// `*session` a reference of the caller's own. `connection` is handed to the callback and may be
/// NULL.
///
/// `budget`, unless it is NULL, is how many look-ups of this ClientHello may still ask the
/// callback, and is counted down: a client may propose hundreds of sessions. Start each
/// ClientHello with a few, say 4.
///
/// Concurrent look-ups of one id ask the callback once, and block meanwhile: the one that asks for
/// as long as the callback takes, the others for `lookup_timeout_ms` at most.
///
/// HALFSHAKE_MISS: do a full handshake; `*session` is NULL, as after any other failure, for which
/// a full handshake is right, too. HALFSHAKE_BAD_ID: the client has proposed what can be no id;
/// counted as HALFSHAKE_REASON_ID_LENGTH.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_resume(
    cache: Option<&'static Cache>,
    connection: *mut c_void,
    key: Option<&Key>,
    budget: Option<&mut u32>,
    session: Option<&mut MaybeUninit<*mut Session>>,
) -> c_int {
    look_up(cache, connection, key, budget, session, &Kind::RESUME)
}

/// As halfshake_cache_resume, but for single use, as sessions of TLS 1.3 ought to be: the session
/// leaves the cache, and of any number of concurrent callers exactly one gets it. The get callback
/// is asked with HALFSHAKE_PURPOSE_TAKE, and what it gives is not stored.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_take(
    cache: Option<&'static Cache>,
    connection: *mut c_void,
    key: Option<&Key>,
    budget: Option<&mut u32>,
    session: Option<&mut MaybeUninit<*mut Session>>,
) -> c_int {
    look_up(cache, connection, key, budget, session, &Kind::TAKE)
}

/// Looks a session up in the cache alone, whatever the modes: for clients, and for who wants to
/// know. Calls nobody. Otherwise as halfshake_cache_resume.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_find(
    cache: Option<&'static Cache>,
    key: Option<&Key>,
    session: Option<&mut MaybeUninit<*mut Session>>,
) -> c_int {
    look_up(cache, std::ptr::null_mut(), key, None, session, &Kind::FIND)
}

type Plain = fn(&Live, &Connection, &Namespace, &[u8]) -> Option<*mut Session>;
type Budgeted = fn(&Hello<'_, Connection>, &[u8]) -> Option<*mut Session>;

/// The three ways to look up, without a budget and with one.
struct Kind {
    plain: Plain,
    budgeted: Budgeted,
}

impl Kind {
    const RESUME: Self = Self {
        plain: |live, connection, ns, id| live.sessions.resume(connection, ns, id).map(own),
        budgeted: |hello, id| hello.resume(id).map(own),
    };
    const TAKE: Self = Self {
        plain: |live, connection, ns, id| live.sessions.take(connection, ns, id).map(own),
        budgeted: |hello, id| hello.take(id).map(own),
    };
    const FIND: Self = Self {
        plain: |live, _, ns, id| live.sessions.find(ns, id).map(own),
        budgeted: |_, _| None,
    };
}

#[expect(clippy::needless_pass_by_value, reason = "a copy that nobody else pins")]
fn own(resumed: Resumed<'_>) -> *mut Session {
    hand(resumed.to_session())
}

fn look_up(
    cache: Option<&'static Cache>,
    connection: *mut c_void,
    key: Option<&Key>,
    budget: Option<&mut u32>,
    session: Option<&mut MaybeUninit<*mut Session>>,
    kind: &Kind,
) -> c_int {
    guard(|| {
        let session = given(session, "session")?.write(std::ptr::null_mut());
        let (live, key) = (held(cache)?, given(key, "key")?);
        let (namespace, connection) = (key.namespace()?, Connection(connection));
        // The look-up itself counts what can be no id.
        let count = |id: &[u8]| drop(live.sessions.find(&namespace, id));
        let id = id_of(&live, key, count)?;
        let found_it = match budget {
            None => (kind.plain)(&live, &connection, &namespace, id),
            Some(budget) => {
                let hello = live.sessions.hello_with_budget(&connection, &namespace, *budget);
                let found = (kind.budgeted)(&hello, id);
                *budget = hello.left();
                found
            }
        };
        *session = found_it.ok_or_else(Failure::miss)?;
        Ok(())
    })
}

/// Removes the session of this id (SSL_CTX_remove_session, by id).
///
/// HALFSHAKE_MISS: there was none; one that had expired leaves, as HALFSHAKE_CAUSE_EXPIRED, if it
/// has not yet. What is not here may still be in an external store, which only
/// hears of what is here: who wants it gone everywhere deletes it there first.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_remove(
    cache: Option<&'static Cache>,
    key: Option<&Key>,
) -> c_int {
    guard(|| by_name(cache, key, |live, namespace, id| live.sessions.remove(namespace, id)))
}

/// A connection ended badly (a fatal alert, no close_notify): its session is not to be used again.
/// As halfshake_cache_remove, with HALFSHAKE_CAUSE_FAULTY.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_connection_failed(
    cache: Option<&'static Cache>,
    key: Option<&Key>,
) -> c_int {
    let failed = |live: &Live, namespace: &Namespace, id: &[u8]| {
        live.sessions.connection_failed(namespace, id)
    };
    guard(|| by_name(cache, key, failed))
}

fn by_name(
    cache: Option<&'static Cache>,
    key: Option<&Key>,
    remove: impl FnOnce(&Live, &Namespace, &[u8]) -> bool,
) -> Outcome {
    let (live, key) = (held(cache)?, given(key, "key")?);
    let namespace = key.namespace()?;
    let id = id_of(&live, key, |_| ())?;
    found(remove(&live, &namespace, id))
}

/// Removes that very session: not another one that has taken its id since. Compared is all that
/// the session says. The statistics count it as a look-up, too.
///
/// HALFSHAKE_MISS: it is not here (any more).
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_remove_exact(
    cache: Option<&'static Cache>,
    session: Option<&Session>,
) -> c_int {
    guard(|| {
        let (live, session) = (held(cache)?, &given(session, "session")?.0);
        let id = session.id().as_bytes();
        let namespace = session.namespace().proposing(session.version());
        if live.quirks.contains(halfshake::session::Compat::EXACT_REMOVES_BY_ID) {
            return found(live.sessions.remove(&namespace, id));
        }
        let here = live.sessions.find(&namespace, id);
        let is_it = here.filter(|here| here.to_session() == *session);
        // The thread is not pinned any more when the remove callback runs.
        let handle = is_it.and_then(|here| here.handle());
        found(handle.is_some_and(|handle| live.sessions.remove_exact(&handle)))
    })
}
