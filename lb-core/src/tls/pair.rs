//! A certificate with its key.

use std::{
    error, fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio_rustls::rustls::{
    self, InconsistentKeys,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    directory::Found,
    expiry::{self, Facts},
    scope::provider,
};

/// A certificate that can be served.
pub(super) struct Pair {
    pub(super) file: PathBuf,
    pub(super) facts: Facts,
    bare: Arc<CertifiedKey>,
    stapled: Option<Stapled>,
}

struct Stapled {
    file: PathBuf,
    key: Arc<CertifiedKey>,
    /// Until when its OCSP response is good; `None` if it doesn't say.
    until: Option<SystemTime>,
}

impl Pair {
    /// What is shown to clients: with an OCSP response, while there is a good one.
    pub(super) fn key(&self, now: SystemTime) -> &Arc<CertifiedKey> {
        match &self.stapled {
            Some(stapled) if stapled.is_good(now) => &stapled.key,
            _ => &self.bare,
        }
    }

    pub(super) fn is_stapled(&self, now: SystemTime) -> bool {
        self.stapled.as_ref().is_some_and(|stapled| stapled.is_good(now))
    }

    pub(super) fn load(certificate: &Found, key: &Found) -> Result<Self, Fault> {
        let chain = chain(certificate)?;
        let unreadable = |error: &dyn error::Error| {
            Fault::new(
                certificate,
                format!("is no certificate that can be served: {error}"),
                "write one of X.509, version 3",
            )
        };
        let facts = match chain.first() {
            Some(leaf) => expiry::read(leaf).map_err(|error| unreadable(&error))?,
            None => {
                return Err(Fault::new(
                    certificate,
                    "there is no certificate in it",
                    "write the certificate as PEM, and its chain below it",
                ));
            }
        };
        let bare = CertifiedKey::new(chain, private_key(key)?);
        match bare.keys_match() {
            // What can't be compared is taken to fit.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(Fault::new(
                    key,
                    format!("is not the key of {}", name(&certificate.path)),
                    "put the key beside its certificate, and that before its chain",
                ));
            }
            Err(error) => return Err(unreadable(&error)),
        }
        Ok(Self { file: certificate.path.clone(), facts, bare: Arc::new(bare), stapled: None })
    }

    /// What is wrong with it at this time, if it isn't valid then.
    pub(super) fn untimely(&self, now: SystemTime) -> Option<Fault> {
        let Facts { not_before, not_after, .. } = self.facts;
        let (what, remedy) = if now > not_after {
            (format!("has expired, {}", expiry::date(not_after)), "renew it")
        } else if now < not_before {
            let what = format!("isn't valid before {}", expiry::date(not_before));
            (what, "wait, and see whether the clock is right")
        } else {
            return None;
        };
        Some(Fault { file: self.file.clone(), what, remedy: remedy.into() })
    }

    /// What is wrong with its OCSP response at this time, if that isn't good any more.
    pub(super) fn unstapled(&self, now: SystemTime) -> Option<Fault> {
        let stapled = self.stapled.as_ref().filter(|stapled| !stapled.is_good(now))?;
        Some(Fault {
            file: stapled.file.clone(),
            what: format!("has expired, {}, and is left away", expiry::date(stapled.until?)),
            remedy: "renew it, or remove it".into(),
        })
    }

    /// Staples a response of OCSP to it.
    pub(super) fn staple(&mut self, ocsp: &Found) -> Result<(), Fault> {
        let response = ocsp.content()?;
        let until = expiry::ocsp_until(response).map_err(|error| {
            Fault::new(ocsp, error.to_string(), "write a response of OCSP as DER, or remove it")
        })?;
        let mut key = CertifiedKey::clone(&self.bare);
        key.ocsp = Some(response.to_owned());
        self.stapled = Some(Stapled { file: ocsp.path.clone(), key: Arc::new(key), until });
        Ok(())
    }
}

impl Stapled {
    fn is_good(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now <= until)
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("file", &self.file).finish_non_exhaustive()
    }
}

fn chain(found: &Found) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let certificates = CertificateDer::pem_slice_iter(found.content()?);
    certificates.collect::<Result<_, _>>().map_err(|_| {
        Fault::new(found, "is broken PEM", "write it again in whole, or to another name and rename")
    })
}

/// What is wrong with a key is said in words of our own: errors of a PEM may quote it.
fn private_key(found: &Found) -> Result<Arc<dyn rustls::sign::SigningKey>, Fault> {
    let content = found.content()?;
    let fault = |what, remedy| Fault::new(found, what, remedy);
    let key = PrivateKeyDer::from_pem_slice(content).map_err(|error| match error {
        _ if content.windows(9).any(|word| word == b"ENCRYPTED") => {
            fault("is encrypted", "write it without a passphrase: openssl pkey -in FILE -out FILE")
        }
        pem::Error::NoItemsFound => fault(
            "there is no private key in it",
            "write the key as PEM: PKCS #8, PKCS #1 or SEC 1",
        ),
        _ => fault("is broken PEM", "write it again in whole, or to another name and rename"),
    })?;
    provider().key_provider.load_private_key(key).map_err(|_| {
        fault(
            "is broken, or of a kind that isn't supported",
            "write a key of RSA (2048 bits or more), ECDSA (P-256, P-384, P-521) or Ed25519",
        )
    })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What is wrong with a file, without what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) file: PathBuf,
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Fault {
    pub(super) fn new(found: &Found, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: found.path.clone(), what: what.into(), remedy: remedy.into() }
    }

    /// There would have to be a file beside this one.
    pub(super) fn missing(beside: &Found, extension: &str, what: &str) -> Self {
        let missing = beside.path.with_extension(extension);
        let what = format!("is missing, the {what} of {}", name(&beside.path));
        let remedy = format!("put it there, or remove {}", name(&beside.path));
        Self { file: missing, what, remedy }
    }
}

impl Found {
    pub(super) fn content(&self) -> Result<&Vec<u8>, Fault> {
        self.content.as_ref().map_err(|error| {
            Fault::new(
                self,
                format!("can't be read: {error}"),
                "make it a file this process may read",
            )
        })
    }
}
