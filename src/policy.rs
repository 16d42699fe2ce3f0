//! Which live entry of a set goes when there is no room: pure functions of its hints.
//!
//! Ways are claimed in circular order, so the live ways after the hand are the oldest. The policy
//! is CLOCK within a set: the oldest that was not hit since it was claimed or last passed over; if
//! all were hit, the oldest.

use crate::table::hints::Hints;

/// The way to evict out of `live`, and the older ways that are passed over (which forget that they
/// were hit); `None` if nothing is live.
pub(crate) fn victim(live: u64, hints: Hints) -> Option<(u32, u64)> {
    match hints.oldest(live & !hints.visited) {
        Some(way) => Some((way, hints.older(live, way))),
        None => hints.oldest(live).map(|way| (way, live)),
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;
    use crate::table::ways::bit;

    #[test]
    fn the_oldest_that_was_not_hit_goes() {
        let live = bit(1) | bit(4) | bit(9);
        // Claimed last: 4; so 9 is the oldest, then 1, then 4.
        assert_eq!(victim(live, Hints { visited: 0, hand: 4 }), Some((9, 0)));
        assert_eq!(victim(live, Hints { visited: bit(9), hand: 4 }), Some((1, bit(9))));
        let both = bit(9) | bit(1);
        assert_eq!(victim(live, Hints { visited: both, hand: 4 }), Some((4, both)));
    }

    #[test]
    fn if_all_were_hit_the_oldest_goes_and_all_are_forgotten() {
        let live = bit(1) | bit(4) | bit(9);
        assert_eq!(victim(live, Hints { visited: live, hand: 4 }), Some((9, live)));
    }

    #[test]
    fn an_empty_set_has_no_victim() {
        assert_eq!(victim(0, Hints { visited: 0, hand: 0 }), None);
    }
}
