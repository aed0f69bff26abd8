//! What a trace looks like to others: spans by the semantic conventions for HTTP.

use std::{net::SocketAddr, time::SystemTime};

use http::{Method, StatusCode, Version};
use lb_core::http::{Attempt, Trace};
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// The version of the conventions.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// Methods whose names are told (RFC 9110, and PATCH); there are no limits to what else
/// a client may write.
const KNOWN_METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Makes spans of traces.
pub(super) struct Spans {
    known_methods: Vec<String>,
    scope: InstrumentationScope,
}

impl Spans {
    /// Knows these methods, or else the usual ones.
    pub(super) fn new(known_methods: Option<Vec<String>>) -> Self {
        let usual = || KNOWN_METHODS.map(str::to_owned).to_vec();
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA)
            .build();
        Self { known_methods: known_methods.unwrap_or_else(usual), scope }
    }

    /// Adds the span of a request, and one for each attempt below it.
    pub(super) fn of(&self, trace: &Trace, spans: &mut Vec<SpanData>) {
        let context = |span| {
            let state = trace.state.as_deref().and_then(|state| state.parse().ok());
            SpanContext::new(
                TraceId::from(trace.id),
                SpanId::from(span),
                TraceFlags::new(trace.flags),
                false,
                state.unwrap_or(TraceState::NONE),
            )
        };
        for (number, attempt) in trace.attempts.iter().enumerate() {
            let started = trace.started + attempt.started;
            spans.push(SpanData {
                span_context: context(attempt.span),
                parent_span_id: SpanId::from(trace.span),
                span_kind: SpanKind::Client,
                ..self.client(trace, attempt, number, started)
            });
        }
        spans.push(SpanData {
            span_context: context(trace.span),
            parent_span_id: trace.parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: trace.parent.is_some(),
            ..self.server(trace)
        });
    }

    fn server(&self, trace: &Trace) -> SpanData {
        let (method, mut attributes) = self.method(&trace.method);
        let mut add = |key, value| attributes.push(KeyValue::new(key, value));
        add("url.scheme", text(trace.scheme));
        add("url.path", text(&trace.path));
        if let Some((host, port)) = trace.host.as_deref().map(split) {
            add("server.address", text(host));
            let usual = if trace.scheme == "https" { 443 } else { 80 };
            add("server.port", i64::from(port.unwrap_or(usual)).into());
        }
        if let Some(client) = trace.client {
            add("client.address", client.to_string().into());
        }
        if let Some(peer) = trace.peer {
            add("network.peer.address", peer.ip().to_canonical().to_string().into());
            add("network.peer.port", i64::from(peer.port()).into());
        }
        if let Some(version) = version(trace.version) {
            add("network.protocol.version", version.into());
        }
        if let Some(agent) = &trace.user_agent {
            add("user_agent.original", text(agent));
        }
        if let Some(status) = trace.status {
            add("http.response.status_code", i64::from(status.as_u16()).into());
        }
        if let Some(service) = &trace.service {
            add("lb.service", text(service));
        }
        if let Some(reason) = trace.reason {
            add("lb.reason", reason.into());
        }
        let is_error = !trace.is_whole || trace.status.is_none_or(|code| code.is_server_error());
        if is_error {
            add("error.type", error_type(trace.reason, trace.status));
        }
        // The host that was registered, of which there are few. It is no `http.route`,
        // which is a template of paths.
        let name = match &trace.service {
            Some(service) => format!("{method} {service}").into(),
            None => method.into(),
        };
        SpanData {
            name,
            span_kind: SpanKind::Server,
            end_time: trace.started + trace.took,
            ..self.span(trace.started, attributes, is_error)
        }
    }

    fn client(
        &self,
        trace: &Trace,
        attempt: &Attempt,
        number: usize,
        started: SystemTime,
    ) -> SpanData {
        // What asks for a tunnel on a stream of HTTP/2 is sent on as HTTP/1.1 has it.
        let sent = if trace.method == Method::CONNECT { &Method::GET } else { &trace.method };
        let (method, mut attributes) = self.method(sent);
        let mut add = |key, value| attributes.push(KeyValue::new(key, value));
        let address = SocketAddr::new(attempt.address.ip().to_canonical(), attempt.address.port());
        let (ip, port) = (address.ip().to_string(), i64::from(address.port()));
        let scheme = if attempt.protocol.is_tls() { "https" } else { "http" };
        add("url.full", format!("{scheme}://{address}{}", trace.path).into());
        add("server.address", ip.clone().into());
        add("server.port", port.into());
        add("network.peer.address", ip.into());
        add("network.peer.port", port.into());
        let version = if attempt.protocol.is_http2() { "2" } else { "1.1" };
        add("network.protocol.version", version.into());
        if number > 0 {
            add("http.request.resend_count", i64::try_from(number).unwrap_or(i64::MAX).into());
        }
        if is_container(attempt.endpoint.as_str()) {
            add("container.id", text(attempt.endpoint.as_str()));
            add("container.name", text(&attempt.name));
        }
        add("lb.endpoint", text(&attempt.name));
        if let Some(took) = attempt.connect {
            add("lb.connect.duration", took.as_secs_f64().into());
        }
        if let Some(took) = attempt.first_byte {
            add("lb.first_byte.duration", took.as_secs_f64().into());
        }
        if let Some(status) = attempt.status {
            add("http.response.status_code", i64::from(status.as_u16()).into());
        }
        let refuses = |code: StatusCode| code.is_client_error() || code.is_server_error();
        let is_error = attempt.error.is_some() || attempt.status.is_none_or(refuses);
        if is_error {
            add("error.type", error_type(attempt.error, attempt.status));
        }
        SpanData {
            name: method.into(),
            end_time: started + attempt.took,
            ..self.span(started, attributes, is_error)
        }
    }

    /// How a method is told, and the first attributes.
    fn method(&self, method: &Method) -> (String, Vec<KeyValue>) {
        let method = method.as_str();
        let mut attributes = Vec::with_capacity(16);
        if self.known_methods.iter().any(|known| known == method) {
            attributes.push(KeyValue::new("http.request.method", text(method)));
            return (method.to_owned(), attributes);
        }
        attributes.push(KeyValue::new("http.request.method", "_OTHER"));
        attributes.push(KeyValue::new("http.request.method_original", text(method)));
        ("HTTP".to_owned(), attributes)
    }

    fn span(&self, started: SystemTime, attributes: Vec<KeyValue>, is_error: bool) -> SpanData {
        SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "".into(),
            start_time: started,
            end_time: started,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            // `error.type` says it all.
            status: if is_error { Status::error("") } else { Status::Unset },
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn text(text: &str) -> Value {
    text.to_owned().into()
}

fn error_type(reason: Option<&'static str>, status: Option<StatusCode>) -> Value {
    match (reason, status) {
        (Some(reason), _) => reason.into(),
        (None, Some(status)) => text(status.as_str()),
        (None, None) => "_OTHER".into(),
    }
}

/// A host and its port, if that was said.
fn split(host: &str) -> (&str, Option<u16>) {
    let split =
        host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    let (name, port) = match split {
        Some((name, port)) => (name, port.parse().ok()),
        None => (host, None),
    };
    (name.trim_matches(['[', ']']), port)
}

fn version(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => return None,
    })
}

/// Whether an endpoint's identity is that of a container, as engines write them.
fn is_container(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (host, expected) in [
            ("app.local", ("app.local", None)),
            ("app.local:8080", ("app.local", Some(8080))),
            ("10.0.0.1:80", ("10.0.0.1", Some(80))),
            ("[2001:db8::1]:443", ("2001:db8::1", Some(443))),
            ("[2001:db8::1]", ("2001:db8::1", None)),
            ("app.local:http", ("app.local", None)),
            ("", ("", None)),
        ] {
            assert_eq!(split(host), expected, "{host}");
        }
    }

    #[test]
    fn containers_are_known_by_their_ids() {
        assert!(is_container(&"0a".repeat(32)));
        for other in ["10.0.0.1:80", &"0A".repeat(32), &"0a".repeat(31)] {
            assert!(!is_container(other), "{other}");
        }
    }
}
