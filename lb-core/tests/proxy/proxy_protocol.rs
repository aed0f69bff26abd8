//! PROXY headers to endpoints.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    convert::Infallible,
    io::Cursor,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lb_core::{
    Endpoint,
    http::Options,
    registry::{Protocol, ProxyProtocol},
    server::proxy_protocol::{Addresses, Header, MAX_LEN, read},
};
use tokio::{
    io::{self, AsyncReadExt},
    net::TcpListener,
};

use super::support::{self, Lb};

/// A server that answers with the address that its connection began with.
struct Announced {
    address: SocketAddr,
    headers: Arc<Mutex<Vec<Header>>>,
}

impl Announced {
    async fn start(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let headers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&headers);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (header, start) = read(&mut stream, MAX_LEN).await.unwrap();
                // Connections begin with one, whoever opens them.
                let header = header.unwrap();
                seen.lock().unwrap().push(header.clone());
                let Some(Addresses { source, .. }) = header.addresses else { continue };
                let service = service_fn(move |_: Request<Incoming>| async move {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(source.to_string()))))
                });
                let (read, write) = stream.into_split();
                let stream = TokioIo::new(io::join(Cursor::new(start).chain(read), write));
                tokio::spawn(async move {
                    // How it ends is the business of who has opened it.
                    let _ = if protocol.is_http2() {
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(stream, service)
                            .await
                    } else {
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(stream, service)
                            .await
                    };
                });
            }
        });
        Self { address, headers }
    }

    /// A balancer in front.
    async fn site(&self, version: ProxyProtocol, protocol: Protocol) -> Lb {
        let lb = Lb::start(Options::default()).await;
        let mut registration = support::registration("1", "app.local", self.address);
        registration.bindings[0].proxy_protocol = Some(version);
        registration.bindings[0].protocol = protocol;
        lb.send("1", Endpoint::new(registration));
        lb.ready("app.local", 1).await;
        lb
    }

    /// What connections of clients began with.
    fn clients(&self) -> Vec<Addresses> {
        self.headers.lock().unwrap().iter().filter_map(|header| header.addresses).collect()
    }
}

#[tokio::test]
async fn each_client_has_connections_of_its_own() {
    for (version, protocol) in [
        (ProxyProtocol::V1, Protocol::Http1),
        (ProxyProtocol::V2, Protocol::Http1),
        (ProxyProtocol::V2, Protocol::Http2),
    ] {
        let server = Announced::start(protocol).await;
        let lb = server.site(version, protocol).await;
        let mut clients = [lb.client().await, lb.client().await];
        for _ in 0..3 {
            for client in &mut clients {
                let body = client.get("app.local", "/").await.body;
                assert_eq!(body, client.address().to_string(), "{version} {protocol}");
            }
        }
        let seen = server.clients();
        assert_eq!(seen.len(), 2, "connections are kept: {seen:?}");
        assert!(seen.iter().all(|ends| ends.destination == lb.address), "{seen:?}");
    }
}

#[tokio::test]
async fn probes_speak_for_the_balancer() {
    for (version, local) in [(ProxyProtocol::V1, false), (ProxyProtocol::V2, true)] {
        let server = Announced::start(Protocol::Http1).await;
        let lb = server.site(version, Protocol::Http1).await;
        assert_eq!(lb.client().await.get("app.local", "/").await.status, 200);
        let probe = server.headers.lock().unwrap()[0].clone();
        assert_eq!((probe.local, probe.addresses), (local, None), "{version}");
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn it_comes_before_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Options::default();
    let tls = lb_core::http::UpstreamTls::new(lb_core::registry::Verification::Off, None);
    options.upstream_tls = Some(tls.unwrap());
    let lb = Lb::start(options).await;
    let address = listener.local_addr().unwrap();
    let mut registration = support::registration("1", "app.local", address);
    registration.bindings[0].proxy_protocol = Some(ProxyProtocol::V2);
    registration.bindings[0].protocol = Protocol::Http1Tls;
    lb.send("1", Endpoint::new(registration));
    let (mut stream, _) = listener.accept().await.unwrap();
    let (header, start) = read(&mut stream, MAX_LEN).await.unwrap();
    assert!(header.unwrap().local);
    let record = Cursor::new(start).chain(stream).read_u8().await.unwrap();
    assert_eq!(record, 22, "a handshake follows");
}
