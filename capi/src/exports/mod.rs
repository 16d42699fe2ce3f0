//! The functions of the library, in the order of the header.
//!
//! Each is `guard` around a body; arguments are checked before anything else is done, and what is
//! given to C is set in every case.

mod arguments;
#[expect(unsafe_code, reason = "exported symbols, and what C points to")]
pub mod attach;
#[expect(unsafe_code, reason = "exported symbols, and what C points to")]
pub mod cache;
#[expect(unsafe_code, reason = "exported symbols")]
pub mod callbacks;
#[expect(unsafe_code, reason = "exported symbols, and what C points to")]
pub mod changes;
#[expect(unsafe_code, reason = "exported symbols")]
pub mod lookups;
#[expect(unsafe_code, reason = "exported symbols")]
pub mod names;
#[expect(unsafe_code, reason = "exported symbols, and what C points to")]
pub mod sessions;
#[expect(unsafe_code, reason = "exported symbols, and what C points to")]
pub mod statistics;
