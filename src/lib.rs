//! Halfshake: a concurrent cache for TLS server sessions.
