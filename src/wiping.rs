//! Bytes that are wiped when they are dropped.
//!
//! `zeroize` wipes a vector byte by byte, and a slice in wide steps: what holds a session for a
//! moment, at every insert, is wiped as a slice.

use std::ops::Deref;
use zeroize::Zeroize;

/// A vector that is wiped, its spare capacity too.
pub(crate) struct Wiping(Vec<u8>);

impl Wiping {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Adds bytes; there must be room, for a vector that grows leaves unwiped copies behind.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        debug_assert!(self.0.capacity() - self.0.len() >= bytes.len(), "it would grow");
        self.0.extend_from_slice(bytes);
    }
}

impl Deref for Wiping {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Wiping {
    fn drop(&mut self) {
        // The spare part may have been in use before.
        self.0.resize(self.0.capacity(), 0);
        self.0.as_mut_slice().zeroize();
    }
}
