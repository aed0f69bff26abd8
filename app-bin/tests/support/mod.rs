//! The real binary on free ports, and a client that shows every byte.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Bound of everything that should happen soon; reaching it fails the test.
pub const SOON: Duration = Duration::from_secs(20);

/// A command of the binary, free of the environment of whoever runs the tests.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_app-bin"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("APP_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn output(arguments: &[&str]) -> Output {
    binary().args(arguments).output().unwrap()
}

/// A running server; killed when dropped.
pub struct App {
    child: Child,
    lines: Receiver<String>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl App {
    /// Starts a server named `web` and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        let mut app = Self::launch(arguments);
        app.wait_listening();
        app
    }

    /// Starts a server named `web`; its addresses are known after
    /// [`wait_listening`](Self::wait_listening).
    pub fn launch(arguments: &[&str]) -> Self {
        Self::spawn(binary().env("APP_NAME", "web").args(arguments))
    }

    /// Starts this command as a server on free ports.
    pub fn spawn(command: &mut Command) -> Self {
        // By the environment, which the options of a test can override.
        let mut child = command
            .env("APP_LISTEN", "127.0.0.1:0")
            .env("APP_ADMIN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { child, lines, address: unknown, admin: unknown }
    }

    pub fn wait_listening(&mut self) {
        let line = self.wait_line("listening on ");
        let (address, admin) = line["listening on ".len()..].split_once(", metrics on ").unwrap();
        self.address = address.parse().unwrap();
        self.admin = admin.parse().unwrap();
    }

    /// Waits for a line of output that starts so.
    pub fn wait_line(&self, start: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line {start:?}"));
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id();
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the process to end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        // The output closes with the process; waiting for that can be bounded.
        let deadline = Instant::now() + SOON;
        while self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .map_err(|end| assert_eq!(end, std::sync::mpsc::RecvTimeoutError::Disconnected))
            .is_ok()
        {}
        self.child.wait().unwrap()
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Answer {
        Client::connect(self.address).get(target)
    }

    /// One request to the control port.
    pub fn control(&self, method: &str, path: &str) -> Answer {
        Client::connect(self.admin).request(method, path)
    }

    /// Waits until so many requests are in flight.
    pub fn wait_in_flight(&self, count: usize) {
        let wanted = format!("\"in_flight\":{count},");
        let deadline = Instant::now() + SOON;
        let mut control = Client::connect(self.admin);
        while !control.get("/requests").body.contains(&wanted) {
            assert!(Instant::now() < deadline, "never {count} in flight");
        }
    }

    /// Runs `app-bin check` against this server.
    pub fn check(&self) -> Output {
        output(&["check", "--admin", &self.admin.to_string()])
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target)
    }

    pub fn request(&mut self, method: &str, target: &str) -> Answer {
        self.send(&head(method, target));
        self.answer(method == "HEAD")
    }

    pub fn send(&mut self, bytes: &str) {
        self.reader.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    /// Reads one answer.
    pub fn answer(&mut self, to_head: bool) -> Answer {
        let mut answer = self.head();
        if !to_head && let Some(len) = answer.header("content-length") {
            let mut body = vec![0; len.parse().unwrap()];
            self.reader.read_exact(&mut body).unwrap();
            answer.body = String::from_utf8(body).unwrap();
        }
        answer
    }

    /// Reads all that comes until the connection ends, however it does.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.reader.read_to_end(&mut rest);
        rest
    }

    /// Reads the head of an answer.
    pub fn head(&mut self) -> Answer {
        let status_line = self.line();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        Answer { status_line, headers, body: String::new() }
    }

    /// Exactly so many bytes.
    pub fn read(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Waits for the server to close; panics on anything it sends first.
    pub fn wait_closed(&mut self) {
        match self.reader.read(&mut [0; 1]) {
            Ok(len) => assert_eq!(len, 0, "the server sent more"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }

    /// Whether the server sends nothing for this long.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.reader.get_ref().set_read_timeout(Some(time)).unwrap();
        let silent = self.reader.read(&mut [0; 1]).is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        self.reader.get_ref().set_read_timeout(Some(SOON)).unwrap();
        silent
    }

    /// Ends the sending side.
    pub fn finish(&mut self) {
        self.reader.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

/// A request without headers but the necessary.
pub fn head(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status_line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.status_line.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| &**value)
    }
}
