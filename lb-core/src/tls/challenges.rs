//! What an ACME server is to be answered that asks whether a host is served here.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use tokio_rustls::rustls::{
    self, ServerConfig,
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{
    Policy,
    scope::{provider, versions},
};
use crate::sync::lock;

/// The protocol (ALPN) of connections that only want to see a challenge's
/// certificate (RFC 8737, section 6.2).
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

/// Answers to the challenges of ACME servers, while there are challenges. Clones
/// are the same.
///
/// An [`Acceptor`](super::Acceptor) that has them
/// [in its options](super::AcceptorOptions::challenges) answers TLS-ALPN-01. For
/// HTTP-01, whoever serves [`HTTP01_PATH`](Self::HTTP01_PATH) on port 80 asks
/// [`http01`](Self::http01).
///
/// ```
/// let challenges = lb_core::tls::Challenges::default();
/// let published = challenges.publish_http01("token", "token.thumbprint");
/// assert_eq!(challenges.http01("token").as_deref(), Some("token.thumbprint"));
/// drop(published);
/// assert_eq!(challenges.http01("token"), None);
/// ```
#[derive(Clone, Default)]
pub struct Challenges(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Key authorizations by token.
    http01: Mutex<HashMap<String, Arc<str>>>,
    /// Certificates by host, in small letters.
    tls_alpn01: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// How paths begin that end with a token.
    pub const HTTP01_PATH: &str = "/.well-known/acme-challenge/";

    /// What to answer who asks for this token (RFC 8555, section 8.3): status 200,
    /// the type `application/octet-stream`, and this. Others are to be answered as
    /// if there was no ACME, so that a server behind may have challenges of its own.
    pub fn http01(&self, token: &str) -> Option<Arc<str>> {
        lock(&self.0.http01).get(token).cloned()
    }

    /// Answers a token until what is returned is dropped.
    pub fn publish_http01(&self, token: &str, key_authorization: &str) -> Published {
        lock(&self.0.http01).insert(token.to_owned(), key_authorization.into());
        Published { challenges: self.clone(), answer: Answer::Http01(token.to_owned()) }
    }

    /// Shows this certificate (RFC 8737, section 3) to who asks for the host by
    /// `acme-tls/1`, until what is returned is dropped.
    pub fn publish_tls_alpn01(&self, host: &str, certificate: Arc<CertifiedKey>) -> Published {
        let host = host.to_ascii_lowercase();
        lock(&self.0.tls_alpn01).insert(host.clone(), certificate);
        Published { challenges: self.clone(), answer: Answer::TlsAlpn01(host) }
    }

    /// What a handshake with an ACME server is made with.
    pub(super) fn tls_alpn01(&self, host: &str) -> Option<Result<ServerConfig, rustls::Error>> {
        let certificate = lock(&self.0.tls_alpn01).get(host).cloned()?;
        Some(config(certificate))
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

/// Nothing is to be resumed of it.
fn config(certificate: Arc<CertifiedKey>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider().clone());
    let mut config = builder
        .with_protocol_versions(versions(Policy::Intermediate))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)));
    config.alpn_protocols = vec![ACME_TLS.into()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// An answer that is given while this is there.
#[derive(Debug)]
#[must_use = "the answer is taken back when this is dropped"]
pub struct Published {
    challenges: Challenges,
    answer: Answer,
}

enum Answer {
    Http01(String),
    TlsAlpn01(String),
}

/// Tokens are not for logs.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http01(_) => f.write_str("Http01"),
            Self::TlsAlpn01(host) => f.debug_tuple("TlsAlpn01").field(host).finish(),
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let shared = &self.challenges.0;
        match &self.answer {
            Answer::Http01(token) => drop(lock(&shared.http01).remove(token)),
            Answer::TlsAlpn01(host) => drop(lock(&shared.tls_alpn01).remove(host)),
        }
    }
}
