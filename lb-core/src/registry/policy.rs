//! What a host asks of its clients.

use std::{error, fmt, str::FromStr};

/// Which versions of TLS are spoken, by the names of
/// [Mozilla's recommendations](https://wiki.mozilla.org/Security/Server_Side_TLS).
///
/// The cipher suites are rustls' own of these versions: all of them have forward
/// secrecy and authenticated encryption. What Mozilla allows beside them for old
/// clients (its finite-field Diffie-Hellman, its policy `Old`) is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// `Mozilla-Intermediate`: TLS 1.2 and 1.3. The default.
    #[default]
    Intermediate,
    /// `Mozilla-Modern`: TLS 1.3 only.
    Modern,
}

impl Policy {
    /// Every policy there is.
    pub const ALL: [Self; 2] = [Self::Intermediate, Self::Modern];

    /// The name it is written by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Intermediate => "Mozilla-Intermediate",
            Self::Modern => "Mozilla-Modern",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let text = text.trim();
        let same = |policy: &Self| policy.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(same).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// What was written is the name of no [`Policy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPolicy(String);

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(
            f,
            "{text:?} is no policy of TLS that can be served; \
             write Mozilla-Intermediate (TLS 1.2 and 1.3) or Mozilla-Modern (TLS 1.3)"
        )
    }
}

impl error::Error for UnknownPolicy {}

/// Whether a host asks its clients for certificates, which are verified against
/// the authorities of `<host>.ca.crt` or `ca.crt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientCertificates {
    /// `off`: they are not asked for, even if there are authorities.
    Off,
    /// `optional`: clients are asked, and may have none. One that can't be
    /// verified ends the handshake all the same.
    Optional,
    /// `required`: who has none ends the handshake.
    Required,
}

impl fmt::Display for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        })
    }
}

impl FromStr for ClientCertificates {
    type Err = UnknownClientCertificates;

    /// Takes nginx's `on` for `required`, too.
    fn from_str(text: &str) -> Result<Self, UnknownClientCertificates> {
        match text.trim().to_ascii_lowercase().as_str() {
            "off" => Ok(Self::Off),
            "optional" => Ok(Self::Optional),
            "required" | "on" => Ok(Self::Required),
            _ => Err(UnknownClientCertificates(text.to_owned())),
        }
    }
}

/// What was written is none of the forms of [`ClientCertificates`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownClientCertificates(String);

impl fmt::Display for UnknownClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(f, "{text:?} says nothing of client certificates; write required, optional or off")
    }
}

impl error::Error for UnknownClientCertificates {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_the_names_of_mozilla() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!(" mozilla-MODERN".parse(), Ok(Policy::Modern));
    }

    #[test]
    fn other_policies_are_refused_by_name() {
        for text in ["Mozilla-Old", "AWS-TLS-1-2-2017-01", "", "modern", "TLSv1.1"] {
            let error = text.parse::<Policy>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no policy")), "{error}");
            assert!(error.contains("Mozilla-Intermediate") && error.contains("Mozilla-Modern"));
        }
    }

    #[test]
    fn client_certificates_are_asked_for_by_word() {
        for (text, expected) in [
            ("required", ClientCertificates::Required),
            ("ON", ClientCertificates::Required),
            ("optional", ClientCertificates::Optional),
            ("off", ClientCertificates::Off),
        ] {
            assert_eq!(text.parse(), Ok(expected));
        }
        let error = "optional_no_ca".parse::<ClientCertificates>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"optional_no_ca\" says nothing of client certificates; write required, optional or off"
        );
    }
}
