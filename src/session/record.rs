//! Sessions as values: immutable, counted, wiped; and the form in which they leave the process.
//!
//! # The serialised form, version 1
//!
//! Fixed-width fields, numbers big-endian. One record has one encoding: what
//! [`Session::from_bytes`] accepts, [`Session::to_bytes`] gives back byte for byte.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 2 | `"HS"` |
//! | 2 | 1 | version of this form: 1 |
//! | 3 | 1 | length of the id, 1 to 64 |
//! | 4 | 1 | length of the namespace, 1 to 32 |
//! | 5 | 1 | 0 |
//! | 6 | 2 | protocol version, as on the wire (0x0303 is TLS 1.2) |
//! | 8 | 8 | created, in milliseconds since 1970 |
//! | 16 | 8 | `not_after`, the same; not before created, not after the next |
//! | 24 | 8 | `auth_not_after`, the same |
//! | 32 | 4 | length of the payload: exactly what follows the ids |
//! | 36 | 32 | namespace, then zeros |
//! | 68 | 64 | id, then zeros |
//! | 132 | | payload |

use super::id::{ID_MAX, NAMESPACE_MAX, Namespace, SessionId};
use std::fmt::{Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

const MAGIC: [u8; 2] = *b"HS";
const FORM: u8 = 1;
/// Where the payload begins.
const PAYLOAD_AT: usize = 132;

/// When a session was made and how long it may be used: wall time, as durations since 1970, in
/// whole milliseconds.
///
/// It is expired when `now >= not_after`. `auth_not_after` is the end of what the first
/// authentication is good for: a renewal may move `not_after` up to it, and never past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    created: u64,
    not_after: u64,
    auth_not_after: u64,
}

impl Times {
    /// `auth_not_after` bounds the other two, and `not_after` is not before `created`: a session
    /// that would end before it began has expired from the beginning.
    #[must_use]
    pub fn new(created: Duration, not_after: Duration, auth_not_after: Duration) -> Self {
        let auth_not_after = milliseconds(auth_not_after);
        let created = milliseconds(created).min(auth_not_after);
        let not_after = milliseconds(not_after).clamp(created, auth_not_after);
        Self { created, not_after, auth_not_after }
    }

    /// When the session was made.
    #[must_use]
    pub fn created(&self) -> Duration {
        Duration::from_millis(self.created)
    }

    /// From when on it is expired.
    #[must_use]
    pub fn not_after(&self) -> Duration {
        Duration::from_millis(self.not_after)
    }

    /// What no renewal passes.
    #[must_use]
    pub fn auth_not_after(&self) -> Duration {
        Duration::from_millis(self.auth_not_after)
    }

    /// The times of a session that is renewed `now`, for `timeout` more: the first authentication
    /// is no younger for it.
    #[must_use]
    pub fn renewed(&self, now: Duration, timeout: Duration) -> Self {
        Self::new(now, now.saturating_add(timeout), self.auth_not_after())
    }

    pub(super) fn to_words(self) -> [u64; 3] {
        [self.created, self.not_after, self.auth_not_after]
    }

    /// `None` if the three are out of order.
    pub(super) fn from_words([created, not_after, auth_not_after]: [u64; 3]) -> Option<Self> {
        let ordered = created <= not_after && not_after <= auth_not_after;
        ordered.then_some(Self { created, not_after, auth_not_after })
    }
}

/// Whole milliseconds; what no word can tell is the end of time.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A session: immutable. Its secrets are wiped with the last clone.
///
/// A clone is one more reference to the same session (`SSL_SESSION_up_ref`). Neither its id
/// nor its payload appears in `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Session(Arc<Record>);

#[derive(PartialEq, Eq)]
struct Record {
    id: SessionId,
    namespace: Namespace,
    version: u16,
    times: Times,
    payload: Zeroizing<Box<[u8]>>,
}

/// Bytes that are no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Not the first two bytes of a session.
    #[error("not a session: it does not begin as one")]
    Magic,
    /// Another version of the form.
    #[error("form {0} of a session is unknown")]
    Form(u8),
    /// Shorter or longer than it says.
    #[error("{have} bytes, where a session of {want} was expected")]
    Length {
        /// What it should have, or the least.
        want: usize,
        /// What it has.
        have: usize,
    },
    /// An id or a namespace of a length that neither has.
    #[error("an id or a namespace of an impossible length")]
    Name,
    /// Times that are out of order.
    #[error("times out of order")]
    Times,
    /// Something where zeros belong.
    #[error("bytes that should be 0 are not")]
    Padding,
}

impl Session {
    /// A session. The payload is opaque: what the TLS library needs to resume it. It is copied
    /// into memory that is wiped.
    ///
    /// Counterpart: `SSL_SESSION_new` and its setters.
    #[must_use]
    pub fn new(
        namespace: &Namespace,
        id: SessionId,
        version: u16,
        times: Times,
        payload: &[u8],
    ) -> Self {
        let payload = Zeroizing::new(Box::from(payload));
        Self(Arc::new(Record { id, namespace: namespace.clone(), version, times, payload }))
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.0.id
    }

    /// Who may resume it.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The protocol version that it was negotiated for, as on the wire.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.0.version
    }

    /// When it was made, and until when it may be used.
    #[must_use]
    pub fn times(&self) -> Times {
        self.0.times
    }

    /// What the TLS library put in. Secret.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// The same session with other times: see [`Times::renewed`].
    #[must_use]
    pub fn with_times(&self, times: Times) -> Self {
        Self::new(&self.0.namespace, self.0.id, self.0.version, times, &self.0.payload)
    }

    /// How many clones there are of it.
    #[must_use]
    pub fn references(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Whether both are clones of one session, and not only equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The serialised form, to write to disk or a database: see the module's documentation. It
    /// holds the secrets in the clear: seal
    /// it (feature `seal`) before it leaves the machine.
    ///
    /// Counterpart: `i2d_SSL_SESSION`.
    ///
    /// # Panics
    /// If the payload has more than 4 GiB.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let (id, name) = (self.id().as_bytes(), self.namespace().as_bytes());
        let payload = self.payload();
        let len = u32::try_from(payload.len()).expect("a payload of less than 4 GiB");
        // Allocated once: a vector that grows leaves unwiped copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(PAYLOAD_AT + payload.len()));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FORM, length(id), length(name), 0]);
        out.extend_from_slice(&self.version().to_be_bytes());
        for word in self.times().to_words() {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(name);
        out.resize(36 + NAMESPACE_MAX, 0);
        out.extend_from_slice(id);
        out.resize(PAYLOAD_AT, 0);
        out.extend_from_slice(payload);
        out
    }

    /// A session from its serialised form. Whether it may be used is another question: a cache
    /// asks it of everything that comes from outside.
    ///
    /// Counterpart: `d2i_SSL_SESSION`.
    ///
    /// # Errors
    /// [`Malformed`]. Nothing is allocated before the length is checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let too_short = Malformed::Length { want: PAYLOAD_AT, have: bytes.len() };
        let (head, payload) = bytes.split_at_checked(PAYLOAD_AT).ok_or(too_short)?;
        let mut fields = Fields(head);
        if fields.take::<2>() != MAGIC {
            return Err(Malformed::Magic);
        }
        let [form, id_len, name_len, zero] = fields.take();
        if form != FORM {
            return Err(Malformed::Form(form));
        }
        let version = u16::from_be_bytes(fields.take());
        let words = [(); 3].map(|()| u64::from_be_bytes(fields.take()));
        let len = u32::from_be_bytes(fields.take()) as usize;
        let (name, id) = (fields.take::<NAMESPACE_MAX>(), fields.take::<ID_MAX>());
        if payload.len() != len {
            return Err(Malformed::Length { want: PAYLOAD_AT + len, have: bytes.len() });
        }
        let (name, name_rest) =
            name.split_at_checked(usize::from(name_len)).ok_or(Malformed::Name)?;
        let (id, id_rest) = id.split_at_checked(usize::from(id_len)).ok_or(Malformed::Name)?;
        if zero != 0 || name_rest.iter().chain(id_rest).any(|byte| *byte != 0) {
            return Err(Malformed::Padding);
        }
        let namespace = Namespace::new(name).map_err(|_| Malformed::Name)?;
        let id = SessionId::new(id).map_err(|_| Malformed::Name)?;
        let times = Times::from_words(words).ok_or(Malformed::Times)?;
        Ok(Self::new(&namespace, id, version, times, payload))
    }
}

/// The length of an id or a namespace: both are short.
fn length(name: &[u8]) -> u8 {
    u8::try_from(name.len()).expect("at most 64 bytes")
}

/// The head, read from the front.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the head has all fields");
        self.0 = rest;
        *field
    }
}

impl Debug for Session {
    /// Without id and payload, which are secret.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("namespace", self.namespace())
            .field("version", &self.version())
            .field("times", &self.times())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}
