//! Whom certificates are ordered from, and how.

use std::{error, fmt, path::PathBuf};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::tls::Verify;

/// The directory of Let's Encrypt: certificates that browsers believe.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The directory of Let's Encrypt for trials: certificates that nobody believes,
/// and generous limits.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Whom certificates are ordered from, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The URL of the ACME server's directory; [`LETS_ENCRYPT`].
    pub directory: String,
    /// Addresses of e-mail for the server to write to, should it; none. They are
    /// told when the account is opened.
    pub contacts: Vec<String>,
    /// Whether you agree to the server's terms of service, which its directory has a
    /// link to; no. Nothing is ordered without.
    pub terms_accepted: bool,
    /// What the server knows you by already, if it demands that; nothing.
    pub external_account: Option<ExternalAccount>,
    /// Ways to prove that a host is served here, the preferred one first: TLS-ALPN-01,
    /// HTTP-01. After a failure the next one is tried that the server offers.
    pub challenges: Vec<ChallengeType>,
    /// Whose certificate the ACME server itself may have; one of
    /// [`Verify::Roots`]. With another answer the server is taken for a private
    /// one, which may issue certificates for hosts that aren't public.
    pub verify: Verify,
    /// Where the account and what was issued are kept; `.acme` in the folder of the
    /// certificates. It has to be the same for all processes that order for that
    /// folder, and nobody else should be able to read it.
    pub folder: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directory: LETS_ENCRYPT.to_owned(),
            contacts: Vec::new(),
            terms_accepted: false,
            external_account: None,
            challenges: ChallengeType::ALL.into(),
            verify: Verify::default(),
            folder: None,
        }
    }
}

impl Options {
    /// Whether the server can't issue certificates but for public hosts.
    pub(super) fn is_public(&self) -> bool {
        self.verify == Verify::Roots
    }

    pub(super) fn check(&self) -> Result<(), InvalidOption> {
        let invalid = |key, value: &str, remedy: &str| {
            Err(InvalidOption { key, value: value.to_owned(), remedy: remedy.to_owned() })
        };
        if !self.directory.starts_with("https://") || self.directory.parse::<http::Uri>().is_err() {
            let remedy = "it is a URL that begins with https://";
            return invalid("directory", &self.directory, remedy);
        }
        if !self.terms_accepted {
            let remedy = "read the terms of service of the ACME server, and agree to them";
            return invalid("terms_accepted", "false", remedy);
        }
        if self.challenges.is_empty() {
            return invalid("challenges", "", "name tls-alpn-01, http-01 or both");
        }
        let is_address = |contact: &&String| contact.contains('@') && !contact.contains(':');
        match self.contacts.iter().find(|contact| !is_address(contact)) {
            Some(contact) => invalid("contacts", contact, "it is an address as in me@example.com"),
            None => Ok(()),
        }
    }
}

/// A way to prove that a host is served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChallengeType {
    /// `tls-alpn-01` (RFC 8737): a handshake on port 443, which this crate's
    /// [`Acceptor`](crate::tls::Acceptor) answers.
    TlsAlpn01,
    /// `http-01` (RFC 8555, section 8.3): a request to port 80.
    Http01,
}

impl ChallengeType {
    /// Every one that is answered.
    pub const ALL: [Self; 2] = [Self::TlsAlpn01, Self::Http01];

    /// The name it is written by.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for ChallengeType {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        let text = text.trim();
        let same = |one: &Self| one.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(same).ok_or_else(|| {
            let remedy = "write tls-alpn-01 or http-01; others are not answered";
            InvalidOption { key: "challenges", value: text.to_owned(), remedy: remedy.into() }
        })
    }
}

/// An account that was made elsewhere, for an ACME server to bind ours to (RFC 8555,
/// section 7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    pub(super) id: String,
    pub(super) key: Vec<u8>,
}

impl ExternalAccount {
    /// `key` is for HMAC, in base64, as servers show it.
    ///
    /// # Errors
    ///
    /// The key is none of base64.
    pub fn new(id: impl Into<String>, key: &str) -> Result<Self, InvalidOption> {
        // Some servers show it padded, and not all in the alphabet of URLs.
        let config =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let url_safe = key.trim().replace('+', "-").replace('/', "_");
        let decoded = GeneralPurpose::new(&alphabet::URL_SAFE, config).decode(url_safe);
        let key = decoded.ok().filter(|key| !key.is_empty()).ok_or_else(|| InvalidOption {
            key: "external_account",
            value: "(a key)".into(),
            remedy: "the key is base64, as the ACME server shows it".into(),
        })?;
        Ok(Self { id: id.into(), key })
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An option that nothing can be ordered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOption {
    /// Which one.
    pub key: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it has to be.
    pub remedy: String,
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, remedy } = self;
        write!(f, "ACME: {key} can't be {value:?}; {remedy}")
    }
}

impl error::Error for InvalidOption {}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(set: impl FnOnce(&mut Options)) -> Options {
        let mut options = Options { terms_accepted: true, ..Options::default() };
        set(&mut options);
        options
    }

    #[test]
    fn what_nothing_can_be_ordered_with_is_refused() {
        assert_eq!(options(|_| {}).check(), Ok(()));
        let wrong = [
            (options(|of| of.terms_accepted = false), "terms_accepted can't be \"false\""),
            (options(|of| of.directory = "http://ca.test/".into()), "directory can't be \"http:"),
            (options(|of| of.challenges.clear()), "challenges can't be \"\""),
            (options(|of| of.contacts = vec!["mailto:me@a.test".into()]), "contacts can't be"),
        ];
        for (options, expected) in wrong {
            let error = options.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("ACME: {expected}")), "{error}");
        }
    }

    #[test]
    fn challenges_are_named() {
        for one in ChallengeType::ALL {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        let error = "dns-01".parse::<ChallengeType>().unwrap_err().to_string();
        assert!(error.contains("\"dns-01\"; write tls-alpn-01 or http-01"), "{error}");
    }

    #[test]
    fn the_key_of_an_external_account_is_base64_and_not_shown() {
        let account = ExternalAccount::new("me", " zWND_M6-\n").unwrap();
        assert_eq!(account.key, [0xcd, 0x63, 0x43, 0xfc, 0xce, 0xbe]);
        assert_eq!(ExternalAccount::new("me", "zWND/M4=").unwrap().key, account.key[..5]);
        assert_eq!(format!("{account:?}"), "ExternalAccount { id: \"me\", .. }");
        for key in ["", "a secret!"] {
            let error = ExternalAccount::new("me", key).unwrap_err().to_string();
            assert!(!error.contains("secret!"), "{error}");
        }
    }
}
