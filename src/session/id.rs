//! Session ids and namespaces, and the key that both make.

use std::fmt::{Debug, Formatter};
use zeroize::Zeroizing;

/// The longest id that TLS knows.
pub const SESSION_ID_MAX: usize = 32;
/// The longest id that a cache can be set to take.
pub const SESSION_ID_LIMIT: usize = 64;
/// The longest namespace.
pub const NAMESPACE_MAX: usize = 32;

/// A session id, of 1 to 64 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId {
    len: u8,
    bytes: [u8; SESSION_ID_LIMIT],
}

/// An id that is empty, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 1 to {most} bytes, not {len}")]
pub struct SessionIdLength {
    /// The length that was given.
    pub len: usize,
    /// The most that is allowed.
    pub most: usize,
}

impl SessionId {
    /// An id of 1 to 64 bytes. A cache takes ids of up to 32 bytes unless it is told otherwise.
    ///
    /// # Errors
    /// [`SessionIdLength`] if it is empty or longer.
    pub fn new(id: &[u8]) -> Result<Self, SessionIdLength> {
        let error = SessionIdLength { len: id.len(), most: SESSION_ID_LIMIT };
        let len = u8::try_from(id.len()).map_err(|_| error)?;
        if id.is_empty() || id.len() > SESSION_ID_LIMIT {
            return Err(error);
        }
        let mut bytes = [0; SESSION_ID_LIMIT];
        bytes[..id.len()].copy_from_slice(id);
        Ok(Self { len, bytes })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Debug for SessionId {
    /// Without the bytes: whoever knows the id of a TLS 1.3 ticket can offer it.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionId({} bytes)", self.len)
    }
}

/// Who may resume a session: part of its key, so that a session stored under one namespace is not
/// found under another. OpenSSL's session id context (`SSL_CTX_set_session_id_context(3)`).
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

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

const KEY_MAX: usize = 1 + NAMESPACE_MAX + SESSION_ID_LIMIT;

/// The key of a session in the table: the namespace, with its length before it, then the id. No two
/// pairs of them have the same key. On the stack, and wiped afterwards.
pub(crate) struct Key {
    bytes: Zeroizing<[u8; KEY_MAX]>,
    len: usize,
}

impl Key {
    /// `None` if the id is empty or longer than any id may be.
    pub(crate) fn new(namespace: &Namespace, id: &[u8]) -> Option<Self> {
        if id.is_empty() || id.len() > SESSION_ID_LIMIT {
            return None;
        }
        let name = &namespace.0;
        let len = 1 + name.len() + id.len();
        let mut bytes = Zeroizing::new([0; KEY_MAX]);
        bytes[0] = u8::try_from(name.len()).ok()?;
        bytes[1..=name.len()].copy_from_slice(name);
        bytes[1 + name.len()..len].copy_from_slice(id);
        Some(Self { bytes, len })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Namespace and id of a key.
    pub(crate) fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = key.split_first()?;
        rest.split_at_checked(usize::from(*len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_namespaces_have_their_lengths() {
        for len in [1, 32, 64] {
            assert_eq!(SessionId::new(&vec![7; len]).map(|id| id.as_bytes().len()), Ok(len));
        }
        for len in [0, 65, 256, 70_000] {
            let error = SessionIdLength { len, most: 64 };
            assert_eq!(SessionId::new(&vec![7; len]), Err(error));
        }
        assert_eq!(Namespace::new(&[]), Err(NamespaceLength { len: 0 }));
        assert_eq!(Namespace::new(&[1; 33]), Err(NamespaceLength { len: 33 }));
    }

    #[test]
    fn no_two_pairs_of_namespace_and_id_share_a_key() {
        let pairs: [(&[u8], &[u8]); 4] = [(b"a", b"bc"), (b"ab", b"c"), (b"a", b"b"), (b"b", b"a")];
        let keys = pairs.map(|(n, id)| {
            let key = Key::new(&Namespace::new(n).expect("short"), id).expect("short");
            assert_eq!(Key::split(key.bytes()), Some((n, id)));
            key.bytes().to_vec()
        });
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key));
        }
    }

    #[test]
    fn an_id_shows_no_bytes() {
        let id = SessionId::new(b"secret").expect("short");
        assert_eq!(format!("{id:?}"), "SessionId(6 bytes)");
    }
}
