//! The three callbacks, and what the get callback answers with.
//!
//! Unsafe is checked by: `capi/tests/c/wrong.c`, `capi/tests/c/threads.c`.

use super::arguments::{given, held};
use crate::foreign::{self, Destructor, GetCallback, Hook, NewCallback, RemoveCallback, UserData};
use crate::raw;
use crate::result::{Failure, guard};
use crate::session::{Answer, Fresh, Session};
use crate::shell::Cache;
use halfshake::session::Answer as Given;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

/// Sets or replaces the new callback (SSL_CTX_sess_set_new_cb); NULL clears it. Calls under way
/// use the one that they saw.
///
/// `user_data` is handed to the callback. `destroy`, unless it is NULL, is called with it once,
/// when the callback is set no longer and nobody is inside of it. If this function fails,
/// `user_data` stays the caller's and is not destroyed. With NULL for the callback both are
/// ignored.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_set_new_callback(
    cache: Option<&'static Cache>,
    callback: NewCallback,
    user_data: *mut c_void,
    destroy: Destructor,
) -> c_int {
    guard(|| {
        let (live, cache) = (held(cache)?, given(cache, "cache")?);
        let hook = callback.map(|_| Hook::new(callback, user_data, destroy));
        let mut hooks = live.hooks();
        let before = match hook.clone() {
            Some(hook) => live.sessions.set_new_callback(move |at, new| hook.call(cache, at, new)),
            None => live.sessions.clear_new_callback(),
        };
        let old = std::mem::replace(&mut hooks.new, hook);
        drop(hooks);
        drop((before, old));
        Ok(())
    })
}

/// Sets or replaces the get callback (SSL_CTX_sess_set_get_cb); NULL clears it. As
/// halfshake_cache_set_new_callback.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_set_get_callback(
    cache: Option<&'static Cache>,
    callback: GetCallback,
    user_data: *mut c_void,
    destroy: Destructor,
) -> c_int {
    guard(|| {
        let (live, cache) = (held(cache)?, given(cache, "cache")?);
        let hook = callback.map(|_| Hook::new(callback, user_data, destroy));
        let mut hooks = live.hooks();
        let before = match hook.clone() {
            Some(hook) => {
                live.sessions.set_get_callback(move |at, asked| hook.call(cache, at, asked))
            }
            None => live.sessions.clear_get_callback(),
        };
        let old = std::mem::replace(&mut hooks.get, hook);
        drop(hooks);
        drop((before, old));
        Ok(())
    })
}

/// Sets or replaces the remove callback (SSL_CTX_sess_set_remove_cb); NULL clears it. As
/// halfshake_cache_set_new_callback.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_set_remove_callback(
    cache: Option<&'static Cache>,
    callback: RemoveCallback,
    user_data: *mut c_void,
    destroy: Destructor,
) -> c_int {
    guard(|| {
        let (live, cache) = (held(cache)?, given(cache, "cache")?);
        let hook = callback.map(|_| Hook::new(callback, user_data, destroy));
        let mut hooks = live.hooks();
        let before = match hook.clone() {
            Some(hook) => live.sessions.set_remove_callback(move |gone| hook.call(cache, gone)),
            None => live.sessions.clear_remove_callback(),
        };
        let old = std::mem::replace(&mut hooks.remove, hook);
        drop(hooks);
        drop((before, old));
        Ok(())
    })
}

/// The new callback that is set, or NULL (SSL_CTX_sess_get_new_cb). `*user_data`, unless
/// `user_data` is NULL, is its user data: it may be destroyed as soon as another thread sets
/// another callback.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_new_callback(
    cache: Option<&'static Cache>,
    callback: Option<&mut MaybeUninit<NewCallback>>,
    user_data: Option<&mut MaybeUninit<*mut c_void>>,
) -> c_int {
    guard(|| {
        let (place, live) = (given(callback, "callback")?.write(None), held(cache)?);
        let hook = live.hooks().new.clone();
        *place = hook.as_ref().and_then(|hook| hook.function);
        tell(user_data, hook.as_ref().map(|hook| &hook.user));
        Ok(())
    })
}

/// The get callback that is set, or NULL (SSL_CTX_sess_get_get_cb). As
/// halfshake_cache_new_callback.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_get_callback(
    cache: Option<&'static Cache>,
    callback: Option<&mut MaybeUninit<GetCallback>>,
    user_data: Option<&mut MaybeUninit<*mut c_void>>,
) -> c_int {
    guard(|| {
        let (place, live) = (given(callback, "callback")?.write(None), held(cache)?);
        let hook = live.hooks().get.clone();
        *place = hook.as_ref().and_then(|hook| hook.function);
        tell(user_data, hook.as_ref().map(|hook| &hook.user));
        Ok(())
    })
}

/// The remove callback that is set, or NULL (SSL_CTX_sess_get_remove_cb). As
/// halfshake_cache_new_callback.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_remove_callback(
    cache: Option<&'static Cache>,
    callback: Option<&mut MaybeUninit<RemoveCallback>>,
    user_data: Option<&mut MaybeUninit<*mut c_void>>,
) -> c_int {
    guard(|| {
        let (place, live) = (given(callback, "callback")?.write(None), held(cache)?);
        let hook = live.hooks().remove.clone();
        *place = hook.as_ref().and_then(|hook| hook.function);
        tell(user_data, hook.as_ref().map(|hook| &hook.user));
        Ok(())
    })
}

fn tell(wanted: Option<&mut MaybeUninit<*mut c_void>>, data: Option<&UserData>) {
    if let Some(place) = wanted {
        place.write(data.map_or(std::ptr::null_mut(), UserData::pointer));
    }
}

/// In the new callback: `*left` is 1 if the cache has stored the session and holds none of its id
/// any more, as it was removed, flushed, evicted or has expired while the callback ran; else 0. An
/// external store that the callback has just written it to deletes it then; what leaves later is
/// told of later.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_new_has_left(
    fresh: Option<&Fresh>,
    left: Option<&mut MaybeUninit<c_int>>,
) -> c_int {
    guard(|| {
        let left = given(left, "left")?.write(0);
        *left = c_int::from(foreign::has_left(given(fresh, "fresh")?));
        Ok(())
    })
}

/// In the get callback: the answer is this session, of which the cache takes a reference of its
/// own (`*copy = 1`). An answer that was left before is dropped.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_answer_session(
    answer: Option<&mut Answer>,
    session: Option<&Session>,
) -> c_int {
    guard(|| {
        let answer = given(answer, "answer")?;
        answer.0 = Given::borrowed(&given(session, "session")?.0);
        Ok(())
    })
}

/// In the get callback: the answer is this session, which is the cache's from now on (`*copy = 0`):
/// the caller must not free it. If this function fails, it stays the caller's.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_answer_hand_over(
    answer: Option<&mut Answer>,
    session: Option<Box<Session>>,
) -> c_int {
    guard(|| {
        let Some(answer) = answer else {
            // It is C's as before.
            std::mem::forget(session);
            return Err(Failure::null("answer"));
        };
        answer.0 = Given::handed_over(given(session, "session")?.0);
        Ok(())
    })
}

/// In the get callback: the answer is the session that halfshake_session_to_bytes wrote down. The
/// bytes are copied, and the copy is wiped.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_answer_bytes(
    answer: Option<&mut Answer>,
    bytes: *const c_void,
    len: usize,
) -> c_int {
    guard(|| {
        let answer = given(answer, "answer")?;
        // SAFETY: the header demands NULL, or so many bytes, until the call is over.
        let bytes = unsafe { raw::bytes("bytes", bytes, len) }?;
        answer.0 = Given::serialised(bytes.to_vec());
        Ok(())
    })
}

/// In the get callback: the store could not be asked. A miss, but one that says nothing of the
/// id; after several in a row the callback is left alone for a while.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_answer_failed(answer: Option<&mut Answer>) -> c_int {
    guard(|| {
        given(answer, "answer")?.0 = Given::failed();
        Ok(())
    })
}
