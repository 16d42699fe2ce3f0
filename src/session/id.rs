//! Who a session is: its id, and the namespace that may resume it.

use std::fmt::{Debug, Formatter};

/// The longest id that any cache can be set up for. TLS itself knows 32 bytes.
pub const ID_MAX: usize = 64;
/// The longest namespace.
pub const NAMESPACE_MAX: usize = 32;
/// The namespace with its length before it, then the id.
const KEY_MAX: usize = 1 + NAMESPACE_MAX + ID_MAX;

/// Who may resume a session: part of its key, so that a session stored under one namespace is not
/// found under another.
///
/// Give configurations the same namespace only if a session of one may be resumed by the other:
/// make it of the virtual host, the policy for client certificates and the protocol class (a digest
/// of them, if they are long).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(Vec<u8>);

/// A namespace that is empty, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a namespace has 1 to {NAMESPACE_MAX} bytes, not {len}: use a digest of what it stands for"
)]
pub struct NamespaceLength {
    /// The length that was given.
    pub len: usize,
}

impl Namespace {
    /// A namespace of 1 to 32 bytes.
    ///
    /// # Errors
    /// [`NamespaceLength`] if it is empty or longer.
    pub fn new(name: &[u8]) -> Result<Self, NamespaceLength> {
        if name.is_empty() || name.len() > NAMESPACE_MAX {
            return Err(NamespaceLength { len: name.len() });
        }
        Ok(Self(name.to_vec()))
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A session id: 1 to 64 bytes. What a cache accepts is a setting, by default up to 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId {
    len: u8,
    bytes: [u8; ID_MAX],
}

/// An id that is empty, or longer than any cache accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 1 to {ID_MAX} bytes, not {len}")]
pub struct IdLength {
    /// The length that was given.
    pub len: usize,
}

impl SessionId {
    /// An id of 1 to 64 bytes.
    ///
    /// # Errors
    /// [`IdLength`] if it is empty or longer.
    pub fn new(id: &[u8]) -> Result<Self, IdLength> {
        match u8::try_from(id.len()) {
            Ok(len @ 1..) if id.len() <= ID_MAX => {
                let mut bytes = [0; ID_MAX];
                bytes[..id.len()].copy_from_slice(id);
                Ok(Self { len, bytes })
            }
            _ => Err(IdLength { len: id.len() }),
        }
    }

    /// The id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Debug for SessionId {
    /// Without the id: who knows it can offer it.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionId").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The key of a session in the table. No two pairs of namespace and id have the same key.
///
/// Not wiped: an id that is proposed has crossed the network in the clear.
#[derive(Clone, Copy)]
pub(super) struct Key {
    bytes: [u8; KEY_MAX],
    len: usize,
}

impl Key {
    /// `None`: no session can have such an id, whose length a client chose.
    pub(super) fn new(namespace: &Namespace, id: &[u8], id_max: usize) -> Option<Self> {
        let name = namespace.as_bytes();
        if id.is_empty() || id.len() > id_max.min(ID_MAX) {
            return None;
        }
        let mut bytes = [0; KEY_MAX];
        bytes[0] = u8::try_from(name.len()).ok()?;
        bytes[1..=name.len()].copy_from_slice(name);
        let len = 1 + name.len() + id.len();
        bytes[1 + name.len()..len].copy_from_slice(id);
        Some(Self { bytes, len })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Namespace and id of a key that the table holds.
pub(super) fn split(key: &[u8]) -> (&[u8], &[u8]) {
    let name_len = key.first().map_or(0, |len| usize::from(*len));
    key.get(1..).unwrap_or_default().split_at_checked(name_len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pairs_share_a_key() {
        let name = |bytes: &[u8]| Namespace::new(bytes).unwrap();
        let a = Key::new(&name(b"a"), b"bc", 32).unwrap();
        let b = Key::new(&name(b"ab"), b"c", 32).unwrap();
        assert_ne!(a.bytes(), b.bytes());
        assert_eq!(split(a.bytes()), (&b"a"[..], &b"bc"[..]));
        assert_eq!(split(b.bytes()), (&b"ab"[..], &b"c"[..]));
    }

    #[test]
    fn ids_of_any_other_length_have_no_key() {
        let name = Namespace::new(&[7; 32]).unwrap();
        for (len, max, fits) in
            [(0, 64, false), (1, 32, true), (32, 32, true), (33, 32, false), (64, 64, true)]
        {
            assert_eq!(Key::new(&name, &vec![1; len], max).is_some(), fits, "{len} of {max}");
        }
        assert!(Key::new(&name, &[1; 65], usize::MAX).is_none());
        assert_eq!(SessionId::new(&[1; 300]).unwrap_err().len, 300);
    }
}
