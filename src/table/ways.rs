//! How many ways a set has, and masks of them.

/// Models have few ways: all that can happen to a set happens soon.
const IS_SMALL: bool = cfg!(any(halfshake_loom, halfshake_shuttle));

/// Ways of a set: one byte of tags each fills a vector register, one cell each two cache lines.
pub(crate) const WAYS: u32 = if IS_SMALL { 4 } else { 16 };
/// At most this many ways of a set are live, so that a replacement always finds one to claim.
pub(crate) const MOST_LIVE: u32 = if IS_SMALL { 2 } else { WAYS - 1 };

/// The bits of all ways.
pub(super) const LIVE: u64 = (1 << WAYS) - 1;

/// The ways in a mask, lowest first.
pub(crate) fn ways_in(mut mask: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let way = mask.trailing_zeros();
            mask &= mask - 1;
            way
        })
    })
}

pub(crate) fn bit(way: u32) -> u64 {
    1 << way
}
