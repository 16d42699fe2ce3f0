//! What holds on either library: each suite is compiled into `on_rustls` and into `on_openssl`,
//! and asks `BACKEND` where the libraries differ. What has no TLS server of ours stands beside
//! them: `demo`, `load`.

mod client_certificates;
mod expiry;
mod external;
mod hostile_hello;
mod loaded;
mod mistakes;
mod namespaces;
mod resumption;
mod service;
