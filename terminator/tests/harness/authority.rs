//! Authorities, and the clients whose certificates they sign, in files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use super::text;

/// One that signs through another one below it, which servers do not know.
pub(crate) struct Authority {
    folder: TempDir,
    below: Issuer<'static, KeyPair>,
}

/// A client's certificate, the one above it, and its key.
#[derive(Debug)]
pub(crate) struct Client {
    leaf: PathBuf,
    above: PathBuf,
    key: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = KeyPair::generate().expect("a key");
        let params = authority(name);
        let root = params.self_signed(&key).expect("a certificate");
        write(&folder.path().join("root.pem"), &root);
        let root = Issuer::new(params, key);

        let key = KeyPair::generate().expect("a key");
        let params = authority(&format!("{name}, below"));
        let below = params.signed_by(&key, &root).expect("a certificate");
        write(&folder.path().join("below.pem"), &below);
        Self { folder, below: Issuer::new(params, key) }
    }

    /// What a server is to trust.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// A client with a certificate of at least `bytes`.
    pub(crate) fn client(&self, name: &str, bytes: usize) -> Client {
        self.client_with(name, bytes, |_| ())
    }

    /// A client whose certificate ends at a time of the wall clock, in seconds since 1970.
    pub(crate) fn client_until(&self, name: &str, end: u64) -> Client {
        let end = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
        self.client_with(name, 0, |params| params.not_after = end)
    }

    fn client_with(
        &self,
        name: &str,
        bytes: usize,
        set: impl FnOnce(&mut CertificateParams),
    ) -> Client {
        let path = |what: &str| self.folder.path().join(format!("{name}-{what}.pem"));
        let (leaf, key) = (path("leaf"), path("key"));
        let mut names = vec![format!("{name}.example")];
        names
            .extend((0..bytes / 32).map(|index| format!("one-of-many-{index:010}.{name}.example")));
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        set(&mut params);
        let pair = KeyPair::generate().expect("a key");
        let made = params.signed_by(&pair, &self.below).expect("a certificate");
        assert!(made.der().len() >= bytes, "{} bytes", made.der().len());
        write(&leaf, &made);
        std::fs::write(&key, pair.serialize_pem()).expect("the key is written");
        Client { leaf, above: self.folder.path().join("below.pem"), key }
    }
}

impl Client {
    /// For `s_client`.
    pub(crate) fn arguments(&self) -> [&str; 6] {
        let (leaf, above, key) = (text(&self.leaf), text(&self.above), text(&self.key));
        ["-cert", leaf, "-key", key, "-cert_chain", above]
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn write(file: &Path, certificate: &Certificate) {
    std::fs::write(file, certificate.pem()).expect("the certificate is written");
}
