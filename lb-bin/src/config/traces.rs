//! Whether and where traces of requests are sent.

use std::{fmt, path::PathBuf, time::Duration};

use http::{HeaderName, Uri};
use lb_core::tls::{Connector, ConnectorOptions, Verify};

use super::{
    parse::{number, share, truth},
    setting::{Invalid, Origins, Setting},
};
use crate::{
    cli::TraceOptions,
    file::{File, Scalar},
};

/// Where traces are sent, and which.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Traces {
    /// With the path that they are sent to.
    pub(crate) url: Uri,
    pub(crate) protocol: TracesProtocol,
    /// How many requests are traced of those for which nobody says it.
    pub(crate) share: f64,
    /// The authorities that the collector's certificate has to be of, if not one that
    /// browsers believe.
    pub(crate) ca: Option<PathBuf>,
    /// For the collector to take what it is sent.
    pub(crate) timeout: Duration,
    /// Traces that may wait to be sent.
    pub(crate) queue: usize,
    /// Spans that are sent at once.
    pub(crate) batch: usize,
    /// How long traces wait for others, to be sent together.
    pub(crate) delay: Duration,
    /// The methods whose names are told, if not the usual ones.
    pub(crate) methods: Option<Vec<String>>,
    /// Whether somebody asks for what isn't done.
    pub(crate) wants_compression: bool,
}

/// What a collector is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TracesProtocol {
    Grpc,
    Http,
}

impl Traces {
    /// What it takes to restart, if that is another one.
    pub(crate) fn sends_as(&self, other: &Self) -> bool {
        Self { share: self.share, ..other.clone() } == *self
    }

    /// The collector's URL, as people are told of it.
    pub(crate) fn shown(&self) -> String {
        let (scheme, authority) = (self.url.scheme_str(), self.url.authority());
        let authority = authority.map(ToString::to_string).unwrap_or_default();
        format!("{}://{authority}", scheme.unwrap_or_default())
    }
}

impl fmt::Display for TracesProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        })
    }
}

/// The port that collectors expect gRPC at.
const GRPC_PORT: u16 = 4317;

/// Where OTLP over HTTP is spoken, below the URL of a collector.
const PATH: &str = "/v1/traces";

pub(super) fn traces(
    typed: &TraceOptions,
    from: &Origins<'_>,
    file: &File,
    env: impl Fn(&'static str) -> Option<Setting>,
) -> Result<Option<Traces>, Invalid> {
    let setting = |id, typed: &Option<String>, written: &Option<Scalar>| {
        from.setting(id, typed.as_deref(), written.as_ref())
    };
    // What is meant for traces alone outranks what is for everything.
    let otlp = |of_traces, of_all| env(of_traces).or_else(|| env(of_all));
    let url = match setting("traces", &typed.traces, &file.traces) {
        Some(given) if given.value.trim() == "off" => None,
        Some(given) => Some(url(&given, |url| match url.path() {
            "/" => format!("{}{PATH}", given.value.trim().trim_end_matches('/')),
            _ => given.value.trim().to_owned(),
        })?),
        None if !wanted(&env)? => None,
        None => match env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            Some(given) => Some(url(&given, |_| given.value.trim().to_owned())?),
            None => match env("OTEL_EXPORTER_OTLP_ENDPOINT") {
                Some(given) => Some(url(&given, |_| {
                    format!("{}{PATH}", given.value.trim().trim_end_matches('/'))
                })?),
                None => None,
            },
        },
    };
    let protocol = setting("traces_protocol", &typed.traces_protocol, &file.traces_protocol)
        .or_else(|| otlp("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"));
    let sample = setting("traces_sample", &typed.traces_sample, &file.traces_sample);
    let Some(url) = url else {
        // What is said all the same has to be right.
        sample.map(|given| given.parse(share)).transpose()?;
        return Ok(None);
    };
    let usual =
        if url.port_u16() == Some(GRPC_PORT) { TracesProtocol::Grpc } else { TracesProtocol::Http };
    if let Some(given) = otlp("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS") {
        headers(&given)?;
    }
    let count =
        |name, usual| env(name).map_or(Ok(usual), |given| given.parse(|text| number(text, 1)));
    let millis = |given: Setting| {
        given.parse(|text| number(text, 1).map(|millis| Duration::from_millis(millis as u64)))
    };
    let methods = env("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS").map(|given| {
        given.value.split(',').map(|method| method.trim().to_owned()).collect::<Vec<_>>()
    });
    let is_secure = url.scheme_str() == Some("https");
    Ok(Some(Traces {
        url,
        protocol: protocol.map_or(Ok(usual), |given| given.parse(self::protocol))?,
        share: match sample {
            Some(given) => given.parse(share)?,
            None => sampler(&env)?,
        },
        ca: otlp("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
            .filter(|_| is_secure)
            .map(|given| given.parse(authorities))
            .transpose()?,
        timeout: otlp("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
            .map_or(Ok(Duration::from_secs(10)), millis)?,
        queue: count("OTEL_BSP_MAX_QUEUE_SIZE", 2048)?,
        batch: count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)?,
        delay: env("OTEL_BSP_SCHEDULE_DELAY").map_or(Ok(Duration::from_secs(1)), millis)?,
        methods,
        wants_compression: otlp(
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
        )
        .is_some_and(|given| given.value.trim() != "none"),
    }))
}

/// Whether the variables that all of OpenTelemetry hears want traces sent by OTLP.
fn wanted(env: &impl Fn(&'static str) -> Option<Setting>) -> Result<bool, Invalid> {
    let disabled = env("OTEL_SDK_DISABLED").map_or(Ok(false), |given| given.parse(truth))?;
    let exporters = env("OTEL_TRACES_EXPORTER");
    let otlp = |given: Setting| given.value.split(',').any(|exporter| exporter.trim() == "otlp");
    Ok(!disabled && exporters.is_none_or(otlp))
}

/// The URL that traces are sent to, which follows from what was said.
fn url(given: &Setting, full: impl FnOnce(&Uri) -> String) -> Result<Uri, Invalid> {
    if given.value.contains('@') {
        return Err(Invalid {
            key: given.key.clone(),
            value: "(not shown)".into(),
            remedy: "write it without a name and a password: what a collector is to be shown \
                     belongs into OTEL_EXPORTER_OTLP_HEADERS"
                .into(),
        });
    }
    given.parse(|text| {
        let said = text.parse::<Uri>().ok();
        let said = said.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
        let url = said.and_then(|said| full(&said).parse().ok());
        url.ok_or_else(|| "write the collector's URL, as http://collector:4318".to_owned())
    })
}

fn protocol(text: &str) -> Result<TracesProtocol, String> {
    match text {
        "grpc" => Ok(TracesProtocol::Grpc),
        "http/protobuf" => Ok(TracesProtocol::Http),
        _ => Err("write grpc or http/protobuf".into()),
    }
}

fn authorities(path: &str) -> Result<PathBuf, String> {
    let mut options = ConnectorOptions::default();
    options.verify = Verify::File(path.into());
    Connector::new(options).map(|_| path.into()).map_err(|error| error.to_string())
}

/// The share, as all of OpenTelemetry is told of it.
fn sampler(env: &impl Fn(&'static str) -> Option<Setting>) -> Result<f64, Invalid> {
    let Some(given) = env("OTEL_TRACES_SAMPLER") else { return Ok(1.0) };
    given
        .parse(|text| match text {
            "parentbased_always_on" => Ok(Some(1.0)),
            "parentbased_always_off" => Ok(Some(0.0)),
            "parentbased_traceidratio" => Ok(None),
            _ => Err("write parentbased_always_on, parentbased_always_off or \
                  parentbased_traceidratio; or a share with --traces-sample, which outranks it"
                .into()),
        })?
        .map_or_else(
            || env("OTEL_TRACES_SAMPLER_ARG").map_or(Ok(1.0), |given| given.parse(share)),
            Ok,
        )
}

/// Who exports leaves out what it doesn't understand, and says nothing. What is wrong
/// is said without the values.
fn headers(given: &Setting) -> Result<(), Invalid> {
    let is_header = |part: &str| {
        let pair = part.split_once('=');
        pair.is_some_and(|(name, value)| {
            HeaderName::try_from(name.trim()).is_ok()
                && !value.trim().is_empty()
                && value.trim().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        })
    };
    let parts = given.value.split(',').map(str::trim).filter(|part| !part.is_empty());
    match parts.clone().all(is_header) {
        true => Ok(()),
        false => Err(Invalid {
            key: given.key.clone(),
            value: "(not shown)".into(),
            remedy: "write NAME=VALUE, several with commas; what else a value has in it is \
                     written as %2C and the like"
                .into(),
        }),
    }
}
