use std::{fmt, str::FromStr};

use lb_core::registry::{HostPattern, Https, InvalidHost};

use super::Reader;

/// For which of a container's hosts certificates are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acme {
    Unsaid,
    All(bool),
    Some(Vec<HostPattern>),
}

impl Acme {
    pub(crate) fn of(&self, host: &HostPattern) -> Option<bool> {
        match self {
            Self::Unsaid => None,
            Self::All(all) => Some(*all),
            Self::Some(hosts) => hosts.contains(host).then_some(true),
        }
    }
}

/// How users of nginx-proxy ask for client certificates.
const VERIFY_CLIENT: &str = "com.github.nginx-proxy.nginx-proxy.ssl_verify_client";

impl Reader<'_> {
    /// Whether certificates are to be ordered, and for which hosts: for all, or for those
    /// that are listed as users of acme-companion do it.
    pub(super) fn acme(&mut self) -> Acme {
        if let Some(text) = self.container.label("lb.acme") {
            return self.parsed("lb.acme", text).map_or(Acme::Unsaid, Acme::All);
        }
        let listed = ["ACME_HOST", "LETSENCRYPT_HOST"].into_iter();
        let mut listed = listed.filter_map(|key| Some((key, self.container.env(key)?)));
        let Some((key, list)) = listed.find(|(_, list)| !list.trim().is_empty()) else {
            return Acme::Unsaid;
        };
        let mut hosts = vec![];
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match text.parse() {
                Ok(host) => hosts.push(host),
                Err(error) => self.problem(key, text, InvalidHost::to_string(&error)),
            }
        }
        Acme::Some(hosts)
    }

    /// What is asked for where HTTPS is concerned; nothing if that would let in who is
    /// to be kept out.
    pub(super) fn https(&mut self) -> Option<Https> {
        let mut https = Https::default();
        https.method = self.said("lb.https", "HTTPS_METHOD");
        https.http_without_certificate =
            self.said("lb.http_without_certificate", "ENABLE_HTTP_ON_MISSING_CERT");
        https.hsts = self.said("lb.hsts", "HSTS");
        https.policy = self.said("lb.tls_policy", "SSL_POLICY");
        https.certificate = self.certificate();
        let before = self.problems.len();
        let asked = self.container.label("lb.client_certificates");
        let asked = asked.map(|text| ("lb.client_certificates", text));
        let asked = asked.or_else(|| Some((VERIFY_CLIENT, self.container.label(VERIFY_CLIENT)?)));
        https.client_certificates = asked.and_then(|(key, text)| self.parsed(key, text));
        (self.problems.len() == before).then_some(https)
    }

    fn said<T: FromStr<Err: fmt::Display>>(
        &mut self,
        label: &'static str,
        variable: &'static str,
    ) -> Option<T> {
        let (key, text) = self.either(label, variable)?;
        self.parsed(key, text)
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &str, text: &str) -> Option<T> {
        let value = text.trim();
        if value.is_empty() {
            return None;
        }
        value.parse().map_err(|error: T::Err| self.problem(key, text, error.to_string())).ok()
    }

    /// The name of a file, and not of one elsewhere.
    fn certificate(&mut self) -> Option<std::sync::Arc<str>> {
        let (key, text) = self.either("lb.certificate", "CERT_NAME")?;
        let name = text.trim();
        if name.is_empty() {
            return None;
        }
        if name.contains('/') {
            self.problem(key, text, "write the name of a certificate, as shared for shared.crt");
            return None;
        }
        Some(name.into())
    }
}

#[cfg(test)]
mod tests {
    use lb_core::registry::{ClientCertificates, Hsts, HttpsMethod, Policy};

    use super::{super::tests::read, *};

    #[test]
    fn it_is_asked_for_as_nginx_proxy_has_it() {
        let settings = read(
            &[
                "VIRTUAL_HOST=a.test",
                "HTTPS_METHOD=nohttp",
                "HSTS=max-age=60",
                "CERT_NAME=shared",
                "SSL_POLICY=Mozilla-Modern",
                "ENABLE_HTTP_ON_MISSING_CERT=false",
            ],
            &[(VERIFY_CLIENT, "optional")],
        );
        assert_eq!(settings.problems, []);
        let https = settings.https;
        assert_eq!(https.method, Some(HttpsMethod::NoHttp));
        assert_eq!(https.hsts, Some(Hsts::Value("max-age=60".into())));
        assert_eq!(https.certificate.as_deref(), Some("shared"));
        assert_eq!(https.policy, Some(Policy::Modern));
        assert_eq!(https.http_without_certificate, Some(false));
        assert_eq!(https.client_certificates, Some(ClientCertificates::Optional));
    }

    #[test]
    fn certificates_are_ordered_for_whom_it_is_asked() {
        let host = |text: &str| text.parse::<HostPattern>().unwrap();
        let asked = |env: &[&str], labels: &[(&str, &str)]| read(env, labels).acme;
        let both = "VIRTUAL_HOST=a.test,b.test";
        assert_eq!(asked(&[both], &[]).of(&host("a.test")), None);
        assert_eq!(asked(&[both], &[("lb.acme", "true")]).of(&host("b.test")), Some(true));
        let listed = asked(&[both, "LETSENCRYPT_HOST=b.test, c.test"], &[]);
        assert_eq!((listed.of(&host("a.test")), listed.of(&host("b.test"))), (None, Some(true)));
        let off = asked(&[both, "ACME_HOST=b.test"], &[("lb.acme", "false")]);
        assert_eq!(off.of(&host("b.test")), Some(false));
        let settings = read(&[both, "ACME_HOST=b test"], &[]);
        assert_eq!((settings.hosts.len(), &settings.problems[0].key[..]), (2, "ACME_HOST"));
    }

    #[test]
    fn labels_outrank_and_nothing_is_asked_for_by_nothing() {
        let host = "VIRTUAL_HOST=a.test";
        let settings = read(
            &[host, "HTTPS_METHOD=redirect", "HSTS="],
            &[("lb.https", "nohttps"), ("lb.client_certificates", "off"), (VERIFY_CLIENT, "on")],
        );
        assert_eq!(settings.https.method, Some(HttpsMethod::NoHttps));
        assert_eq!(settings.https.client_certificates, Some(ClientCertificates::Off));
        assert_eq!((settings.https.hsts, settings.problems), (None, vec![]));
        assert_eq!(read(&[host], &[]).https, Https::default());
    }

    #[test]
    fn what_cant_be_read_is_left_out_unless_it_would_let_somebody_in() {
        let host = "VIRTUAL_HOST=a.test";
        for (entry, key) in [
            ("HTTPS_METHOD=https", "HTTPS_METHOD"),
            ("HSTS=1y", "HSTS"),
            ("SSL_POLICY=Mozilla-Old", "SSL_POLICY"),
            ("CERT_NAME=../x", "CERT_NAME"),
            ("ENABLE_HTTP_ON_MISSING_CERT=perhaps", "ENABLE_HTTP_ON_MISSING_CERT"),
        ] {
            let settings = read(&[host, entry], &[]);
            assert_eq!((settings.hosts.len(), &settings.problems[0].key[..]), (1, key));
            assert_eq!(settings.https, Https::default());
        }
        let settings = read(&[host], &[(VERIFY_CLIENT, "optional_no_ca")]);
        assert_eq!(settings.hosts, []);
        assert!(settings.problems[0].remedy.contains("required, optional or off"));
    }
}
