use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use lb_core::tls::{Connector, ConnectorError, ConnectorOptions, Verify};
use opentelemetry::KeyValue;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{
    Protocol as Otlp, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};
use tonic::transport::Endpoint;
use tower_service::Service;

use crate::config::{Traces as Said, TracesProtocol as Protocol};

/// Whoever listens answers sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where traces are sent.
pub(super) struct Collector {
    exporter: SpanExporter,
    dialer: Dialer,
    timeout: Duration,
}

impl Collector {
    /// Connections are made when there is something to send. Headers for the collector,
    /// which are secrets, are read by `opentelemetry_otlp` itself from
    /// `OTEL_EXPORTER_OTLP_HEADERS`, and kept there.
    pub(super) fn new(said: &Said) -> anyhow::Result<Self> {
        let dialer = Dialer::new(said)?;
        let builder = SpanExporter::builder();
        let mut exporter = match said.protocol {
            Protocol::Grpc => {
                let endpoint = Endpoint::from(said.url.clone()).timeout(said.timeout);
                let channel = endpoint.connect_with_connector_lazy(dialer.clone());
                builder.with_tonic().with_channel(channel).with_timeout(said.timeout).build()?
            }
            Protocol::Http => builder
                .with_http()
                .with_protocol(Otlp::HttpBinary)
                .with_endpoint(said.url.to_string())
                .with_http_client(HyperClient::new(dialer.clone(), said.timeout, None))
                .with_timeout(said.timeout)
                .build()?,
        };
        exporter.set_resource(&resource());
        Ok(Self { exporter, dialer, timeout: said.timeout })
    }

    /// Sends these, again if the collector is busy or can't be reached, for a while.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> Result<(), String> {
        self.dialer.forget();
        // The exporter's own limit is for when it may begin anew.
        let sent = time::timeout(self.timeout * 2, self.exporter.export(spans)).await;
        let sent: OTelSdkResult = sent.unwrap_or_else(|_| {
            Err(opentelemetry_sdk::error::OTelSdkError::Timeout(self.timeout * 2))
        });
        // Why no connection is made is more than the exporter says.
        sent.map_err(|error| self.dialer.trouble().unwrap_or_else(|| error.to_string()))
    }
}

/// Who sends these spans: what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say,
/// and what they leave out.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let has = |key: &'static str| {
        let value = said.get(&key.into()).map(|value| value.to_string());
        value.is_some_and(|value| !value.starts_with("unknown_service"))
    };
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let usual = [
        ("service.name", "lb-bin".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        // In a container, its id.
        ("service.instance.id", format!("{host}:{}", std::process::id())),
        ("host.name", host),
    ];
    let usual = usual.into_iter().filter(|(key, _)| !has(key));
    Resource::builder().with_attributes(usual.map(|(key, value)| KeyValue::new(key, value))).build()
}

/// Opens connections to the collector, by TLS where its URL says so.
#[derive(Clone)]
struct Dialer {
    tls: Option<Connector>,
    /// Why the last one could not be opened.
    trouble: Arc<Mutex<Option<String>>>,
}

/// A connection, whatever it is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Dialer {
    fn new(said: &Said) -> Result<Self, ConnectorError> {
        let connector = || {
            let mut options = ConnectorOptions::default();
            options.verify = said.ca.clone().map_or(Verify::Roots, Verify::File);
            if said.protocol == Protocol::Grpc {
                options.alpn = vec![b"h2".into()];
            }
            Connector::new(options)
        };
        let tls = (said.url.scheme_str() == Some("https")).then(connector).transpose()?;
        Ok(Self { tls, trouble: Arc::default() })
    }

    fn forget(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn dial(&self, uri: &Uri) -> io::Result<Box<dyn Stream>> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            Some(tls) => Box::new(tls.connect(host, stream).await?),
            None => Box::new(stream),
        })
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            let dialed = time::timeout(CONNECT_TIMEOUT, dialer.dial(&uri)).await;
            let dialed = dialed.unwrap_or_else(|_| {
                let late = format!("no connection within {CONNECT_TIMEOUT:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, late))
            });
            if let Err(error) = &dialed {
                let trouble = Some(error.to_string());
                *dialer.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            }
            dialed.map(TokioIo::new)
        })
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}
