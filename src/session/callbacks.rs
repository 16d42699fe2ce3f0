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
use crate::cache::Removal;
use crate::removal::RemovalCause;
use crate::sync::Swap;
use std::fmt::{Debug, Formatter};
use std::pin::Pin;
use std::sync::Arc;

/// Called for every newly negotiated session: see [`SessionCache::set_new_callback`].
pub type NewCallback<C> = dyn Fn(&C, &New<'_, C>) -> Verdict + Send + Sync;
/// Called for every session that is stored no longer: see [`SessionCache::set_remove_callback`].
pub type RemoveCallback<C> = dyn Fn(&Removed<'_, C>) + Send + Sync;
/// Called for an id that the internal cache does not hold: see [`SessionCache::set_get_callback`].
pub type GetCallback<C> = dyn Fn(&C, &Asked<'_, C>) -> Answer + Send + Sync;
/// The same, for callbacks that answer later: see [`SessionCache::set_async_get_callback`].
pub type AsyncGetCallback<C> = dyn Fn(&C, &Asked<'_, C>) -> AnswerFuture + Send + Sync;
/// An answer that comes later. It is polled by those who wait for it, on their threads.
pub type AnswerFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The callbacks of a cache.
pub(super) struct Callbacks<C: 'static> {
    pub(super) new: Swap<Arc<NewCallback<C>>>,
    pub(super) remove: Swap<Arc<RemoveCallback<C>>>,
    pub(super) get: Swap<Getter<C>>,
}

/// The get callback, in one of its two forms.
pub(super) enum Getter<C: 'static> {
    Sync(Arc<GetCallback<C>>),
    Async(Arc<AsyncGetCallback<C>>),
}

impl<C> Getter<C> {
    pub(super) fn sync(&self) -> Option<Arc<GetCallback<C>>> {
        if let Self::Sync(callback) = self { Some(callback.clone()) } else { None }
    }

    pub(super) fn asynchronous(&self) -> Option<Arc<AsyncGetCallback<C>>> {
        if let Self::Async(callback) = self { Some(callback.clone()) } else { None }
    }
}

impl<C> Callbacks<C> {
    pub(super) fn none() -> Self {
        Self { new: Swap::new(None), remove: Swap::new(None), get: Swap::new(None) }
    }
}

impl<C: 'static> SessionCache<C> {
    pub(super) fn swap_new(
        &self,
        callback: Option<Arc<NewCallback<C>>>,
    ) -> Option<Arc<NewCallback<C>>> {
        let old = self.shared.callbacks.new.swap(callback.map(Arc::new));
        old.map(|old| (*old).clone())
    }

    /// The engine has its own copy: an operation sees it once, when it begins, and uses it for all
    /// of its events.
    pub(super) fn swap_remove(
        &self,
        callback: Option<Arc<RemoveCallback<C>>>,
    ) -> Option<Arc<RemoveCallback<C>>> {
        // The listener owns what the cache shares, and not the cache, which owns the listener.
        let shared = self.shared.clone();
        let listener = callback.clone().map(|callback| {
            move |gone: &Removal<'_, [u8], [u8]>| {
                if shared.compat.is_silent(gone.cause()) {
                    return;
                }
                let cache = SessionCache { shared: shared.clone(), store: gone.cache() };
                let view = View { key: gone.key(), value: gone.value() };
                crate::holding::assert_none();
                callback(&Removed { cache: &cache, view, cause: gone.cause() });
            }
        });
        // For the two are to say the same. The old callback is dropped by the caller, not here.
        let one_at_a_time = self.shared.changing_remove.lock();
        let old = self.shared.callbacks.remove.swap(callback.map(Arc::new));
        self.store.set_removal_listener(listener);
        drop(one_at_a_time);
        old.map(|old| (*old).clone())
    }
}

/// An asynchronous get callback, its futures boxed.
pub(super) fn asynchronous<C, F: Future<Output = Answer> + Send + 'static>(
    callback: impl Fn(&C, &Asked<'_, C>) -> F + Send + Sync + 'static,
) -> Getter<C> {
    Getter::Async(Arc::new(move |connection: &C, asked: &Asked<'_, C>| {
        let answer: AnswerFuture = Box::pin(callback(connection, asked));
        answer
    }))
}

impl<C: 'static> SessionCache<C> {
    /// The get callback: called when a client proposes an id that the internal cache does not hold
    /// (it is absent, has expired, or is not looked for), also when caching is off. What it answers
    /// is checked before anything else is done with it. Counterpart: `SSL_CTX_sess_set_get_cb`.
    ///
    /// Sets or replaces it, while others work; the answer is the one before, if it was of this
    /// kind. An operation under way uses the one that it saw.
    pub fn set_get_callback(
        &self,
        callback: impl Fn(&C, &Asked<'_, C>) -> Answer + Send + Sync + 'static,
    ) -> Option<Arc<GetCallback<C>>> {
        let new = Getter::Sync(Arc::new(callback));
        self.shared.callbacks.get.swap(Some(Arc::new(new))).and_then(|old| old.sync())
    }

    /// Clears the get callback, of either kind; the answer is the one before, if it answered at
    /// once.
    pub fn clear_get_callback(&self) -> Option<Arc<GetCallback<C>>> {
        self.shared.callbacks.get.swap(None).and_then(|old| old.sync())
    }

    /// The callback that is set, or none: neither if an asynchronous one is.
    #[must_use]
    pub fn get_callback(&self) -> Option<Arc<GetCallback<C>>> {
        self.shared.callbacks.get.load_full().and_then(|set| set.sync())
    }

    /// The get callback, for stores that answer later: see [`set_get_callback`], in whose place it
    /// stands. It is called when the look-up begins, and must not block; what it needs of the
    /// connection and the id it copies into its future.
    ///
    /// [`resume`](Self::resume) and [`take`](Self::take) call it, too, and block for its answer.
    /// The answer is the callback before, if it was asynchronous.
    ///
    /// ```
    /// use halfshake::session::{Answer, Namespace, SessionCache};
    ///
    /// # type Found = std::io::Result<Option<Vec<u8>>>;
    /// # async fn ask_the_store(id: Vec<u8>) -> Found { Ok(None) }
    /// let cache = SessionCache::<()>::builder().capacity(100).build()?;
    /// cache.set_async_get_callback(|_, asked| {
    ///     let id = asked.id().to_vec();
    ///     async move {
    ///         match ask_the_store(id).await {
    ///             Ok(Some(bytes)) => Answer::serialised(bytes),
    ///             Ok(None) => Answer::unknown(),
    ///             Err(_) => Answer::failed(),
    ///         }
    ///     }
    /// });
    /// let namespace = Namespace::new(b"www")?;
    /// assert!(cache.resume(&(), &namespace, &[7; 32]).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`set_get_callback`]: Self::set_get_callback
    pub fn set_async_get_callback<F: Future<Output = Answer> + Send + 'static>(
        &self,
        callback: impl Fn(&C, &Asked<'_, C>) -> F + Send + Sync + 'static,
    ) -> Option<Arc<AsyncGetCallback<C>>> {
        let old = self.shared.callbacks.get.swap(Some(Arc::new(asynchronous(callback))));
        old.and_then(|old| old.asynchronous())
    }

    /// The asynchronous get callback, if one is set.
    #[must_use]
    pub fn async_get_callback(&self) -> Option<Arc<AsyncGetCallback<C>>> {
        self.shared.callbacks.get.load_full().and_then(|set| set.asynchronous())
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

    /// Whether the internal cache has stored it, and holds no session of its id any more: it was
    /// removed, flushed, evicted or has expired while this callback ran.
    ///
    /// The remove callback may have been told of that before this callback has written the session
    /// to an external store. So ask after that, and delete there what has left here; what leaves
    /// later is told of later.
    #[must_use]
    pub fn has_left(&self) -> bool {
        let is_there = || {
            let key = self.cache.key_of(self.session);
            // Not a hit: who asks is no client.
            key.is_some_and(|key| self.cache.store.contains(key.bytes()))
        };
        self.stored && !is_there()
    }
}

/// What a look-up outside is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The session may be used again, and is stored if the modes say so.
    Resume,
    /// Single use: the external store must delete what it gives, in the same step (`GETDEL`). If it
    /// can't, the answer is [`Answer::failed`]: that it does not know the id would be remembered.
    /// What it gives goes to one asker and is not stored.
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

    /// The protocol version that it was negotiated for.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.view.version()
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
