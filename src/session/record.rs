//! Sessions: as an embedder makes them, as the cache lends them, and as bytes.
//!
//! # The serialised form
//!
//! What [`SessionView::to_bytes`] writes and [`Session::from_bytes`] reads; numbers are big-endian,
//! times are milliseconds since the Unix epoch. A record has one encoding, and everything else is
//! refused.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 | version of the form: 1 |
//! | 1 | length of the namespace, `n`: 1 to 32 |
//! | 2 | length of the id, `i`: 1 to 64 |
//! | 3 | 0 |
//! | 4..6 | protocol version, as on the wire (0x0303, 0x0304) |
//! | 6..8 | 0 |
//! | 8..16 | when the session was created |
//! | 16..24 | from when on it is expired; not before it was created |
//! | 24..32 | the end of its authentication; not before it expires |
//! | 32..36 | length of the payload, `p` |
//! | 36.. | namespace (`n` bytes), id (`i`), payload (`p`), and nothing more |

use super::id::{Key, NAMESPACE_MAX, Namespace, SESSION_ID_LIMIT, SessionId};
use std::fmt::{Debug, Formatter};
use std::time::Duration;
use zeroize::Zeroizing;

/// The version of the serialised form.
const FORM: u8 = 1;
/// Bytes of the serialised form before the namespace.
const FORM_HEADER: usize = 36;
/// Bytes of an entry's value before the payload.
pub(super) const VALUE_HEADER: usize = 32;

/// The times of a session, in time since the Unix epoch, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was negotiated (or renewed).
    pub created: Duration,
    /// From when on it is expired.
    pub not_after: Duration,
    /// The first authentication plus the maximum lifetime: no renewal goes past it.
    pub auth_not_after: Duration,
}

/// A session that was negotiated just now: what [`new_session`](super::SessionCache::new_session)
/// takes. The cache gives it its namespace and times.
pub struct NewSession {
    pub(super) id: SessionId,
    pub(super) version: u16,
    pub(super) payload: Zeroizing<Vec<u8>>,
    pub(super) timeout: Option<Duration>,
    pub(super) auth_not_after: Option<Duration>,
}

impl NewSession {
    /// A session of this id and protocol version (as on the wire: 0x0303, 0x0304); the payload is
    /// the embedder's own. It is wiped when it is dropped.
    #[must_use]
    pub fn new(id: SessionId, version: u16, payload: Vec<u8>) -> Self {
        let payload = Zeroizing::new(payload);
        Self { id, version, payload, timeout: None, auth_not_after: None }
    }

    /// A timeout of its own (`SSL_SESSION_set_timeout(3)`). 0: it expires at once, and is not
    /// stored.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// The end of the authentication that it goes back to, if it was resumed from an older session:
    /// in time since the Unix epoch. By default the cache's maximum lifetime from now.
    #[must_use]
    pub fn auth_not_after(self, end: Duration) -> Self {
        Self { auth_not_after: Some(end), ..self }
    }
}

impl Debug for NewSession {
    /// Without id and payload.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSession").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A whole session, owned: what comes from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    namespace: Namespace,
    id: SessionId,
    version: u16,
    times: Times,
    payload: Zeroizing<Vec<u8>>,
}

impl Session {
    /// A session of these parts. The payload is wiped when it is dropped.
    #[must_use]
    pub fn new(
        namespace: Namespace,
        id: SessionId,
        version: u16,
        times: Times,
        payload: Vec<u8>,
    ) -> Self {
        Self { namespace, id, version, times, payload: Zeroizing::new(payload) }
    }

    /// All of it, borrowed.
    #[must_use]
    pub fn view(&self) -> SessionView<'_> {
        SessionView {
            namespace: self.namespace.as_bytes(),
            id: self.id.as_bytes(),
            version: self.version,
            times: self.times,
            payload: &self.payload,
        }
    }

    /// Reads the serialised form: see the [module's documentation](self).
    ///
    /// # Errors
    /// [`BadRecord`] says what was wrong. Nothing larger than the input is allocated.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadRecord> {
        let (header, rest) =
            bytes.split_at_checked(FORM_HEADER).ok_or(BadRecord::Length { len: bytes.len() })?;
        let number = |at: usize, len: usize| {
            header[at..at + len].iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte))
        };
        if header[0] != FORM {
            return Err(BadRecord::Form { form: header[0] });
        }
        if header[3] != 0 || number(6, 2) != 0 {
            return Err(BadRecord::Reserved);
        }
        let (name, id) = (usize::from(header[1]), usize::from(header[2]));
        if !(1..=NAMESPACE_MAX).contains(&name) || !(1..=SESSION_ID_LIMIT).contains(&id) {
            return Err(BadRecord::Names { namespace: name, id });
        }
        let payload = usize::try_from(number(32, 4)).unwrap_or(usize::MAX);
        if Some(rest.len()) != payload.checked_add(name + id) {
            return Err(BadRecord::Length { len: bytes.len() });
        }
        let times = Times {
            created: Duration::from_millis(number(8, 8)),
            not_after: Duration::from_millis(number(16, 8)),
            auth_not_after: Duration::from_millis(number(24, 8)),
        };
        if times.created > times.not_after || times.not_after > times.auth_not_after {
            return Err(BadRecord::Times);
        }
        let (namespace, rest) = rest.split_at(name);
        let (session, payload) = rest.split_at(id);
        let bad = BadRecord::Names { namespace: name, id };
        Ok(Self {
            namespace: Namespace::new(namespace).map_err(|_| bad)?,
            id: SessionId::new(session).map_err(|_| bad)?,
            version: u16::from_be_bytes([header[4], header[5]]),
            times,
            payload: Zeroizing::new(payload.to_vec()),
        })
    }

    /// The same, with other times.
    pub(super) fn renewed(&self, times: Times) -> SessionView<'_> {
        SessionView { times, ..self.view() }
    }
}

impl Debug for Session {
    /// Without id and payload.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}

/// Why bytes are no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRecord {
    /// Too short, or not as long as it says.
    #[error("a record of {len} bytes is not as long as its header says")]
    Length {
        /// The length that was given.
        len: usize,
    },
    /// Another version of the form.
    #[error("form {form} of a record is not known here: only {FORM} is")]
    Form {
        /// The version that it says.
        form: u8,
    },
    /// Bytes that must be 0 are not.
    #[error("reserved bytes of a record are not 0")]
    Reserved,
    /// A namespace or an id of no possible length.
    #[error("a namespace of {namespace} bytes or an id of {id} is not possible")]
    Names {
        /// The length of the namespace.
        namespace: usize,
        /// The length of the id.
        id: usize,
    },
    /// It expires before it was created, or after its authentication.
    #[error("the times of a record contradict one another")]
    Times,
}

/// A session, borrowed: from the cache's own memory, or from a [`Session`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionView<'s> {
    namespace: &'s [u8],
    id: &'s [u8],
    version: u16,
    times: Times,
    payload: &'s [u8],
}

impl<'s> SessionView<'s> {
    /// The namespace, 1 to 32 bytes.
    #[must_use]
    pub fn namespace(&self) -> &'s [u8] {
        self.namespace
    }

    /// The id, 1 to 64 bytes.
    #[must_use]
    pub fn id(&self) -> &'s [u8] {
        self.id
    }

    /// The protocol version, as on the wire.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// When it was created, and ends.
    #[must_use]
    pub fn times(&self) -> Times {
        self.times
    }

    /// What the embedder put in.
    #[must_use]
    pub fn payload(&self) -> &'s [u8] {
        self.payload
    }

    /// An owned copy.
    ///
    /// # Errors
    /// Never for what a cache lends: namespace and id have possible lengths there.
    pub fn to_session(&self) -> Result<Session, BadRecord> {
        let bad = BadRecord::Names { namespace: self.namespace.len(), id: self.id.len() };
        Ok(Session {
            namespace: Namespace::new(self.namespace).map_err(|_| bad)?,
            id: SessionId::new(self.id).map_err(|_| bad)?,
            version: self.version,
            times: self.times,
            payload: Zeroizing::new(self.payload.to_vec()),
        })
    }

    /// The serialised form (`i2d_SSL_SESSION(3)`): see the [module's documentation](self). Wiped
    /// when it is dropped; seal it before it leaves the process.
    ///
    /// # Errors
    /// [`BadRecord::Length`] if the payload has 4 GiB or more.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, BadRecord> {
        let len = self.payload.len();
        let payload = u32::try_from(len).map_err(|_| BadRecord::Length { len })?;
        let names = BadRecord::Names { namespace: self.namespace.len(), id: self.id.len() };
        let name = u8::try_from(self.namespace.len()).map_err(|_| names)?;
        let id = u8::try_from(self.id.len()).map_err(|_| names)?;
        let whole = FORM_HEADER + self.namespace.len() + self.id.len() + len;
        let mut bytes = Zeroizing::new(Vec::with_capacity(whole));
        bytes.extend([FORM, name, id, 0]);
        bytes.extend(self.version.to_be_bytes());
        bytes.extend([0, 0]);
        let Times { created, not_after, auth_not_after } = self.times;
        for time in [created, not_after, auth_not_after] {
            bytes.extend(millis(time).to_be_bytes());
        }
        bytes.extend(payload.to_be_bytes());
        bytes.extend_from_slice(self.namespace);
        bytes.extend_from_slice(self.id);
        bytes.extend_from_slice(self.payload);
        Ok(bytes)
    }

    /// The value of an entry: what its key does not say.
    pub(super) fn to_value(self) -> Zeroizing<Vec<u8>> {
        let mut value = Zeroizing::new(Vec::with_capacity(VALUE_HEADER + self.payload.len()));
        value.extend(u64::from(self.version).to_le_bytes());
        let Times { created, not_after, auth_not_after } = self.times;
        for time in [created, not_after, auth_not_after] {
            value.extend(millis(time).to_le_bytes());
        }
        value.extend_from_slice(self.payload);
        value
    }

    /// The session of an entry; `None` if `to_value` did not make it.
    pub(super) fn of_entry(key: &'s [u8], value: &'s [u8]) -> Option<Self> {
        let (namespace, id) = Key::split(key)?;
        let (header, payload) = value.split_at_checked(VALUE_HEADER)?;
        let (words, []) = header.as_chunks::<8>() else { return None };
        let word = |at: usize| words.get(at).map(|word| u64::from_le_bytes(*word));
        let times = Times {
            created: Duration::from_millis(word(1)?),
            not_after: Duration::from_millis(word(2)?),
            auth_not_after: Duration::from_millis(word(3)?),
        };
        let version = u16::try_from(word(0)?).ok()?;
        Some(Self { namespace, id, version, times, payload })
    }

    /// What `parts` of a new session make.
    pub(super) fn of_new(namespace: &'s Namespace, new: &'s NewSession, times: Times) -> Self {
        Self {
            namespace: namespace.as_bytes(),
            id: new.id.as_bytes(),
            version: new.version,
            times,
            payload: &new.payload,
        }
    }
}

impl Debug for SessionView<'_> {
    /// Without id and payload.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("version", &self.version)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

/// Whole milliseconds; as many as there can be, if there are more.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(payload: &[u8]) -> Session {
        let seconds = Duration::from_secs;
        let times =
            Times { created: seconds(10), not_after: seconds(20), auth_not_after: seconds(30) };
        let namespace = Namespace::new(b"www").expect("short");
        let id = SessionId::new(b"an id").expect("short");
        Session::new(namespace, id, 0x0304, times, payload.to_vec())
    }

    #[test]
    fn a_record_comes_back_from_its_bytes() {
        for payload in [&b""[..], b"x", &[7; 70_000]] {
            let session = session(payload);
            let bytes = session.view().to_bytes().expect("not too long");
            assert_eq!(bytes.len(), 36 + 3 + 5 + payload.len());
            assert_eq!(Session::from_bytes(&bytes), Ok(session));
        }
    }

    #[test]
    fn the_bytes_of_a_record_are_those_of_the_documentation() {
        let bytes = session(b"payload").view().to_bytes().expect("not too long");
        let header = [1, 3, 5, 0, 0x03, 0x04, 0, 0];
        let times = [10_000u64, 20_000, 30_000].map(u64::to_be_bytes).concat();
        let whole = [&header[..], &times, &[0, 0, 0, 7], b"www", b"an id", b"payload"].concat();
        assert_eq!(bytes[..], whole);
    }

    #[test]
    fn whatever_else_is_refused_with_a_reason() {
        let good = session(b"payload").view().to_bytes().expect("not too long").to_vec();
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            Session::from_bytes(&bad).expect_err("no record")
        };
        assert_eq!(with(0, 2), BadRecord::Form { form: 2 });
        assert_eq!(with(1, 0), BadRecord::Names { namespace: 0, id: 5 });
        assert_eq!(with(2, 65), BadRecord::Names { namespace: 3, id: 65 });
        assert_eq!(with(1, 4), BadRecord::Length { len: good.len() });
        assert_eq!((with(3, 1), with(7, 1)), (BadRecord::Reserved, BadRecord::Reserved));
        assert_eq!(with(8, 1), BadRecord::Times, "created after its end");
        assert_eq!(with(16, 1), BadRecord::Times, "expires after its authentication");
        assert_eq!(with(35, 8), BadRecord::Length { len: good.len() });
        for len in 0..good.len() {
            assert_eq!(Session::from_bytes(&good[..len]), Err(BadRecord::Length { len }));
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(Session::from_bytes(&longer), Err(BadRecord::Length { len: longer.len() }));
    }

    #[test]
    fn an_entry_says_the_same_as_its_session() {
        let session = session(b"payload");
        let key = Key::new(&session.namespace, b"an id").expect("short");
        let value = session.view().to_value();
        assert_eq!(SessionView::of_entry(key.bytes(), &value), Some(session.view()));
        assert_eq!(SessionView::of_entry(key.bytes(), &value[..31]), None);
        let text = format!("{session:?}");
        assert!(!text.contains("payload\"") && !text.contains("an id"), "{text}");
    }
}
