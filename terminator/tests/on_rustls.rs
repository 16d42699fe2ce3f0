//! The program on rustls: every suite.

mod harness;
mod suites;

const BACKEND: harness::Backend = harness::Backend::Rustls;
