//! Tags of a set, compared all at once.

/// Bit `i` is set if byte `i` equals `tag`.
#[inline]
pub(super) fn equal(bytes: [u64; 2], tag: u8) -> u64 {
    imp::equal(bytes, tag)
}

/// Bit `i` is set if the upper byte of the 16 bits numbered `i` equals `tag`.
#[inline]
pub(super) fn equal_upper(cells: [u64; 6], tag: u8) -> u64 {
    imp::equal_upper(cells, tag)
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_packus_epi16, _mm_set_epi64x,
        _mm_set1_epi8, _mm_setzero_si128, _mm_srli_epi16,
    };

    #[inline]
    pub(super) fn equal(bytes: [u64; 2], tag: u8) -> u64 {
        // SAFETY: SSE2 is part of every x86-64.
        unsafe { mask(vector(bytes), tag) }
    }

    #[inline]
    pub(super) fn equal_upper(cells: [u64; 6], tag: u8) -> u64 {
        // SAFETY: as above.
        unsafe { mask_upper(cells, tag) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn mask_upper([a, b, c, d, e, f]: [u64; 6], tag: u8) -> u64 {
        let upper = |words| _mm_srli_epi16::<8>(vector(words));
        let low = _mm_packus_epi16(upper([a, b]), upper([c, d]));
        let high = _mm_packus_epi16(upper([e, f]), _mm_setzero_si128());
        mask(low, tag) | (mask(high, tag) & 0xff) << 16
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn vector([low, high]: [u64; 2]) -> __m128i {
        _mm_set_epi64x(high.cast_signed(), low.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn mask(bytes: __m128i, tag: u8) -> u64 {
        let equal = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(tag.cast_signed()));
        u64::from(_mm_movemask_epi8(equal).cast_unsigned())
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod imp {
    pub(super) use super::{each as equal, each_upper as equal_upper};
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn each(bytes: [u64; 2], tag: u8) -> u64 {
    one_by_one(bytes.iter().flat_map(|word| word.to_le_bytes()), tag)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn each_upper(cells: [u64; 6], tag: u8) -> u64 {
    one_by_one(cells.iter().flat_map(|word| word.to_le_bytes()).skip(1).step_by(2), tag)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn one_by_one(tags: impl Iterator<Item = u8>, tag: u8) -> u64 {
    tags.enumerate().fold(0, |mask, (way, other)| mask | u64::from(other == tag) << way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::mix;

    #[test]
    fn tags_are_found_in_every_lane_and_slots_are_not() {
        for round in 0..10_000 {
            let cells: [u64; 6] = std::array::from_fn(|i| mix(round * 6 + i as u64));
            let bytes = [cells[0], cells[1]];
            let all = cells.iter().flat_map(|word| word.to_le_bytes());
            for tag in all.chain([0, 0x7f, 0x80, 0xff]) {
                assert_eq!(equal(bytes, tag), each(bytes, tag), "{bytes:x?} {tag}");
                assert_eq!(equal_upper(cells, tag), each_upper(cells, tag), "{cells:x?} {tag}");
            }
        }
        assert_eq!((equal([0; 2], 0), equal_upper([0; 6], 0)), (0xffff, 0xff_ffff));
        assert_eq!(each_upper([0x0304_0102, 0, 0, 0, 0, 1 << 56], 1), 0x80_0001);
    }
}
