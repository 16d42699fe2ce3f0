//! What a caught panic carries, when there is nobody to hand it to.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops it, if there is one. That is user code, too, and may panic in turn: what the second panic
/// carries is left alone.
pub(crate) fn discard(payload: impl Into<Option<Box<dyn Any + Send>>>) {
    let payload = payload.into();
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}
