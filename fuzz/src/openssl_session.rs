//! Any bytes where a cache over OpenSSL expects a session that it has stored.
//!
//! Input: a byte that says for which version, modulo 3 (TLS 1.3, 1.2, 1.0), then the bytes: the DER
//! of a session.
//!
//! What is accepted is of the id, the namespace and the version that were asked for; it encodes
//! again, what it encodes to is accepted, too, and a connection can be given it. Every refusal is
//! counted. What it encodes to is stored, found as it was stored, taken once, and accepted again.

use super::der::{self, Mutate};
use foreign_types::ForeignTypeRef;
use halfshake::openssl::{Options, judge};
use halfshake::session::{Namespace, SessionCache, SessionId};
use halfshake::{Maintenance, ManualClock};
use openssl::ssl::{Ssl, SslContext, SslMethod, SslSession, SslSessionRef, SslVersion};
use openssl_sys::SSL_SESSION;
use std::ffi::{c_uchar, c_uint};
use std::sync::LazyLock;

const NAME: &[u8] = b"www";
const ID: [u8; 32] = [7; 32];

/// Of which nothing is stored: it counts what is refused.
static CACHE: LazyLock<SessionCache<()>> =
    LazyLock::new(|| SessionCache::builder().capacity(10).build().expect("good settings"));
static CONTEXT: LazyLock<SslContext> =
    LazyLock::new(|| SslContext::builder(SslMethod::tls_client()).expect("memory").build());

#[allow(unsafe_code, reason = "the crate does not declare it")]
// SAFETY: as OpenSSL's header declares it.
unsafe extern "C" {
    fn SSL_SESSION_get0_id_context(session: *const SSL_SESSION, len: *mut c_uint)
    -> *const c_uchar;
}

fn judged(id: &[u8], version: u16, bytes: &[u8]) -> Option<SslSession> {
    let name = Namespace::new(NAME).expect("short");
    judge(&CACHE, Options::new(&name), (id, version), bytes)
}

fn rejected() -> u64 {
    CACHE.stats().rejected.iter().sum()
}

#[allow(unsafe_code, reason = "the crate does not say it")]
fn context_of(session: &SslSessionRef) -> Vec<u8> {
    let mut len = 0;
    // SAFETY: the session is alive, and `len` is written to.
    let context = unsafe { SSL_SESSION_get0_id_context(session.as_ptr(), &raw mut len) };
    // SAFETY: it points into the session.
    unsafe { std::slice::from_raw_parts(context, len as usize) }.to_vec()
}

/// Has the bytes of an input judged.
#[allow(unsafe_code, reason = "the crate can't know whose session it is")]
pub fn run(input: &[u8]) {
    let Some((how, bytes)) = input.split_first() else { return };
    let (version, is) = match how % 3 {
        0 => (0x0304, SslVersion::TLS1_3),
        1 => (0x0303, SslVersion::TLS1_2),
        _ => (0x0301, SslVersion::TLS1),
    };
    let before = rejected();
    let Some(session) = judged(&ID, version, bytes) else {
        assert_eq!(rejected(), before + 1, "refused, and not counted");
        return;
    };
    assert_eq!(rejected(), before, "accepted, and counted");
    assert_eq!(session.id(), ID);
    assert!(session.protocol_version() == is, "of another version");
    assert_eq!(context_of(&session), NAME);
    let again = session.to_der().expect("it was decoded");
    assert!(judged(&ID, version, &again).is_some(), "what it encodes to is refused");
    assert!(judged(&[8; 32], version, bytes).is_none(), "of another id");
    let mut ssl = Ssl::new(&CONTEXT).expect("memory");
    // SAFETY: it was made a moment ago, and belongs to no context. OpenSSL may refuse it.
    let _refused = unsafe { ssl.set_session(&session) };
    store(version, &again);
}

/// Stores what a session encodes to, as the adapter does, and looks it up again. In a cache of its
/// own: what is retired in one that lasts would be taken for a leak of this input.
fn store(version: u16, bytes: &[u8]) {
    let clock = ManualClock::new();
    let cache = SessionCache::<()>::builder()
        .capacity(10)
        .clock(clock.clone())
        .wall_clock(clock)
        .maintenance(Maintenance::Embedder)
        .build()
        .expect("good settings");
    let name = Namespace::new(NAME).expect("short");
    let id = SessionId::new(&ID).expect("of an id's length");
    cache.add(&cache.make(&name, id, version, bytes)).expect("there is room");
    cache.validate();
    let name = name.proposing(version);
    let found = cache.resume(&(), &name, &ID).expect("it was stored");
    assert!((found.version(), found.payload()) == (version, bytes), "found as another one");
    assert!(judged(&ID, version, found.payload()).is_some(), "what is found is refused");
    drop(found);
    let taken = cache.take(&(), &name, &ID).expect("it was found");
    assert!((taken.version(), taken.payload()) == (version, bytes), "taken as another one");
    drop(taken);
    assert!(cache.take(&(), &name, &ID).is_none() && cache.is_empty(), "it was taken before");
    cache.validate();
}

/// Mutates an input: three times of four an element of the DER, with all lengths kept right, which
/// else the decoder would not get past.
pub fn mutate(data: &mut [u8], size: usize, most: usize, seed: u32, any: Mutate) -> usize {
    let whole = |data: &mut [u8]| any(data, size, most);
    if seed.is_multiple_of(4) || size == 0 {
        return whole(data);
    }
    let Some(der) = der::mutate(&data[1..size], most.saturating_sub(1), seed >> 2, any) else {
        return whole(data);
    };
    data[1..=der.len()].copy_from_slice(&der);
    1 + der.len()
}
