//! One ClientHello: what its client may cost.

use super::counters::Count;
use super::{Namespace, Resumed, SessionCache};
use crate::sync::{Ordering, PlainU64};

/// Look-ups outside that one ClientHello may cause: honest clients offer one or two sessions.
pub(super) const LOOKUPS: u32 = 4;

/// The look-ups of one ClientHello, which share a budget: a client may propose hundreds of
/// sessions, and each would be asked for outside.
///
/// ```
/// use halfshake::session::{Answer, Namespace, SessionCache};
///
/// let cache = SessionCache::<()>::builder()
///     .capacity(100)
///     .get_callback(|_, _| Answer::unknown())
///     .build()?;
/// let namespace = Namespace::new(b"www")?;
/// let hello = cache.hello(&(), &namespace);
/// for id in 0..1_600u32 {
///     assert!(hello.resume(&id.to_be_bytes()).is_none());
/// }
/// assert_eq!(cache.stats().asked, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hello<'c, C: 'static> {
    pub(super) cache: &'c SessionCache<C>,
    pub(super) connection: &'c C,
    pub(super) namespace: &'c Namespace,
    left: PlainU64,
}

impl<C: 'static> SessionCache<C> {
    /// The look-ups of one ClientHello, at most 4 of them outside. What is inside costs nothing.
    #[must_use]
    pub fn hello<'c>(&'c self, connection: &'c C, namespace: &'c Namespace) -> Hello<'c, C> {
        self.hello_with_budget(connection, namespace, LOOKUPS)
    }

    /// As [`hello`](Self::hello), with a budget of its own.
    #[must_use]
    pub fn hello_with_budget<'c>(
        &'c self,
        connection: &'c C,
        namespace: &'c Namespace,
        lookups: u32,
    ) -> Hello<'c, C> {
        Hello { cache: self, connection, namespace, left: PlainU64::new(lookups.into()) }
    }
}

impl<'c, C: 'static> Hello<'c, C> {
    /// As [`SessionCache::resume`]; a miss once the budget is spent.
    ///
    /// # Panics
    /// As there.
    pub fn resume(&self, id: &[u8]) -> Option<Resumed<'c>> {
        self.cache.resume_within(self.connection, self.namespace, id, &|| self.spend())
    }

    /// As [`SessionCache::take`]; a miss once the budget is spent.
    ///
    /// # Panics
    /// As there.
    pub fn take(&self, id: &[u8]) -> Option<Resumed<'c>> {
        self.cache.take_within(self.connection, self.namespace, id, &|| self.spend())
    }

    /// Look-ups outside that are left.
    #[must_use]
    pub fn left(&self) -> u32 {
        // Relaxed: a number of its own. It only ever shrinks from a `u32`.
        u32::try_from(self.left.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// Whether one more may go outside. Joining another one counts, too, and what an open breaker
    /// refuses then.
    pub(super) fn spend(&self) -> bool {
        let spend = |left: u64| left.checked_sub(1);
        // Relaxed: a read-modify-write, so none is spent twice.
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok();
        if !spent {
            self.cache.shared.counters.count(Count::OverBudget);
        }
        spent
    }
}

impl<C: 'static> std::fmt::Debug for Hello<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello").field("left", &self.left).finish_non_exhaustive()
    }
}
