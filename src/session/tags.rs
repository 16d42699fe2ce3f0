//! Ids with a keyed tag (feature `tagged-ids`): an id that was not minted here is told from one
//! that was before anything is looked up.
//!
//! An id has 32 bytes: 24 random ones, then 8 of tag: `SipHash-2-4`, with the key, of the length of
//! the namespace, the namespace and the random bytes. Guessing one takes 2^63 tries. Who has seen
//! an id can offer it again: a tag says where an id comes from, not who offers it.

use super::id::{Namespace, SessionId};
use crate::sync::Swap;
use siphasher::sip::SipHasher24;
use std::convert::Infallible;
use std::fmt::{Debug, Formatter};
use std::hash::Hasher;
use std::sync::Arc;
use zeroize::Zeroizing;

const RANDOM: usize = 24;
const TAG: usize = 8;
const LEN: usize = RANDOM + TAG;

/// A secret that tags are made with. Servers that share sessions share it.
#[derive(Clone, PartialEq, Eq)]
pub struct IdTagKey(Zeroizing<[u8; 16]>);

/// The operating system gave no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random numbers to be had")]
pub struct NoRandom;

impl IdTagKey {
    /// A key from 16 secret bytes, which must be random.
    #[must_use]
    pub fn new(secret: &[u8; 16]) -> Self {
        Self(Zeroizing::new(*secret))
    }

    /// A key that nobody else has: ids of before a restart are foreign after it.
    ///
    /// # Errors
    /// [`NoRandom`].
    pub fn random() -> Result<Self, NoRandom> {
        let mut key = Self::new(&[0; 16]);
        getrandom::fill(&mut *key.0).map_err(|_| NoRandom)?;
        Ok(key)
    }

    fn tag(&self, namespace: &Namespace, random: &[u8]) -> [u8; TAG] {
        let name = namespace.as_bytes();
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&[u8::try_from(name.len()).unwrap_or(u8::MAX)]);
        hasher.write(name);
        hasher.write(random);
        hasher.finish().to_le_bytes()
    }
}

impl Debug for IdTagKey {
    /// Without the secret.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdTagKey")
    }
}

/// Mints ids, and tells those that it has minted from others. For a TLS library that lets its
/// caller choose the ids (OpenSSL's `SSL_CTX_set_generate_session_id`); rustls does not.
///
/// The first key mints, all of them recognise. Can be rotated while others mint and recognise.
///
/// ```
/// use halfshake::session::{IdTagKey, IdTags, Namespace, Rejection, SessionCache};
/// use std::sync::Arc;
///
/// let tags = Arc::new(IdTags::new(IdTagKey::random()?, 2));
/// let cache = SessionCache::<()>::builder().capacity(100).id_tags(tags.clone()).build()?;
/// let namespace = Namespace::new(b"www")?;
/// let session = cache.make(&namespace, tags.mint(&namespace)?, 0x0304, b"secret");
/// cache.add(&session)?;
/// assert!(cache.resume(&(), &namespace, session.id().as_bytes()).is_some());
/// assert!(cache.resume(&(), &namespace, &[7; 32]).is_none());
/// assert_eq!(cache.stats().rejected_for(Rejection::ForeignId), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IdTags {
    /// The one that mints first, then the newest; never empty.
    keys: Swap<Vec<IdTagKey>>,
    most: usize,
}

impl IdTags {
    /// Tags of one key, which will keep the `most` newest ones (at least 1).
    #[must_use]
    pub fn new(first: IdTagKey, most: usize) -> Self {
        Self { keys: Swap::new(Some(Arc::new(vec![first]))), most: most.max(1) }
    }

    /// Mints with this key from now on, a new one or one that was accepted before; the oldest one
    /// goes if there are too many.
    pub fn rotate(&self, key: &IdTagKey) {
        self.put(key, 0);
    }

    /// Recognises ids of this key, too: the first step of a rotation over several servers. It
    /// changes nothing if there is room for one key only.
    pub fn accept(&self, key: &IdTagKey) {
        self.put(key, 1);
    }

    fn put(&self, key: &IdTagKey, at: usize) {
        let Ok(()) = self.keys.try_update::<Infallible>(|keys| {
            if keys.first() != Some(key) {
                keys.retain(|other| other != key);
                keys.insert(at.min(keys.len()), key.clone());
                keys.truncate(self.most);
            }
            Ok(())
        });
    }

    /// A new id.
    ///
    /// # Errors
    /// [`NoRandom`].
    #[expect(clippy::missing_panics_doc, reason = "there is always a key, and 32 bytes are an id")]
    pub fn mint(&self, namespace: &Namespace) -> Result<SessionId, NoRandom> {
        let mut id = [0; LEN];
        let (random, tag) = id.split_at_mut(RANDOM);
        getrandom::fill(random).map_err(|_| NoRandom)?;
        let keys = self.keys.load();
        let key = keys.as_ref().and_then(|keys| keys.first()).expect("there is always a key");
        tag.copy_from_slice(&key.tag(namespace, random));
        Ok(SessionId::new(&id).expect("32 bytes"))
    }

    /// Whether an id was minted here, for that namespace. Takes no lock, allocates nothing, and
    /// takes the same time for every id of 32 bytes.
    #[must_use]
    pub fn recognises(&self, namespace: &Namespace, id: &[u8]) -> bool {
        let Some((random, tag)) = id.split_at_checked(RANDOM) else { return false };
        let Ok(tag) = <[u8; TAG]>::try_from(tag) else { return false };
        let keys = self.keys.load();
        let of = |key: &IdTagKey| {
            (u64::from_le_bytes(key.tag(namespace, random)) ^ u64::from_le_bytes(tag)) == 0
        };
        keys.iter().flat_map(|keys| keys.iter()).fold(false, |found, key| found | of(key))
    }
}

impl Debug for IdTags {
    /// Without secrets.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdTags").field("most", &self.most).finish_non_exhaustive()
    }
}
