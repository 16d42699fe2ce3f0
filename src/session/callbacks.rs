//! The three callbacks: what they are given, and what they answer.

use super::SessionCache;
use super::id::Namespace;
use super::record::{Session, SessionView};
use crate::cache::Removal;
use crate::removal::RemovalCause;
use std::fmt::{Debug, Formatter};
use std::ops::Deref;
use std::sync::{Arc, PoisonError};

/// A callback that was set: what the getters return. Call it through `Deref`.
pub struct Callback<F: ?Sized>(Box<F>);

impl<F: ?Sized> Callback<F> {
    pub(super) fn new(callback: Box<F>) -> Self {
        Self(callback)
    }
}

impl<F: ?Sized> Deref for Callback<F> {
    type Target = F;
    fn deref(&self) -> &F {
        &self.0
    }
}

impl<F: ?Sized> Debug for Callback<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Callback")
    }
}

/// The new-session callback, `SSL_CTX_sess_set_new_cb(3)`: it is given the connection and the
/// session, and says whether the session is kept.
pub type NewCallback<C> = dyn Fn(&C, &SessionView<'_>) -> Verdict + Send + Sync;
/// The remove-session callback, `SSL_CTX_sess_set_remove_cb(3)`.
pub type RemoveCallback<C> = dyn Fn(&Removed<'_, C>) + Send + Sync;
/// The get-session callback, `SSL_CTX_sess_set_get_cb(3)`: it is given the connection and what is
/// looked for; `None` is a miss.
pub type GetCallback<C> = dyn Fn(&C, &Wanted<'_>) -> Option<Answer> + Send + Sync;

/// What a new-session callback says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session stays (1 on the manual page).
    Keep,
    /// The session leaves the internal cache again at once (0).
    Refuse,
}

/// What a get-session callback is asked for.
#[derive(Clone, Copy)]
pub struct Wanted<'w> {
    pub(super) namespace: &'w [u8],
    pub(super) id: &'w [u8],
    pub(super) single_use: bool,
}

impl<'w> Wanted<'w> {
    /// The namespace of the connection.
    #[must_use]
    pub fn namespace(&self) -> &'w [u8] {
        self.namespace
    }

    /// The id that the client proposes, 1 to 64 bytes of its choice.
    #[must_use]
    pub fn id(&self) -> &'w [u8] {
        self.id
    }

    /// Whether the session must be given to this asker alone: delete it where it comes from, in
    /// the same step.
    #[must_use]
    pub fn single_use(&self) -> bool {
        self.single_use
    }
}

impl Debug for Wanted<'_> {
    /// Without the id.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("single_use", &self.single_use).finish_non_exhaustive()
    }
}

/// What a get-session callback found.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The callback keeps a reference of its own, and the cache takes another (`copy` = 1).
    Shared(Arc<Session>),
    /// The session is handed over (`copy` = 0).
    Owned(Session),
}

impl Answer {
    pub(super) fn session(&self) -> &Session {
        match self {
            Self::Shared(session) => session,
            Self::Owned(session) => session,
        }
    }
}

/// A session that has left the internal cache: what a remove-session callback is given. It is not
/// findable any more.
pub struct Removed<'r, C: 'static> {
    pub(super) cache: Option<SessionCache<C>>,
    pub(super) session: SessionView<'r>,
    pub(super) cause: RemovalCause,
}

impl<C> Removed<'_, C> {
    /// The cache, with the namespace of the session: any of its functions may be called. `None`
    /// while its last handle is being dropped.
    #[must_use]
    pub fn cache(&self) -> Option<&SessionCache<C>> {
        self.cache.as_ref()
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &SessionView<'_> {
        &self.session
    }

    /// Why it left.
    #[must_use]
    pub fn cause(&self) -> RemovalCause {
        self.cause
    }
}

impl<C> Debug for Removed<'_, C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Removed").field("cause", &self.cause).finish_non_exhaustive()
    }
}

/// Callbacks: each may be set, replaced and cleared at any time, from any thread. An operation uses
/// the one that it saw when it began, and none is freed while it runs.
impl<C: 'static> SessionCache<C> {
    /// Sets the new-session callback (`SSL_CTX_sess_set_new_cb(3)`): called once for each session
    /// that is negotiated while caching is on for its side, after it was stored. The session can be
    /// found already while the callback runs.
    pub fn set_new_callback<F>(&self, callback: F)
    where
        F: Fn(&C, &SessionView<'_>) -> Verdict + Send + Sync + 'static,
    {
        self.shared.new.swap(Some(Arc::new(Callback::new(Box::new(callback)))));
    }

    /// Clears it.
    pub fn clear_new_callback(&self) {
        self.shared.new.swap(None);
    }

    /// The callback that is set, or none (`SSL_CTX_sess_get_new_cb(3)`).
    #[must_use]
    pub fn new_callback(&self) -> Option<Arc<Callback<NewCallback<C>>>> {
        self.shared.new.load_full()
    }

    /// Sets the get-session callback (`SSL_CTX_sess_set_get_cb(3)`): asked when the internal cache
    /// does not hold, or may not be asked for, a session that a client proposes; also while caching
    /// is off.
    pub fn set_get_callback<F>(&self, callback: F)
    where
        F: Fn(&C, &Wanted<'_>) -> Option<Answer> + Send + Sync + 'static,
    {
        self.shared.get.swap(Some(Arc::new(Callback::new(Box::new(callback)))));
    }

    /// Clears it.
    pub fn clear_get_callback(&self) {
        self.shared.get.swap(None);
    }

    /// The callback that is set, or none (`SSL_CTX_sess_get_get_cb(3)`).
    #[must_use]
    pub fn get_callback(&self) -> Option<Arc<Callback<GetCallback<C>>>> {
        self.shared.get.load_full()
    }

    /// Sets the remove-session callback (`SSL_CTX_sess_set_remove_cb(3)`): called exactly once for
    /// every session that was in the internal cache and is no longer, after it stopped being
    /// findable.
    pub fn set_remove_callback<F>(&self, callback: F)
    where
        F: Fn(&Removed<'_, C>) + Send + Sync + 'static,
    {
        self.exchange_remove(Some(Arc::new(Callback::new(Box::new(callback)))));
    }

    /// Clears it.
    pub fn clear_remove_callback(&self) {
        self.exchange_remove(None);
    }

    /// The callback that is set, or none (`SSL_CTX_sess_get_remove_cb(3)`).
    #[must_use]
    pub fn remove_callback(&self) -> Option<Arc<Callback<RemoveCallback<C>>>> {
        self.shared.remove.load_full()
    }

    fn exchange_remove(&self, callback: Option<Arc<Callback<RemoveCallback<C>>>>) {
        let before = {
            let _setting = self.shared.setting.lock().unwrap_or_else(PoisonError::into_inner);
            let listener = callback.clone().map(|callback| {
                let (shared, side) = (Arc::downgrade(&self.shared), self.side);
                move |gone: &Removal<'_, [u8], [u8]>| {
                    let session = SessionView::of_entry(gone.key(), gone.value());
                    let Some(session) = session else { return };
                    let namespace = Namespace::new(session.namespace()).ok();
                    let cache = shared.upgrade().zip(namespace);
                    let cache =
                        cache.map(|(shared, namespace)| SessionCache { shared, namespace, side });
                    callback(&Removed { cache, session, cause: gone.cause() });
                }
            });
            self.shared.cache.set_removal_listener(listener);
            self.shared.remove.swap(callback)
        };
        // Its end may be user code: it runs outside the lock.
        drop(before);
    }
}
