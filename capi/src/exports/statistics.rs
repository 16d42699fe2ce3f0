//! Statistics, and walks.
//!
//! Unsafe is checked by: `capi/tests/c/wrong.c`, `capi/tests/c/abi.c`.

use super::arguments::{given, held};
use crate::foreign::{self, Visitor};
use crate::raw;
use crate::result::{Code, Failure, guard};
use crate::shell::Cache;
use crate::statistics::{NamespaceStatistics, Statistics};
use halfshake::session::Namespace;
use std::ffi::{c_int, c_void};

/// All counters and gauges. Set `stats->size` to sizeof(halfshake_stats) first.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_stats(
    cache: Option<&'static Cache>,
    stats: *mut Statistics,
) -> c_int {
    guard(|| {
        let live = held(cache)?;
        // SAFETY: the header demands NULL, or a structure whose size stands in it.
        unsafe { raw::fill("stats", stats, || Ok(live.sessions.stats().into())) }
    })
}

/// What the cache holds of one namespace, counted now: a walk over the whole cache. Set
/// `stats->size` to sizeof(halfshake_namespace_stats) first.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_namespace_stats(
    cache: Option<&'static Cache>,
    ns: *const c_void,
    ns_len: usize,
    stats: *mut NamespaceStatistics,
) -> c_int {
    guard(|| {
        let live = held(cache)?;
        // SAFETY: the header demands NULL, or so many bytes, until the call is over.
        let namespace = Namespace::new(unsafe { raw::bytes("ns", ns, ns_len) }?)?;
        let count = || Ok(live.sessions.namespace_stats(&namespace).into());
        // SAFETY: the header demands NULL, or a structure whose size stands in it.
        unsafe { raw::fill("stats", stats, count) }
    })
}

/// Shows the sessions that are in the cache to a visitor, one after the other; with a namespace
/// (`ns` not NULL) only those of it. To write a snapshot down, for example, which
/// halfshake_cache_add reads in again.
///
/// A session that stays for the whole walk is shown once; one that comes, goes or is replaced
/// meanwhile may be shown or not. The visitor may call the cache, and may block.
///
/// HALFSHAKE_STOPPED: the visitor wanted no more.
#[unsafe(no_mangle)]
pub extern "C" fn halfshake_cache_for_each(
    cache: Option<&'static Cache>,
    ns: *const c_void,
    ns_len: usize,
    visitor: Visitor,
    user_data: *mut c_void,
) -> c_int {
    guard(|| {
        let live = held(cache)?;
        given(visitor, "visitor")?;
        // SAFETY: the header demands NULL, or so many bytes, until the call is over.
        let name = unsafe { raw::bytes("ns", ns, ns_len) }?;
        let only = if ns.is_null() { None } else { Some(Namespace::new(name)?) };
        for session in live.sessions.sessions() {
            let wanted = only.as_ref().is_none_or(|only| session.namespace() == only);
            if wanted && !foreign::visit(visitor, session, user_data) {
                let message = "the visitor returned something else than 0";
                return Err(Failure::new(Code::HALFSHAKE_STOPPED, message));
            }
        }
        Ok(())
    })
}
