//! Halfshake: a concurrent cache for TLS server sessions.

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
mod maintenance;
#[cfg(halfshake_loom)]
#[doc(hidden)]
pub mod model;
mod once;
mod policy;
#[cfg_attr(not(halfshake_loom), expect(unsafe_code, reason = "prefetch instructions"))]
mod prefetch;
mod reader;
#[cfg_attr(
    halfshake_loom,
    expect(unsafe_code, reason = "guards of the real collector are leaked in a panic")
)]
mod reclaim;
mod removal;
mod stats;
mod sync;
mod table;

pub use builder::{Builder, Maintenance};
pub use cache::{
    Batch, BytesCache, Cache, Handle, Iter, PinnedRef, Progress, Removal, Resize, Stored, Taken,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use engine::Delivery;
pub use error::{BadSetting, ConfigError, Refusal, Refused};
pub use reader::{Reader, Ref};
pub use removal::RemovalCause;
pub use stats::Stats;

#[cfg(feature = "rustls-0_23")]
pub use adapters::rustls;
