//! Any bytes where a session, or a sealed one, is expected.
//!
//! Input: a byte that says which, then the bytes.
//!
//! | which, modulo 6 | the bytes are |
//! | --- | --- |
//! | 0 | a serialised session |
//! | 1 | the same; magic, form and payload length are put right first |
//! | 2 | a sealed session |
//! | 3 | the same; all of its head but the nonce is put right first |
//! | 4 | what is inside of a sealed session: encrypted with the right key first |
//! | 5 | which byte of a sealed session is changed (two), by what, and the session as in 1 |
//!
//! What is accepted encodes to the same bytes again. Nothing allocates more than four times what it
//! is given.

use super::der::Mutate;
use halfshake::session::{KeyRing, Namespace, SealError, SealKey, Session};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::LazyLock;

const SECRET: [u8; 32] = [5; 32];
const KEY_NUMBER: u32 = 0x4142_4344;
/// Magic, form, algorithm, number of the key.
const HEAD: [u8; 8] = *b"HX\x01\x01ABCD";
const NAME: &[u8] = b"www";
const ID: &[u8] = &[7; 32];
/// Where the namespace, the id and the payload of a serialised session begin.
const NAME_AT: usize = 36;
const ID_AT: usize = 68;
const PAYLOAD_AT: usize = 132;
/// What opening takes beside the session: the associated data.
const ASSOCIATED: usize = 128;

/// Counts what the thread allocates: to be the allocator of whoever runs this.
pub struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // Without effect while the thread ends.
    let _ = ALLOCATED.try_with(|sum| sum.set(sum.get().saturating_add(bytes)));
}

#[allow(unsafe_code, reason = "an allocator")]
// SAFETY: all is left to the system's allocator, under its own contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: what the caller gives back is the system's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Mutates an input: three times of four what guards the rest is put right again.
pub fn mutate(data: &mut [u8], size: usize, most: usize, seed: u32, any: Mutate) -> usize {
    let size = any(data, size, most);
    if !seed.is_multiple_of(4)
        && let Some((which, bytes)) = data[..size].split_first_mut()
    {
        repair(*which, bytes);
    }
    size
}

/// Puts the head of a sealed session right; of another one what `mend` does, lengths, zeros and the
/// order of times.
fn repair(which: u8, bytes: &mut [u8]) {
    let bytes = match which % 6 {
        2 | 3 => {
            let len = bytes.len().min(HEAD.len());
            return bytes[..len].copy_from_slice(&HEAD[..len]);
        }
        5 => bytes.get_mut(3..).unwrap_or_default(),
        _ => bytes,
    };
    if bytes.len() < PAYLOAD_AT {
        return;
    }
    mend(bytes);
    let (id, name) = (1 + (bytes[3].max(1) - 1) % 64, 1 + (bytes[4].max(1) - 1) % 32);
    bytes[3..6].copy_from_slice(&[id, name, 0]);
    bytes[NAME_AT + usize::from(name)..ID_AT].fill(0);
    bytes[ID_AT + usize::from(id)..PAYLOAD_AT].fill(0);
    // Big-endian, so they are ordered as bytes are.
    bytes[8..32].as_chunks_mut::<8>().0.sort_unstable();
}

/// Runs `f`, which may allocate so many bytes altogether.
fn within<R>(most: usize, f: impl FnOnce() -> R) -> R {
    let before = ALLOCATED.get();
    let done = f();
    let took = ALLOCATED.get() - before;
    assert!(took <= most, "{took} bytes were allocated, of at most {most}");
    done
}

/// Without the allocator above nothing would be too much.
fn assert_counted() {
    let before = ALLOCATED.get();
    drop(std::hint::black_box(Vec::<u8>::with_capacity(1)));
    assert_ne!(ALLOCATED.get(), before, "nobody counts what is allocated");
}

fn read(bytes: &[u8]) -> Option<Session> {
    let read = within(4 * bytes.len(), || Session::from_bytes(bytes));
    let session = read.inspect_err(|malformed| drop(malformed.to_string())).ok()?;
    assert_eq!(session.to_bytes().as_slice(), bytes, "two encodings of one session");
    let (name, id, times) = (session.namespace(), session.id(), session.times());
    assert!((1..=32).contains(&name.as_bytes().len()) && (1..=64).contains(&id.as_bytes().len()));
    assert!(times.created() <= times.not_after() && times.not_after() <= times.auth_not_after());
    let copy = Session::new(name, *id, session.version(), times, session.payload());
    assert!(copy == session && !copy.is_same(&session));
    assert_eq!(session.references(), 1);
    Some(session)
}

fn open(ring: &KeyRing, name: &[u8], id: &[u8], sealed: &[u8]) -> Result<Session, SealError> {
    let name = Namespace::new(name).expect("short");
    let opened = within(4 * sealed.len() + ASSOCIATED, || ring.open(&name, id, sealed));
    opened.inspect_err(|error| drop(error.to_string()))
}

/// Puts the fields right without which nothing else is looked at.
fn mend(bytes: &mut [u8]) {
    let Some(payload) = bytes.len().checked_sub(PAYLOAD_AT) else { return };
    bytes[..3].copy_from_slice(b"HS\x01");
    let len = u32::try_from(payload).expect("an input is small");
    bytes[32..36].copy_from_slice(&len.to_be_bytes());
}

/// Seals what need not be a session, for `NAME` and `ID`.
fn seal(plain: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &SECRET).expect("32 bytes"));
    let associated = [&HEAD[..], &[3], NAME, ID].concat();
    let mut body = plain.to_vec();
    let nonce = Nonce::assume_unique_for_key([9; NONCE_LEN]);
    key.seal_in_place_append_tag(nonce, Aad::from(associated), &mut body).expect("small");
    [&HEAD[..], &[9; NONCE_LEN], &body].concat()
}

fn inside(ring: &KeyRing, plain: &[u8]) {
    let sealed = seal(plain);
    let expected = Session::from_bytes(plain).map_err(SealError::Malformed);
    assert!(open(ring, NAME, ID, &sealed) == expected, "what is inside was read differently");
    for (name, id) in [(b"ww".as_slice(), ID), (NAME, &ID[..31]), (b"www\x07", &ID[..31])] {
        let opened = open(ring, name, id, &sealed);
        assert!(opened == Err(SealError::Forged), "opened for another id or namespace");
    }
}

/// A session that was sealed opens; changed in one byte it does not.
fn changed(ring: &KeyRing, at: u16, by: u8, session: &Session) {
    let mut sealed = ring.seal(session).expect("a fresh key");
    let (name, id) = (session.namespace().as_bytes(), session.id().as_bytes());
    assert!(open(ring, name, id, &sealed).as_ref() == Ok(session), "it does not open");
    let at = usize::from(at) % sealed.len();
    sealed[at] ^= by;
    assert_eq!(open(ring, name, id, &sealed).is_ok(), by == 0, "changed, and opened");
    sealed.truncate(at);
    assert!(open(ring, name, id, &sealed).is_err(), "cut off, and opened");
}

/// Made once: a key takes longer to expand than most inputs to read.
static RING: LazyLock<KeyRing> =
    LazyLock::new(|| KeyRing::new(SealKey::new(KEY_NUMBER, &SECRET), 2));

/// Reads the bytes of an input.
pub fn run(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    assert_counted();
    let ring = &*RING;
    let mut bytes = bytes.to_vec();
    match which % 6 {
        0 => drop(read(&bytes)),
        1 => {
            mend(&mut bytes);
            read(&bytes);
        }
        2 => assert!(open(ring, NAME, ID, &bytes).is_err(), "forged, and opened"),
        3 => {
            let len = bytes.len().min(HEAD.len());
            bytes[..len].copy_from_slice(&HEAD[..len]);
            let refused = open(ring, NAME, ID, &bytes);
            let short = bytes.len() < HEAD.len() + NONCE_LEN;
            let why = if short { SealError::Form } else { SealError::Forged };
            assert!(refused == Err(why), "forged, and opened");
        }
        4 => inside(ring, &bytes),
        _ => {
            let Some(([at0, at1, by], bytes)) = bytes.split_first_chunk_mut() else { return };
            mend(bytes);
            if let Some(session) = read(bytes) {
                changed(ring, u16::from_be_bytes([*at0, *at1]), *by, &session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_repaired_is_read() {
        for byte in 0..=255 {
            let mut bytes = [byte; 200];
            repair(0, &mut bytes);
            assert!(Session::from_bytes(&bytes).is_ok(), "{byte}");
        }
    }
}
