use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

use super::*;
use crate::http::{
    client::Client,
    record::{Phases, Try},
};

/// A request, and all that became of it.
struct Sample {
    request: Request<()>,
    client: Client,
    origin: Option<&'static str>,
    passed: HeaderMap,
    upstream: HeaderMap,
    sent: HeaderMap,
    failed: Vec<Try>,
    service: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    status: u16,
    received: u64,
    complete: bool,
    attempt: Option<Try>,
    reason: Option<&'static str>,
}

impl Sample {
    /// What `docs/access-log.md` shows.
    fn usual() -> Self {
        let request = Request::builder()
            .uri("/hello?name=Ada")
            .header("host", "App.local:8080")
            .header("user-agent", "curl/8.14")
            .body(())
            .unwrap();
        let mut sample = Self::answered(request, 200);
        sample.passed = headers(&[
            ("x-request-id", "5d0fbb8a3c1e4f0f9f3c7c1f6b2a9e11"),
            ("traceparent", "00-5d0fbb8a3c1e4f0f9f3c7c1f6b2a9e11-b7ad6b7169203331-01"),
            ("x-forwarded-for", "10.0.0.9"),
        ]);
        sample
    }

    fn answered(request: Request<()>, status: u16) -> Self {
        let peer = "10.0.0.9:51724".parse().ok();
        Self {
            request,
            client: Client::new(peer, "172.17.0.2:80".parse().ok()),
            origin: None,
            passed: HeaderMap::new(),
            upstream: HeaderMap::new(),
            sent: HeaderMap::new(),
            failed: Vec::new(),
            service: Some("app.local".into()),
            endpoint: Some("shop-app-1".into()),
            status,
            received: 0,
            complete: true,
            attempt: Some(attempt("172.17.0.3:8484", Some(status), Some(1))),
            reason: None,
        }
    }

    /// One that nobody answers for, without anything in it.
    fn bare() -> Self {
        let mut sample = Self::answered(Request::new(()), 503);
        (sample.client.address, sample.client.local) = (None, None);
        (sample.service, sample.endpoint, sample.attempt) = (None, None, None);
        sample.reason = Some("no_route");
        sample
    }

    fn line(&self, format: &LogFormat) -> String {
        let mut stamps = Stamps::default();
        stamps.at(Timestamp::from_millisecond(1_795_970_880_042).unwrap(), || TimeZone::UTC);
        self.line_at(format, &stamps)
    }

    fn line_at(&self, format: &LogFormat, stamps: &Stamps) -> String {
        let mut entry = Entry::new(&self.request, Arc::new(self.client.clone()));
        entry.note(&self.request, Arc::new(format.clone()));
        if let Some(origin) = self.origin {
            entry.speaks_for(origin.parse().unwrap());
        }
        if !self.passed.is_empty() {
            entry.is_passed_on(&self.passed);
        }
        self.failed.iter().for_each(|attempt| entry.failed(*attempt));
        let status = StatusCode::from_u16(self.status).unwrap();
        entry.hears(&self.upstream);
        entry.answers(status, &self.sent);
        let record = Record {
            service: self.service.as_ref(),
            endpoint: self.endpoint.as_ref(),
            status,
            received: self.received,
            sent: 45,
            complete: self.complete,
            ended: Instant::now(),
            took: Duration::from_micros(2_900),
            attempts: self.attempt.iter().chain(&self.failed).fold(0, |count, _| count + 1),
            attempt: self.attempt,
            reason: self.reason,
            failed: false,
        };
        let mut out = Vec::new();
        line::write(&mut out, &entry, &record, stamps);
        assert_eq!(out.pop(), Some(b'\n'));
        String::from_utf8_lossy(&out).into_owned()
    }

    fn says(&self, text: &str) -> String {
        self.line(&text.parse().unwrap())
    }
}

fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    given.iter().map(pair).collect()
}

fn attempt(address: &str, status: Option<u16>, first_byte: Option<u64>) -> Try {
    let millis = Duration::from_millis;
    Try {
        address: address.parse().unwrap(),
        took: millis(2),
        phases: Phases {
            connect: first_byte.map(|_| millis(1)),
            first_byte: first_byte.map(millis),
        },
        status: status.map(|status| StatusCode::from_u16(status).unwrap()),
    }
}

fn preset(name: &str) -> LogFormat {
    name.parse().unwrap()
}

#[test]
fn the_clock_on_the_wall_is_looked_at_once_a_second() {
    let (begun, looks) = (Instant::now(), Cell::new(0));
    let mut stamps = Stamps::default();
    let format: LogFormat = "$msec $status".parse().unwrap();
    let mut written = |after: u64, wall: i64| {
        stamps.look(begun + Duration::from_millis(after), || {
            looks.set(looks.get() + 1);
            Timestamp::from_millisecond(wall).unwrap()
        });
        let line = Sample::usual().line_at(&format, &stamps);
        (line.split(' ').next().unwrap().to_owned(), looks.get())
    };
    let expected = |time: &str, looks| (time.to_owned(), looks);
    assert_eq!(written(0, 7_000_400), expected("7000.400", 1));
    assert_eq!(written(599, 0), expected("7000.999", 1));
    // What ended before, but is told later.
    assert_eq!(written(100, 0), expected("7000.500", 1));
    assert_eq!(written(600, 7_001_001), expected("7001.001", 2));
    // It has been put back meanwhile.
    assert_eq!(written(5_000, 3_000_000), expected("3000.000", 3));
}

#[test]
fn the_default_is_what_it_has_always_been() {
    let request = Request::builder()
        .uri("/a?b=c")
        .header("host", "app.local")
        .header("referer", "http://x/")
        .header("user-agent", "curl/8")
        .body(())
        .unwrap();
    assert_eq!(
        Sample::answered(request, 200).line(&LogFormat::default()),
        r#"app.local 10.0.0.9 - - [29/Nov/2026:16:48:00 +0000] "GET /a?b=c HTTP/1.1" 200 45 "http://x/" "curl/8" "shop-app-1" 0.002 1 -"#
    );
    assert_eq!(
        Sample::bare().line(&LogFormat::default()),
        r#"- - - - [29/Nov/2026:16:48:00 +0000] "GET / HTTP/1.1" 503 45 "-" "-" "-" 0.002 0 no_route"#
    );
    let forged = Request::builder()
        .header("host", "a 6.6.6.6 - - x")
        .header("user-agent", HeaderValue::from_bytes(b"a\"b\\c\t\xff").unwrap())
        .body(())
        .unwrap();
    assert_eq!(
        Sample::answered(forged, 200).line(&LogFormat::default()),
        r#"a\x206.6.6.6\x20-\x20-\x20x 10.0.0.9 - - [29/Nov/2026:16:48:00 +0000] "GET / HTTP/1.1" 200 45 "-" "a\x22b\x5Cc\x09\xFF" "shop-app-1" 0.002 1 -"#
    );
    assert_eq!(LogFormat::default(), preset("default"));
}

#[test]
fn each_variable_says_what_it_is_said_to() {
    let mut sample = Sample::usual();
    sample.request = Request::builder()
        .method(Method::POST)
        .uri("/a/%2F;x?name=Ada&Q=1&q=2&empty=&flag")
        .header("host", "App.local.:8080")
        .header("cookie", "a=1; Theme=dark")
        .header("cookie", "b=x=y")
        .header("x-app", "one")
        .header("x-app", "two")
        .header("content-type", "text/plain")
        .header("content-length", "11")
        // Ada:secret
        .header("authorization", "basic QWRhOnNlY3JldA==")
        .body(())
        .unwrap();
    sample.received = 11;
    sample.upstream = headers(&[("x-app", "theirs"), ("set-cookie", "a=1")]);
    sample.sent = headers(&[("content-type", "text/html"), ("etag", "\"1\"")]);
    sample.client.serial = 7;
    sample.client.requests.count();
    let pid = std::process::id().to_string();
    let hostname = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    for (format, expected) in [
        ("$request", "POST /a/%2F;x?name=Ada&Q=1&q=2&empty=&flag HTTP/1.1"),
        ("$request_method $request_uri", "POST /a/%2F;x?name=Ada&Q=1&q=2&empty=&flag"),
        ("$uri$is_args$args", "/a/%2F;x?name=Ada&Q=1&q=2&empty=&flag"),
        ("$document_uri?$query_string", "/a/%2F;x?name=Ada&Q=1&q=2&empty=&flag"),
        ("$arg_name $ARG_q <$arg_empty> $arg_flag $arg_none", "Ada 1 <> - -"),
        ("$server_protocol $scheme <$https> <$http2>", "HTTP/1.1 http <> <>"),
        ("$host $http_host", "app.local App.local.:8080"),
        ("$http_x_app ${http_x_app}s $http_none", "one, two one, twos -"),
        ("$http_cookie", "a=1; Theme=dark; b=x=y"),
        ("$cookie_a $cookie_theme $cookie_b $cookie_none", "1 dark x=y -"),
        ("$content_type $content_length", "text/plain 11"),
        ("$remote_user", "Ada"),
        ("$remote_addr:$remote_port", "10.0.0.9:51724"),
        ("$realip_remote_addr:$realip_remote_port", "10.0.0.9:51724"),
        ("$server_addr:$server_port", "172.17.0.2:80"),
        ("$connection $connection_requests", "7 2"),
        ("$proxy_add_x_forwarded_for $proxy_x_forwarded_for", "10.0.0.9 10.0.0.9"),
        (
            "$request_id $trace_id",
            "5d0fbb8a3c1e4f0f9f3c7c1f6b2a9e11 5d0fbb8a3c1e4f0f9f3c7c1f6b2a9e11",
        ),
        ("$request_time $request_completion $success", "0.002 OK 1"),
        ("$status $body_bytes_sent $response_flags", "200 45 -"),
        // `HTTP/1.1 200 OK`, two headers, an empty line, and the body.
        ("$bytes_sent", "100"),
        ("$body_bytes_received", "11"),
        ("$upstream_http_x_app $upstream_http_set_cookie", "theirs a=1"),
        ("$sent_http_content_type $sent_http_etag $sent_http_x_app", "text/html \\x221\\x22 -"),
        ("$server_name $service $proxy_host $proxy_port", "app.local app.local app.local 8484"),
        ("$upstream_name $upstream_addr $upstream_status", "shop-app-1 172.17.0.3:8484 200"),
        ("$upstream_connect_time $upstream_header_time", "0.001 0.002"),
        ("$upstream_response_time $upstream_response_length", "0.002 45"),
        ("$attempts", "1"),
        ("$time_local", "29/Nov/2026:16:48:00 +0000"),
        ("$time_iso8601", "2026-11-29T16:48:00+00:00"),
        ("$msec $unix_time", "1795970880.042 1795970880"),
        ("$pid", &pid),
        ("$hostname", &hostname),
        ("$ssl_protocol $ssl_cipher $ssl_server_name", "- - -"),
        ("$ssl_alpn_protocol $ssl_session_reused", "- -"),
        (r#"a\tb \"c\" \'d\' \\ \e $status"#, "a\tb \"c\" 'd' \\ \\e 200"),
    ] {
        assert_eq!(sample.says(format), expected, "{format}");
    }
    let head = "POST /a/%2F;x?name=Ada&Q=1&q=2&empty=&flag HTTP/1.1\r\nhost: App.local.:8080\r\n\
                cookie: a=1; Theme=dark\r\ncookie: b=x=y\r\nx-app: one\r\nx-app: two\r\n\
                content-type: text/plain\r\ncontent-length: 11\r\n\
                authorization: basic QWRhOnNlY3JldA==\r\n\r\n";
    assert_eq!(sample.says("$request_length"), (head.len() + 11).to_string());
}

#[test]
fn what_is_not_there_is_a_dash_nothing_or_null() {
    let sample = Sample::bare();
    for (name, value) in [
        ("host", "-"),
        ("http_host", "-"),
        ("remote_addr", "-"),
        ("remote_port", "-"),
        ("remote_user", "-"),
        ("server_addr", "-"),
        ("server_port", "-"),
        ("args", "-"),
        ("server_name", "-"),
        ("upstream_name", "-"),
        ("upstream_addr", "-"),
        ("upstream_status", "-"),
        ("upstream_connect_time", "-"),
        ("upstream_header_time", "-"),
        ("upstream_response_time", "-"),
        ("upstream_response_length", "-"),
        ("proxy_port", "-"),
        ("request_id", "-"),
        ("trace_id", "-"),
        ("proxy_add_x_forwarded_for", "-"),
        ("http_referer", "-"),
        ("cookie_a", "-"),
        ("sent_http_a", "-"),
        ("upstream_http_a", "-"),
    ] {
        assert_eq!(sample.says(&format!("${name}")), value, "{name}");
        let with = |escape, text: &str| sample.line(&LogFormat::new(text, escape).unwrap());
        assert_eq!(with(Escape::Json, &format!("<${name}>")), "<>", "{name}");
        assert_eq!(with(Escape::None, &format!("<${name}>")), "<>", "{name}");
        let json = with(Escape::Json, &format!(r#"{{"a":${name},"b":"${name}"}}"#));
        assert_eq!(json, r#"{"a":null,"b":""}"#, "{name}");
    }
    assert_eq!(sample.says("$response_flags $attempts"), "no_route 0");
}

#[test]
fn each_attempt_is_told_of_and_json_has_the_last() {
    let mut sample = Sample::usual();
    sample.failed = vec![attempt("172.17.0.9:80", Some(502), None)];
    let all = "$upstream_addr|$upstream_status|$upstream_connect_time|$upstream_header_time|\
               $upstream_response_time|$attempts";
    assert_eq!(
        sample.says(all),
        "172.17.0.9:80, 172.17.0.3:8484|502, 200|-, 0.001|-, 0.002|0.002, 0.002|2"
    );
    let json = r#"{"addr":$upstream_addr,"status":$upstream_status,"in":"$upstream_status"}"#;
    assert_eq!(
        sample.line(&LogFormat::new(json, Escape::Json).unwrap()),
        r#"{"addr":"172.17.0.9:80, 172.17.0.3:8484","status":200,"in":"502, 200"}"#
    );
    // Nobody has answered in the end, and the client has left.
    (sample.endpoint, sample.status, sample.complete) = (None, 499, false);
    sample.attempt = Some(attempt("172.17.0.3:8484", None, None));
    assert_eq!(
        sample.says(&format!("{all}|$upstream_name|$success|$request_completion|")),
        "172.17.0.9:80, 172.17.0.3:8484|502, -|-, -|-, -|0.002, 0.002|2|-|0||"
    );
    assert_eq!(
        sample.line(&LogFormat::new(json, Escape::Json).unwrap()),
        r#"{"addr":"172.17.0.9:80, 172.17.0.3:8484","status":null,"in":"502, -"}"#
    );
}

#[test]
fn who_is_believed_says_who_the_client_is() {
    let mut sample = Sample::usual();
    sample.origin = Some("::ffff:203.0.113.9");
    assert_eq!(
        sample.says("$remote_addr $remote_port $realip_remote_addr $realip_remote_port"),
        "203.0.113.9 - 10.0.0.9 51724"
    );
}

#[test]
fn http2_names_its_host_in_the_target() {
    let request =
        Request::builder().version(Version::HTTP_2).uri("https://App.local/a").body(()).unwrap();
    let mut sample = Sample::answered(request, 200);
    sample.client.secure = true;
    assert_eq!(
        sample.says("$request $host $http_host $scheme $https $http2"),
        "GET /a HTTP/2.0 app.local App.local https on h2"
    );
    // GET /a, the version, and the host that HTTP/1.1 would have in a header.
    assert_eq!(sample.says("$request_length"), "36");
}

#[test]
fn a_host_that_is_none_is_the_services() {
    for (host, expected) in [("", "app.local"), ("a b", "app.local"), ("[::1]:80", "[::1]")] {
        let request = Request::builder().header("host", host).body(()).unwrap();
        assert_eq!(Sample::answered(request, 200).says("$host"), expected, "{host:?}");
    }
}

#[test]
fn nobodys_password_is_in_a_host() {
    let in_target = Request::builder().uri("http://user:sec%40ret@App.local:81/a");
    let in_header = Request::builder().header("host", "a@b:secret@App.local:81");
    for request in [in_target, in_header] {
        let sample = Sample::answered(request.body(()).unwrap(), 400);
        assert_eq!(sample.says("$http_host $host"), "App.local:81 app.local");
        let lines = LogFormat::NAMES.map(|name| sample.line(&preset(name)));
        assert!(lines.iter().all(|line| !line.contains("ret@")), "{lines:?}");
    }
}

#[test]
fn ids_are_the_clients_until_there_are_others_and_only_if_they_are_some() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = |id, parent| {
        let request = Request::builder().header("x-request-id", id).header("traceparent", parent);
        Sample::answered(request.body(()).unwrap(), 200)
    };
    let ids = "$request_id $trace_id";
    let mut sample = request("mine", parent);
    assert_eq!(sample.says(ids), "mine 0af7651916cd43dd8448eb211c80319c");
    sample.passed = headers(&[("x-request-id", "ours")]);
    assert_eq!(sample.says(ids), "ours -");
    assert_eq!(sample.says("$http_x_request_id"), "mine");
    assert_eq!(request("not one", "nor-this").says(ids), "- -");
}

#[test]
fn only_the_name_is_taken_of_credentials() {
    for (header, expected) in [
        ("Basic QWRhOnNlY3JldA", "Ada"),
        ("Basic   QWRhOnNlY3JldA== ", "Ada"),
        // Ada, without a password; a password without a name.
        ("Basic QWRh", "-"),
        ("Basic OnNlY3JldA==", "-"),
        ("Basic !!!", "-"),
        ("Basic", "-"),
        ("Bearer QWRhOnNlY3JldA==", "-"),
        // a\nb"c:
        ("Basic YQpiImM6", "a\\x0Ab\\x22c"),
        // Ada - [x]:, who can't forge a field.
        ("Basic QWRhIC0gW3hdOg==", "Ada\\x20-\\x20[x]"),
    ] {
        let request = Request::builder().header("authorization", header).body(()).unwrap();
        assert_eq!(Sample::answered(request, 200).says("$remote_user"), expected, "{header}");
    }
    // Far more than is looked at.
    let long = format!("Basic {}", "QWRh".repeat(1000));
    let request = Request::builder().header("authorization", long).body(()).unwrap();
    assert_eq!(Sample::answered(request, 200).says("$remote_user"), "-");
}

#[test]
fn presets_look_as_they_are_shown() {
    let shown = std::fs::read_to_string(DOCS).unwrap();
    let shown_as = |name: &str, line: &str| {
        let (_, after) = shown.split_once(&format!("\n`{name}`: "))?;
        let (_, block) = after.split_once("\n```")?;
        Some(block.lines().nth(1)? == line)
    };
    let lines = LogFormat::NAMES.map(|name| (name, Sample::usual().line(&preset(name))));
    let wrong: Vec<_> =
        lines.iter().filter(|(name, line)| shown_as(name, line) != Some(true)).collect();
    assert!(wrong.is_empty(), "{DOCS} has to show {wrong:#?}");
}

#[test]
fn the_table_of_variables_is_whole() {
    let shown = std::fs::read_to_string(DOCS).unwrap();
    let table: String = names::NAMES
        .iter()
        .map(|(name, _, meaning)| format!("| `${name}` | {meaning} |\n"))
        .chain(
            names::PREFIXES
                .iter()
                .map(|(prefix, _, meaning)| format!("| `${prefix}`*NAME* | {meaning} |\n")),
        )
        .collect();
    let shown: String = shown
        .lines()
        .filter(|line| line.starts_with("| `$"))
        .fold(String::new(), |all, line| all + line + "\n");
    assert!(shown == table, "the table in {DOCS} has to be:\n{table}");
}

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/access-log.md");

#[test]
fn json_is_json() {
    let mut sample = Sample::usual();
    sample.request = Request::builder()
        .uri("/\"x|?\u{e9}")
        .header("host", HeaderValue::from_bytes(b"a\"b\xff\\").unwrap())
        .header("user-agent", HeaderValue::from_bytes(b"\xc3\xa9\t\"\\\xe9").unwrap())
        .body(())
        .unwrap();
    let object: serde_json::Value = serde_json::from_str(&sample.line(&preset("json"))).unwrap();
    assert_eq!(object["http_user_agent"], "é\t\"\\\\xE9");
    assert_eq!(object["host"], "app.local", "what isn't a host is the service's");
    assert_eq!(object["request"], "GET /\"x|?é HTTP/1.1");
    assert_eq!(object["status"], 200);
    assert_eq!(object["request_time"], 0.002);
    assert_eq!(object["upstream_header_time"], 0.002);
    assert_eq!(object["http_referrer"], serde_json::Value::Null);
    let object: serde_json::Value =
        serde_json::from_str(&sample.line(&preset("nginx-proxy-json"))).unwrap();
    assert!(object.as_object().unwrap().values().all(serde_json::Value::is_string), "{object}");
    assert_eq!(object.as_object().unwrap().len(), 12);
    let object: serde_json::Value =
        serde_json::from_str(&Sample::bare().line(&preset("json"))).unwrap();
    assert_eq!(object["upstream_response_time"], serde_json::Value::Null);
}

#[test]
fn a_column_stays_one() {
    let mut sample = Sample::usual();
    sample.request = Request::builder()
        .uri("/a|b")
        .header("referer", "http://x/|1|2")
        .header("user-agent", "a|b")
        .body(())
        .unwrap();
    let line = sample.line(&preset("logstalgia"));
    assert_eq!(line.split('|').count(), 11, "{line}");
    let bare = Sample::bare().line(&preset("logstalgia"));
    assert_eq!(bare, "1795970880|-|/|503|45|0||-|-|-|-");
}

proptest! {
    /// Nothing that clients or endpoints say ends a line or an object.
    #[test]
    fn what_others_say_stays_where_it_belongs(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 6),
        path in "[ -~é]{0,30}",
    ) {
        let mut request = Request::builder();
        let target = format!("/{}", path.replace(' ', ""));
        if target.parse::<::http::Uri>().is_ok() {
            request = request.uri(&target);
        }
        let mut sample = Sample::answered(request.body(()).unwrap(), 200);
        let names = ["host", "user-agent", "referer", "cookie", "x-forwarded-for", "authorization"];
        for (name, value) in names.into_iter().zip(values) {
            // As a server that parses HTTP gives them to us; credentials hide the rest.
            let value = match name {
                "authorization" => {
                    use base64::{Engine, prelude::BASE64_STANDARD};
                    HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(value)))
                }
                _ => HeaderValue::try_from(value),
            };
            if let Ok(value) = value {
                sample.request.headers_mut().insert(name, value.clone());
                sample.upstream.insert(name, value.clone());
                sample.sent.insert(name, value);
            }
        }
        let own = r#"{"a":$http_cookie,"b":"$cookie_a$remote_user","c":$remote_user,"d":$sent_http_host,
            "e":"$upstream_http_referer","f":$host,"g":[$request,$status],"h":$cookie_b}"#;
        let own = own.replace('\n', "");
        for format in [preset("json"), preset("nginx-proxy-json"), LogFormat::new(&own, Escape::Json).unwrap()] {
            let line = sample.line(&format);
            let object = serde_json::from_str::<serde_json::Value>(&line);
            prop_assert!(object.is_ok(), "{line}");
        }
        let columns = sample.line(&preset("logstalgia"));
        prop_assert_eq!(columns.split('|').count(), 11, "{}", columns);
        for format in [
            preset("default"),
            preset("nginx-proxy"),
            LogFormat::new("$remote_user $http_user_agent $host", Escape::None).unwrap(),
        ] {
            let line = sample.line(&format);
            prop_assert!(!line.contains(['\n', '\r']), "{line:?}");
        }
        let line = sample.line(&preset("combined"));
        prop_assert_eq!(line.matches('"').count(), 6, "{}", line);
    }
}
