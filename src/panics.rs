//! What a caught panic carries, when there is nobody to hand it to.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops it, if there is one. That is user code, too, and may panic in turn: what that panic
/// carries is dropped as well, and left alone only if it goes on and on.
pub(crate) fn discard(payload: impl Into<Option<Box<dyn Any + Send>>>) {
    const MOST: u32 = 8;
    let mut payload = payload.into();
    for _ in 0..MOST {
        let next = catch_unwind(AssertUnwindSafe(|| drop(payload.take())));
        match next {
            Ok(()) => return,
            Err(next) => payload = Some(next),
        }
    }
    std::mem::forget(payload);
}

#[cfg(test)]
mod tests {
    use super::discard;

    /// Whose drop panics with another one, for ever.
    struct Endless;

    impl Drop for Endless {
        fn drop(&mut self) {
            std::panic::panic_any(Endless);
        }
    }

    #[test]
    fn a_panic_that_brings_another_one_for_ever_is_let_go() {
        discard(Some(Box::new(Endless) as _));
    }
}
