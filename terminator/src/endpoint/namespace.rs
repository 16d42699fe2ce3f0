//! Who may resume a session: a digest of the names that the certificate stands for, the
//! client-authentication policy, the protocol class and the library. Not the certificate itself,
//! which a renewal replaces.
//!
//! A session remembers that its client was authenticated, and nobody asks again: so the
//! certificates of the authorities are part of the policy. What was resumable under others, or
//! without a certificate at all, is not found any more.

use halfshake::rustls::Namespace;
use ring::digest::{Context, SHA256, digest};
use rustls::pki_types::CertificateDer;

use crate::cli::TlsBackend;

/// See the module's documentation. Without `authorities` clients are not authenticated.
pub(super) fn namespace(
    backend: TlsBackend,
    names: &[String],
    authorities: Option<&[CertificateDer<'_>]>,
) -> Namespace {
    let mut whole = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        // The length first, so that no two lists of parts run together into the same bytes.
        whole.update(&(part.len() as u64).to_be_bytes());
        whole.update(part);
    };
    add(b"halfshake namespace 1");
    match authorities {
        None => add(b"client authentication: none"),
        Some(certificates) => {
            add(b"client authentication: required");
            add(&digest_of_set(certificates));
        }
    }
    add(b"protocol: TLS over TCP");
    // What one library has stored the other can't read.
    match backend {
        TlsBackend::Rustls => {}
        TlsBackend::OpenSsl => add(b"library: OpenSSL"),
    }
    for name in names {
        add(name.as_bytes());
    }
    Namespace::new(whole.finish().as_ref()).expect("a namespace may have the 32 bytes of SHA-256")
}

/// The same for any order.
fn digest_of_set(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut digests: Vec<Vec<u8>> = certificates
        .iter()
        .map(|certificate| digest(&SHA256, certificate).as_ref().to_vec())
        .collect();
    digests.sort_unstable();
    digests.dedup();
    digest(&SHA256, &digests.concat()).as_ref().to_vec()
}

/// The DNS names of a certificate in one order.
pub(super) fn dns_names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, webpki::Error> {
    let parsed = webpki::EndEntityCert::try_from(leaf)?;
    let mut names: Vec<String> = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_resume_has_another_namespace() {
        let names = ["localhost".to_owned()];
        let [one, other] = [&[1; 40][..], &[2; 40]].map(CertificateDer::from);
        let (both, turned) = ([one.clone(), other.clone()], [other.clone(), one.clone()]);
        let of = |backend, authorities: Option<&[CertificateDer<'_>]>| {
            namespace(backend, &names, authorities)
        };
        let mut seen = Vec::new();
        for backend in [TlsBackend::Rustls, TlsBackend::OpenSsl] {
            seen.push(of(backend, None));
            seen.push(of(backend, Some(std::slice::from_ref(&one))));
            seen.push(of(backend, Some(std::slice::from_ref(&other))));
            seen.push(of(backend, Some(&both)));
            assert_eq!(of(backend, Some(&both)), of(backend, Some(&turned)), "in any order");
        }
        seen.push(namespace(TlsBackend::Rustls, &[], None));
        for (index, namespace) in seen.iter().enumerate() {
            assert!(!seen[..index].contains(namespace), "the one at {index} is there before");
        }
    }
}
