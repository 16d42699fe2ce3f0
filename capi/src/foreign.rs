//! What C is called with: the callbacks, and the user data that they are given.
//!
//! User data is a pointer that is only handed back. It crosses threads because callbacks are called
//! on any of them, which the header says: what it points to must bear that. Its destructor is
//! called once, when the callback that it came with is set no longer and nobody is inside of it.
//!
//! The connection crosses no thread: it is handed to the callbacks of the call that it came with,
//! on the same thread.
//!
//! The functions are called as `C-unwind`: an exception of C++ that crosses us is a bug of the
//! program's, and with that ends it rather than being undefined.
//!
//! Unsafe is checked by: `capi/tests/c/threads.c`, `capi/tests/c/exception.cc`.

use crate::session::{Answer, Fresh, Key, Purpose, Removed, Session};
use crate::shell::Cache;
use halfshake::session::{Answer as Given, Asked, New, Removed as Gone, Session as Value, Verdict};
use std::ffi::{c_int, c_void};
use std::sync::Arc;

/// Called for every new session while caching is on for its side, with what the program calls its
/// connection. Returns 1 to keep the session, 0 to refuse it: then it leaves the cache at once.
///
/// The session may leave while this runs, and the remove callback be told before the session is in
/// an external store: after writing it there, ask halfshake_new_has_left.
pub type NewCallback = Option<
    unsafe extern "C-unwind" fn(
        cache: *mut Cache,
        connection: *mut c_void,
        fresh: *const Fresh,
        user_data: *mut c_void,
    ) -> c_int,
>;

/// Called when a session is looked up that the cache does not hold. It finds it elsewhere and
/// leaves it with one of halfshake_answer_*; if it calls none, the session is unknown. What it
/// leaves is checked before anything else is done with it. `purpose` is an enum halfshake_purpose.
pub type GetCallback = Option<
    unsafe extern "C-unwind" fn(
        cache: *mut Cache,
        connection: *mut c_void,
        key: *const Key,
        purpose: c_int,
        answer: *mut Answer,
        user_data: *mut c_void,
    ),
>;

/// Called exactly once for every session that was stored and is no longer, after it stopped being
/// findable.
pub type RemoveCallback = Option<
    unsafe extern "C-unwind" fn(cache: *mut Cache, removed: *const Removed, user_data: *mut c_void),
>;

/// Called for one session of a walk. Returns 0 to go on, anything else to stop.
pub type Visitor =
    Option<unsafe extern "C-unwind" fn(session: *const Session, user_data: *mut c_void) -> c_int>;

/// Called with user data when nobody uses it any more, on any thread. It must not call the cache.
pub type Destructor = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// What the program calls a connection. Only the callbacks of the call that it came with see it.
pub(crate) struct Connection(pub(crate) *mut c_void);

/// The user data of one callback.
pub(crate) struct UserData {
    pointer: *mut c_void,
    destructor: Destructor,
}

// SAFETY: the pointer is only handed back, to functions which the header says are called on any
// thread.
unsafe impl Send for UserData {}
// SAFETY: as above, and at the same time.
unsafe impl Sync for UserData {}

impl UserData {
    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(destructor) = self.destructor {
            // SAFETY: the header demands a function of this type that may be called on any thread.
            // It is called here alone, and a value is dropped once.
            unsafe { destructor(self.pointer) };
        }
    }
}

/// A callback with its user data, shared by the cache and by the calls that are inside of it.
pub(crate) struct Hook<F> {
    pub(crate) function: F,
    pub(crate) user: UserData,
}

impl<F> Hook<F> {
    /// From here on the user data is destroyed with the hook.
    pub(crate) fn new(function: F, pointer: *mut c_void, destructor: Destructor) -> Arc<Self> {
        Arc::new(Self { function, user: UserData { pointer, destructor } })
    }
}

impl Hook<NewCallback> {
    pub(crate) fn call(
        &self,
        cache: &'static Cache,
        connection: &Connection,
        new: &New<'_, Connection>,
    ) -> Verdict {
        let Some(function) = self.function else { return Verdict::Keep };
        let session = Session(new.session().clone());
        let stored = c_int::from(new.is_stored());
        let fresh = Fresh { session: &session, stored, own: std::ptr::from_ref(new).cast() };
        // SAFETY: the header demands a function of this type that may be called on any thread;
        // `fresh` and `session` outlive the call, and a cache is never given back.
        let kept = unsafe { function(cache.pointer(), connection.0, &fresh, self.user.pointer) };
        if kept == 0 { Verdict::Refuse } else { Verdict::Keep }
    }
}

/// Whether a session that was stored has left already, while its new callback runs.
pub(crate) fn has_left(fresh: &Fresh) -> bool {
    let new = fresh.own.cast::<New<'_, Connection>>();
    // SAFETY: only `Hook::call` makes one, of a reference; C has it until the callback returns, as
    // the header demands.
    unsafe { &*new }.has_left()
}

impl Hook<GetCallback> {
    pub(crate) fn call(
        &self,
        cache: &'static Cache,
        connection: &Connection,
        asked: &Asked<'_, Connection>,
    ) -> Given {
        let mut answer = Answer(Given::unknown());
        let Some(function) = self.function else { return answer.0 };
        let key = Key::of_question(asked.namespace(), asked.id());
        let (purpose, user) = (Purpose::code(asked.purpose()), self.user.pointer);
        // SAFETY: as in the new callback; `key` and `answer` outlive the call.
        unsafe { function(cache.pointer(), connection.0, &key, purpose, &mut answer, user) };
        answer.0
    }
}

impl Hook<RemoveCallback> {
    pub(crate) fn call(&self, cache: &'static Cache, gone: &Gone<'_, Connection>) {
        let Some(function) = self.function else { return };
        let removed = Removed::of(gone);
        // SAFETY: as in the new callback; `removed` and what it points to outlive the call.
        unsafe { function(cache.pointer(), &removed, self.user.pointer) };
    }
}

/// Shows one session to a visitor; whether it wants more.
pub(crate) fn visit(visitor: Visitor, session: Value, user_data: *mut c_void) -> bool {
    let Some(function) = visitor else { return false };
    let session = Session(session);
    // SAFETY: the header demands a function of this type; `session` outlives the call, which is on
    // the thread that brought the user data.
    let answer = unsafe { function(&session, user_data) };
    answer == 0
}
