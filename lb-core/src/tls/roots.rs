//! A file of authorities.

use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// What to write into such a file.
pub(super) const REMEDY: &str = "write the authorities' certificates as PEM, each of them whole";

/// All authorities of a PEM, or what is wrong with it.
pub(super) fn parse(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "is broken PEM")?;
        roots.add(certificate).map_err(|error| {
            let position = roots.len() + 1;
            format!("the certificate at position {position} can't be read: {error}")
        })?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".into());
    }
    Ok(roots)
}
