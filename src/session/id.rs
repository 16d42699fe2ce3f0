//! Who a session is: its id, and the namespace that may resume it.

use std::fmt::{Debug, Formatter};

/// The longest id that any cache can be set up for. TLS itself knows 32 bytes.
pub const ID_MAX: usize = 64;
/// The longest namespace.
pub const NAMESPACE_MAX: usize = 32;
/// The namespace with its length before it, the protocol version in some caches, then the id.
const KEY_MAX: usize = 1 + NAMESPACE_MAX + 2 + ID_MAX;
/// The namespace with its length before it.
const PREFIX: usize = 1 + NAMESPACE_MAX;
/// In the length of the namespace: a protocol version follows it.
const VERSIONED: u8 = 0x80;

/// Who may resume a session: part of its key, so that a session stored under one namespace is not
/// found under another.
///
/// Give configurations the same namespace only if a session of one may be resumed by the other:
/// make it of the virtual host, the policy for client certificates and the protocol class (a digest
/// of them, if they are long).
#[derive(Clone)]
pub struct Namespace {
    /// The length of the name, the name, zeros: the beginning of a key.
    prefix: [u8; PREFIX],
    /// What a look-up proposes; no part of the namespace itself.
    version: Option<u16>,
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.prefix == other.prefix
    }
}

impl Eq for Namespace {}

impl Debug for Namespace {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Namespace").field(&self.as_bytes()).finish()
    }
}

impl std::hash::Hash for Namespace {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.prefix.hash(state);
    }
}

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
        match u8::try_from(name.len()) {
            Ok(len @ 1..) if name.len() <= NAMESPACE_MAX => {
                let mut prefix = [0; PREFIX];
                prefix[0] = len;
                prefix[1..=name.len()].copy_from_slice(name);
                Ok(Self { prefix, version: None })
            }
            _ => Err(NamespaceLength { len: name.len() }),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.prefix[1..=usize::from(self.prefix[0])]
    }

    /// The same namespace, for look-ups of a client that proposes this protocol version, as on the
    /// wire. It matters only under
    /// [`Compat::KEY_INCLUDES_VERSION`](super::Compat::KEY_INCLUDES_VERSION).
    #[must_use]
    pub fn proposing(&self, version: u16) -> Self {
        Self { prefix: self.prefix, version: Some(version) }
    }

    /// What [`proposing`](Self::proposing) has said.
    #[must_use]
    pub fn proposed(&self) -> Option<u16> {
        self.version
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
    pub(super) const EMPTY: Self = Self { bytes: [0; KEY_MAX], len: 0 };

    /// `None`: no session can have such an id, whose length a client chose.
    #[cfg(any(test, feature = "seal"))]
    pub(super) fn new(namespace: &Namespace, id: &[u8], id_max: usize) -> Option<Self> {
        let mut key = Self::EMPTY;
        key.set(namespace, id, id_max).then_some(key)
    }

    /// `false`: no session can have such an id, whose length a client chose. In place: on the path
    /// of a hit a copy of the key would be noticed.
    #[inline(always)]
    pub(super) fn set(&mut self, namespace: &Namespace, id: &[u8], id_max: usize) -> bool {
        if id.is_empty() || id.len() > id_max.min(ID_MAX) {
            return false;
        }
        // Of a length that is known: a few moves each, and no call.
        self.bytes[..PREFIX].copy_from_slice(&namespace.prefix);
        let at = 1 + usize::from(namespace.prefix[0]);
        self.len = at + id.len();
        match <&[u8; 32]>::try_from(id) {
            Ok(id) => self.bytes[at..at + 32].copy_from_slice(id),
            Err(_) => self.bytes[at..self.len].copy_from_slice(id),
        }
        true
    }

    /// Adds the protocol version, where that belongs to the key.
    pub(super) fn add_version(&mut self, version: u16) {
        let at = 1 + usize::from(self.bytes[0]);
        self.bytes.copy_within(at..self.len, at + 2);
        self.bytes[at..at + 2].copy_from_slice(&version.to_be_bytes());
        self.bytes[0] |= VERSIONED;
        self.len += 2;
    }

    /// A key as the table holds it.
    pub(super) fn from_table(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; KEY_MAX];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self { bytes, len: key.len() })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// With the version that the key has, if it has one.
    pub(super) fn namespace(&self) -> Namespace {
        let name = Namespace::new(split(self.bytes()).0).expect("a key has a namespace");
        Namespace { version: version_of(self.bytes()), ..name }
    }

    pub(super) fn id(&self) -> &[u8] {
        split(self.bytes()).1
    }
}

/// Namespace and id of a key that the table holds.
pub(super) fn split(key: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = key.split_first().map_or((0, key), |(len, rest)| (*len, rest));
    let name_len = usize::from(len & !VERSIONED);
    let (name, rest) = rest.split_at_checked(name_len).unwrap_or_default();
    let id = if len & VERSIONED == 0 { rest } else { rest.get(2..).unwrap_or_default() };
    (name, id)
}

/// The protocol version of a key that has one.
pub(super) fn version_of(key: &[u8]) -> Option<u16> {
    let (len, rest) = key.split_first()?;
    let version = rest.get(usize::from(len & !VERSIONED)..)?.first_chunk()?;
    (len & VERSIONED != 0).then(|| u16::from_be_bytes(*version))
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
    fn key_with_a_version_is_another_one_and_is_taken_apart_again() {
        let name = Namespace::new(&[7; 32]).unwrap();
        let plain = Key::new(&name, &[9; 64], 64).unwrap();
        let with = |version| {
            let mut key = plain;
            key.add_version(version);
            key
        };
        let tls = with(0x0303);
        assert_ne!(plain.bytes(), tls.bytes());
        assert_ne!(with(0x0302).bytes(), tls.bytes());
        let again = Key::from_table(tls.bytes()).unwrap();
        assert_eq!((again.namespace(), again.id()), (name, &[9; 64][..]));
        assert_eq!(again.namespace().proposed(), Some(0x0303));
        assert_eq!(plain.namespace().proposed(), None);
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
