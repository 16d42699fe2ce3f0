//! Real handshakes with `halfshake serve`, over this project's cache and over rustls's own.
//!
//! | room | what |
//! | --- | --- |
//! | [`server`] | the program as a child process, and what it spends |
//! | [`clients`] | many clients, each with a memory of its own sessions |
//! | [`profile`] | how much of a server's time is the cache's |
//! | [`plan`] | what is measured, in which order |
//!
//! The server has one processor, the clients another one where there are two: a rate is that of one
//! processor, and nobody waits for a lock.

pub mod clients;
pub mod plan;
pub mod profile;
pub mod server;
