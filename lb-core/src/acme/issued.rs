//! What a server has issued: a key of ours, and its certificate.

use std::fmt;

use tokio_rustls::rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::tls::{Facts, facts, provider};

/// A key and its certificate, which belong together. It has been looked at, as what is
/// written into the folder is served.
pub(super) struct Issued {
    key: String,
    chain: String,
    leaf: CertificateDer<'static>,
    facts: Facts,
}

const SERVER: &str = "Issued by ";

impl Issued {
    /// Of PEMs. What is wrong is said without a word of the key.
    pub(super) fn new(key: &str, chain: &str) -> Result<Self, &'static str> {
        let (key, chain) = (format!("{}\n", key.trim()), format!("{}\n", chain.trim()));
        let certificates = CertificateDer::pem_slice_iter(chain.as_bytes());
        let certificates: Vec<_> =
            certificates.collect::<Result<_, _>>().map_err(|_| "its PEM is broken")?;
        let leaf = certificates.first().cloned().ok_or("there is no certificate in it")?;
        let facts = facts(&leaf).map_err(|_| "it can't be parsed")?;
        let private = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "no key")?;
        let key_provider = provider().key_provider;
        let signing = key_provider.load_private_key(private).map_err(|_| "a bad key")?;
        CertifiedKey::new(certificates, signing)
            .keys_match()
            .map_err(|_| "it is for another key than ours")?;
        Ok(Self { key, chain, leaf, facts })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The certificate, and what vouches for it.
    pub(super) fn chain(&self) -> &str {
        &self.chain
    }

    pub(super) fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// As it is kept: one file, so that it is there as a whole or not at all. Programs
    /// that read PEM leave out the first line.
    pub(super) fn to_text(&self, server: &str) -> String {
        let Self { key, chain, .. } = self;
        format!("{SERVER}{server}\n{key}{chain}")
    }

    /// With the server.
    pub(super) fn from_text(text: &[u8]) -> Option<(Self, String)> {
        let text = std::str::from_utf8(text).ok()?;
        let (first, pem) = text.split_once('\n')?;
        let server = first.strip_prefix(SERVER)?;
        let (key, chain) = pem.split_at(pem.find("-----BEGIN CERTIFICATE")?);
        Some((Self::new(key, chain).ok()?, server.to_owned()))
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("facts", &self.facts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["a.com".to_owned()]).unwrap();
        (key.serialize_pem(), params.self_signed(&key).unwrap().pem())
    }

    #[test]
    fn it_is_kept_in_one_file() {
        let (key, chain) = pair();
        let issued = Issued::new(&key, &format!("\n{chain}{}", pair().1)).unwrap();
        let text = issued.to_text("https://ca.test/dir");
        let (again, server) = Issued::from_text(text.as_bytes()).unwrap();
        assert_eq!(server, "https://ca.test/dir");
        assert_eq!((again.key(), again.chain()), (issued.key(), issued.chain()));
        assert_eq!(again.facts().names, ["a.com"]);
        assert!(!format!("{issued:?}").contains("PRIVATE"));
        for cut in [0, 10, text.len() / 4, text.len() / 2, text.len() - 30] {
            assert!(Issued::from_text(&text.as_bytes()[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn what_could_not_be_served_is_refused() {
        let ((key, chain), (other, _)) = (pair(), pair());
        for (key, chain, expected) in [
            (&*other, &*chain, "another key"),
            (&*key, "", "no certificate"),
            (&*key, "-----BEGIN CERTIFICATE-----\n", "PEM is broken"),
            (&*key, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "parsed"),
            ("", &*chain, "no key"),
        ] {
            let error = Issued::new(key, chain).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
