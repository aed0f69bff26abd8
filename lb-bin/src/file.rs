//! The configuration file, as it is written.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::config::Invalid;

/// Every key is optional. What the values mean is decided in
/// [`Config`](crate::config::Config), together with flags and environment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) listen: Option<Scalar>,
    pub(crate) proxy_protocol: Option<Scalar>,
    pub(crate) admin: Option<Scalar>,
    pub(crate) control: Option<Scalar>,
    pub(crate) docker: Option<Scalar>,
    pub(crate) default_host: Option<Scalar>,
    pub(crate) algorithm: Option<Scalar>,
    pub(crate) trust_downstream_proxy: Option<Scalar>,
    pub(crate) forwarded: Option<Scalar>,
    pub(crate) via: Option<Scalar>,
    pub(crate) request_id: Option<Scalar>,
    pub(crate) traceparent: Option<Scalar>,
    pub(crate) certificates: Option<Scalar>,
    pub(crate) listen_tls: Option<Scalar>,
    pub(crate) https_method: Option<Scalar>,
    pub(crate) external_https_port: Option<Scalar>,
    pub(crate) non_get_redirect: Option<Scalar>,
    pub(crate) http_without_certificate: Option<Scalar>,
    pub(crate) hsts: Option<Scalar>,
    pub(crate) trust_default_certificate: Option<Scalar>,
    pub(crate) tls_policy: Option<Scalar>,
    pub(crate) http2: Option<Scalar>,
    pub(crate) handshake_timeout: Option<Scalar>,
    pub(crate) acme: Option<Scalar>,
    pub(crate) acme_email: Option<Scalar>,
    pub(crate) acme_hosts: Option<Scalar>,
    pub(crate) acme_challenges: Option<Scalar>,
    pub(crate) acme_ca: Option<Scalar>,
    pub(crate) acme_eab: Option<Scalar>,
    pub(crate) connect_timeout: Option<Scalar>,
    pub(crate) upstream_verify: Option<Scalar>,
    pub(crate) upstream_ca: Option<Scalar>,
    pub(crate) upstream_handshake_timeout: Option<Scalar>,
    pub(crate) wait: Option<Scalar>,
    pub(crate) wait_limit: Option<Scalar>,
    pub(crate) retry_budget: Option<Scalar>,
    pub(crate) eject: Option<Scalar>,
    pub(crate) slow_start: Option<Scalar>,
    pub(crate) stop_delay: Option<Scalar>,
    pub(crate) drain_timeout: Option<Scalar>,
    pub(crate) head_timeout: Option<Scalar>,
    pub(crate) send_timeout: Option<Scalar>,
    pub(crate) head_size: Option<Scalar>,
    pub(crate) headers: Option<Scalar>,
    pub(crate) connections: Option<Scalar>,
    pub(crate) connections_per_client: Option<Scalar>,
    pub(crate) requests_per_connection: Option<Scalar>,
    pub(crate) streams: Option<Scalar>,
    pub(crate) uri_limit: Option<Scalar>,
    pub(crate) body_limit: Option<Scalar>,
    pub(crate) body_timeout: Option<Scalar>,
    pub(crate) answer_timeout: Option<Scalar>,
    pub(crate) idle_timeout: Option<Scalar>,
    pub(crate) memory_limit: Option<Scalar>,
    pub(crate) traces: Option<Scalar>,
    pub(crate) traces_protocol: Option<Scalar>,
    pub(crate) traces_sample: Option<Scalar>,
    pub(crate) workers: Option<Scalar>,
    pub(crate) access_log: Option<Scalar>,
    pub(crate) log_format: Option<Scalar>,
    pub(crate) log_format_escape: Option<Scalar>,
    pub(crate) log: Option<Scalar>,
    pub(crate) service: Vec<Service>,
}

/// `[[service]]`: servers that are always there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) host: String,
    pub(crate) endpoints: Vec<String>,
    pub(crate) algorithm: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) upstream_verify: Option<String>,
    pub(crate) upstream_name: Option<String>,
    pub(crate) proxy_protocol: Option<String>,
    pub(crate) https: Option<String>,
    pub(crate) http_without_certificate: Option<bool>,
    pub(crate) hsts: Option<String>,
    pub(crate) certificate: Option<String>,
    pub(crate) acme: Option<bool>,
    pub(crate) tls_policy: Option<String>,
    pub(crate) client_certificates: Option<String>,
}

/// One value, written as text, number or truth: they mean the same as the text
/// would after a flag.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, a number, true or false")]
pub(crate) enum Scalar {
    Text(String),
    Number(i64),
    Fraction(f64),
    Truth(bool),
}

impl Scalar {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

impl File {
    pub(crate) fn read(path: &str) -> Result<Self, Invalid> {
        let invalid =
            |remedy: String| Invalid { key: "--config".into(), value: path.into(), remedy };
        let text = fs::read_to_string(Path::new(path))
            .map_err(|error| invalid(format!("it can't be read: {error}")))?;
        // The error shows the line, the key and what was expected there.
        toml::from_str(&text).map_err(|error| invalid(format!("\n{error}")))
    }
}
