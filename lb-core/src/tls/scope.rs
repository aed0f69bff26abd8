//! Who may resume whose sessions.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use tokio_rustls::rustls::{
    self, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ResolvesServerCertUsingSni, ServerSessionMemoryCache, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::Policy;

/// The cryptography of everything here. It is named wherever rustls would guess,
/// because guessing fails in a program that has another one in it, too.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    &PROVIDER
}

/// Hosts that ask for the same of their clients, and let them resume sessions.
///
/// A session that is resumed is not verified again, so whoever asks for something
/// else is another scope, with ticket keys and a cache of its own. rustls itself
/// sees to it that a session is resumed under the server name it was made for and
/// no other (RFC 6066, section 3).
pub(super) struct Scope {
    intermediate: ServerConfig,
    modern: ServerConfig,
}

/// How many sessions without tickets, as some clients of TLS 1.2 have them, are
/// kept.
const SESSIONS: usize = 1024;

impl Scope {
    pub(super) fn new(verifier: &Arc<dyn ClientCertVerifier>) -> Result<Self, rustls::Error> {
        // Its keys are replaced every 6 hours and forgotten after 12.
        let ticketer = aws_lc_rs::Ticketer::new()?;
        let sessions = ServerSessionMemoryCache::new(SESSIONS);
        let config = |policy: Policy| {
            let builder = ServerConfig::builder_with_provider(provider().clone());
            let mut config = builder
                .with_protocol_versions(versions(policy))?
                .with_client_cert_verifier(verifier.clone())
                .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
            config.ticketer = ticketer.clone();
            config.session_storage = sessions.clone();
            Ok::<_, rustls::Error>(config)
        };
        Ok(Self { intermediate: config(Policy::Intermediate)?, modern: config(Policy::Modern)? })
    }

    /// What one handshake is made with.
    pub(super) fn config(
        &self,
        policy: Policy,
        alpn: &[Vec<u8>],
        certificate: Arc<CertifiedKey>,
    ) -> ServerConfig {
        let mut config = match policy {
            Policy::Intermediate => self.intermediate.clone(),
            Policy::Modern => self.modern.clone(),
        };
        config.alpn_protocols = alpn.to_vec();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certificate));
        config
    }
}

pub(super) fn versions(policy: Policy) -> &'static [&'static SupportedProtocolVersion] {
    const INTERMEDIATE: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    const MODERN: &[&SupportedProtocolVersion] = &[&TLS13];
    match policy {
        Policy::Intermediate => INTERMEDIATE,
        Policy::Modern => MODERN,
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}
