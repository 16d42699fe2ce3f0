//! A session as the internal cache holds it: its id and namespace are the key, this is the value.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | landing number: 0, unless a look-up outside stored it (`flights.rs`) |
//! | 8 | 24 | created, not_after, auth_not_after |
//! | 32 | 2 | protocol version |
//! | 34 | | payload |

use super::id::{Namespace, SessionId, split};
use super::record::{Session, Times};
use crate::wiping::Wiping;

const VERSION_AT: usize = 32;
const PAYLOAD_AT: usize = 34;

/// The value of a session, wiped after the copy.
pub(super) fn encode(session: &Session, landing: u64) -> Wiping {
    encode_parts(session.times(), session.version(), session.payload(), landing)
}

/// The same of a session that is no value (yet).
pub(super) fn encode_parts(times: Times, version: u16, payload: &[u8], landing: u64) -> Wiping {
    let mut value = Wiping::new(Vec::with_capacity(PAYLOAD_AT + payload.len()));
    value.push(&landing.to_le_bytes());
    for word in times.to_words() {
        value.push(&word.to_le_bytes());
    }
    value.push(&version.to_le_bytes());
    value.push(payload);
    value
}

/// The landing number of an entry.
pub(super) fn landing(value: &[u8]) -> u64 {
    u64::from_le_bytes(chunk(value, 0))
}

/// What a value says of its session, wherever that came from, and however often it was renewed:
/// version and payload. Equal for equal sessions of one id.
pub(super) fn content(value: &[u8]) -> &[u8] {
    value.get(VERSION_AT..).unwrap_or_default()
}

fn chunk<const N: usize>(value: &[u8], at: usize) -> [u8; N] {
    let field = value.get(at..).and_then(<[u8]>::first_chunk);
    *field.expect("only `encode` makes the values of a session cache")
}

/// A session where it lies.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn namespace(self) -> &'a [u8] {
        split(self.key).0
    }

    pub(super) fn id(self) -> &'a [u8] {
        split(self.key).1
    }

    pub(super) fn version(self) -> u16 {
        u16::from_le_bytes(chunk(self.value, VERSION_AT))
    }

    pub(super) fn times(self) -> Times {
        let words = [8, 16, 24].map(|at| u64::from_le_bytes(chunk(self.value, at)));
        Times::from_words(words).expect("the times of a session are in order")
    }

    pub(super) fn payload(self) -> &'a [u8] {
        self.value.get(PAYLOAD_AT..).unwrap_or_default()
    }

    pub(super) fn to_session(self) -> Session {
        let namespace = Namespace::new(self.namespace()).expect("a key has a namespace");
        let id = SessionId::new(self.id()).expect("a key has an id");
        Session::new(&namespace, id, self.version(), self.times(), self.payload())
    }
}
