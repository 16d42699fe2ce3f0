//! An entry in whole lines: header, key, value.

use super::lines::{Line, Lines, prefetch};
use crate::keys::{Key, Value};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

const KEY_WORDS: usize = size_of::<Key>() / 8;
const VALUE_WORDS: usize = size_of::<Value>() / 8;
/// Id, deadline, lengths.
const HEAD: usize = 3;
/// Lines of an entry.
const STRIDE: usize = (HEAD + KEY_WORDS + VALUE_WORDS).div_ceil(8);

/// Memory for entries.
#[derive(Debug)]
pub struct Entries(Lines);

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'t>(&'t [Line; STRIDE]);

impl Entries {
    /// For so many at most, and so many of them at once.
    pub(super) fn new(most: usize, touched: usize) -> Self {
        Self(Lines::touched(most * STRIDE, touched * STRIDE))
    }

    #[inline]
    pub(super) fn at(&self, number: u32) -> Entry<'_> {
        let lines = &self.0[number as usize * STRIDE..];
        Entry(lines.first_chunk().expect("entries are whole"))
    }

    /// For tests: whether none has any of a key or a value.
    #[cfg(test)]
    pub(super) fn are_wiped(&self) -> bool {
        let mut entries = self.0.chunks(STRIDE).filter_map(|lines| lines.first_chunk());
        entries.all(|lines| (HEAD..STRIDE * 8).all(|at| Entry(lines).word(at).load(Relaxed) == 0))
    }
}

impl<'t> Entry<'t> {
    fn word(self, at: usize) -> &'t AtomicU64 {
        &self.0[at / 8].0[at % 8]
    }

    pub(super) fn write(self, id: u64, deadline: u64, key: &Key, value: &Value) {
        let lengths = (size_of::<Key>() | size_of::<Value>() << 16) as u64;
        for (at, word) in [id, deadline, lengths].into_iter().enumerate() {
            self.word(at).store(word, Relaxed);
        }
        for at in 0..KEY_WORDS {
            self.word(HEAD + at).store(word_of(key, at), Relaxed);
        }
        for at in 0..VALUE_WORDS {
            self.word(HEAD + KEY_WORDS + at).store(word_of(value, at), Relaxed);
        }
    }

    /// Whether it is this key's.
    #[inline]
    pub(super) fn is(self, key: &Key) -> bool {
        (0..KEY_WORDS).fold(0, |different, at| {
            different | (self.word(HEAD + at).load(Relaxed) ^ word_of(key, at))
        }) == 0
    }

    #[inline]
    pub(super) fn deadline(self) -> u64 {
        self.word(1).load(Relaxed)
    }

    /// The first word of the value.
    #[inline]
    pub(super) fn value(self) -> u64 {
        self.word(HEAD + KEY_WORDS).load(Relaxed)
    }

    pub(super) fn wipe(self) {
        for at in HEAD..HEAD + KEY_WORDS + VALUE_WORDS {
            self.word(at).store(0, Relaxed);
        }
    }

    /// Starts to fetch all of it.
    #[inline]
    pub(super) fn prefetch(self) {
        self.0.iter().for_each(prefetch);
    }

    /// Starts to fetch the line of header and key.
    #[inline]
    pub(super) fn prefetch_head(self) {
        prefetch(&self.0[0]);
    }
}

fn word_of(bytes: &[u8], at: usize) -> u64 {
    crate::keys::word(&bytes[8 * at..])
}
