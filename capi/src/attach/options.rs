//! How a cache is attached, as C says it.

use crate::result::{Failure, Outcome};
use std::ffi::c_void;

/// A session of TLS 1.3 may be used more than once. RFC 8446 (C.4) advises against it, for clients
/// can be told apart by it; and early data can be replayed then, so don't accept any.
pub const HALFSHAKE_ATTACH_REUSE_TLS13: u32 = 0x1;

/// How a cache is attached to a context. Call halfshake_attach_options_init first, then change what
/// you like; `ns` has no default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AttachOptions {
    /// sizeof(halfshake_attach_options), as halfshake_attach_options_init has set it.
    pub(crate) size: usize,
    /// The namespace of the context, 1 to 32 bytes: see halfshake_key. Contexts with the same one
    /// resume each other's sessions. It becomes the context's session id context. Required.
    pub(crate) ns: *const c_void,
    /// Its length in bytes.
    pub(crate) ns_len: usize,
    /// Keeps so many sessions as objects of this context, too, beside their bytes: a look-up that
    /// finds one costs a reference count instead of some microseconds. Default 0: none.
    pub(crate) objects: u64,
    /// HALFSHAKE_ATTACH_*. Default: 0.
    pub(crate) flags: u32,
    /// Must be 0.
    pub(crate) reserved: u32,
}

impl AttachOptions {
    /// What `halfshake_attach_options_init` gives.
    pub(crate) const fn new() -> Self {
        let (size, ns) = (size_of::<Self>(), std::ptr::null());
        Self { size, ns, ns_len: 0, objects: 0, flags: 0, reserved: 0 }
    }

    pub(crate) fn reuses_tls13(&self) -> Outcome<bool> {
        if self.flags & !HALFSHAKE_ATTACH_REUSE_TLS13 != 0 {
            return Err(Failure::meaningless("flags", self.flags));
        }
        if self.reserved != 0 {
            return Err(Failure::meaningless("reserved", self.reserved));
        }
        Ok(self.flags & HALFSHAKE_ATTACH_REUSE_TLS13 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_has_no_holes() {
        // As in the options of a cache.
        assert_eq!(size_of::<AttachOptions>(), 8 * 4 + 4 * 2);
    }
}
