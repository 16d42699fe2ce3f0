//! The three callbacks of `SSL_CTX_sess_set_get_cb(3)`: what they are given, and what they answer.
//!
//! Each can be set, replaced and cleared at any time, from any thread. A call uses the callback
//! that it saw when it began, and no callback is dropped while it runs. They run
//! with no lock held and nothing pinned by the cache, and may call any function of the same
//! cache, block, or panic.
//!
//! | a panic in | does |
//! | --- | --- |
//! | new | counts as a refusal: the session is taken out again; goes to the caller |
//! | get | the look-up and those who joined it miss; nothing is stored; goes to the caller |
//! | remove | the session is gone all the same; goes to the caller after all events |

use super::SessionCache;
use super::entry::View;
use super::id::Namespace;
use super::record::{Session, Times};
use crate::removal::RemovalCause;
use crate::sync::Swap;
use std::fmt::{Debug, Formatter};
use std::sync::Arc;

/// Called for every newly negotiated session: see [`SessionCache::set_new_callback`].
pub type NewCallback<C> = dyn Fn(&C, &New<'_, C>) -> Verdict + Send + Sync;
/// Called for every session that is stored no longer: see [`SessionCache::set_remove_callback`].
pub type RemoveCallback<C> = dyn Fn(&Removed<'_, C>) + Send + Sync;
/// Called for an id that the internal cache does not hold: see [`SessionCache::set_get_callback`].
pub type GetCallback<C> = dyn Fn(&C, &Asked<'_, C>) -> Answer + Send + Sync;

/// The callbacks of a cache.
pub(super) struct Callbacks<C: 'static> {
    pub(super) new: Swap<Arc<NewCallback<C>>>,
    pub(super) remove: Swap<Arc<RemoveCallback<C>>>,
    pub(super) get: Swap<Arc<GetCallback<C>>>,
}

impl<C> Callbacks<C> {
    pub(super) fn none() -> Self {
        Self { new: Swap::new(None), remove: Swap::new(None), get: Swap::new(None) }
    }
}

/// What the new callback says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session is good (the page's 1). Whoever wants a reference takes a clone.
    Keep,
    /// It is refused (the page's 0): it leaves the internal cache at once.
    Refuse,
}

/// A newly negotiated session, for the new callback.
pub struct New<'a, C: 'static> {
    pub(super) cache: &'a SessionCache<C>,
    pub(super) session: &'a Session,
    pub(super) stored: bool,
}

impl<'a, C> New<'a, C> {
    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &'a SessionCache<C> {
        self.cache
    }

    /// The session. A clone of it is a reference of one's own.
    #[must_use]
    pub fn session(&self) -> &'a Session {
        self.session
    }

    /// Whether the internal cache has stored it, where it can be found already.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored
    }
}

/// What a look-up outside is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The session may be used again, and is stored if the modes say so.
    Resume,
    /// Single use: the external store must delete what it gives, in the same step (`GETDEL`), and
    /// give nothing if it can't. The answer goes to one asker and is not stored.
    Take,
}

/// What the get callback is asked for.
pub struct Asked<'a, C: 'static> {
    pub(super) cache: &'a SessionCache<C>,
    pub(super) namespace: &'a Namespace,
    pub(super) id: &'a [u8],
    pub(super) purpose: Purpose,
}

impl<'a, C> Asked<'a, C> {
    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &'a SessionCache<C> {
        self.cache
    }

    /// Who asks: only a session of this namespace will do.
    #[must_use]
    pub fn namespace(&self) -> &'a Namespace {
        self.namespace
    }

    /// The id that the client proposes, of a length that the cache accepts.
    #[must_use]
    pub fn id(&self) -> &'a [u8] {
        self.id
    }

    /// What for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }
}

/// What the get callback answers. It is checked before anything else is done with it.
#[derive(Clone)]
pub struct Answer(pub(super) Given);

#[derive(Clone)]
pub(super) enum Given {
    Nothing,
    Failed,
    Session(Session),
    Bytes(zeroize::Zeroizing<Vec<u8>>),
}

impl Answer {
    /// There is no such session.
    #[must_use]
    pub fn unknown() -> Self {
        Self(Given::Nothing)
    }

    /// The store could not be asked: a miss, too, but one that says nothing of the id.
    #[must_use]
    pub fn failed() -> Self {
        Self(Given::Failed)
    }

    /// A session that stays the callback's: the cache takes a reference of its own (`copy` = 1).
    #[must_use]
    pub fn borrowed(session: &Session) -> Self {
        Self(Given::Session(session.clone()))
    }

    /// A session that is the cache's from now on: no reference is taken (`copy` = 0).
    #[must_use]
    pub fn handed_over(session: Session) -> Self {
        Self(Given::Session(session))
    }

    /// A session in its serialised form, as [`Session::to_bytes`] made it. The cache wipes it.
    #[must_use]
    pub fn serialised(bytes: Vec<u8>) -> Self {
        Self(Given::Bytes(bytes.into()))
    }
}

impl Debug for Answer {
    /// Without the session, which is secret.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Given::Nothing => "Answer(unknown)",
            Given::Failed => "Answer(failed)",
            Given::Session(_) => "Answer(a session)",
            Given::Bytes(_) => "Answer(a serialised session)",
        })
    }
}

/// A session that was stored and is no longer, for the remove callback.
pub struct Removed<'a, C: 'static> {
    pub(super) cache: &'a SessionCache<C>,
    pub(super) view: View<'a>,
    pub(super) cause: RemovalCause,
}

impl<'a, C> Removed<'a, C> {
    /// The cache. (A callback that *owns* a handle would keep the cache alive for ever.)
    #[must_use]
    pub fn cache(&self) -> &'a SessionCache<C> {
        self.cache
    }

    /// Why it left.
    #[must_use]
    pub fn cause(&self) -> RemovalCause {
        self.cause
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &'a [u8] {
        self.view.id()
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &'a [u8] {
        self.view.namespace()
    }

    /// Its times.
    #[must_use]
    pub fn times(&self) -> Times {
        self.view.times()
    }

    /// Its payload. Secret.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.view.payload()
    }

    /// A copy of the whole session, to keep.
    #[must_use]
    pub fn to_session(&self) -> Session {
        self.view.to_session()
    }
}

macro_rules! debug_without_contents {
    ($($name:ident),*) => {$(
        impl<C> Debug for $name<'_, C> {
            /// Without ids and payloads, which are secret.
            fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

debug_without_contents!(New, Asked, Removed);
