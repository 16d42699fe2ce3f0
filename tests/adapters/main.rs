//! The adapters under real handshakes of rustls and OpenSSL.

#[path = "../handshakes/mod.rs"]
mod handshakes;
#[path = "../openssl/mod.rs"]
mod openssl_handshakes;
#[path = "../world/mod.rs"]
mod world;

mod openssl_adapter;
mod openssl_contexts;
mod openssl_look_up_first;
mod openssl_matrix;
mod openssl_server;
mod quic;
mod rustls_callbacks;
mod rustls_store;
