//! A real browser without a window: Chromium, driven over WebDriver.
//!
//! The protocol is JSON over HTTP. The clients there are for it bring a second HTTP
//! stack, or the tables of a text segmenter; what is needed here is this file.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Lack, docker::output, wait};

/// How long a command may take. Some start the browser.
const LIMIT: Duration = Duration::from_secs(60);

/// What Chromium says of all that it was loading when a network of the machine, such as
/// that of a container, came or went.
const NETWORK_CHANGED: &str = "net::ERR_NETWORK_CHANGED";

/// What a case needs that looks at a page.
pub(crate) fn needs() -> Result<(), Lack> {
    for (program, package) in [("chromedriver", "chromium-driver"), ("chromium", "chromium")] {
        let mut which = Command::new("sh");
        which.args(["-c", &format!("command -v {program}")]);
        if output(which).is_err() {
            let what = format!("{program} is not installed (Debian's package {package})");
            return Err(Lack { what, fatal_in_ci: true });
        }
    }
    Ok(())
}

/// One window, until it is dropped.
pub(crate) struct Browser {
    driver: Driver,
    session: String,
    /// Its process, should it not end when it is told to.
    process: Option<u64>,
    _profile: TempDir,
}

impl Browser {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with_text(16)
    }

    /// One whose user wants text to be so many pixels high, where pages leave it to him.
    #[track_caller]
    pub(crate) fn with_text(size: u32) -> Self {
        let driver = Driver::start();
        let profile = tempfile::tempdir().unwrap();
        let arguments = json!([
            "--headless=new",
            // Root has no sandbox.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            // Nobody is asked but the page's server.
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--remote-debugging-port=0",
            "--window-size=1440,900",
            format!("--user-data-dir={}", profile.path().display()),
        ]);
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": {"webkit": {"webprefs": {"default_font_size": size}}},
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = driver.command("POST", "/session", Some(&capabilities)).unwrap();
        let session = answer["sessionId"].as_str().unwrap().to_owned();
        let process = answer["capabilities"]["goog:processID"].as_u64();
        Self { driver, session, process, _profile: profile }
    }

    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        let path = format!("/session/{}/url", self.session);
        wait::until(&format!("{url} to be opened"), String::new, || {
            match self.driver.command("POST", &path, Some(&json!({ "url": url }))) {
                Err(error) if error.contains(NETWORK_CHANGED) => None,
                answer => Some(answer.unwrap()),
            }
        });
    }

    /// Runs the body of a function, whose arguments are `arguments`, and returns what
    /// that returns.
    #[track_caller]
    pub(crate) fn run<T: DeserializeOwned>(&self, script: &str, arguments: &Value) -> T {
        let body = json!({ "script": script, "args": arguments });
        serde_json::from_value(self.post("execute/sync", &body)).unwrap()
    }

    /// Runs it again and again until it returns something that is true.
    #[track_caller]
    pub(crate) fn until<T: DeserializeOwned>(&self, script: &str, arguments: &Value) -> T {
        let state = || {
            let text: String = self.run("return document.body.innerText", &json!([]));
            format!("{text}\n{}", self.complaints().join("\n"))
        };
        let found = wait::until(script, state, || {
            let found: Value = self.run(script, arguments);
            (!matches!(&found, Value::Null | Value::Bool(false))).then_some(found)
        });
        serde_json::from_value(found).unwrap()
    }

    /// A command of Chromium's own protocol.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Presses and lets go a key: what it types, or one of [`keys`].
    #[track_caller]
    pub(crate) fn press(&self, key: &str) {
        let strokes = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("actions", &json!({ "actions": [keyboard] }));
    }

    /// What the page and the browser have complained of since this was last asked, but
    /// for what comes of the networks of other containers.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let all = log.as_array().unwrap().iter().map(|entry| entry["message"].to_string());
        all.filter(|message| !message.contains(NETWORK_CHANGED)).collect()
    }

    #[track_caller]
    fn post(&self, what: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{what}", self.session);
        self.driver.command("POST", &path, Some(body)).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(text) = self.driver.command(
                "POST",
                &format!("/session/{}/execute/sync", self.session),
                Some(&json!({ "script": "return document.body.innerText", "args": [] })),
            )
        {
            eprintln!("the page says:\n{}", text.as_str().unwrap_or_default());
        }
        let path = format!("/session/{}", self.session);
        if let (Err(error), Some(process)) =
            (self.driver.command("DELETE", &path, None), self.process)
        {
            eprintln!("the browser doesn't end: {error}");
            let mut kill = Command::new("kill");
            kill.args(["-s", "KILL", &process.to_string()]);
            let _ = output(kill);
        }
    }
}

/// What WebDriver calls keys that type nothing.
pub(crate) mod keys {
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
}

/// The program that the browser is driven by.
struct Driver {
    process: Child,
    address: SocketAddr,
}

impl Driver {
    #[track_caller]
    fn start() -> Self {
        // It takes a port that is free by IPv4, and ends where it isn't by IPv6.
        (0..10).find_map(|_| Self::try_start()).expect("chromedriver says its port")
    }

    fn try_start() -> Option<Self> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut ports = lines.map_while(Result::ok).filter_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let Some(port) = ports.next() else {
            let _ = process.wait();
            return None;
        };
        Some(Self { process, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    /// Asks for something and returns the value in the answer.
    fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, answer) =
            self.exchange(method, path, &body).map_err(|error| format!("{path}: {error}"))?;
        let mut answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| format!("{path}: {status} and no JSON: {error}"))?;
        let value = answer["value"].take();
        if status == 200 { Ok(value) } else { Err(format!("{path}: {value}")) }
    }

    /// It keeps connections open, even those it says it closes.
    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
        let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "no answer of HTTP");
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut length = None;
        loop {
            line.clear();
            answer.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok();
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length.ok_or_else(nonsense)?];
        answer.read_exact(&mut body)?;
        Ok((status.ok_or_else(nonsense)?, body))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
