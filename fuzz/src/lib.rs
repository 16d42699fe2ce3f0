//! What the fuzz targets do with an input, without libFuzzer: so tests can do it, too
//! (`tests/fuzzed.rs` of the library runs every input that is kept).
//!
//! A file of `fuzz_targets/` hands its input to the module of its name.

pub mod client_hello;
pub mod der;
pub mod get_callback;
#[path = "../../tests/history/mod.rs"]
mod history;
pub mod openssl_session;
pub mod operations;
pub mod operations_threads;
pub mod rustls_store;
#[path = "../../tests/sequential/mod.rs"]
mod sequential;
pub mod session_record;

use arbitrary::{Arbitrary, Unstructured};

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("client_hello", |input| _ = read(input, client_hello::Script::run)),
    ("get_callback", |input| _ = read(input, get_callback::Script::run)),
    ("openssl_session", openssl_session::run),
    ("operations", |input| _ = read(input, operations::Script::run)),
    ("operations_threads", |input| {
        for _ in 0..operations_threads::TIMES {
            read(input, operations_threads::Script::run);
        }
    }),
    ("rustls_store", |input| _ = read(input, rustls_store::Script::run)),
    ("session_record", session_record::run),
];

/// As libFuzzer's crate does it: what can't be read is passed over.
pub fn read<'a, T: Arbitrary<'a>, R>(input: &'a [u8], run: impl FnOnce(T) -> R) -> Option<R> {
    T::arbitrary_take_rest(Unstructured::new(input)).ok().map(run)
}
