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

    /// Whether a file of the directory has the name of a session.
    pub(super) fn is_one(name: &str) -> bool {
        name.len() == LENGTH && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
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
            assert!(Name::is_one(name.as_str()), "{name:?}");
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
        }
        for other in ["lock", "", &"A".repeat(64), &"0".repeat(63), &"0".repeat(65)] {
            assert!(!Name::is_one(other), "{other}");
        }
    }
}
