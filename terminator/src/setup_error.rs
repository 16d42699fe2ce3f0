//! Why the work could not begin: each variant is one line that says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A reason for exit status 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SetupError {
    #[error("cannot start the runtime: {source}")]
    Runtime { source: io::Error },

    #[error("cannot listen on {address} ({option}): {}", listen_advice(source))]
    Listen { option: &'static str, address: SocketAddr, source: io::Error },

    #[error("cannot install the signal handlers: {source}")]
    Signals { source: io::Error },

    #[error(
        "cannot read {path:?} ({option}): {source}; give a readable PEM file",
        path = path.display().to_string()
    )]
    ReadPem { option: &'static str, path: PathBuf, source: io::Error },

    #[error(
        "{path:?} ({option}) is not valid PEM: {reason}; give a file with -----BEGIN lines",
        path = path.display().to_string()
    )]
    BadPem { option: &'static str, path: PathBuf, reason: String },

    #[error(
        "no certificate in {path:?} ({option}); {advice}",
        path = path.display().to_string(), advice = certificate_advice(option)
    )]
    NoCertificate { option: &'static str, path: PathBuf },

    #[error(
        "no private key in {path:?} (--key); give an unencrypted PKCS#8, SEC1 or PKCS#1 PEM file",
        path = path.display().to_string()
    )]
    NoKey { path: PathBuf },

    #[error(
        "the key in {key:?} does not belong to the certificate in {cert:?}; \
         give the --key that was used for the --cert",
        key = key.display().to_string(), cert = cert.display().to_string()
    )]
    KeyMismatch { cert: PathBuf, key: PathBuf },

    #[error(
        "cannot use the certificate in {cert:?}: {reason}; give an X.509 v3 certificate with an \
         RSA, ECDSA or Ed25519 key",
        cert = cert.display().to_string()
    )]
    UnusableCertificate { cert: PathBuf, reason: String },

    #[error(
        "cannot use {path:?} (--client-ca): {reason}; {advice}",
        path = path.display().to_string(), advice = certificate_advice("--client-ca")
    )]
    UnusableClientCa { path: PathBuf, reason: String },

    #[cfg(not(feature = "openssl"))]
    #[error(
        "this program was built without OpenSSL (--tls-backend openssl); build it with \
         --features openssl, which needs OpenSSL's headers (Debian package libssl-dev)"
    )]
    NoOpenSsl,

    #[error("cannot make a self-signed certificate: {reason}; give --cert and --key")]
    SelfSigned { reason: String },

    #[error("TLS cannot be set up: {reason}")]
    Tls { reason: String },

    #[error("--tls-min {min} is above --tls-max {max}; swap them")]
    Versions { min: &'static str, max: &'static str },

    #[error("--cache rustls cannot keep what {option} asks for; leave out one of the two")]
    BeyondRustlsCache { option: &'static str },

    #[error("the session cache cannot be made: {reason}; choose another --cache-entries")]
    Cache { reason: String },

    #[error(
        "cannot use {path:?} (--external-dir): {source}; give a directory that this user can \
         write to",
        path = path.display().to_string()
    )]
    ExternalDir { path: PathBuf, source: io::Error },

    #[error(
        "other users can enter {path:?} (--external-dir); chmod 700 it",
        path = path.display().to_string()
    )]
    ExternalDirOpen { path: PathBuf },

    #[error(
        "{path:?} (--external-dir) belongs to another user, who could let others in; give a \
         directory of this user's",
        path = path.display().to_string()
    )]
    ExternalDirOwner { path: PathBuf },

    #[error(
        "another process uses {path:?} (--external-dir); stop it, or give --external-shared to \
         both",
        path = path.display().to_string()
    )]
    ExternalDirInUse { path: PathBuf },

    #[error(
        "cannot read {path:?} (--seal-key): {source}; make one with \
         (umask 077; openssl rand -hex 32 >FILE)",
        path = path.display().to_string()
    )]
    SealKeyUnreadable { path: PathBuf, source: io::Error },

    #[error(
        "other users can read {path:?} (--seal-key); chmod 600 it, and make a new key if it was \
         in use",
        path = path.display().to_string()
    )]
    SealKeyOpen { path: PathBuf },

    #[error(
        "{path:?} (--seal-key) belongs to another user, who knows the keys; make a file of this \
         user's, with new ones",
        path = path.display().to_string()
    )]
    SealKeyOwner { path: PathBuf },

    #[error(
        "line {line} of {path:?} (--seal-key): {reason}; openssl rand -hex 32 makes one",
        path = path.display().to_string()
    )]
    SealKey { path: PathBuf, line: usize, reason: &'static str },

    #[error("cannot find the address of {target:?} ({option}): {reason}; give it as HOST:PORT")]
    Resolve { option: &'static str, target: String, reason: String },

    #[error("{name:?} is no server name; give --server-name a DNS name or an IP address")]
    ServerName { name: String },
}

fn certificate_advice(option: &str) -> &'static str {
    match option {
        "--client-ca" => {
            "give a PEM file with the certificates of those who sign your clients' certificates"
        }
        _ => "give a PEM file with the chain, the leaf first",
    }
}

fn listen_advice(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; choose another one, or stop the program that holds it".into()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not use that port; choose one above 1023".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; use 127.0.0.1, 0.0.0.0 or one of its own"
                .into()
        }
        _ => format!("{source}; choose another address"),
    }
}
