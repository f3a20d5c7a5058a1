//! A certificate authority for one test, and server certificates by it.
//!
//! The files lie in a directory that is removed with the [`TestCa`]; keys are readable by everybody, since mosquitto
//! gives up its privileges before it reads them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// The names a good server certificate is for.
const SERVER_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A certificate authority.
#[derive(Debug)]
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
    ca_file: PathBuf,
    /// Certificates made so far: each has files of its own, since a server may still be reading those of the last.
    issued: AtomicUsize,
}

/// A server's certificate and key, as PEM text and as files.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    pub certificate_pem: String,
    pub key_pem: String,
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

impl TestCa {
    /// With a name of its own.
    pub fn new() -> anyhow::Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("Edgeplug test CA {}-{number}", std::process::id()))
    }

    /// With this name; two of the same name differ in their keys.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("cannot make a test CA")?;
        let directory = TempDir::new().context("cannot create a directory for certificates")?;
        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, issuer.pem())?;
        Ok(Self { issuer, directory, ca_file, issued: AtomicUsize::new(0) })
    }

    /// The root certificate, for whoever shall trust the servers.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// A good certificate for `localhost` and `127.0.0.1`.
    pub fn server(&self) -> anyhow::Result<ServerCertificate> {
        self.issue("server", &SERVER_NAMES, |_| {})
    }

    /// For the same names, but its time was the year 2020.
    pub fn expired_server(&self) -> anyhow::Result<ServerCertificate> {
        self.issue("expired", &SERVER_NAMES, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 12, 31);
        })
    }

    /// In order, but for a name that no test's server has.
    pub fn misnamed_server(&self) -> anyhow::Result<ServerCertificate> {
        self.issue("misnamed", &["elsewhere.example.com"], |_| {})
    }

    fn issue(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> anyhow::Result<ServerCertificate> {
        let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "Edgeplug test server");
        change(&mut params);
        let key = KeyPair::generate()?;
        let certificate_pem = params.signed_by(&key, &self.issuer).context("cannot sign a certificate")?.pem();
        let key_pem = key.serialize_pem();
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let certificate_file = self.directory.path().join(format!("{file}-{number}.pem"));
        let key_file = self.directory.path().join(format!("{file}-{number}.key"));
        std::fs::write(&certificate_file, &certificate_pem)?;
        std::fs::write(&key_file, &key_pem)?;
        Ok(ServerCertificate { certificate_pem, key_pem, certificate_file, key_file })
    }
}
