//! What nginx itself writes of the same requests: those who come from it are to find in
//! their log what they are used to.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time,
};

use crate::{
    access_log::lines,
    client::Client,
    lb::{LIMIT, Lb},
    site::Site,
};

/// What is to be the same, in every way to write it.
const SAME: &[&str] = &[
    "request",
    "request_method",
    "request_uri",
    "args",
    "is_args",
    "query_string",
    "server_protocol",
    "scheme",
    "https",
    "host",
    "http_host",
    "request_length",
    "remote_addr",
    "realip_remote_addr",
    "remote_user",
    "server_addr",
    "server_name",
    "connection_requests",
    "status",
    "body_bytes_sent",
    "upstream_addr",
    "upstream_status",
    "upstream_response_length",
    "http_user_agent",
    "http_referer",
    "http_cookie",
    "http_x_app",
    "cookie_a",
    "cookie_B",
    "arg_name",
    "arg_none",
    "arg_empty",
    "content_type",
    "content_length",
    "proxy_host",
    "proxy_add_x_forwarded_for",
    "sent_http_content_type",
    "sent_http_x_none",
    "upstream_http_content_type",
    "request_completion",
];

/// Whether there is an nginx. Where everything is tested, there has to be.
fn is_installed() -> bool {
    let asked = std::process::Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    if asked.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var("CI").is_err(), "CI has to have nginx, or this tests nothing");
    eprintln!("skipped: there is no nginx; install Debian's package nginx-light");
    false
}

/// A real one in front of the same server.
async fn nginx(folder: &Path, site: SocketAddr, format: &str, escape: &str) -> (SocketAddr, Child) {
    let address = benches::contest::free().unwrap();
    let shown = folder.display();
    // One process: a worker would outlive a master that is killed.
    let configuration = format!(
        "daemon off; master_process off; pid {shown}/pid; error_log {shown}/errors; events {{}}
         http {{
             client_body_temp_path {shown}/1; proxy_temp_path {shown}/2; fastcgi_temp_path {shown}/3;
             uwsgi_temp_path {shown}/4; scgi_temp_path {shown}/5;
             log_format own escape={escape} '{format}';
             access_log {shown}/nginx own;
             upstream app.local {{ server {site}; }}
             server {{
                 listen {address};
                 server_name app.local;
                 location / {{
                     proxy_http_version 1.1;
                     proxy_set_header Host $http_host;
                     proxy_set_header Connection \"\";
                     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                     proxy_pass http://app.local;
                 }}
             }}
         }}"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, configuration).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-e").arg(folder.join("errors")).arg("-c").arg(&path).kill_on_drop(true);
    let nginx = command.spawn().unwrap();
    let up = time::timeout(LIMIT, async {
        while TcpStream::connect(address).await.is_err() {
            time::sleep(time::Duration::from_millis(5)).await;
        }
    });
    let errors = || fs::read_to_string(folder.join("errors"));
    up.await.unwrap_or_else(|_| panic!("nginx doesn't start: {:?}", errors()));
    (address, nginx)
}

const REQUESTS: [&[u8]; 6] = [
    b"GET / HTTP/1.1\r\nHost: app.local\r\n\r\n",
    b"GET /a%2Fb?name=Ada&empty=&x HTTP/1.1\r\nHost: App.Local:8080\r\nUser-Agent: c\"u\\rl\r\n\
      Referer: http://x/\r\nCookie: a=1; b=2\r\nX-App: one\r\n\r\n",
    // Ada:secret
    b"POST /p HTTP/1.1\r\nHost: app.local.\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\
      X-Forwarded-For: 10.0.0.1\r\nAuthorization: Basic QWRhOnNlY3JldA==\r\n\r\nhello",
    b"GET /?status=404 HTTP/1.1\r\nHost: app.local\r\nUser-Agent: \xc3\xa9\t|\r\n\r\n",
    b"GET /h?a HTTP/1.1\r\nHost: app.local\r\nReferer: \r\n\r\n",
    b"GET /last HTTP/1.0\r\nHost: app.local\r\nConnection: close\r\n\r\n",
];

#[tokio::test]
async fn nginx_writes_the_same() {
    if !is_installed() {
        return;
    }
    let site = Site::start("hello");
    let fields = |quote: &str| {
        let field = |name: &&str| format!("{quote}{name}{quote}:{quote}${{{name}}}{quote}");
        SAME.iter().map(field).collect::<Vec<_>>()
    };
    let object = format!("{{{}}}", fields("\"").join(","));
    let text = fields("").join("\t");
    for (format, escape) in [(&text, "default"), (&text, "none"), (&object, "json")] {
        let folder = tempfile::tempdir().unwrap();
        let (address, mut nginx) = nginx(folder.path(), site.address, format, escape).await;
        let path = folder.path().join("lb");
        let lb = Lb::start(|lb| {
            lb.env("LB_ACCESS_LOG", &path).env("TRUST_DOWNSTREAM_PROXY", "true");
            lb.env("LB_LOG_FORMAT", format).env("LB_LOG_FORMAT_ESCAPE", escape);
            lb.arg(format!("--upstream=app.local={}", site.address));
        })
        .await;
        lb.ready("app.local", 1).await;
        for address in [address, lb.address()] {
            let mut client = Client::connect(address).await;
            for request in REQUESTS {
                client.say(request).await.unwrap();
            }
        }
        let theirs = lines(&folder.path().join("nginx"), REQUESTS.len()).await;
        let ours = lines(&path, REQUESTS.len()).await;
        let cut = |line: &str| -> Vec<String> {
            match serde_json::from_str::<serde_json::Value>(line) {
                Ok(object) => SAME.iter().map(|name| format!("{name}:{}", object[name])).collect(),
                Err(_) => line.split('\t').map(str::to_owned).collect(),
            }
        };
        for (theirs, ours) in theirs.iter().zip(&ours) {
            for (theirs, ours) in cut(theirs).iter().zip(cut(ours)) {
                assert_eq!(*theirs, ours, "escape={escape}");
            }
            assert_eq!(theirs, ours, "escape={escape}");
        }
        nginx.kill().await.unwrap();
    }
}
