//! The binders of TLS 1.3 (RFC 8446, 4.2.11.2 and 7.1), for suites with SHA-256: without a right
//! one no session is resumed, and no mutation finds one.

use ring::{digest, hmac};

pub(crate) const BINDER_LEN: usize = 32;

/// Of a ClientHello up to its binders, after what was said before.
pub(crate) fn binder(secret: &[u8], before: &[u8], hello: &[u8]) -> [u8; BINDER_LEN] {
    let early = sign(&[0; BINDER_LEN], secret);
    let key = expand(&early, b"res binder", &hash(&[b""]));
    let finished = expand(&key, b"finished", b"");
    sign(&finished, &hash(&[before, hello]))
}

/// What stands for the first ClientHello once a server has asked for a second (4.4.1).
pub(crate) fn message_hash(hello: &[u8]) -> Vec<u8> {
    [&[254, 0, 0, 32][..], &hash(&[hello])].concat()
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("SHA-256")
}

fn sign(key: &[u8], what: &[u8]) -> [u8; 32] {
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), what);
    signed.as_ref().try_into().expect("SHA-256")
}

/// HKDF-Expand-Label, of one block.
fn expand(secret: &[u8], label: &[u8], context: &[u8]) -> [u8; 32] {
    let len = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
    let label = [b"tls13 ", label].concat();
    let info = [&[0, 32, len(&label)][..], &label, &[len(context)], context, &[1]].concat();
    sign(secret, &info)
}
