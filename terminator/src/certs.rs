//! Certificates: read from PEM files, or made in memory when none are given.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::setup_error::SetupError;

/// Where the certificate comes from, so that a reload can read it again.
#[derive(Debug, Clone)]
pub(crate) enum CertSource {
    Files { cert: PathBuf, key: PathBuf },
    SelfSigned { listen: IpAddr },
}

/// A certificate chain with its key. The key has no `Debug` of its own that shows it.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl CertSource {
    pub(crate) fn read(&self) -> Result<Identity, SetupError> {
        match self {
            Self::Files { cert, key } => {
                Ok(Identity { chain: read_certificates("--cert", cert)?, key: read_key(key)? })
            }
            Self::SelfSigned { listen } => self_signed(*listen),
        }
    }

    /// What rustls holds against the pair, in words that name the files.
    pub(crate) fn explain(&self, error: rustls::Error) -> SetupError {
        match error {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
                self.mismatch()
            }
            error => self.unusable(&error.to_string()),
        }
    }

    /// The two do not belong together.
    pub(crate) fn mismatch(&self) -> SetupError {
        match self {
            Self::Files { cert, key } => {
                SetupError::KeyMismatch { cert: cert.clone(), key: key.clone() }
            }
            Self::SelfSigned { .. } => self.unusable("its key is another one"),
        }
    }

    pub(crate) fn unusable(&self, reason: &str) -> SetupError {
        let reason = reason.to_owned();
        match self {
            Self::Files { cert, .. } => {
                SetupError::UnusableCertificate { cert: cert.clone(), reason }
            }
            Self::SelfSigned { .. } => SetupError::SelfSigned { reason },
        }
    }
}

/// The authorities that sign the certificates of clients.
pub(crate) fn read_client_ca(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    read_certificates("--client-ca", path)
}

fn read_certificates(
    option: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let text = read_file(option, path)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad_pem(option, path, &error))?;
    if certificates.is_empty() {
        return Err(SetupError::NoCertificate { option, path: path.into() });
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, SetupError> {
    let text = read_file("--key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => SetupError::NoKey { path: path.into() },
        error => bad_pem("--key", path, &error),
    })
}

fn read_file(option: &'static str, path: &Path) -> Result<Vec<u8>, SetupError> {
    let read = |path: &Path| -> io::Result<Vec<u8>> { std::fs::read(path) };
    read(path).map_err(|source| SetupError::ReadPem { option, path: path.into(), source })
}

fn bad_pem(option: &'static str, path: &Path, error: &pem::Error) -> SetupError {
    // The error's own text can quote the file; a key file must not reach a log.
    let reason = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section's first line is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read",
    };
    SetupError::BadPem { option, path: path.into(), reason: reason.into() }
}

fn self_signed(listen: IpAddr) -> Result<Identity, SetupError> {
    let mut names = vec!["localhost".into(), "127.0.0.1".into(), "::1".into()];
    if !listen.is_loopback() && !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| SetupError::SelfSigned { reason: error.to_string() })?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|reason| SetupError::SelfSigned { reason: reason.into() })?;
    Ok(Identity { chain: vec![made.cert.der().clone()], key })
}
