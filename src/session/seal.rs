//! Sessions sealed for where others can read or write: a disk, a database (feature `seal`).
//!
//! # The sealed form, version 1
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 2 | `"HX"` |
//! | 2 | 1 | version of this form: 1 |
//! | 3 | 1 | algorithm: 1 is AES-256-GCM |
//! | 4 | 4 | number of the key, big-endian |
//! | 8 | 12 | nonce, random |
//! | 20 | | the serialised form of the session, encrypted |
//! | -16 | 16 | tag |
//!
//! The associated data is the first eight bytes, the length of the namespace, the namespace and the
//! id: what was sealed under one id or namespace does not open under another.
//!
//! # Keys
//!
//! The first key of a ring seals, all of them open. Rotate at least as often as sessions time
//! out twice, and keep as many keys as a session may live through. Where several servers share a
//! store, give a new key to all of them first ([`KeyRing::accept`]), and let them seal with it only
//! then ([`KeyRing::promote`]). A key must seal 2^32 sessions at
//! most, for nonces are random: each [`SealKey`] counts its own ([`SealKey::counting_on`] keeps the
//! count of one that is read again), so where a key outlives the process, or several servers have
//! it, rotate before they have sealed as many together. ring does
//! not wipe what it expands a secret to; wiping the secret that a key is made from is up to whoever
//! brings it.

use super::id::{ID_MAX, Key, Namespace};
use super::record::{Malformed, Session};
use crate::sync::{Ordering, PlainU64, Swap};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt::{Debug, Formatter};
use std::sync::Arc;
use zeroize::Zeroizing;

const MAGIC: [u8; 2] = *b"HX";
const FORM: u8 = 1;
const AES_256_GCM_HERE: u8 = 1;
/// Magic, form, algorithm and number: what is authenticated as it stands.
const HEAD: usize = 8;
const SECRET_LEN: usize = 32;
const MOST_SEALED: u64 = 1 << 32;

/// Why something was not sealed, not opened, or not added to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Not a sealed session of a form that is known.
    #[error("not a sealed session of a known form")]
    Form,
    /// The ring has no key of this number (any more).
    #[error("no key number {0}")]
    UnknownKey(u32),
    /// Damaged, sealed with another key, or sealed under another id or namespace.
    #[error("damaged, or sealed for another id, namespace or key")]
    Forged,
    /// Genuine, and no session all the same.
    #[error("sealed, but no session: {0}")]
    Malformed(Malformed),
    /// The key has sealed as much as it may: rotate.
    #[error("key number {0} has sealed as many sessions as one key may")]
    WornOut(u32),
    /// The ring has a key of that number.
    #[error("there is a key number {0} already")]
    SameNumber(u32),
    /// The ring keeps one key only, the one that seals.
    #[error("the ring keeps one key only: there is no room for one that only opens")]
    OneKey,
    /// The operating system gave no random numbers.
    #[error("no random numbers to be had")]
    Random,
}

/// A key with a number by which it is found again.
pub struct SealKey {
    number: u32,
    key: LessSafeKey,
    /// Shared with the same key in another ring.
    sealed: Arc<PlainU64>,
}

impl SealKey {
    /// A key from 32 secret bytes, which must be random: its strength is theirs.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the length is the type's")]
    pub fn new(number: u32, secret: &[u8; SECRET_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, secret).expect("32 bytes are a key");
        Self { number, key: LessSafeKey::new(key), sealed: Arc::new(PlainU64::new(0)) }
    }

    /// A key that nobody else has: what it seals can't be opened after a restart.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn random(number: u32) -> Result<Self, SealError> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        SystemRandom::new().fill(&mut *secret).map_err(|_| SealError::Random)?;
        Ok(Self::new(number, &secret))
    }

    /// The key, counting what it seals together with the key of its number in another ring, if
    /// there is one: for a key that has been read again.
    #[must_use]
    pub fn counting_on(mut self, ring: &KeyRing) -> Self {
        if let Some(same) = ring.keys().iter().find(|key| key.number == self.number) {
            self.sealed = same.sealed.clone();
        }
        self
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// The keys of a cache, or of all servers that share a store. Can be rotated while others seal and
/// open.
///
/// ```
/// use halfshake::session::{KeyRing, Namespace, SealKey, Session, SessionId, Times};
/// use std::time::Duration;
///
/// let ring = KeyRing::new(SealKey::random(1)?, 3);
/// let (name, id) = (Namespace::new(b"www")?, SessionId::new(b"id")?);
/// let times = Times::new(Duration::ZERO, Duration::MAX, Duration::MAX);
/// let sealed = ring.seal(&Session::new(&name, id, 0x0303, times, b"secret"))?;
/// ring.rotate(SealKey::random(2)?)?;
/// assert_eq!(ring.open(&name, b"id", &sealed)?.payload(), b"secret");
/// assert!(ring.open(&name, b"another", &sealed).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeyRing {
    /// The one that seals first, then the newest; never empty.
    keys: Swap<Vec<Arc<SealKey>>>,
    most: usize,
}

impl KeyRing {
    /// A ring of one key, which will keep the `most` newest ones (at least 1).
    #[must_use]
    pub fn new(first: SealKey, most: usize) -> Self {
        let keys = Swap::new(Some(Arc::new(vec![Arc::new(first)])));
        Self { keys, most: most.max(1) }
    }

    fn keys(&self) -> Arc<Vec<Arc<SealKey>>> {
        self.keys.load_full().expect("a ring always has a key")
    }

    /// Seals with a new key from now on; the oldest one goes if there are too many.
    ///
    /// # Errors
    /// [`SealError::SameNumber`]; nothing has changed then.
    pub fn rotate(&self, key: SealKey) -> Result<(), SealError> {
        self.add(Arc::new(key), 0)
    }

    /// Opens what a new key has sealed, too, and does not seal with it: the first step of a
    /// rotation over several servers. The oldest key goes if there are too many.
    ///
    /// # Errors
    /// [`SealError::SameNumber`], or [`SealError::OneKey`] if the ring keeps only the key that
    /// seals; nothing has changed then.
    pub fn accept(&self, key: SealKey) -> Result<(), SealError> {
        if self.most == 1 {
            return Err(SealError::OneKey);
        }
        self.add(Arc::new(key), 1)
    }

    /// Seals with a key of the ring from now on: the second step, when all servers open with it.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`]; nothing has changed then.
    pub fn promote(&self, number: u32) -> Result<(), SealError> {
        self.keys.try_update(|keys| {
            let at = keys.iter().position(|key| key.number == number);
            keys[..=at.ok_or(SealError::UnknownKey(number))?].rotate_right(1);
            Ok(())
        })
    }

    fn add(&self, key: Arc<SealKey>, at: usize) -> Result<(), SealError> {
        self.keys.try_update(|keys| {
            if keys.iter().any(|k| k.number == key.number) {
                return Err(SealError::SameNumber(key.number));
            }
            keys.insert(at, key.clone());
            keys.truncate(self.most);
            Ok(())
        })
    }

    /// The numbers of the keys: the first one seals, all of them open.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        self.keys().iter().map(|key| key.number).collect()
    }

    /// What the key of that number has sealed, if the ring has one: see the module's documentation
    /// for how much it may.
    #[must_use]
    pub fn sealed(&self, number: u32) -> Option<u64> {
        let keys = self.keys();
        let key = keys.iter().find(|key| key.number == number)?;
        // Relaxed: a counter.
        Some(key.sealed.load(Ordering::Relaxed))
    }

    /// Seals a session under its own id and namespace.
    ///
    /// # Errors
    /// [`SealError::WornOut`], [`SealError::Random`].
    ///
    /// # Panics
    /// As [`Session::to_bytes`].
    pub fn seal(&self, session: &Session) -> Result<Vec<u8>, SealError> {
        let keys = self.keys();
        let key = keys.first().expect("a ring always has a key");
        // Relaxed: a read-modify-write, so each seal has a number of its own.
        if key.sealed.fetch_add(1, Ordering::Relaxed) >= MOST_SEALED {
            return Err(SealError::WornOut(key.number));
        }
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
        let plain = session.to_bytes();
        // Allocated once: what is encrypted in place is not left behind as it was.
        let tag_len = AES_256_GCM.tag_len();
        let mut out = Vec::with_capacity(HEAD + NONCE_LEN + plain.len() + tag_len);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FORM, AES_256_GCM_HERE]);
        out.extend_from_slice(&key.number.to_be_bytes());
        out.extend_from_slice(&nonce);
        let associated = associated(&out[..HEAD], session.namespace(), session.id().as_bytes())?;
        out.extend_from_slice(&plain);
        let tag = key.key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            &mut out[HEAD + NONCE_LEN..],
        );
        out.extend_from_slice(tag.map_err(|_| SealError::Form)?.as_ref());
        Ok(out)
    }

    /// Opens what was sealed for this id and namespace.
    ///
    /// # Errors
    /// Every [`SealError`] but the ones of sealing.
    pub fn open(
        &self,
        namespace: &Namespace,
        id: &[u8],
        sealed: &[u8],
    ) -> Result<Session, SealError> {
        let (head, rest) = sealed.split_first_chunk::<HEAD>().ok_or(SealError::Form)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Form)?;
        let [m0, m1, FORM, AES_256_GCM_HERE, n0, n1, n2, n3] = *head else {
            return Err(SealError::Form);
        };
        if [m0, m1] != MAGIC {
            return Err(SealError::Form);
        }
        let number = u32::from_be_bytes([n0, n1, n2, n3]);
        let keys = self.keys();
        let key = keys.iter().find(|key| key.number == number);
        let key = key.ok_or(SealError::UnknownKey(number))?;
        let associated = associated(head, namespace, id)?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = key.key.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(associated),
            &mut body,
        );
        let plain = plain.map_err(|_| SealError::Forged)?;
        Session::from_bytes(plain).map_err(SealError::Malformed)
    }
}

/// Head, then the namespace with its length, then the id. An id that no session can have opens
/// nothing.
fn associated(head: &[u8], namespace: &Namespace, id: &[u8]) -> Result<Vec<u8>, SealError> {
    let key = Key::new(namespace, id, ID_MAX).ok_or(SealError::Forged)?;
    Ok([head, key.bytes()].concat())
}

impl Debug for SealKey {
    /// Without the secret.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealKey").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Debug for KeyRing {
    /// Without secrets.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("numbers", &self.numbers()).finish_non_exhaustive()
    }
}
