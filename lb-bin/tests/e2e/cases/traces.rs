//! What traces say of containers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;

use crate::{docker::docker, lb::Lb, scope::Scope, wait};

super::cases! {
    a_trace_names_the_container_that_has_answered,
}

fn a_trace_names_the_container_that_has_answered(scope: &Scope) {
    let host = scope.host("app");
    let app = scope.app("a").hosts(&["app"]).start();
    let (collector, spans) = collector();
    let lb = Lb::with(|lb| {
        lb.env("LB_TRACES", format!("http://{collector}")).env("OTEL_BSP_SCHEDULE_DELAY", "10");
    });
    lb.ready(&host, 1);
    assert_eq!(lb.get(&host, "/").status, 200);
    let id = docker(["inspect", "--format", "{{.Id}}", &app.name]);
    let taken = wait::until(
        "both spans",
        || format!("{:#?}", spans.lock().unwrap()),
        || {
            let spans = spans.lock().unwrap();
            (spans.len() == 2).then(|| spans.clone())
        },
    );
    let attempt = taken.iter().find(|span| span.kind() == SpanKind::Client).unwrap();
    let says = |key: &str| {
        let pair = attempt.attributes.iter().find(|pair| pair.key == key);
        match pair.and_then(|pair| pair.value.clone()?.value) {
            Some(Value::StringValue(text)) => text,
            other => panic!("{key}: {other:?}"),
        }
    };
    assert_eq!(says("container.id"), id.trim());
    assert_eq!(says("container.name"), app.name);
    assert_eq!(says("lb.endpoint"), app.name);
}

/// Takes OTLP over HTTP, and keeps the spans.
fn collector() -> (SocketAddr, Arc<Mutex<Vec<Span>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let spans = Arc::<Mutex<Vec<Span>>>::default();
    let kept = Arc::clone(&spans);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let kept = Arc::clone(&kept);
            thread::spawn(move || while take(stream.as_ref().unwrap(), &kept).is_some() {});
        }
    });
    (address, spans)
}

/// Takes one request, if there is another one.
fn take(mut stream: &TcpStream, kept: &Mutex<Vec<Span>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
    kept.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}
