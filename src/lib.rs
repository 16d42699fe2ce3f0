//! A lock-free, epoch-reclaimed concurrent cache for the sessions of a TLS server, and for anything
//! else that expires, is evicted, and must be told about exactly once.
//!
//! A TLS handshake that resumes a cached session is half a handshake: hence the name.
//!
//! ```
//! use halfshake::BytesCache;
//! use std::time::Duration;
//!
//! let cache = BytesCache::builder()
//!     .capacity(100_000)
//!     .time_to_live(Duration::from_secs(7200))
//!     .removal_listener(|gone| eprintln!("a session left: {}", gone.cause()))
//!     .build()?;
//! cache.insert(b"session id", b"sealed session")?;
//! assert!(cache.get(&b"session id"[..]).is_some()); // TLS 1.2: looked up
//! assert!(cache.take(&b"session id"[..]).is_some()); // TLS 1.3: single use
//! assert!(cache.take(&b"session id"[..]).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! * **Look-ups** are wait-free: no lock, no allocation, no user code but the key's `Eq`, and
//!   nothing shared is written but one bit at an entry's first hit. [`Cache::get`] is the
//!   convenient way in; a [`Reader`] stays pinned and is the fast one.
//! * **Every other operation** is lock-free, but for [`Cache::get_or_insert_with`] and
//!   [`Cache::shutdown`], which wait and say so, for [`Cache::set_capacity`], whose calls wait for
//!   one another, and for a [`SessionCache`](session::SessionCache) that looks outside.
//! * **Single use**: of any number of concurrent [`take`](Cache::take)s of a key exactly one gets
//!   it.
//! * **Removal events**: every entry that was visible has exactly one, with its [`RemovalCause`],
//!   after it stopped being findable, outside the epoch. A [listener](Removal) may call the cache,
//!   block, or panic.
//! * **Time**: an entry is never returned once `now >= deadline`, swept or not.
//! * **Limits**, in entries and in bytes, are not passed at any instant. An insert that can't be
//!   placed is a typed [`Refusal`], with key and value handed back; it never blocks, and memory
//!   does not grow instead.
//! * **Secrets**: a [`BytesCache`] wipes keys and values when their memory is reclaimed. Nothing
//!   here shows keys or values in `Debug` output.
//!
//! # Pins
//!
//! Whoever holds a [`PinnedRef`], a [`Batch`], or a [`Reader`] that has not called `unpin`, keeps
//! memory that is retired meanwhile from being reused. Drop them before blocking and before
//! writing much: inserts are refused with [`Refusal::NoRoom`] rather than growing the memory.
//! [`Stats::longest_pin`] and [`Stats::retired_entries`] show it.
//!
//! # Memory
//!
//! The table is allocated when a cache is built: what cannot be had is a [`ConfigError`]. Entries
//! are allocated when they are inserted (or ahead, see [`Builder::preallocate`]); if the allocator
//! fails then, the process is aborted, as by Rust's own collections.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `openssl` | `halfshake::openssl`: the three callbacks for servers on the `openssl` crate |
//! | `rustls-0_23` | `halfshake::rustls`: a session store for rustls 0.23 |
//! | `seal` | `halfshake::session::KeyRing`: sessions sealed for disks and databases |
//! | `validate` | `Cache::validate`, which checks every invariant of a quiescent cache |
//!
//! Platforms: 64-bit, addresses of at most 48 bits (checked when a cache is built). x86-64 is
//! tested; aarch64 is type-checked, its orderings are argued and model-checked.

#![warn(clippy::disallowed_types, clippy::disallowed_methods)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("halfshake needs 64-bit pointers: a cell holds an address and a tag in one word");

mod adapters;
mod budget;
mod builder;
mod cache;
mod clock;
mod engine;
#[expect(unsafe_code, reason = "raw entries")]
mod entry;
mod error;
mod hash;
mod holding;
mod maintenance;
#[cfg(any(halfshake_loom, halfshake_shuttle))]
#[doc(hidden)]
pub mod model;
mod once;
#[expect(unsafe_code, reason = "arrays lie in a mapping")]
mod pages;
mod panics;
mod policy;
#[cfg_attr(not(halfshake_loom), expect(unsafe_code, reason = "prefetch instructions"))]
mod prefetch;
mod reader;
#[cfg_attr(
    any(halfshake_loom, halfshake_shuttle),
    expect(unsafe_code, reason = "guards of the real collector are leaked in a panic")
)]
mod reclaim;
#[cfg(halfshake_loom)]
#[doc(hidden)]
pub mod remedies;
mod removal;
pub mod session;
mod stats;
mod sync;
mod table;
mod wiping;

pub use builder::{Builder, Maintenance};
pub use cache::{
    Batch, BytesCache, Cache, Handle, Iter, PinnedRef, Removal, Resize, Stored, Taken,
};
pub use clock::{Clock, ManualClock, SystemClock, WallClock};
pub use engine::Delivery;
pub use error::{BadSetting, ConfigError, Refusal, Refused};
pub use maintenance::Progress;
pub use reader::{Pinned, Reader, Ref};
pub use removal::RemovalCause;
pub use stats::Stats;

#[cfg(feature = "openssl")]
pub use adapters::openssl;
#[cfg(feature = "rustls-0_23")]
pub use adapters::rustls;

/// Borrows that must not compile: tests, and no part of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../tests/borrows.md")]
mod borrows {}
