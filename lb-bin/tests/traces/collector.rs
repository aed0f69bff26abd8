//! A collector: takes OTLP over gRPC or HTTP, and keeps what it is sent.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use prost::Message;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
    time,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};
use tonic::{Status, transport::Server};

use crate::{lb::LIMIT, reserved::Reserved, span::Span};

/// What it is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    pub(crate) const BOTH: [Self; 2] = [Self::Grpc, Self::Http];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// One that listens until it is dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    spans: Mutex<Vec<Span>>,
    headers: Mutex<HeaderMap>,
    hangs: AtomicBool,
}

impl Collector {
    pub(crate) fn start(protocol: Protocol) -> Self {
        Self::at(Reserved::new(), protocol)
    }

    /// Where nobody has listened so far.
    pub(crate) fn at(reserved: Reserved, protocol: Protocol) -> Self {
        Self::serve(reserved.listen(), protocol)
    }

    fn serve(listener: TcpListener, protocol: Protocol) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let mut serving = JoinSet::new();
        let taken = Arc::clone(&state);
        match protocol {
            Protocol::Grpc => serving.spawn(async move {
                let incoming = futures_util::stream::unfold(listener, |listener| async {
                    Some((listener.accept().await.map(|(stream, _)| stream), listener))
                });
                let service = TraceServiceServer::new(Grpc(taken));
                Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
            }),
            Protocol::Http => serving.spawn(async move {
                // Those that are dropped end.
                let mut connections = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let taken = Arc::clone(&taken);
                    let service = service_fn(move |request| post(Arc::clone(&taken), request));
                    let http = http1::Builder::new();
                    connections.spawn(http.serve_connection(TokioIo::new(stream), service));
                }
            }),
        };
        Self { address, state, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes nothing any more, and says nothing.
    pub(crate) fn hangs(&self, hangs: bool) {
        self.state.hangs.store(hangs, Ordering::SeqCst);
    }

    /// Every span that has come.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state.spans.lock().unwrap().clone()
    }

    /// The headers of what came last.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.state.headers.lock().unwrap().clone()
    }

    /// Waits for so many spans, and takes them away.
    pub(crate) async fn take(&self, count: usize) -> Vec<Span> {
        let come = time::timeout(LIMIT, async {
            while self.spans().len() < count {
                time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(come.await.is_ok(), "not {count}: {:#?}", self.spans());
        let spans = std::mem::take(&mut *self.state.spans.lock().unwrap());
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

impl State {
    async fn took(&self, headers: HeaderMap, request: ExportTraceServiceRequest) {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        *self.headers.lock().unwrap() = headers;
        self.spans.lock().unwrap().extend(Span::all(request));
    }
}

struct Grpc(Arc<State>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        self.0.took(headers, request.into_inner()).await;
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn post(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let is_it = head.uri.path() == "/v1/traces" && head.method == "POST";
    if !is_it || head.headers["content-type"] != "application/x-protobuf" {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    state.took(head.headers, ExportTraceServiceRequest::decode(body).unwrap()).await;
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    Ok(Response::new(Full::from(answer)))
}

/// The same collector by TLS, as long as what is given lives; its certificate is put into
/// `file`.
pub(crate) async fn by_tls(collector: &Collector, file: &Path) -> (String, JoinSet<()>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (behind, mut relaying) = (collector.address, JoinSet::new());
    relaying.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let (Ok(mut stream), Ok(mut behind)) =
                    (acceptor.accept(stream).await, TcpStream::connect(behind).await)
                else {
                    return;
                };
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    (url, relaying)
}

/// Has the balancer send its traces there, soon.
pub(crate) fn send_to(lb: &mut Command, url: &str, protocol: Protocol) {
    lb.env("LB_TRACES", url).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name());
    lb.env("OTEL_BSP_SCHEDULE_DELAY", "10");
}
