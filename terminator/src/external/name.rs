//! The name of a session's file.

use std::fmt;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

/// Hexadecimal digits of SHA-256.
const LENGTH: usize = 64;

/// Tells nothing of the session: a listing of the directory gives no id away.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Name(String);

impl Name {
    /// No two pairs of namespace and id have the same name: the length of the first goes before.
    pub(super) fn of(namespace: &[u8], id: &[u8]) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(&(namespace.len() as u64).to_be_bytes());
        digest.update(namespace);
        digest.update(id);
        Self(HEXLOWER.encode(digest.finish().as_ref()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// If a file of the directory has the name of a session.
    pub(super) fn read(name: &str) -> Option<Self> {
        let is_digit = |digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        (name.len() == LENGTH && name.bytes().all(is_digit)).then(|| Self(name.to_owned()))
    }

    /// As good as the name itself for telling names apart: 64 bits of the digest.
    pub(super) fn number(&self) -> u64 {
        let (number, _) = self.0.split_at(LENGTH / 4);
        u64::from_str_radix(number, 16).expect("a name has hexadecimal digits alone")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_is_one_of_a_pair_alone_and_shows_neither() {
        let names = [Name::of(b"a", b"bc"), Name::of(b"ab", b"c"), Name::of(b"a", b"bd")];
        for name in &names {
            assert_eq!(Name::read(name.as_str()).as_ref(), Some(name));
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
            let same_number = names.iter().filter(|other| other.number() == name.number());
            assert_eq!(same_number.count(), 1);
        }
        for other in ["lock", "", &"A".repeat(64), &"0".repeat(63), &"0".repeat(65)] {
            assert_eq!(Name::read(other), None, "{other}");
        }
    }
}
