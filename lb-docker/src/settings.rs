//! What a container asks for, in its environment and its labels.

// Said in whole, for who compiles this file alone (fuzz).
#[path = "settings/https.rs"]
mod https;

use std::{collections::BTreeSet, fmt::Display, str::FromStr, time::Duration};

use lb_core::{
    balance::Algorithm,
    registry::{
        HostPattern, Https, Problem, Protocol, ProxyProtocol, ServerName, UnknownProtocol,
        Verification,
    },
};

use crate::container::Container;

use https::Acme;

/// The labels that are read. A label under `lb.` that isn't here is a mistake.
const LABELS: [&str; 17] = [
    "lb.host",
    "lb.port",
    "lb.proto",
    "lb.upstream_verify",
    "lb.upstream_name",
    "lb.proxy_protocol",
    "lb.algorithm",
    "lb.weight",
    "lb.ready",
    "lb.slow_start",
    "lb.https",
    "lb.http_without_certificate",
    "lb.hsts",
    "lb.certificate",
    "lb.acme",
    "lb.tls_policy",
    "lb.client_certificates",
];

/// The port of a container that neither names nor exposes just one.
const DEFAULT_PORT: u16 = 80;

/// A variable that would send requests elsewhere than we do.
struct Unsupported {
    key: &'static str,
    /// The values that say what we do anyhow.
    harmless: &'static [&'static str],
    remedy: &'static str,
}

const UNSUPPORTED: &[Unsupported] = &[
    Unsupported {
        key: "VIRTUAL_PATH",
        harmless: &["", "/"],
        remedy: "not supported; leave it out, and give the container a host of its own",
    },
    Unsupported {
        key: "VIRTUAL_DEST",
        harmless: &[""],
        remedy: "not supported; leave it out: a request's path is passed on as it is",
    },
    Unsupported {
        key: "VIRTUAL_HOST_MULTIPORTS",
        harmless: &[""],
        remedy: "not supported; use VIRTUAL_HOST and VIRTUAL_PORT, a container for each port",
    },
    // To ignore it would show the world what is meant for few.
    Unsupported {
        key: "NETWORK_ACCESS",
        harmless: &["", "external"],
        remedy: "not supported; leave it out once anybody may send requests to the container",
    },
];

/// What a container asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The hosts it is to be reached by; none if any setting forbids to route
    /// it.
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) verification: Option<Verification>,
    pub(crate) server_name: Option<ServerName>,
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) weight: u32,
    pub(crate) ready: Ready,
    pub(crate) slow_start: Option<Duration>,
    pub(crate) https: Https,
    pub(crate) acme: Acme,
    pub(crate) problems: Vec<Problem>,
}

/// When a running container takes requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ready {
    /// When its health check, if it has one, has passed.
    #[default]
    Healthy,
    /// As soon as it accepts connections, even while its health check has not
    /// passed for the first time.
    Accept,
}

impl Settings {
    pub(crate) fn read(container: &Container) -> Self {
        let mut reader = Reader { container, problems: vec![] };
        let hosts = reader.hosts();
        let port = reader.port();
        let protocol = reader.protocol();
        let before = reader.problems.len();
        let verification = reader.label("lb.upstream_verify", from_str);
        let server_name = reader.label("lb.upstream_name", from_str);
        let proxy_protocol = reader.label("lb.proxy_protocol", from_str);
        // Without the first it would be trusted though it isn't to be, without the last
        // it would understand nothing.
        let understood = reader.problems.len() == before;
        let servable = reader.servable() && understood;
        let algorithm = reader.label("lb.algorithm", |text| {
            text.parse().map_err(|error| format!("{error}; it has no say"))
        });
        let weight = reader.label("lb.weight", |text| {
            text.parse().map_err(|_| {
                "a weight is a whole number from 0 (no new requests) up; 1 is used".to_owned()
            })
        });
        let ready = reader.label("lb.ready", |text| match text {
            "healthy" => Ok(Ready::Healthy),
            "accept" => Ok(Ready::Accept),
            _ => Err("use `accept` or `healthy`; `healthy` is used".to_owned()),
        });
        let slow_start = reader.label("lb.slow_start", |text| {
            humantime::parse_duration(text).map_err(|error| {
                format!("a time such as 30s is needed ({error}); there is no slow start")
            })
        });
        let https = reader.https();
        let acme = reader.acme();
        reader.unknown_labels();
        let servable = servable && port.is_some() && protocol.is_some() && https.is_some();
        Self {
            hosts: if servable { hosts } else { vec![] },
            port: port.unwrap_or(DEFAULT_PORT),
            protocol: protocol.unwrap_or_default(),
            verification,
            server_name,
            proxy_protocol,
            algorithm,
            weight: weight.unwrap_or(1),
            ready: ready.unwrap_or_default(),
            slow_start: slow_start.filter(|time| !time.is_zero()),
            https: https.unwrap_or_default(),
            acme,
            problems: reader.problems,
        }
    }
}

/// Reads settings and notes what is wrong with them.
struct Reader<'a> {
    container: &'a Container,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A setting that a label gives or else a variable, and which of them did.
    fn either(
        &self,
        label: &'static str,
        variable: &'static str,
    ) -> Option<(&'static str, &'a str)> {
        let label = self.container.label(label).map(|value| (label, value));
        label.or_else(|| self.container.env(variable).map(|value| (variable, value)))
    }

    fn label<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.container.label(key)?;
        parse(value.trim()).map_err(|remedy| self.problem(key, value, remedy)).ok()
    }

    fn hosts(&mut self) -> Vec<HostPattern> {
        let Some((key, list)) = self.either("lb.host", "VIRTUAL_HOST") else { return vec![] };
        let mut hosts = vec![];
        let mut seen = BTreeSet::new();
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match text.parse::<HostPattern>() {
                Ok(host) if seen.insert(host.clone()) => hosts.push(host),
                Ok(_) => self.problem(key, text, "the host is named twice; once is enough"),
                Err(error) => self.problem(key, text, error.to_string()),
            }
        }
        hosts
    }

    /// The port, unless one is named that can't be used.
    fn port(&mut self) -> Option<u16> {
        let Some((key, text)) = self.either("lb.port", "VIRTUAL_PORT") else {
            return Some(self.exposed());
        };
        match text.trim().parse() {
            Ok(0) | Err(_) if text.trim().is_empty() => Some(self.exposed()),
            Ok(0) | Err(_) => {
                self.problem(key, text, "a port is a number from 1 to 65535");
                None
            }
            Ok(port) => Some(port),
        }
    }

    /// What it speaks, unless that is something we don't.
    fn protocol(&mut self) -> Option<Protocol> {
        let (key, text) = self.either("lb.proto", "VIRTUAL_PROTO").unwrap_or_default();
        let name = text.trim();
        if name.is_empty() {
            return Some(Protocol::default());
        }
        name.parse()
            .map_err(|error: UnknownProtocol| self.problem(key, text, error.to_string()))
            .ok()
    }

    fn exposed(&self) -> u16 {
        match self.container.exposed[..] {
            [only] => only,
            _ => DEFAULT_PORT,
        }
    }

    /// Whether nothing is asked for that would send requests elsewhere than we
    /// would: to serve it our way would be to serve it wrong.
    fn servable(&mut self) -> bool {
        let before = self.problems.len();
        for Unsupported { key, harmless, remedy } in UNSUPPORTED {
            if let Some(value) = self.container.env(key)
                && !harmless.contains(&value.trim())
            {
                self.problem(key, value, *remedy);
            }
        }
        self.problems.len() == before
    }

    fn unknown_labels(&mut self) {
        let container = self.container;
        for (key, value) in &container.labels {
            if key.starts_with("lb.") && !LABELS.contains(&key.as_str()) {
                let known = LABELS.join(", ");
                self.problem(key, value, format!("no such label; there are {known}"));
            }
        }
    }

    fn problem(&mut self, key: &str, value: &str, remedy: impl Into<String>) {
        let (key, value, remedy) = (key.to_owned(), value.to_owned(), remedy.into());
        self.problems.push(Problem { key, value, remedy });
    }
}

fn from_str<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::container::running;

    pub(super) fn read(env: &[&str], labels: &[(&str, &str)]) -> Settings {
        read_exposing(&[], env, labels)
    }

    fn read_exposing(ports: &[u16], env: &[&str], labels: &[(&str, &str)]) -> Settings {
        let mut container = running("a", env);
        container.exposed = ports.to_vec();
        for (key, value) in labels {
            container.labels.insert((*key).to_owned(), (*value).to_owned());
        }
        Settings::read(&container)
    }

    fn hosts(settings: &Settings) -> Vec<String> {
        settings.hosts.iter().map(ToString::to_string).collect()
    }

    fn problems(settings: &Settings) -> Vec<(&str, &str)> {
        settings.problems.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect()
    }

    #[test]
    fn hosts_are_split_and_trimmed() {
        let settings = read(&["VIRTUAL_HOST= a.test , ,*.B.test,,"], &[]);
        assert_eq!(hosts(&settings), ["a.test", "*.b.test"]);
        assert_eq!(settings.problems, []);
    }

    #[test]
    fn a_label_wins_over_a_variable() {
        let settings = read(
            &["VIRTUAL_HOST=a.test", "VIRTUAL_PORT=81"],
            &[("lb.host", "b.test"), ("lb.port", "82")],
        );
        assert_eq!(hosts(&settings), ["b.test"]);
        assert_eq!(settings.port, 82);
    }

    #[test]
    fn a_bad_host_among_good_ones() {
        let settings = read(&["VIRTUAL_HOST=a.test,b test,~^c,a.test"], &[]);
        assert_eq!(hosts(&settings), ["a.test"]);
        assert_eq!(
            problems(&settings),
            [("VIRTUAL_HOST", "b test"), ("VIRTUAL_HOST", "~^c"), ("VIRTUAL_HOST", "a.test")]
        );
        assert!(settings.problems[2].remedy.contains("named twice"));
    }

    #[test]
    fn ports() {
        let host = "VIRTUAL_HOST=a.test";
        assert_eq!(read(&[host], &[]).port, 80);
        assert_eq!(read_exposing(&[8080], &[host], &[]).port, 8080);
        assert_eq!(read_exposing(&[8080, 9090], &[host], &[]).port, 80);
        assert_eq!(read_exposing(&[8080], &[host, "VIRTUAL_PORT=3000"], &[]).port, 3000);
        assert_eq!(read_exposing(&[8080], &[host, "VIRTUAL_PORT="], &[]).port, 8080);
        for bad in ["0", "70000", "abc", "-1", "80 81"] {
            let settings = read(&[host, &format!("VIRTUAL_PORT={bad}")], &[]);
            assert_eq!(hosts(&settings), [""; 0], "{bad}");
            assert_eq!(problems(&settings), [("VIRTUAL_PORT", bad)]);
        }
    }

    #[test]
    fn protocols() {
        let host = "VIRTUAL_HOST=a.test";
        let protocol = |env: &[&str], labels: &[(&str, &str)]| read(env, labels).protocol;
        assert_eq!(protocol(&[host], &[]), Protocol::Http1);
        assert_eq!(protocol(&[host, "VIRTUAL_PROTO=grpc"], &[]), Protocol::Http2);
        assert_eq!(protocol(&[host, "VIRTUAL_PROTO=https"], &[]), Protocol::Http1Tls);
        assert_eq!(protocol(&[host, "VIRTUAL_PROTO=grpcs"], &[]), Protocol::Http2Tls);
        assert_eq!(
            protocol(&[host, "VIRTUAL_PROTO=http"], &[("lb.proto", "h2c")]),
            Protocol::Http2
        );
    }

    #[test]
    fn what_would_be_routed_wrong_is_not_routed() {
        for (entry, routed) in [
            ("VIRTUAL_PATH=/", true),
            ("VIRTUAL_PATH=", true),
            ("VIRTUAL_PATH=/api", false),
            ("VIRTUAL_DEST=", true),
            ("VIRTUAL_DEST=/", false),
            ("VIRTUAL_PROTO=http", true),
            ("VIRTUAL_PROTO=", true),
            ("VIRTUAL_PROTO=grpc", true),
            ("VIRTUAL_PROTO=https", true),
            ("VIRTUAL_PROTO=uwsgi", false),
            ("VIRTUAL_HOST_MULTIPORTS=a.test: {}", false),
            ("NETWORK_ACCESS=external", true),
            ("NETWORK_ACCESS=internal", false),
        ] {
            let settings = read(&["VIRTUAL_HOST=a.test", entry], &[]);
            assert_eq!(settings.hosts.len(), usize::from(routed), "{entry}");
            assert_eq!(settings.problems.len(), usize::from(!routed), "{entry}");
        }
    }

    #[test]
    fn who_asks_for_a_way_to_connect_that_is_not_known_is_not_routed() {
        let host = "VIRTUAL_HOST=a.test";
        let told = read(
            &[host],
            &[
                ("lb.upstream_verify", " ca"),
                ("lb.upstream_name", "in.test"),
                ("lb.proxy_protocol", "v2"),
            ],
        );
        assert_eq!(told.proxy_protocol, Some(ProxyProtocol::V2));
        assert_eq!((told.verification, hosts(&told).len()), (Some(Verification::Ca), 1));
        assert_eq!(told.server_name.unwrap().as_str(), "in.test");
        for (key, bad) in [
            ("lb.upstream_verify", "/etc/ssl/ca.pem"),
            ("lb.upstream_verify", ""),
            ("lb.upstream_name", "*.test"),
            ("lb.proxy_protocol", "3"),
        ] {
            let settings = read(&[host], &[(key, bad)]);
            assert_eq!(hosts(&settings), [""; 0], "{bad}");
            assert_eq!(problems(&settings), [(key, bad)]);
        }
    }

    #[test]
    fn labels_that_cant_be_used_are_left_out() {
        let settings = read(
            &["VIRTUAL_HOST=a.test"],
            &[
                ("lb.algorithm", "x"),
                ("lb.weight", "-1"),
                ("lb.ready", "no"),
                ("lb.slow_start", "slow"),
                ("lb.wieght", "3"),
            ],
        );
        assert_eq!(hosts(&settings), ["a.test"]);
        assert_eq!(
            problems(&settings),
            [
                ("lb.algorithm", "x"),
                ("lb.weight", "-1"),
                ("lb.ready", "no"),
                ("lb.slow_start", "slow"),
                ("lb.wieght", "3")
            ]
        );
        assert_eq!((settings.algorithm, settings.weight, settings.slow_start), (None, 1, None));
        assert_eq!(settings.ready, Ready::Healthy);
    }

    #[test]
    fn labels() {
        let settings = read(
            &[],
            &[
                ("lb.host", "a.test"),
                ("lb.algorithm", "least_request"),
                ("lb.weight", "0"),
                ("lb.ready", "accept"),
                ("lb.slow_start", "1m 30s"),
                ("com.example.lb.x", "y"),
            ],
        );
        assert_eq!(settings.problems, []);
        assert_eq!(settings.algorithm, Some(Algorithm::LeastRequest));
        assert_eq!((settings.weight, settings.ready), (0, Ready::Accept));
        assert_eq!(settings.slow_start, Some(Duration::from_secs(90)));
    }

    proptest! {
        #[test]
        fn no_text_panics(
            env in proptest::collection::vec("(VIRTUAL_(HOST|PORT|PATH)=)?.{0,20}", 0..6),
            label in "lb\\.[a-z]{0,6}", value in ".{0,20}",
        ) {
            let env: Vec<&str> = env.iter().map(String::as_str).collect();
            let settings = read(&env, &[(&label, &value)]);
            prop_assert!(settings.port > 0);
        }
    }
}
