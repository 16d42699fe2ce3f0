//! The cache against a sequential model: one body, for property tests and for fuzzing.
//!
//! A *script* is a configuration and a list of operations. [`run`] plays it on a cache (through
//! [`Subject`], which hides whether keys and values are bytes) and on [`Model`], and compares every
//! answer. What a cache evicts is its own choice, so the model accepts that an entry has gone only
//! with its event, exactly one, of the right cause; and only if room was needed.

mod driver;
mod model;
mod script;
mod subject;

pub(crate) use driver::run;
pub(crate) use script::{Config, Op, Timeout};
pub(crate) use subject::{Bytes, Pairs};
