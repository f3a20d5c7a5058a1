//! The simulator's own certificate authority: one server certificate for `localhost`, `127.0.0.1` and `::1`.
//!
//! The authority's key is thrown away at once; a directory keeps certificate and server key, so that a restarted program is
//! still trusted by a device that was given its CA file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::files;

pub(crate) struct Authority {
    pub(crate) ca_pem: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) acceptor: TlsAcceptor,
}

/// Reads the certificates kept in `directory`, or makes new ones there.
pub(crate) fn open_or_create(directory: &Path) -> anyhow::Result<Authority> {
    let (ca_file, chain_file, key_file) =
        (directory.join("ca.pem"), directory.join("server.pem"), directory.join("server.key"));
    if !(ca_file.exists() && chain_file.exists() && key_file.exists()) {
        let made = make()?;
        files::replace(&ca_file, made.ca.as_bytes())?;
        files::replace(&chain_file, made.certificate.as_bytes())?;
        files::replace_private(&key_file, made.key.as_bytes())?;
    }
    let read = |file: &Path| std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()));
    let ca_pem = read(&ca_file)?;
    let acceptor = acceptor(&read(&chain_file)?, &read(&key_file)?)?;
    Ok(Authority { ca_pem, ca_file, acceptor })
}

struct Made {
    ca: String,
    certificate: String,
    key: String,
}

fn make() -> anyhow::Result<Made> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "Edgeplug cloud simulator CA (tests only)");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, ca_key);

    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?.pem();
    Ok(Made { ca: ca_pem, certificate, key: key.serialize_pem() })
}

fn acceptor(chain: &str, key: &str) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    // Named, because another crate in the same test binary may bring a second provider.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
