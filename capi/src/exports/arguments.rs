//! What exports do with their arguments.

use crate::result::{Code, Failure, Outcome};
use crate::session::{Key, Session};
use crate::shell::{Cache, Live};
use arc_swap::Guard;
use std::ffi::c_int;
use std::ops::Deref;
use std::sync::Arc;

/// The cache that a handle means, held for one call.
pub(super) struct Held(Guard<Option<Arc<Live>>>);

impl Deref for Held {
    type Target = Live;
    fn deref(&self) -> &Live {
        self.0.as_ref().expect("`held` has looked")
    }
}

/// Looks through the handle.
pub(super) fn held(cache: Option<&'static Cache>) -> Outcome<Held> {
    cache.ok_or_else(|| Failure::null("cache"))?.live().map(Held)
}

/// The argument of that name, which C may not leave out.
pub(super) fn given<T>(argument: Option<T>, name: &str) -> Outcome<T> {
    argument.ok_or_else(|| Failure::null(name))
}

/// Gives a session to C, with one reference.
pub(super) fn hand(session: halfshake::session::Session) -> *mut Session {
    Box::into_raw(Box::new(Session(session)))
}

/// The id of a key; whether it is one for this cache is said in words, and counted by `count`.
pub(super) fn id_of<'k>(live: &Live, key: &'k Key, count: impl FnOnce(&[u8])) -> Outcome<&'k [u8]> {
    let id = key.id()?;
    if (1..=live.id_max).contains(&id.len()) {
        return Ok(id);
    }
    count(id);
    let message =
        format!("key->id: an id has 1 to {} bytes in this cache, not {}", live.id_max, id.len());
    Err(Failure::new(Code::HALFSHAKE_BAD_ID, message))
}

/// An argument that is an enum in the header.
pub(super) fn known<T>(value: Option<T>, name: &str, code: c_int) -> Outcome<T> {
    value.ok_or_else(|| {
        let message = format!("{name}: {code} means nothing to this version of the library");
        Failure::new(Code::HALFSHAKE_BAD_ARGUMENT, message)
    })
}

/// Whether something was there to be removed.
pub(super) fn found(was_there: bool) -> Outcome {
    if was_there { Ok(()) } else { Err(Failure::miss()) }
}
