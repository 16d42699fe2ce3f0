//! A cache: made, set up, ended.
//!
//! Unsafe is checked by: `capi/tests/c/wrong.c`, `capi/tests/c/abi.c`.

use super::arguments::{given, held};
use crate::foreign::Connection;
use crate::options::{self, Options};
use crate::raw;
use crate::result::{Code, Failure, Outcome, guard};
use crate::session::ms;
use crate::shell::{Cache, Live};
use halfshake::session::SessionCache;
use halfshake::{BadSetting, ConfigError};
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Fills in the default options. `size` is sizeof(halfshake_options).
///
/// HALFSHAKE_BAD_SIZE: the header is another version's than the library.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_options_init(options: *mut Options, size: usize) -> c_int {
    guard(|| {
        // SAFETY: the header demands NULL, or a structure of that size.
        unsafe { raw::write("options", options, size, Options::new()) }
    })
}

/// Makes a cache, and gives its handle to `*cache`, which is NULL if that fails. The options are
/// only read. The whole table is allocated now. Free the cache with halfshake_cache_free.
///
/// HALFSHAKE_BAD_SETTING: the message names what is wrong. HALFSHAKE_BAD_SIZE: call
/// halfshake_options_init first.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_new(
    options: *const Options,
    cache: Option<&mut MaybeUninit<*mut Cache>>,
) -> c_int {
    guard(|| {
        let cache = given(cache, "cache")?.write(std::ptr::null_mut());
        // SAFETY: the header demands NULL, or a structure whose size stands in it.
        let options = unsafe { raw::read("options", options) }?;
        let sessions = options.apply(SessionCache::<Connection>::builder())?;
        let sessions = sessions.build().map_err(|wrong| bad_setting(&wrong))?;
        let live = Live::new(sessions, options.quirks()?, options.id_max()?);
        *cache = Cache::around(live).pointer();
        Ok(())
    })
}

fn bad_setting(wrong: &ConfigError) -> Failure {
    let in_c = |setting: &BadSetting| match setting {
        BadSetting::NoCapacity => "capacity: set it, to 1 or more".to_owned(),
        BadSetting::UnknownIds { most, .. } => format!("unknown_ids: {most} at most"),
        other => other.to_string(),
    };
    let settings: Vec<String> = wrong.settings().iter().map(in_c).collect();
    Failure::new(Code::HALFSHAKE_BAD_SETTING, settings.join("; "))
}

/// Shuts the cache down. When this returns, nothing can be stored any more, the remove callback has
/// been called with HALFSHAKE_CAUSE_SHUTDOWN for all that was left, and nobody is inside of that
/// callback (but for a call that this one was made from). The cache stays, to be asked for its
/// statistics; the get callback is still asked. Twice does no harm.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_shutdown(cache: Option<&'static Cache>) -> c_int {
    guard(|| {
        held(cache)?.sessions.shutdown();
        Ok(())
    })
}

/// Shuts the cache down, as halfshake_cache_shutdown does, and frees it. May be called in a
/// callback, and while other threads are inside of functions of the cache: the last of them frees
/// its memory. The user data of its callbacks is destroyed then.
///
/// NULL is HALFSHAKE_OK, as with free(3). Afterwards each function of the cache, this one
/// included, returns HALFSHAKE_BAD_CACHE and does nothing. (256 more caches have to be freed and
/// another one made before the handle can mean a new cache.)
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_free(cache: Option<&'static Cache>) -> c_int {
    guard(|| cache.map_or(Ok(()), Cache::free))
}

/// The modes now, HALFSHAKE_MODE_*.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_modes(
    cache: Option<&'static Cache>,
    modes: Option<&mut MaybeUninit<u32>>,
) -> c_int {
    guard(|| {
        let modes = given(modes, "modes")?.write(0);
        *modes = held(cache)?.sessions.modes().bits();
        Ok(())
    })
}

/// Replaces the modes, the whole set (SSL_CTX_set_session_cache_mode). `*old`, unless `old` is
/// NULL, is the set before. Calls under way go by the set that they saw. What is stored stays.
///
/// HALFSHAKE_BAD_SETTING: a bit means nothing.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_set_modes(
    cache: Option<&'static Cache>,
    modes: u32,
    old: Option<&mut MaybeUninit<u32>>,
) -> c_int {
    guard(|| {
        let before = held(cache)?.sessions.set_modes(options::modes(modes)?);
        tell(old, before.bits());
        Ok(())
    })
}

/// The timeout of new sessions, in milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_timeout(
    cache: Option<&'static Cache>,
    timeout_ms: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        let timeout = given(timeout_ms, "timeout_ms")?.write(0);
        *timeout = ms(held(cache)?.sessions.timeout());
        Ok(())
    })
}

/// Changes the timeout of sessions that are made from now on (SSL_CTX_set_timeout, which counts
/// seconds). `*old_ms`, unless `old_ms` is NULL, is the one before. 0: they expire at once, and
/// nothing is stored.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_set_timeout(
    cache: Option<&'static Cache>,
    timeout_ms: u64,
    old_ms: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        let before = held(cache)?.sessions.set_timeout(Duration::from_millis(timeout_ms));
        tell(old_ms, ms(before));
        Ok(())
    })
}

/// The most sessions that the cache holds.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_capacity(
    cache: Option<&'static Cache>,
    sessions: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        let sessions = given(sessions, "sessions")?.write(0);
        *sessions = held(cache)?.sessions.capacity();
        Ok(())
    })
}

/// Changes that limit, up to `max_capacity` of the options (SSL_CTX_sess_set_cache_size). What is
/// above a lower limit is evicted before this returns; `*pending`, unless `pending` is NULL, is
/// how many sessions calls under way still hold, which go soon.
///
/// HALFSHAKE_BAD_SETTING: 0, or above the maximum; nothing has changed.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_set_capacity(
    cache: Option<&'static Cache>,
    sessions: u64,
    pending: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        let resized = held(cache)?.sessions.set_capacity(sessions);
        tell(pending, resized.map_err(|wrong| bad_setting(&wrong))?.pending);
        Ok(())
    })
}

/// How many sessions the cache holds (SSL_CTX_sess_number).
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_len(
    cache: Option<&'static Cache>,
    sessions: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        let sessions = given(sessions, "sessions")?.write(0);
        *sessions = held(cache)?.sessions.len();
        Ok(())
    })
}

/// The time by which the cache judges what it stores and reads, in milliseconds since 1970. It
/// never steps back.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_now(
    cache: Option<&'static Cache>,
    now_ms: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        let now = given(now_ms, "now_ms")?.write(0);
        *now = ms(held(cache)?.sessions.wall_now());
        Ok(())
    })
}

/// Does what the maintenance thread would, for who has chosen HALFSHAKE_MAINTENANCE_EMBEDDER:
/// removes what has expired, and frees memory. It stops after `budget` removals; `*expired`,
/// unless `expired` is NULL, is how many there were.
///
/// HALFSHAKE_MORE: it has not seen the whole cache; call again.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_run_maintenance(
    cache: Option<&'static Cache>,
    budget: usize,
    expired: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard(|| {
        let progress = held(cache)?.sessions.run_maintenance(budget);
        tell(expired, progress.expired);
        more(progress.complete)
    })
}

fn more(complete: bool) -> Outcome {
    if complete {
        return Ok(());
    }
    Err(Failure::new(Code::HALFSHAKE_MORE, "a part of the cache was not looked at: call again"))
}

/// Writes what C may not want to know.
fn tell<T>(wanted: Option<&mut MaybeUninit<T>>, value: T) {
    if let Some(place) = wanted {
        place.write(value);
    }
}
