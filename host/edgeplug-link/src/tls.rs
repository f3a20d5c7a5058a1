//! The one TLS configuration: the system's root certificates plus at most one extra, `ring`, always verified.
//!
//! It carries no ALPN (MQTT has none here; the HTTP client adds its own) and no client certificate. The roots are read
//! when it is made: a changed system store is seen by the next configuration, that is after a restart or a reload.

use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem, pem::PemObject},
};
use rustls_platform_verifier::Verifier;

use crate::clock::LinkClock;

/// Makes the TLS configuration for HTTPS and MQTT: TLS 1.2 and 1.3, trusting the system's roots and the certificates in
/// the PEM file `extra_root_ca` when one is given, at the time of `clock`.
///
/// # Errors
/// [`TlsSetupError`] when the file cannot be read or holds no certificate, or when there is no root at all.
pub fn tls_config(extra_root_ca: Option<&Path>, clock: &LinkClock) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let extra_roots = match extra_root_ca {
        Some(path) => read_certificates(path)?,
        None => Vec::new(),
    };
    let verifier = Verifier::new_with_extra_roots(extra_roots, provider.clone()).map_err(TlsSetupError::Roots)?;
    // The platform verifier is a custom one in rustls' terms, hence the method's name; it verifies everything.
    let config = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_safe_default_protocol_versions()
        .map_err(TlsSetupError::Provider)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    #[error("cannot read the extra root certificate {}", path.display())]
    ExtraRootUnreadable { path: PathBuf, source: io::Error },
    #[error("{} is not a valid PEM file", path.display())]
    ExtraRootNotPem { path: PathBuf, source: pem::Error },
    #[error("{} holds no certificate; it must be a PEM file with -----BEGIN CERTIFICATE-----", path.display())]
    ExtraRootEmpty { path: PathBuf },
    #[error("no usable root certificates; install the package ca-certificates or name an extra root certificate")]
    Roots(#[source] rustls::Error),
    #[error("the tls provider offers no protocol version")]
    Provider(#[source] rustls::Error),
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateProblem {
    Expired,
    NotYetValid,
    UnknownIssuer,
    WrongName,
    Other(String),
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("has expired, or this device's clock is ahead"),
            Self::NotYetValid => f.write_str("is not valid yet, or this device's clock is behind"),
            Self::UnknownIssuer => f.write_str(
                "comes from an unknown issuer; install its root certificate or name it as the extra root certificate",
            ),
            Self::WrongName => f.write_str("is for another name; check the host name"),
            Self::Other(detail) => write!(f, "is not acceptable: {detail}"),
        }
    }
}

/// Finds a certificate problem anywhere among an error and its sources.
pub(crate) fn certificate_problem(error: &(dyn StdError + 'static)) -> Option<CertificateProblem> {
    find_rustls(error).and_then(|error| match error {
        rustls::Error::InvalidCertificate(problem) => Some(classify(problem)),
        rustls::Error::NoCertificatesPresented => {
            Some(CertificateProblem::Other("the server presented none".to_owned()))
        }
        _ => None,
    })
}

/// Finds the TLS library's own error among an error and its sources. An `io::Error` shows what it wraps only through
/// `get_ref`, never as its source.
pub(crate) fn find_rustls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn classify(problem: &CertificateError) -> CertificateProblem {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => CertificateProblem::NotYetValid,
        // A bad signature is what a root of the same name with another key looks like.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => CertificateProblem::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongName
        }
        other => CertificateProblem::Other(other.to_string()),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let bytes =
        std::fs::read(path).map_err(|source| TlsSetupError::ExtraRootUnreadable { path: path.to_owned(), source })?;
    let certificates = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsSetupError::ExtraRootNotPem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(TlsSetupError::ExtraRootEmpty { path: path.to_owned() });
    }
    Ok(certificates)
}
