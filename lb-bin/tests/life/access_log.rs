//! What is written of requests, whatever clients send and whatever becomes of the file.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::{io::AsyncReadExt, net::TcpListener, time};

use crate::{
    https,
    lb::{LIMIT, Lb, command, control, output, tell},
    limits::metric,
    load::Load,
    site::Site,
};

/// Waits until there are as many lines.
pub(crate) async fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    let written = time::timeout(LIMIT, async {
        while read().lines().count() < count {
            time::sleep(time::Duration::from_millis(5)).await;
        }
    });
    written.await.unwrap_or_else(|_| panic!("not {count} lines: {}", read()));
    let text = read();
    assert!(text.ends_with('\n'), "{text:?}");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{text}");
    lines
}

/// A balancer, a server, and a log in a format that a reload can change.
struct Scene {
    lb: Lb,
    site: Site,
    control: String,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn start(format: &str) -> Self {
        let (folder, site, control) =
            (tempfile::tempdir().unwrap(), Site::start("hello"), control());
        Self::configure(folder.path(), &site, format);
        let lb = Lb::start(|lb| {
            lb.arg("--config").arg(folder.path().join("lb.toml"));
            lb.env("LB_CONTROL", &control).env_remove("LB_ACCESS_LOG");
        });
        let scene = Self { lb: lb.await, site, control, folder };
        scene.lb.ready("app.local", 1).await;
        scene
    }

    fn configure(folder: &Path, site: &Site, format: &str) {
        let log = folder.join("log");
        let text = format!(
            "access_log = {log:?}\nlog_format = '{format}'\n\n[[service]]\nhost = \"app.local\"\n\
             endpoints = [\"{}\"]\n",
            site.address
        );
        fs::write(folder.join("lb.toml"), text).unwrap();
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// From now on, and into an empty file.
    async fn log_as(&self, format: &str) {
        Self::configure(self.folder.path(), &self.site, format);
        // As they would be rotated.
        fs::rename(self.log(), self.folder.path().join("old")).unwrap();
        tell(&self.control, &["reload"]).await.unwrap();
    }
}

/// A request that would like to be several fields, lines or objects.
fn hostile(host: &str) -> Vec<u8> {
    let mut request = format!("GET /\"a|{{b}}\"?c=d HTTP/1.1\r\nhost: {host}\r\n").into_bytes();
    request.extend_from_slice(b"user-agent: \"}\\\xff\xc3\xa9 - \" 200\r\nreferer: a|b|c\"\r\n");
    request.extend_from_slice(b"x-forwarded-for: \",\"x\":\"\r\nx-request-id: \"\\\r\n");
    // a"b, a line break, and a password.
    request.extend_from_slice(b"authorization: Basic YSJiCmM6c2VjcmV0\r\n\r\n");
    request
}

#[tokio::test]
async fn every_preset_has_a_line_for_each_request_that_nothing_breaks() {
    let scene = Scene::start("default").await;
    let greeting = scene.lb.client().await.get("app.local", "/").await.unwrap().body.len();
    let address = scene.site.address;
    lines(&scene.log(), 1).await;

    let time = |line: &str, begin: &str, end: &str| {
        let (before, rest) = line.split_once(begin).unwrap();
        let (time, after) = rest.split_once(end).unwrap();
        assert!((19..=26).contains(&time.len()), "{line}");
        format!("{before}{begin}{end}{after}")
    };
    let seconds = |text: &str| {
        let (whole, millis) = text.split_once('.').unwrap_or_else(|| panic!("{text}"));
        assert!(whole.parse::<u64>().is_ok() && millis.len() == 3, "{text}");
    };
    let agent = r#"\x22}\x5C\xFF\xC3\xA9 - \x22 200"#;
    let target = r"/\x22a|{b}\x22?c=d";
    let referrer = r"a|b|c\x22";
    for name in ["default", "nginx-proxy", "combined", "json", "nginx-proxy-json", "logstalgia"] {
        scene.log_as(name).await;
        // On one connection, so by one worker, and in this order.
        let mut client = scene.lb.client().await;
        assert_eq!(client.get("app.local", "/a?b=c").await.unwrap().status, 200);
        assert_eq!(client.get("nobody.local", "/").await.unwrap().status, 503);
        assert_eq!(client.say(&hostile("app.local")).await.unwrap().status, 200);
        let written = lines(&scene.log(), 3).await;
        match name {
            "default" => {
                let line = time(&written[0], "[", "]");
                let (line, took) = line.rsplit_once(" 1 -").unwrap().0.rsplit_once(' ').unwrap();
                assert_eq!(
                    line,
                    format!(
                        r#"app.local 127.0.0.1 - - [] "GET /a?b=c HTTP/1.1" 200 {greeting} "-" "-" "{address}""#
                    )
                );
                seconds(took);
                assert!(written[1].ends_with(" 0 no_route"), "{written:?}");
                let expected =
                    format!(r#""GET {target} HTTP/1.1" 200 {greeting} "{referrer}" "{agent}" "#);
                assert!(written[2].contains(&expected), "{written:?}\n{expected}");
            }
            "nginx-proxy" | "combined" => {
                let is_vhost = name == "nginx-proxy";
                let (host, end) = match is_vhost {
                    true => ("app.local ", format!(" \"{address}\"")),
                    false => ("", String::new()),
                };
                assert_eq!(
                    time(&written[0], "[", "]"),
                    format!(
                        r#"{host}127.0.0.1 - - [] "GET /a?b=c HTTP/1.1" 200 {greeting} "-" "-"{end}"#
                    )
                );
                assert!(written[1].ends_with(r#" "-""#), "{written:?}");
                assert_eq!(
                    time(&written[2], "[", "]"),
                    format!(
                        r#"{host}127.0.0.1 - a\x22b\x0Ac [] "GET {target} HTTP/1.1" 200 {greeting} "{referrer}" "{agent}"{end}"#
                    )
                );
            }
            "json" | "nginx-proxy-json" => {
                let objects: Vec<Value> = written
                    .iter()
                    .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
                    .collect();
                let is_ours = name == "json";
                let number = |number: usize| match is_ours {
                    true => Value::from(number),
                    false => Value::from(number.to_string()),
                };
                let nothing = || if is_ours { Value::Null } else { Value::from("") };
                for (object, status) in objects.iter().zip([200, 503, 200]) {
                    assert_eq!(object["status"], number(status), "{object}");
                    assert_eq!(object["request_time"].is_f64(), is_ours, "{object}");
                    assert_eq!(object["remote_addr"], "127.0.0.1");
                }
                assert_eq!(objects[0]["body_bytes_sent"], number(greeting));
                assert_eq!(objects[0]["upstream_addr"], address.to_string());
                assert_eq!(objects[0]["http_user_agent"], nothing());
                assert_eq!(objects[0]["request_id"].as_str().map(str::len), Some(32), "was made");
                assert_eq!(objects[1]["upstream_addr"], nothing());
                assert_eq!(objects[1]["upstream_response_time"], nothing());
                assert_eq!(objects[2]["request"], "GET /\"a|{b}\"?c=d HTTP/1.1");
                assert_eq!(objects[2]["http_user_agent"], "\"}\\\\xFFé - \" 200");
                assert_eq!(objects[2]["client_ip"], "\",\"x\":\"");
                assert_eq!(objects[2]["request_id"], "\"\\");
                if is_ours {
                    assert_eq!(objects[0]["upstream_name"], address.to_string());
                    assert_eq!(objects[0]["service"], "app.local");
                    assert_eq!(objects[1]["response_flags"], "no_route");
                    assert_eq!(objects[2]["remote_user"], "a\"b\nc");
                    let times =
                        ["upstream_connect_time", "upstream_header_time", "upstream_response_time"];
                    let times = times.map(|name| objects[0][name].as_f64().unwrap());
                    assert!(times.is_sorted(), "{}", objects[0]);
                }
            }
            _ => {
                let columns: Vec<Vec<&str>> =
                    written.iter().map(|line| line.split('|').collect()).collect();
                assert!(columns.iter().all(|columns| columns.len() == 11), "{written:?}");
                let (first, size) = (&columns[0], greeting.to_string());
                assert!(first[0].parse::<u64>().is_ok_and(|now| now > 1_700_000_000), "{first:?}");
                let name = address.to_string();
                assert_eq!(
                    first[1..],
                    ["127.0.0.1", "/a?b=c", "200", &size, "1", "", "-", "-", "app.local", &name]
                );
                assert_eq!(columns[1][5], "0", "it failed");
                assert_eq!(columns[2][7], r"a\x7Cb\x7Cc\x22");
            }
        }
        let text = written.concat();
        assert!(!text.contains("secret") && !text.contains("YSJi"), "{text}");
    }
}

#[tokio::test]
async fn no_line_is_lost_when_files_change_under_load() {
    let scene = Scene::start("$request_id $status").await;
    let load = Load::start(scene.lb.address(), "app.local");
    let mut files = Vec::new();
    for number in 0..5 {
        load.more(100).await;
        let old = scene.folder.path().join(format!("log.{number}"));
        fs::rename(scene.log(), &old).unwrap();
        scene.lb.signal("USR1").await;
        let opened = time::timeout(LIMIT, async {
            while !scene.log().exists() {
                time::sleep(time::Duration::from_millis(1)).await;
            }
        });
        opened.await.expect("it isn't opened anew");
        files.push(old);
    }
    load.more(100).await;
    load.none_failed().await;
    files.push(scene.log());
    let Scene { mut lb, site, folder, .. } = scene;
    lb.signal("TERM").await;
    assert!(lb.ended().await.success());
    let texts: Vec<_> = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(texts.iter().all(|text| text.ends_with(" 200\n")), "{texts:?}");
    let all: Vec<_> = texts.iter().flat_map(|text| text.lines()).collect();
    assert_eq!(all.len() as u64, site.requests(), "a line for each request");
    assert!(all.iter().all(|line| line.len() == 36), "each is whole");
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "none is there twice");
    drop(folder);
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_delays_nothing() {
    let (site, control) = (Site::start("hello"), control());
    let mut lb = Lb::start(|lb| {
        lb.env("LB_ACCESS_LOG", "-").env("LB_WORKERS", "1").env("LB_CONTROL", &control);
        lb.arg(format!("--upstream=app.local={}", site.address));
    })
    .await;
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let long = "/".to_owned() + &"x".repeat(15 << 10);
    let mut sent = 0;
    let dropped = time::timeout(LIMIT, async {
        // What fits into the pipe, the writer's hands and a buffer, and then more.
        while metric(&lb, "lb_access_log_dropped_total").await < 10.0 {
            for _ in 0..20 {
                assert_eq!(client.get("app.local", &long).await.unwrap().status, 200);
                sent += 1;
            }
        }
    });
    dropped.await.unwrap_or_else(|_| panic!("nothing is dropped of {sent} lines"));
    assert_eq!(site.requests(), sent);

    // Nor does it hold up what is asked of the process, or its end.
    lb.signal("USR1").await;
    lb.says("its destination has taken nothing for 1s").await;
    let said = tell(&control, &["reload"]).await.unwrap();
    assert!(said.contains("the access log can't be opened anew"), "{said}");
    assert_eq!(client.get("app.local", "/").await.unwrap().status, 200);
    lb.signal("TERM").await;
    lb.says("the last lines of the access log are lost").await;
    assert!(lb.ended().await.success());
}

#[tokio::test]
async fn each_attempt_is_in_its_line() {
    // Accepts, hears what is asked, and hangs up.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let rude = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { stream.read(&mut [0; 1024]).await });
        }
    });
    let (site, folder) = (Site::start("hello"), tempfile::tempdir().unwrap());
    let path = folder.path().join("log");
    let lb = Lb::start(|lb| {
        lb.env("LB_ACCESS_LOG", &path).env(
            "LB_LOG_FORMAT",
            "$status $attempts $upstream_name [$upstream_addr] [$upstream_status] [$upstream_header_time]",
        );
        lb.arg(format!("--upstream=app.local={rude},{}", site.address));
    })
    .await;
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("app.local", "/").await.unwrap().status, 200);
    }
    let written = lines(&path, 2).await;
    let site = site.address;
    let failed = format!("200 2 {site} [{rude}, {site}] [502, 200] [-, 0.0");
    assert!(written.iter().any(|line| line.starts_with(&failed)), "{written:?}\n{failed}");
    task.abort();
}

#[tokio::test]
async fn what_a_handshake_has_agreed_on_is_known() {
    let (site, folder) = (Site::start("hello"), tempfile::tempdir().unwrap());
    let certificates = folder.path().join("certificates");
    fs::create_dir(&certificates).unwrap();
    let trusted = https::put(&certificates, "app.test");
    let path = folder.path().join("log");
    let lb = Lb::start(|lb| {
        lb.args(["--listen-tls=127.0.0.1:0", "--upstream"]);
        lb.arg(format!("app.test={}", site.address)).arg("--certificates").arg(&certificates);
        lb.env("LB_ACCESS_LOG", &path).env(
            "LB_LOG_FORMAT",
            "$scheme $https $ssl_protocol $ssl_cipher $ssl_server_name $ssl_session_reused $connection_requests $bytes_sent",
        );
    })
    .await;
    lb.ready("app.test", 1).await;
    let mut client = https::connect(&lb, &trusted).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.get("app.test", "/").await.unwrap().status, 200);
    }
    for (line, number) in lines(&path, 2).await.iter().zip(1..) {
        let told = format!("https on TLSv1.3 TLS_AES_256_GCM_SHA384 app.test . {number} ");
        assert!(line.starts_with(&told), "{line}");
    }
}

#[tokio::test]
async fn what_nginx_proxy_was_told_is_no_reason_not_to_serve() {
    let (site, folder) = (Site::start("hello"), tempfile::tempdir().unwrap());
    let path = folder.path().join("log");
    let lb = Lb::start(|lb| {
        lb.env("LB_ACCESS_LOG", &path).env("LOG_FORMAT", "$host $gzip_ratio ${status}");
        lb.arg(format!("--upstream=app.local={}", site.address));
    })
    .await;
    lb.ready("app.local", 1).await;
    lb.client().await.get("app.local", "/").await.unwrap();
    assert_eq!(lines(&path, 1).await, ["app.local - 200"]);
    assert!(lb.log().contains("$gzip_ratio (character 7) is one of nginx that can't be had"));

    let mut command = command();
    command.env("LB_LOG_FORMAT", "$host $gzip_ratio");
    let refused = output(command).await;
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("LB_LOG_FORMAT is \"$host $gzip_ratio\": $gzip_ratio (character 7)"),
        "{said}"
    );
}
