//! The C library: `halfshake.h`, `libhalfshake.so` and `libhalfshake.a`.
//!
//! It wraps `halfshake::session` and adds nothing to it but what C needs: handles, codes, messages.
//! `halfshake.h` is made of the documentation of `exports/` and of the types below it, which is
//! therefore written for who programs in C (`tests/header.rs`).
//!
//! # Where the boundary is
//!
//! An export takes references, which claim that the C caller's pointers are NULL or valid for the
//! call: the header demands it. The pointers that stand in structures, and the functions and user
//! data of callbacks, are touched in `raw.rs` and `foreign.rs` alone. No export lets a panic out,
//! and none holds a lock while it calls anybody.
//!
//! A `halfshake_cache` is a shell that is never given back to the allocator ([`shell`]): a handle
//! that was freed is a handle that says so, on whatever thread it is used.

#![expect(missing_debug_implementations, reason = "C has no use for it, and sessions are secret")]
#![expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "only C can call the exports: no rlib is built"
)]

#[cfg(panic = "abort")]
compile_error!("a panic must be caught before it reaches C: build with panic = \"unwind\"");

pub mod attach;
pub mod compat;
pub mod exports;
#[expect(unsafe_code, reason = "calls C")]
pub mod foreign;
pub mod options;
#[expect(unsafe_code, reason = "reads and writes what C points to")]
mod raw;
pub mod result;
pub mod session;
pub mod shell;
pub mod statistics;
