//! A proxy that serves HTTPS beside HTTP: who is answered, who is sent elsewhere, and
//! who is refused.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use h2::client as h2_client;
use http::{Request, StatusCode};
use lb_core::{
    Endpoint,
    discovery::{self, Sender},
    http::{
        Https, Options, Plane, Proxy, Refusal, Trust,
        explain::{Inquiry, RequestExplanation, Way},
    },
    registry::{Binding, Hsts, HttpsMethod, Registration},
    server::{Closed, Limits, Running, Server, proxy_protocol},
    testing::wire::{Backend, Reply},
    tls::{ClientCertificates, Policy},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time,
};
use tokio_rustls::{
    TlsConnector, client,
    rustls::{ClientConfig, pki_types::ServerName},
};

use crate::scene::Scene;

/// A balancer that serves HTTP and HTTPS, with one backend for all its hosts.
struct Site {
    scene: Scene,
    backend: Backend,
    http: SocketAddr,
    https: SocketAddr,
    running: Running,
    plane: Plane,
    _changes: Sender<Registration>,
}

/// What one host asks for.
type Asks = Box<dyn Fn(&mut lb_core::registry::Https)>;

fn asks(set: impl Fn(&mut lb_core::registry::Https) + 'static) -> Asks {
    Box::new(set)
}

impl Site {
    async fn new(scene: Scene, hosts: &[(&str, Asks)]) -> Self {
        Self::with(scene, hosts, |_| {}, |server| server).await
    }

    async fn with(
        scene: Scene,
        hosts: &[(&str, Asks)],
        adjust: impl FnOnce(&mut Options),
        serve: impl FnOnce(Server) -> Server,
    ) -> Self {
        let backend = Backend::start(|seen| {
            let sts =
                if seen.path() == "/own" { "Strict-Transport-Security: max-age=7\r\n" } else { "" };
            Reply::answer(format!("HTTP/1.1 200 OK\r\n{sts}Content-Length: 2\r\n\r\nhi"))
        })
        .unwrap();
        let mut options = Options::default();
        options.https = Some(Https::new(scene.acceptor.clone()));
        adjust(&mut options);
        let (proxy, driver) = Proxy::new(options);
        let (changes, discovery) = discovery::channel();
        let bindings = hosts.iter().map(|(host, set)| {
            let mut binding = Binding::new(host.parse().unwrap(), Some(backend.address()));
            set(&mut binding.https);
            binding
        });
        let registration = Registration {
            name: "backend".into(),
            created: SystemTime::UNIX_EPOCH,
            bindings: bindings.collect(),
            problems: Vec::new(),
        };
        changes.upsert("backend", Endpoint::new(registration)).unwrap();
        let plane = proxy.plane();
        tokio::spawn(driver.source("test", discovery).run());
        let any = || [([127, 0, 0, 1], 0).into()];
        let handshakes = proxy.clone();
        let server = Server::bind(any()).unwrap().workers(1);
        let server = server.tls(any(), &mut Vec::new(), scene.acceptor.clone(), move |host| {
            handshakes.handshake(host)
        });
        let server = serve(server.unwrap());
        let addresses = server.local_addresses().unwrap();
        let running = server.start(move |worker| {
            let proxy = proxy.worker(worker);
            move |accepted| {
                proxy
                    .client(accepted.peer, Some(accepted.local), accepted.guard)
                    .secure(accepted.secure)
                    .session(accepted.session)
            }
        });
        let ready = |name: &str| {
            let services = plane.services();
            services.iter().any(|service| {
                &*service.name == name && service.endpoints[0].standing.name() == "ready"
            })
        };
        let all = async {
            while !hosts.iter().all(|(host, _)| ready(host)) {
                time::sleep(time::Duration::from_millis(1)).await;
            }
        };
        time::timeout(time::Duration::from_secs(20), all).await.unwrap();
        Self {
            scene,
            backend,
            http: addresses[0],
            https: addresses[1],
            running: running.unwrap(),
            plane,
            _changes: changes,
        }
    }

    /// A connection whose handshake asked for this host.
    async fn tls(
        &self,
        client: ClientConfig,
        name: &str,
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.https).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, stream).await
    }

    fn explained(&self, url: &str) -> RequestExplanation {
        self.plane.explain_request(&url.parse().unwrap())
    }

    async fn over_http(&self, host: &str) -> String {
        let stream = TcpStream::connect(self.http).await.unwrap();
        ask(stream, &get(host, "/a?b")).await
    }

    /// The answer, or `rej` where the handshake is rejected.
    async fn over_https(&self, host: &str) -> String {
        match self.tls(self.scene.client(), host).await {
            Ok(stream) => ask(stream, &get(host, "/a?b")).await,
            Err(error) if error.to_string().contains("UnrecognisedName") => "rej".into(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// What is answered until the connection is closed.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let lines = answer.split("\r\n").take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Default {
    Trusted,
    Untrusted,
    Absent,
}

#[tokio::test]
async fn a_host_is_served_by_its_certificate_and_its_method() {
    for (at, default) in
        [Default::Trusted, Default::Untrusted, Default::Absent].into_iter().enumerate()
    {
        let trusted = default != Default::Untrusted;
        let scene = Scene::with(
            &["own.test"],
            |store| store.trust_default = trusted,
            std::default::Default::default(),
        )
        .await;
        if default != Default::Absent {
            let names = ["nohttps.test", "bare.test", "unknown.test", "nohttp.bare.test"];
            let signed = scene.authority.sign(&names);
            scene.write("default.crt", &signed.pem);
            scene.write("default.key", &signed.key);
            scene.wait_for(|report| report.certificates.len() == 2).await;
        }
        let method = |method| asks(move |https| https.method = Some(method));
        let hosts = [
            ("own.test", asks(|_| {})),
            (
                "nohttp.own.test",
                asks(|https| {
                    (https.method, https.certificate) =
                        (Some(HttpsMethod::NoHttp), Some("own.test".into()));
                }),
            ),
            ("nohttps.test", method(HttpsMethod::NoHttps)),
            ("bare.test", asks(|_| {})),
            ("nohttp.bare.test", method(HttpsMethod::NoHttp)),
        ];
        let site = Site::new(scene, &hosts).await;
        for (host, answers) in [
            ("own.test", ["301/200", "301/200", "301/200"]),
            ("nohttp.own.test", ["503/200", "503/200", "503/200"]),
            ("nohttps.test", ["200/503", "200/503", "200/rej"]),
            ("bare.test", ["301/200", "200/rej", "200/rej"]),
            ("nohttp.bare.test", ["503/200", "200/rej", "200/rej"]),
            ("unknown.test", ["503/503", "503/503", "503/rej"]),
        ] {
            let (http, https) = (site.over_http(host).await, site.over_https(host).await);
            let answer = format!("{}/{}", status(&http), status(&https));
            assert_eq!(answer, answers[at], "{host}, default {default:?}: {http} {https}");
            explains(&site, host, &answer);
        }
    }
}

/// What is explained is what clients have met with.
fn explains(site: &Site, host: &str, answers: &str) {
    let explained = site.explained(&format!("http://{host}/a?b"));
    if explained.refused == Some(Refusal::NoRoute) {
        assert_eq!((host, explained.is_served()), ("unknown.test", false));
        return;
    }
    let http = match &explained.http {
        Way::Serve => 200,
        Way::Redirect { status, location } => {
            assert_eq!(*location, format!("https://{host}/a?b"));
            status.as_u16()
        }
        Way::Refuse(refusal) => refusal.status().as_u16(),
        other => panic!("{other:?}"),
    };
    let https = explained.https.as_ref().unwrap();
    let https = match &https.certificate {
        None => "rej",
        Some(_) if https.serves => "200",
        Some(_) => "503",
    };
    assert_eq!(format!("{http}/{https}"), answers, "{host}");
    assert_eq!(explained.is_served(), matches!((http, https), (200, _) | (301, "200")), "{host}");
    let secure = site.explained(&format!("https://{host}/a?b"));
    assert_eq!(secure.is_served(), https == "200", "{host}");
}

#[tokio::test]
async fn clients_are_sent_to_where_https_is() {
    let site = Site::with(
        Scene::new(&["own.test"]).await,
        &[
            ("own.test", asks(|_| {})),
            ("other.test", asks(|https| https.method = Some(HttpsMethod::Redirect))),
        ],
        |options| {
            let https = options.https.as_mut().unwrap();
            (https.port, https.redirect) = (8443, StatusCode::PERMANENT_REDIRECT);
            https.http_without_certificate = false;
            options.forwarding.trust = Trust::everybody();
        },
        |server| server,
    )
    .await;
    let answer = site.over_http("own.test:8080").await;
    assert_eq!(header(&answer, "location"), Some("https://own.test:8443/a?b"));
    assert_eq!(header(&answer, "strict-transport-security"), None, "that is for HTTPS to say");
    let send = |request: String| async move {
        ask(TcpStream::connect(site.http).await.unwrap(), &request).await
    };
    let answer = send(get("own.test", "/").replace("GET", "POST")).await;
    assert_eq!(status(&answer), "308", "clients repeat it as it was");
    assert!(answer.ends_with("\r\n\r\n308 Permanent Redirect: this host is served by HTTPS\n"));
    assert_eq!(status(&send(get("other.test", "/")).await), "301", "though there is nothing");
    let challenge = send(get("own.test", "/.well-known/acme-challenge/x")).await;
    assert_eq!(status(&challenge), "200", "who issues certificates comes before there is one");
    let elsewhere = send(get("own.test", "/.well-known/acme-challenge/../../x")).await;
    assert_eq!(status(&elsewhere), "301", "which the endpoint may take for /x");
    let behind = get("own.test", "/").replace("Conn", "X-Forwarded-Proto: https\r\nConn");
    assert_eq!(status(&send(behind).await), "200", "a proxy in front speaks TLS already");
    let mut behind: Inquiry = "own.test".parse().unwrap();
    behind.headers.insert("x-forwarded-proto", "https".parse().unwrap());
    assert_eq!(site.plane.explain_request(&behind).http, Way::Serve, "which is known");
    let without = "GET / HTTP/1.0\r\n\r\n".to_owned();
    assert_eq!(status(&send(without).await), "503", "that names no host");
}

#[tokio::test]
async fn browsers_are_told_to_come_by_https() {
    let hsts = |value: Hsts| asks(move |https| https.hsts = Some(value.clone()));
    let hosts = [
        ("own.test", asks(|_| {})),
        ("off.own.test", hsts(Hsts::Off)),
        ("long.own.test", hsts(Hsts::Value("max-age=9".into()))),
        ("both.own.test", asks(|https| https.method = Some(HttpsMethod::NoRedirect))),
    ];
    let site = Site::new(Scene::new(&["own.test", "*.own.test"]).await, &hosts).await;
    for (host, told) in [
        ("own.test", Some("max-age=31536000")),
        ("off.own.test", None),
        ("long.own.test", Some("max-age=9")),
        ("both.own.test", None),
    ] {
        let answer = site.over_https(host).await;
        assert_eq!(header(&answer, "strict-transport-security"), told, "{host}: {answer}");
    }
    let stream = site.tls(site.scene.client(), "own.test").await.unwrap();
    let answer = ask(stream, &get("own.test", "/own")).await;
    assert_eq!(
        header(&answer, "strict-transport-security"),
        Some("max-age=7"),
        "the endpoint's word"
    );
    let stream = site.tls(site.scene.client(), "own.test").await.unwrap();
    let refused = ask(stream, &get("own.test", "/").replace("GET", "TRACE")).await;
    assert_eq!(status(&refused), "405");
    let seen = site.backend.requests();
    assert_eq!(seen[0].text("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(seen[0].text("x-forwarded-ssl").as_deref(), Some("on"));
    assert_eq!(seen[0].text("x-forwarded-port").unwrap(), site.https.port().to_string());
}

#[tokio::test]
async fn http2_is_agreed_on() {
    let site = Site::new(Scene::new(&["own.test"]).await, &[("own.test", asks(|_| {}))]).await;
    let mut client = site.scene.client();
    client.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    let stream = site.tls(client, "own.test").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = h2_client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://own.test/a").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    drop((answer, sender));
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_showed_no_certificate_gets_to_no_host_that_demands_one() {
    let scene = Scene::new(&["own.test"]).await;
    scene.write("ca.crt", scene.authority.pem());
    scene.wait_for(|report| !report.client_authorities.is_empty()).await;
    let demand = |demand| asks(move |https| https.client_certificates = Some(demand));
    let hosts = [
        ("open.own.test", demand(ClientCertificates::Off)),
        ("also.own.test", demand(ClientCertificates::Off)),
        ("closed.own.test", demand(ClientCertificates::Required)),
        (
            "modern.own.test",
            asks(|https| {
                https.client_certificates = Some(ClientCertificates::Off);
                https.policy = Some(Policy::Modern);
            }),
        ),
    ];
    let site = Site::new(scene, &hosts).await;
    let on_open = |host: &'static str| {
        let site = &site;
        async move {
            let stream = site.tls(site.scene.client(), "open.own.test").await.unwrap();
            ask(stream, &get(host, "/")).await
        }
    };
    assert_eq!(status(&on_open("open.own.test").await), "200");
    assert_eq!(status(&on_open("also.own.test").await), "200");
    assert_eq!(status(&on_open("closed.own.test").await), "421");
    assert_eq!(status(&on_open("modern.own.test").await), "200");
    let stream = site.tls(site.scene.old_client(), "open.own.test").await.unwrap();
    assert_eq!(
        status(&ask(stream, &get("modern.own.test", "/")).await),
        "421",
        "it speaks TLS 1.2"
    );
    let shown = site.scene.authority.sign(&["client"]);
    let stream = site.tls(site.scene.client_with(&shown), "closed.own.test").await.unwrap();
    assert_eq!(status(&ask(stream, &get("closed.own.test", "/")).await), "200");
}

#[tokio::test]
async fn nor_does_who_says_that_it_has_come_by_https() {
    let scene = Scene::new(&["own.test"]).await;
    scene.write("closed.own.test.ca.crt", scene.authority.pem());
    scene.wait_for(|report| !report.client_authorities.is_empty()).await;
    let required = Some(ClientCertificates::Required);
    let hosts = [
        ("open.own.test", asks(|_| {})),
        // By its file; by its word; and by its word while it has no certificate.
        ("closed.own.test", asks(|_| {})),
        ("said.own.test", asks(move |https| https.client_certificates = required)),
        ("bare.test", asks(move |https| https.client_certificates = required)),
        (
            "both.own.test",
            asks(move |https| {
                https.client_certificates = required;
                https.method = Some(HttpsMethod::NoRedirect);
            }),
        ),
    ];
    let trust = |options: &mut Options| options.forwarding.trust = Trust::everybody();
    let site = Site::with(scene, &hosts, trust, |server| server).await;
    for (host, plain, forwarded) in [
        ("open.own.test", "301", "200"),
        ("closed.own.test", "301", "503"),
        ("said.own.test", "301", "503"),
        ("bare.test", "503", "503"),
        // Who asks for HTTP has it.
        ("both.own.test", "200", "200"),
    ] {
        assert_eq!(status(&site.over_http(host).await), plain, "{host}");
        let request = get(host, "/").replace("Conn", "X-Forwarded-Proto: https\r\nConn");
        let stream = TcpStream::connect(site.http).await.unwrap();
        assert_eq!(status(&ask(stream, &request).await), forwarded, "{host}");
    }
}

#[tokio::test]
async fn a_proxy_in_front_announces_clients_before_their_handshake() {
    let scene = Scene::new(&["own.test"]).await;
    let hosts = [("own.test", asks(|_| {}))];
    let site =
        Site::with(scene, &hosts, |_| {}, |server| server.proxy_protocol(|ip| ip.is_loopback()))
            .await;
    let mut stream = TcpStream::connect(site.https).await.unwrap();
    let (source, destination) =
        ("192.0.2.7:1234".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
    let addresses = proxy_protocol::Addresses { source, destination };
    // In one packet with what follows, as far as that may be.
    stream.write_all(&proxy_protocol::write_v1(Some(addresses))).await.unwrap();
    let name = ServerName::try_from("own.test").unwrap();
    let client = TlsConnector::from(Arc::new(site.scene.client()));
    let stream = client.connect(name, stream).await.unwrap();
    assert_eq!(status(&ask(stream, &get("own.test", "/")).await), "200");
    assert_eq!(site.backend.requests()[0].text("x-real-ip").as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn what_is_no_handshake_is_closed() {
    let mut limits = Limits::default();
    limits.connections = 1;
    let scene = Scene::new(&["own.test"]).await;
    let hosts = [("own.test", asks(|_| {}))];
    let site = Site::with(scene, &hosts, |_| {}, |server| server.limits(limits)).await;
    let mut stream = TcpStream::connect(site.https).await.unwrap();
    stream.write_all(get("own.test", "/").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // It may be reset, as it has written more than was read.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "an alert at the most: {answer:?}");

    while site.running.connections().open() > 0 {
        time::sleep(time::Duration::from_millis(1)).await;
    }
    let _first = site.tls(site.scene.client(), "own.test").await.unwrap();
    let mut second = TcpStream::connect(site.https).await.unwrap();
    let mut said = Vec::new();
    let _ = second.read_to_end(&mut said).await;
    assert_eq!(said, b"", "who is too many isn't told in plain text");
}

#[tokio::test]
async fn who_only_connects_is_counted_as_nothing() {
    let site = Site::new(Scene::new(&["own.test"]).await, &[("own.test", asks(|_| {}))]).await;
    drop(TcpStream::connect(site.https).await.unwrap());
    let _later = site.tls(site.scene.client(), "own.test").await.unwrap();
    let connections = site.running.connections();
    while connections.open() > 1 {
        time::sleep(time::Duration::from_millis(1)).await;
    }
    site.running.shutdown(time::Duration::from_secs(20)).await.unwrap();
    for closed in Closed::ALL {
        assert_eq!(connections.closed(closed), 0, "{closed:?}");
    }
}

#[tokio::test]
async fn the_end_waits_for_what_was_begun() {
    let site = Site::new(Scene::new(&["own.test"]).await, &[("own.test", asks(|_| {}))]).await;
    site.backend
        .script(|_| Reply::silence().send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
    let mut stream = site.tls(site.scene.client(), "own.test").await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: own.test\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let limit = time::Duration::from_secs(20);
    let asked = site.backend.until(limit, |all| all.iter().any(|one| !one.requests.is_empty()));
    asked.await.unwrap();
    let ending = tokio::spawn(site.running.shutdown(limit));
    site.backend.release();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!((status(&answer), header(&answer, "connection")), ("200", Some("close")));
    assert!(answer.ends_with("\r\n\r\nhi"));
    assert_eq!(ending.await.unwrap().unwrap(), 0);
}
