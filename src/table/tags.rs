//! The low bytes of the tags of a set, compared all at once.
//!
//! # Orderings
//!
//! All relaxed: a byte belongs to whoever has claimed its way, and the control word publishes it
//! (see [`super::set`]). The other bytes of its word belong to others, so it is changed by a
//! read-modify-write.
//!
//! Unsafe is checked by: `inserts::insert_another`, `reuse::aba_insert`, and the tests below.

use crate::pages::Zeroed;
use crate::sync::{AtomicU64, Ordering};

/// Tags in a word.
const LANES: u32 = 8;
/// Words that hold the tags of a set.
const WORDS: usize = if cfg!(halfshake_loom) { 1 } else { 2 };
type Words = [u64; WORDS];

/// One byte for each way.
#[derive(Debug)]
pub(super) struct Tags([AtomicU64; WORDS]);

// SAFETY: numbers; nothing to drop.
unsafe impl Zeroed for Tags {
    #[cfg(halfshake_loom)]
    fn zeroed() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Tags {
    /// The ways that there is a byte for.
    pub(super) const WAYS: usize = WORDS * LANES as usize;

    /// Writes the byte of a way that the caller has claimed.
    pub(super) fn set(&self, way: u32, tag: u16) {
        let (word, shift) = (&self.0[(way / LANES) as usize], way % LANES * 8);
        // Relaxed, both: nobody else changes the byte while the way is claimed, and `publish` makes
        // it visible.
        let old = word.load(Ordering::Relaxed) >> shift & 0xff;
        word.fetch_xor((old ^ u64::from(low_byte(tag))) << shift, Ordering::Relaxed);
    }

    /// The ways with the same byte, live or not.
    #[inline]
    pub(super) fn equal(&self, tag: u16) -> u64 {
        // Relaxed: whoever asks has seen the live bits of the ways that count.
        let words: Words = self.0.each_ref().map(|word| word.load(Ordering::Relaxed));
        imp::equal(words, low_byte(tag))
    }
}

fn low_byte(tag: u16) -> u8 {
    tag.to_le_bytes()[0]
}

#[cfg(all(target_arch = "x86_64", not(halfshake_loom)))]
mod imp {
    use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};

    /// Bit `i` is set if byte `i` of the words equals `tag`.
    #[inline]
    pub(super) fn equal(words: [u64; 2], tag: u8) -> u64 {
        // SAFETY: SSE2 is part of every x86-64.
        unsafe { by_vector(words, tag) }
    }

    /// One comparison of the vector unit.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn by_vector([low, high]: [u64; 2], tag: u8) -> u64 {
        let tags = _mm_set_epi64x(high.cast_signed(), low.cast_signed());
        let mask = _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(tag.cast_signed())));
        u64::from(mask.cast_unsigned())
    }
}

#[cfg(any(halfshake_loom, not(target_arch = "x86_64")))]
mod imp {
    #[inline]
    pub(super) fn equal<const N: usize>(words: [u64; N], tag: u8) -> u64 {
        super::portable(words, tag)
    }
}

/// Eight bytes at a time in ordinary registers.
#[cfg(any(test, halfshake_loom, not(target_arch = "x86_64")))]
#[inline]
fn portable<const N: usize>(words: [u64; N], tag: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = LOW << 7;
    words.iter().rev().fold(0, |mask, word| {
        let different = word ^ (LOW * u64::from(tag));
        // The high bit of each byte that is zero, exactly: no carry leaves a byte.
        let zero = !(((different & !HIGH) + !HIGH) | different) & HIGH;
        // Gathers bits 7, 15, ... 63 into the top byte, lowest first.
        mask << 8 | (zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;

    fn one_by_one(words: Words, tag: u8) -> u64 {
        let bytes = words.iter().flat_map(|w| w.to_le_bytes());
        bytes.enumerate().fold(0, |mask, (i, b)| mask | u64::from(b == tag) << i)
    }

    #[test]
    fn a_tag_is_found_where_it_was_set_and_nowhere_else() {
        let tags = Tags([const { AtomicU64::new(u64::MAX) }; WORDS]);
        for way in 0..16 {
            tags.set(u32::from(way), 0x100);
            tags.set(u32::from(way), 0xab00 | way);
        }
        for way in 0..16 {
            assert_eq!(tags.equal(0x7700 | way), 1 << way);
        }
        assert_eq!(tags.equal(0xff), 0);
    }

    #[test]
    fn equal_tags_are_found_in_every_lane() {
        let bytes = [0u8, 1, 0x7f, 0x80, 0x81, 0xff];
        let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
        for round in 0..10_000u64 {
            // Random words, with some bytes replaced by those that carries and signs would trip on.
            let words: Words = std::array::from_fn(|i| {
                let random = state.hash_one((round, i)).to_le_bytes();
                let awkward = state.hash_one((i, round)).to_le_bytes();
                u64::from_le_bytes(std::array::from_fn(|b| match awkward[b] {
                    a @ 0..=127 => bytes[usize::from(a) % bytes.len()],
                    _ => random[b],
                }))
            });
            for tag in bytes.into_iter().chain(words.map(|w| w.to_le_bytes()[3])) {
                assert_eq!(imp::equal(words, tag), one_by_one(words, tag), "{words:x?} {tag:x}");
                assert_eq!(portable(words, tag), one_by_one(words, tag), "{words:x?} {tag:x}");
            }
        }
    }
}
