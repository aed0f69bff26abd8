use clap::{CommandFactory, FromArgMatches};

use lb_core::{
    http::{self, Destination, Escape, LogFormat, Trust},
    registry::{Hsts, HttpsMethod, Protocol, ProxyProtocol, Verification},
    server,
};

use super::*;

fn read(flags: &[&str], env: &[(&str, &str)]) -> Result<Config, String> {
    let line = std::iter::once(&"lb-bin").chain(flags);
    let matches = Cli::command().try_get_matches_from(line).map_err(|error| error.to_string())?;
    let cli = Cli::from_arg_matches(&matches).unwrap();
    let lookup = |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    Config::read(&cli, &matches, lookup).map_err(|error| error.to_string())
}

fn written(text: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    let path = file.path().to_str().unwrap();
    read(&["--config", path], &[]).map_err(|error| error.replace(path, "FILE"))
}

type Flags<'a> = &'a [&'a str];
type Env<'a> = &'a [(&'a str, &'a str)];

#[test]
fn defaults_are_right_for_most() {
    let config = read(&[], &[]).unwrap();
    assert_eq!(config.listen, ["0.0.0.0:80".parse().unwrap()]);
    assert_eq!(config.admin, "127.0.0.1:9180".parse().ok());
    assert!(config.docker.is_some());
    assert_eq!(config.access_log.destination, Some(Destination::Stdout));
    assert_eq!(config.access_log.format, LogFormat::default());
    assert_eq!(config.forwarding.trust, Trust::everybody());
    assert!(!config.trust_was_said);
    assert_eq!(config.workers, None);
}

#[test]
fn flags_say_what_they_mean() {
    let config = read(
        &[
            "--listen=8080,[::1]:81",
            "--admin=off",
            "--docker=off",
            "--upstream=api.local=10.0.0.1:80,app:8080",
            "--upstream=api.local=10.0.0.2:80",
            "--upstream=[::1]:3000",
            "--algorithm=least_request",
            "--wait=1500ms",
            "--access-log=/tmp/log",
            "--workers=3",
        ],
        &[],
    )
    .unwrap();
    assert_eq!(config.listen, ["0.0.0.0:8080".parse().unwrap(), "[::1]:81".parse().unwrap()]);
    assert_eq!((config.admin, config.docker.is_some()), (None, false));
    assert_eq!(config.services.len(), 2);
    let at = |host: &str, port| HostAndPort { host: host.into(), port };
    assert_eq!(
        config.services[0].endpoints,
        [at("10.0.0.1", 80), at("app", 8080), at("10.0.0.2", 80)]
    );
    assert_eq!(config.services[1].endpoints, [at("::1", 3000)]);
    assert_eq!(config.default_host.as_deref(), Some("default"));
    assert_eq!(config.wait.as_millis(), 1500);
    assert_eq!(config.workers, Some(3));
}

#[test]
fn what_is_done_about_failures_can_be_said() {
    let usual = read(&[], &[]).unwrap();
    assert_eq!((usual.retry_share, usual.eject, usual.slow_start), (0.2, true, Duration::ZERO));
    let told = read(&["--retry-budget=0.5", "--eject=off"], &[]).unwrap();
    assert_eq!((told.retry_share, told.eject), (0.5, false));
    let file = written("retry_budget = 0.1\neject = false\nslow_start = \"30s\"").unwrap();
    assert_eq!((file.retry_share, file.eject), (0.1, false));
    assert_eq!(file.slow_start, Duration::from_secs(30));
    let error = read(&["--retry-budget=20%"], &[]).unwrap_err();
    assert_eq!(error, r#"--retry-budget is "20%": write a share from 0 to 1, such as 0.2"#);
}

#[test]
fn what_containers_are_told_can_be_said() {
    let flags = ["--trust-downstream-proxy=10.0.0.0/8,::1", "--via=lb", "--request-id=off"];
    let told = read(&flags, &[]);
    let Forwarding { trust, forwarded, via, request_id, trace, .. } = told.unwrap().forwarding;
    assert_eq!(trust, "10.0.0.0/8,::1".parse().unwrap());
    assert_eq!((forwarded, via.as_deref(), request_id, trace), (false, Some("lb"), false, true));
    let file = written("forwarded = true\nvia = \"off\"\ntraceparent = \"off\"").unwrap();
    assert!(file.forwarding.forwarded && !file.forwarding.trace);
    assert_eq!(file.forwarding.via, None);
    let error = read(&["--trust-downstream-proxy=maybe"], &[]).unwrap_err();
    assert!(error.starts_with(r#"--trust-downstream-proxy is "maybe": "#), "{error}");
    let error = read(&["--via=two words"], &[]).unwrap_err();
    assert_eq!(error, r#"--via is "two words": write one word, such as lb, or off"#);
}

#[test]
fn who_passes_connections_on_can_be_said() {
    let from = |flags: &[&str], env: &[(&str, &str)]| read(flags, env).unwrap().proxy_protocol;
    assert_eq!(from(&[], &[]), None);
    assert_eq!(from(&[], &[("ENABLE_PROXY_PROTOCOL", "false")]), None);
    assert_eq!(from(&[], &[("ENABLE_PROXY_PROTOCOL", "true")]), Some(Trust::everybody()));
    assert_eq!(from(&["--proxy-protocol=off"], &[("ENABLE_PROXY_PROTOCOL", "true")]), None);
    assert_eq!(from(&["--proxy-protocol=10.0.0.0/8"], &[]), "10.0.0.0/8".parse().ok());
    let error = read(&["--proxy-protocol=on"], &[]).unwrap_err();
    assert!(error.starts_with(r#"--proxy-protocol is "on": "#), "{error}");
}

#[test]
fn how_containers_are_connected_to_can_be_said() {
    let ca = rcgen::generate_simple_self_signed(["a".into()]).unwrap().cert.pem();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, ca).unwrap();
    let ca = format!("--upstream-ca={}", file.path().display());
    let usual = |flags: &[&str]| read(flags, &[]).unwrap().upstream_tls.usual();
    assert_eq!(usual(&[]), Verification::Off);
    assert_eq!(usual(&["--upstream-verify=webpki"]), Verification::Webpki);
    assert_eq!(usual(&[&ca]), Verification::Ca);
    assert_eq!(usual(&[&ca, "--upstream-verify=off"]), Verification::Off);
    for (flag, remedy) in [
        ("--upstream-verify=ca", "name the file of authorities with --upstream-ca"),
        ("--upstream-verify=on", "use off, webpki or ca"),
        ("--upstream-ca=/nowhere.pem", "No such file"),
    ] {
        let error = read(&[flag], &[]).unwrap_err();
        let (flag, value) = flag.split_once('=').unwrap();
        assert!(error.starts_with(&format!("{flag} is {value:?}: ")), "{error}");
        assert!(error.contains(remedy), "{error}");
    }
    let file = written(
        r#"
        upstream_verify = "webpki"
        [[service]]
        host = "a"
        endpoints = ["x:443"]
        protocol = "https"
        upstream_verify = "off"
        upstream_name = "x.test"
        proxy_protocol = "v1"
        "#,
    );
    let file = file.unwrap();
    let service = &file.services[0];
    assert_eq!(file.upstream_tls.usual(), Verification::Webpki);
    assert_eq!(service.protocol, Protocol::Http1Tls);
    assert_eq!(service.verification, Some(Verification::Off));
    assert_eq!(service.server_name, "x.test".parse().ok());
    assert_eq!(service.proxy_protocol, Some(ProxyProtocol::V1));
}

#[test]
fn limits_can_be_said() {
    let usual = read(&[], &[]).unwrap().limits;
    let (of_connections, of_requests) = (server::Limits::default(), http::Options::default());
    assert_eq!(usual.server, of_connections);
    assert_eq!((usual.uri, usual.body), (of_requests.uri_limit, of_requests.body_limit));
    assert_eq!(usual.answer_timeout, of_requests.answer_timeout);
    let told = read(
        &["--head-size=16k", "--body-limit=10M", "--connections-per-client=50", "--headers=20"],
        &[],
    );
    let told = told.unwrap().limits;
    assert_eq!((told.server.head_size, told.body), (16 << 10, Some(10 << 20)));
    assert_eq!((told.server.connections_per_client, told.server.headers), (Some(50), 20));
    let file = written("body_limit = 100\nidle_timeout = \"1h\"\nrequests_per_connection = 5");
    let file = file.unwrap().limits;
    assert_eq!((file.body, file.server.requests), (Some(100), Some(5)));
    assert_eq!(file.idle_timeout, Duration::from_secs(3600));
    assert_eq!(usual.memory, MemoryLimit::OfCgroup);
    let memory = |config: Result<Config, String>| config.unwrap().limits.memory;
    assert_eq!(memory(read(&["--memory-limit=64m"], &[])), MemoryLimit::Bytes(64 << 20));
    assert_eq!(memory(written("memory_limit = \"off\"")), MemoryLimit::Off);
    for (flag, remedy) in [
        ("--head-size=10", "write a number of bytes from 256, or as 16k, 10m or 1g"),
        ("--body-limit=99999999999g", "write a number of bytes from 0, or as 16k, 10m or 1g"),
        ("--connections=0", "write a whole number from 1 to 1000000"),
        ("--memory-limit=64", "write a number of bytes from 1048576, or as 16k, 10m or 1g"),
    ] {
        let error = read(&[flag], &[]).unwrap_err();
        assert!(error.ends_with(remedy), "{error}");
    }
}

#[test]
fn how_it_ends_and_who_takes_over_can_be_said() {
    let usual = read(&[], &[]).unwrap();
    assert_eq!(usual.control, control::Name::usual());
    assert!(!usual.take_over && !usual.listen_was_said && usual.stop_delay.is_none());
    assert_eq!(read(&["demo"], &[]).unwrap().control, None);

    let config =
        read(&["--control=/run/lb", "--take-over", "--stop-delay=5s", "--listen=80"], &[]).unwrap();
    assert_eq!(config.control, Some(control::Name::File("/run/lb".into())));
    assert!(config.take_over && config.listen_was_said);
    assert_eq!(config.stop_delay, Some(Duration::from_secs(5)));
    assert!(!read(&["--take-over=false"], &[]).unwrap().take_over);
}

#[test]
fn what_nginx_proxy_users_have_set_is_understood() {
    let config = read(&[], &[("HTTP_PORT", "8080"), ("DISABLE_ACCESS_LOGS", "true")]).unwrap();
    assert_eq!(config.listen, ["0.0.0.0:8080".parse().unwrap()]);
    assert_eq!(config.access_log.destination, None);
}

#[test]
fn the_flag_outranks_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "listen = 81\nworkers = 2\ndocker = false").unwrap();
    let path = file.path().to_str().unwrap();
    let config = read(&["--config", path, "--listen", "82"], &[]).unwrap();
    assert_eq!(config.listen, ["0.0.0.0:82".parse().unwrap()]);
    assert_eq!((config.workers, config.docker.is_some()), (Some(2), false));
}

#[test]
fn a_bad_value_is_named_with_its_key_and_what_would_be_right() {
    for (flags, message) in [
        (
            "--listen=http",
            r#"--listen is "http": write PORT, IP:PORT or [IPv6]:PORT, with a port from 0 (any that is free) to 65535"#,
        ),
        ("--listen=70000", r#"--listen is "70000": write PORT"#),
        ("--admin=nowhere", r#"--admin is "nowhere": write PORT"#),
        ("--docker=maybe", r#"--docker is "maybe": write on or off"#),
        ("--upstream=a b=10.0.0.1:80", r#"--upstream is"#),
        (
            "--upstream=x=10.0.0.1",
            r#"--upstream is "x=10.0.0.1": "10.0.0.1" has no port; write an endpoint as IP:PORT"#,
        ),
        ("--upstream=x=10.0.0.1:0", r#""10.0.0.1:0": a port is a number from 1 to 65535"#),
        ("--upstream=x=", r#""" has no port"#),
        ("--default-host=http://x", r#"--default-host is "http://x": write the host alone"#),
        (
            "--algorithm=fast",
            r#"--algorithm is "fast": `fast` is not an algorithm; use round_robin, weighted_round_robin, random, weighted_random, least_request, full_scan, peak_ewma, ring_hash, maglev or rendezvous"#,
        ),
        ("--wait=10", r#"--wait is "10": write a time with its unit, such as 250ms, 10s or 2m"#),
        ("--control=name", r#"--control is "name": write a path such as /run/lb-bin.sock, @NAME"#),
        ("--take-over=perhaps", r#"--take-over is "perhaps": write true or false"#),
        ("--stop-delay=1", r#"--stop-delay is "1": write a time with its unit"#),
        ("--workers=0", r#"--workers is "0": write a whole number from 1 to 1000000"#),
        (
            "--trust-downstream-proxy=perhaps",
            r#""perhaps" is no network; write true, false, or networks"#,
        ),
        ("--log=a=b=c", r#"--log is "a=b=c""#),
        (
            "--config=/nowhere.toml",
            r#"--config is "/nowhere.toml": it can't be read: No such file"#,
        ),
    ] {
        let error = read(&[flags], &[]).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    let error = read(&[], &[("HTTP_PORT", "eighty")]).unwrap_err();
    assert!(error.starts_with(r#"HTTP_PORT is "eighty": write PORT"#), "{error}");
    let error = read(&[], &[("DISABLE_ACCESS_LOGS", "maybe")]).unwrap_err();
    assert!(error.starts_with(r#"DISABLE_ACCESS_LOGS is "maybe": write true"#), "{error}");
    let error = read(&["--upstream=10.0.0.1:80", "--default-host=app"], &[]).unwrap_err();
    assert!(error.starts_with(r#"--upstream is "10.0.0.1:80": without HOST="#), "{error}");
    let error = read(&["--take-over", "--control=off"], &[]).unwrap_err();
    assert!(error.contains("--control is off; name the socket there"), "{error}");
    let error = read(&[], &[("DOCKER_HOST", "ftp://x")]).unwrap_err();
    assert!(error.starts_with(r#"DOCKER_HOST is "ftp://x""#), "{error}");
}

#[test]
fn services_are_read_from_the_file() {
    let config = written(
        r#"
        [[service]]
        host = "*.api.local"
        endpoints = ["10.0.0.1:80", "10.0.0.2:80"]
        algorithm = "least_request"
        "#,
    )
    .unwrap();
    assert_eq!(config.services[0].host.to_string(), "*.api.local");
    assert_eq!(config.services[0].algorithm, Some(Algorithm::LeastRequest));
}

#[test]
fn a_bad_file_is_named_with_the_place() {
    for (text, messages) in [
        (
            "listn = 80",
            &["--config is \"FILE\"", "line 1", "unknown field `listn`", "`listen`"][..],
        ),
        ("listen = [80]", &["expected a text, a number, true or false"]),
        ("listen = 80 80", &["line 1"]),
        ("workers = \"many\"", &["workers in FILE is \"many\": write a whole number"]),
        ("[[service]]\nhost = \"a\"", &["missing field `endpoints`"]),
        (
            "[[service]]\nhost = \"a\"\nendpoints = []",
            &["endpoints of service 1 in FILE", "one endpoint at least"],
        ),
        (
            "[[service]]\nhost = \"a b\"\nendpoints = [\"x:1\"]",
            &["host of service 1 in FILE is \"a b\": a host has no space"],
        ),
        (
            "[[service]]\nhost = \"a\"\nendpoints = [\"x:1\"]\n[[service]]\nhost = \"A\"\nendpoints = [\"y:1\"]",
            &["host of service 2 in FILE is \"A\": service 1 has the same host"],
        ),
    ] {
        let error = written(text).unwrap_err();
        for message in messages {
            assert!(error.contains(message), "{message} in {error}");
        }
    }
}

#[test]
fn https_is_served_where_there_are_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let folder = format!("--certificates={}", folder.path().display());
    assert!(read(&["--certificates=off"], &[("HTTPS_PORT", "8443")]).unwrap().https.is_none());
    let https = |flags: &[&str], env: &[(&str, &str)]| {
        let flags: Vec<_> = flags.iter().copied().chain([&*folder]).collect();
        read(&flags, env).map(|config| config.https.unwrap())
    };
    let usual = https(&[], &[]).unwrap();
    assert_eq!(usual.listeners.listen, ["0.0.0.0:443".parse().unwrap()]);
    assert_eq!(
        (usual.port, usual.redirect.as_u16(), usual.method),
        (None, 301, HttpsMethod::Redirect)
    );
    assert_eq!(usual.listeners.handshakes().alpn, [&b"h2"[..], b"http/1.1"]);
    let other = https(
        &["--https-method=nohttp", "--hsts=off", "--http2=false", "--non-get-redirect=308"],
        &[("HTTPS_PORT", "8443")],
    );
    let other = other.unwrap();
    assert_eq!(other.redirect.as_u16(), 308);
    assert_eq!(other.listeners.listen, ["0.0.0.0:8443".parse().unwrap()]);
    assert_eq!((other.method, other.hsts), (HttpsMethod::NoHttp, Hsts::Off));
    assert_eq!(other.listeners.handshakes().alpn, [b"http/1.1"]);
    for (flag, said) in [
        ("--https-method=always", "--https-method is \"always\": \"always\" is none of redirect"),
        ("--external-https-port=0", "--external-https-port is \"0\": write a port"),
        ("--non-get-redirect=302", "--non-get-redirect is \"302\": write 301, 307 or 308"),
        ("--tls-policy=Mozilla-Old", "--tls-policy is \"Mozilla-Old\": "),
    ] {
        let error = https(&[flag], &[]).unwrap_err();
        assert!(error.starts_with(said), "{error}");
    }
    let error = read(&["--certificates=off", "--listen-tls=8443"], &[]).unwrap_err();
    assert!(error.starts_with("--listen-tls is \"8443\": there are no certificates"), "{error}");
}

#[test]
fn services_say_how_they_are_served_by_https() {
    let config = written(
        "[[service]]\nhost = \"a\"\nendpoints = [\"10.0.0.1:80\"]\nhttps = \"nohttps\"\n\
         hsts = \"off\"\ncertificate = \"shared\"\nclient_certificates = \"optional\"",
    );
    let https = config.unwrap().services[0].https.clone();
    assert_eq!((https.method, https.hsts), (Some(HttpsMethod::NoHttps), Some(Hsts::Off)));
    assert_eq!(https.certificate.as_deref(), Some("shared"));
    let error = written("[[service]]\nhost = \"a\"\nendpoints = [\"b:80\"]\nhttps = \"yes\"");
    let error = error.unwrap_err();
    assert!(error.starts_with("https of service 1 in FILE is \"yes\": "), "{error}");
}

#[test]
fn traces_are_sent_where_it_is_said() {
    let off: [(Flags<'_>, Env<'_>); 5] = [
        (&[], &[]),
        (&["--traces=off"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318")]),
        (&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_SDK_DISABLED", "true")]),
        (&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_TRACES_EXPORTER", "none")]),
        // That of other signals.
        (&[], &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a")]),
    ];
    for (flags, env) in off {
        assert_eq!(read(flags, env).unwrap().traces, None, "{flags:?} {env:?}");
    }
    let told = |flags: &[&str], env: &[(&str, &str)]| {
        let traces = read(flags, env).unwrap().traces.unwrap();
        (traces.url.to_string(), traces.protocol, traces.share)
    };
    const GRPC: TracesProtocol = TracesProtocol::Grpc;
    const HTTP: TracesProtocol = TracesProtocol::Http;
    const URL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
    const ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
    const AS_WELL: &str = "http://a:4318/v1/traces";
    let cases: [(Flags<'_>, Env<'_>, _); 12] = [
        (&["--traces=http://a:4318"], &[], (AS_WELL, HTTP, 1.0)),
        (&["--traces=http://a:4318/"], &[(PROTOCOL, "grpc")], (AS_WELL, GRPC, 1.0)),
        (&["--traces=https://a/b"], &[], ("https://a/b", HTTP, 1.0)),
        (&["--traces=http://a:4317"], &[], ("http://a:4317/v1/traces", GRPC, 1.0)),
        (
            &["--traces=http://a:4317", "--traces-protocol=http/protobuf"],
            &[(PROTOCOL, "grpc")],
            ("http://a:4317/v1/traces", HTTP, 1.0),
        ),
        (&["--traces=http://a:4318"], &[(URL, "http://b")], (AS_WELL, HTTP, 1.0)),
        (&[], &[(URL, "http://a:4318/")], (AS_WELL, HTTP, 1.0)),
        (&[], &[(URL, "http://b"), (OF_TRACES, "http://a:1/")], ("http://a:1/", HTTP, 1.0)),
        (
            &["--traces-sample=0.25"],
            &[(URL, "http://a:4318"), (SAMPLER, "always_on")],
            (AS_WELL, HTTP, 0.25),
        ),
        (
            &[],
            &[(URL, "http://a:4318"), (SAMPLER, "parentbased_traceidratio"), (ARG, "0.1")],
            (AS_WELL, HTTP, 0.1),
        ),
        (
            &[],
            &[(URL, "http://a:4318"), (SAMPLER, "parentbased_always_off"), (ARG, "0.1")],
            (AS_WELL, HTTP, 0.0),
        ),
        (
            &["--traces=http://a:4318"],
            &[("OTEL_TRACES_EXPORTER", "console,otlp"), ("OTEL_SDK_DISABLED", "true")],
            (AS_WELL, HTTP, 1.0),
        ),
    ];
    for (flags, env, (url, protocol, share)) in cases {
        assert_eq!(told(flags, env), (url.into(), protocol, share), "{flags:?} {env:?}");
    }
    let file = written("traces = \"http://a:4318\"\ntraces_sample = 0.5").unwrap();
    let traces = file.traces.unwrap();
    assert_eq!((traces.url.to_string().as_str(), traces.share), (AS_WELL, 0.5));
    assert_eq!(traces.shown(), "http://a:4318");
    assert_eq!((traces.queue, traces.batch, traces.delay.as_millis()), (2048, 512, 1000));
    assert!(traces.sends_as(&Traces { share: 1.0, ..traces.clone() }));
    assert!(!traces.sends_as(&Traces { queue: 1, ..traces.clone() }));
}

#[test]
fn what_is_wrong_with_traces_is_said_without_secrets() {
    let url = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
    let cases: [(&[&str], (&str, &str), &str); 9] = [
        (
            &["--traces=collector:4318"],
            url,
            "--traces is \"collector:4318\": write the collector's",
        ),
        (&["--traces=ftp://a"], url, "--traces is \"ftp://a\": write the collector's URL"),
        (&["--traces=http://me:s3cret@a"], url, "--traces is \"(not shown)\": write it without"),
        (&["--traces-sample=2"], url, "--traces-sample is \"2\": write a share from 0 to 1"),
        (&["--traces=off", "--traces-sample=2"], url, "--traces-sample is \"2\": write a share"),
        (&["--traces-protocol=udp"], url, "--traces-protocol is \"udp\": write grpc or http"),
        (&[], ("OTEL_TRACES_SAMPLER", "xray"), "OTEL_TRACES_SAMPLER is \"xray\": write parent"),
        (
            &[],
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret,s3cret"),
            "OTEL_EXPORTER_OTLP_HEADERS is \"(not shown)\": write NAME=VALUE",
        ),
        (&[], ("OTEL_BSP_MAX_QUEUE_SIZE", "0"), "OTEL_BSP_MAX_QUEUE_SIZE is \"0\": write a whole"),
    ];
    for (flags, env, said) in cases {
        let error = read(flags, &[url, env]).unwrap_err();
        assert!(error.starts_with(said), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let ca = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere");
    assert!(read(&[], &[url, ca]).is_ok(), "nobody is asked for a certificate");
    let error = read(&["--traces=https://a"], &[ca]).unwrap_err();
    assert!(error.starts_with("OTEL_EXPORTER_OTLP_CERTIFICATE is \"/nowhere\": "), "{error}");
    let fine = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret, x-a=b=c,");
    assert!(read(&[], &[url, fine]).unwrap().traces.is_some());
}

#[test]
fn the_format_of_the_log_is_a_name_or_a_text() {
    let format = |flags: &[&str], env: &[(&str, &str)]| {
        let log = read(flags, env).unwrap().access_log;
        assert_eq!(log.warnings, Vec::<String>::new());
        log.format
    };
    let own = "$host $status";
    let named = |name: &str| name.parse::<LogFormat>().unwrap();
    let written_as = |text: &str, escape| LogFormat::new(text, escape).unwrap();
    for (flags, env, expected) in [
        (&["--log-format=combined"][..], &[][..], named("combined")),
        (&["--log-format=$host $status"], &[], named(own)),
        (&["--log-format", own, "--log-format-escape=json"], &[], written_as(own, Escape::Json)),
        (&["--log-format-escape=none"], &[], written_as("default", Escape::None)),
        (
            &["--log-format=json"],
            &[("LOG_FORMAT", own), ("LOG_FORMAT_ESCAPE", "none")],
            named("json"),
        ),
        // nginx-proxy's.
        (&[], &[("LOG_FORMAT", own)], named(own)),
        (&[], &[("LOG_FORMAT", own), ("LOG_FORMAT_ESCAPE", "json")], written_as(own, Escape::Json)),
        (&[], &[("LOG_FORMAT", own), ("LOG_JSON", "true")], written_as(own, Escape::Json)),
        (&[], &[("LOG_FORMAT_ESCAPE", "json")], written_as("default", Escape::Json)),
        (&[], &[("LOG_JSON", "true"), ("LOG_FORMAT_ESCAPE", "none")], named("nginx-proxy-json")),
        (&[], &[("LOG_JSON", "false")], LogFormat::default()),
        (&[], &[("LOG_FORMAT", "logstalgia")], named("logstalgia")),
    ] {
        assert_eq!(format(flags, env), expected, "{flags:?} {env:?}");
    }
    let file = "log_format = '$host \"$status\"'\nlog_format_escape = 'none'";
    let log = written(file).unwrap().access_log;
    assert_eq!(log.format, written_as("$host \"$status\"", Escape::None));
}

#[test]
fn a_format_of_ours_is_right_and_one_of_nginx_proxy_does_its_best() {
    for (flag, expected) in [
        (
            "--log-format=$stauts",
            "--log-format is \"$stauts\": $stauts (character 1) is no variable",
        ),
        ("--log-format=jsn", "--log-format is \"jsn\": it has no variable, such as $status"),
        ("--log-format-escape=yes", "--log-format-escape is \"yes\": write default, json or none"),
    ] {
        let error = read(&[flag], &[]).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = read(&["--log-format=json", "--log-format-escape=none"], &[]).unwrap_err();
    assert!(error.starts_with("--log-format is \"json\": json has a way of its own"), "{error}");
    let error = read(&[], &[("LOG_FORMAT_ESCAPE", "xml")]).unwrap_err();
    assert!(error.starts_with("LOG_FORMAT_ESCAPE is \"xml\": write default"), "{error}");

    let log = read(&[], &[("LOG_FORMAT", "$status $upstream_cache_status")]).unwrap().access_log;
    assert_eq!(log.format.to_string(), "${status} -");
    assert_eq!(
        log.warnings,
        ["LOG_FORMAT is \"$status $upstream_cache_status\": $upstream_cache_status (character 9) \
          is one of nginx that can't be had here: nothing is cached here, or leave it out"]
    );
}
