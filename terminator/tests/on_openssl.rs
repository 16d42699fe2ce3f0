//! The program on OpenSSL (`--tls-backend openssl`): every suite.

mod harness;
mod suites;

const BACKEND: harness::Backend = harness::Backend::OpenSsl;
