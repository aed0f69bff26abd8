//! Hosts that certificates can be ordered for.

use std::net::IpAddr;

/// Ends of names that no public authority has a certificate for: none of them are
/// in the public DNS (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476, and names
/// that ICANN has set aside).
const NOT_PUBLIC: [&str; 14] = [
    "alt",
    "corp",
    "example",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "test",
];

/// A host as certificates have it: in small letters, without the dot at its end.
pub(super) fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Why there can be no certificate for a host, which is [`normal`].
pub(super) fn refusal(host: &str, public: bool) -> Option<String> {
    if host.parse::<IpAddr>().is_ok() || host.starts_with('[') {
        return Some("it is an address; certificates are ordered for names".into());
    }
    if host.contains('*') {
        return Some(
            "a wildcard is proved by DNS alone (dns-01), which isn't spoken here; \
             put a certificate into the folder, or name the hosts one by one"
                .into(),
        );
    }
    if let Some(label) = host.split('.').find(|label| !is_label(label)) {
        return Some(match label {
            "" => "it is no name of a host: a part of it is empty".into(),
            _ => format!("{label:?} can't be a part of a host's name in a certificate"),
        });
    }
    if host.len() > 253 {
        return Some("it is longer than 253 letters".into());
    }
    if !host.contains('.') {
        return Some("it has no dot; what one network calls it, no certificate can name".into());
    }
    let end = NOT_PUBLIC.iter().find(|end| {
        host.strip_suffix(**end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    end.filter(|_| public).map(|end| {
        format!("no public authority issues certificates for .{end}; ask one of your own")
    })
}

/// As RFC 5890 has it: `_` is for other things than hosts.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn public_names_have_certificates() {
        for host in ["example.com", "a.b.example.co.uk", "xn--bcher-kva.example.org", "test.de"] {
            assert_eq!(refusal(host, true), None, "{host}");
        }
    }

    #[test]
    fn others_are_refused_with_a_reason() {
        for (host, reason) in [
            ("10.0.0.1", "an address"),
            ("fd00::1", "an address"),
            ("[fd00::1]", "an address"),
            ("*.example.com", "dns-01"),
            ("www.example.*", "dns-01"),
            ("localhost", "no dot"),
            ("a..example.com", "empty"),
            ("", "empty"),
            ("my_app.example.com", "\"my_app\""),
            ("-a.example.com", "\"-a\""),
            ("../etc/passwd.example.com", "empty"),
            ("a/b.example.com", "\"a/b\""),
        ] {
            for public in [true, false] {
                let told = refusal(host, public).unwrap_or_default();
                assert!(told.contains(reason), "{host}: {told}");
            }
        }
    }

    #[test]
    fn names_of_one_network_are_for_an_authority_of_its_own() {
        for host in ["nas.local", "a.example.test", "app.home.arpa", "db.internal"] {
            assert!(refusal(host, true).is_some_and(|why| why.contains("public")), "{host}");
            assert_eq!(refusal(host, false), None, "{host}");
        }
        assert_eq!(refusal("a.latest", true), None);
    }

    #[test]
    fn names_are_compared_in_one_form() {
        assert_eq!(normal("WWW.Example.com."), "www.example.com");
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_a_harmless_name_of_a_file(host in "[a-zA-Z0-9._/\\\\*\u{0}ä-]{0,40}") {
            let host = normal(&host);
            if refusal(&host, false).is_none() {
                prop_assert!(host.contains('.') && !host.starts_with('.') && !host.contains(".."));
                prop_assert!(host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b)));
            }
        }
    }
}
