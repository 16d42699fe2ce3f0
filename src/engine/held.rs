//! Entries together with the pin that keeps them: what look-ups without a reader handle return.
//!
//! Unsafe is checked by: `tests/core/loans.rs`.

use super::local::Pin;
use crate::entry::{EntryRef, Object};
use crate::reclaim::Guard;

/// An entry and the pin that keeps it alive.
#[derive(Debug)]
pub(crate) struct Held<'e, O: Object> {
    entry: EntryRef<'e, O>,
    _pin: Pin,
}

impl<'e, O: Object> Held<'e, O> {
    /// Holds what `find` finds under the pin, in a table that lives for `'e`.
    #[inline]
    pub(crate) fn find<T>(
        pin: Pin,
        find: impl for<'g> FnOnce(&'g Guard, &'g &'e ()) -> Option<(EntryRef<'g, O>, T)>,
    ) -> Option<(Self, T)> {
        let (entry, more) = find(pin.guard(), &&())?;
        // SAFETY: the entry lives as long as the guard pins (and its table, 'e, exists); the pin
        // moves into `Held`, its guard is never repinned, and `entry` is only lent with `&self`.
        let entry = unsafe { entry.extend::<'e>() };
        Some((Self { entry, _pin: pin.lent() }, more))
    }

    pub(crate) fn entry(&self) -> EntryRef<'_, O> {
        self.entry
    }
}

/// Entries under one pin.
#[derive(Debug)]
pub(crate) struct HeldMany<'e, O: Object> {
    entries: Vec<Option<EntryRef<'e, O>>>,
    _pin: Pin,
}

impl<'e, O: Object> HeldMany<'e, O> {
    /// Holds what `find` puts into its answer under the pin, in a table that lives for `'e`.
    pub(crate) fn find(
        pin: Pin,
        find: impl for<'g> FnOnce(&'g Guard, &'g &'e ()) -> Vec<Option<EntryRef<'g, O>>>,
    ) -> Self {
        let found = find(pin.guard(), &&());
        let keep = |entry: EntryRef<'_, O>| {
            // SAFETY: as in `Held::find`.
            unsafe { entry.extend::<'e>() }
        };
        let entries = found.into_iter().map(|e| e.map(keep)).collect();
        Self { entries, _pin: pin.lent() }
    }

    pub(crate) fn entries(&self) -> &[Option<EntryRef<'_, O>>] {
        &self.entries
    }
}
