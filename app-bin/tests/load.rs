//! What `app-bin load` sends, counts and says.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use support::{App, binary, output};
use tokio::net::TcpSocket;

/// A load that is under way; killed when dropped.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(app: &App, options: &[&str]) -> Self {
        let url = format!("http://{}/", app.address);
        let mut command = binary();
        let command = command.args(["load", &url]).args(options).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    fn interrupt(&self) {
        let kill = Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A load on this server, to its end.
fn load(app: &App, options: &[&str]) -> Output {
    let url = format!("http://{}/", app.address);
    output(&[&["load", &url], options].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The number at the end of the last line that begins so.
fn number(text: &str, start: &str) -> u64 {
    let lines = text.lines().rev();
    let line = lines.map(str::trim_start).find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start:?} in:\n{text}"));
    line.rsplit(' ').next().unwrap().replace(',', "").parse().unwrap()
}

#[test]
fn sends_as_many_as_are_due_and_tells_who_answered() {
    let app = App::start(&[]);
    let output = load(&app, &["--rate=1000", "--duration=2s"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(number(&text, "answered well"), 2000, "{text}");
    assert_eq!(number(&text, "200 OK:"), 2000, "{text}");
    assert_eq!(number(&text, "failed"), 0, "{text}");
    assert!(text.contains("  web "), "{text}");
    let requests = app.control("GET", "/requests").body;
    assert!(requests.contains("\"requests\":2000,"), "{requests}");
}

#[test]
fn answers_may_be_long_and_of_unknown_length() {
    let app = App::start(&[]);
    let paths = "--paths=/?size=300000,/?size=300000&chunked,/?status=204,/";
    let output = load(&app, &["--rate=100", "--duration=1s", "--connections=2", paths]);
    let text = text(&output);
    assert_eq!(number(&text, "answered well"), 100, "{text}");
    assert_eq!(number(&text, "204 No Content:"), 25, "{text}");
}

#[test]
fn what_fails_is_told_by_reason_and_is_the_exit_status() {
    let app = App::start(&[]);
    let paths = "--paths=/?status=503,/?size=1000&truncate,/";
    let output = load(&app, &["--rate=90", "--duration=1s", paths]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(number(&text, "answered well"), 30, "{text}");
    assert_eq!(number(&text, "failed"), 60, "{text}");
    assert_eq!(number(&text, "503 Service Unavailable:"), 30, "{text}");
    assert_eq!(number(&text, "broken off within the answer:"), 30, "{text}");
}

#[test]
fn who_is_not_answered_in_time_has_failed() {
    let app = App::start(&["--hang-rate=1"]);
    let options = ["--rate=20", "--duration=1s", "--connections=10", "--timeout=300ms"];
    let output = load(&app, &options);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(number(&text, "failed"), 20, "{text}");
    assert!(number(&text, "no answer in time:") >= 10, "{text}");
}

/// One that waits for each answer would send half as many, and find each quick.
#[test]
fn what_is_late_counts_from_when_it_was_due() {
    let app = App::start(&["--latency=20ms"]);
    let output = load(&app, &["--rate=100", "--duration=1s", "--connections=1"]);
    let text = text(&output);
    assert_eq!(number(&text, "answered well"), 100, "{text}");
    // 100 times 20 ms take two seconds, and the last one was due after one.
    let line = text.lines().find(|line| line.trim_start().starts_with("slowest")).unwrap();
    let (seconds, unit) = line.trim().rsplit_once(' ').unwrap();
    let seconds: f64 = seconds.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(unit == "s" && seconds >= 1.0, "{text}");
}

#[test]
fn says_what_it_is_told_to() {
    let app = App::start(&[]);
    // The app says back what it got, which is no greeting but for this.
    let output = load(
        &app,
        &[
            "--rate=10",
            "--duration=1s",
            "--paths=/x?echo",
            "--host=served from host.test!",
            "--method=POST",
            "--body=hello",
            "--header=X-A: b",
        ],
    );
    let text = text(&output);
    assert!(text.contains("  host.test "), "{text}");
    assert!(text.contains("POST http://"), "{text}");
}

#[test]
fn names_can_come_from_a_header() {
    let app = App::start(&[]);
    let options = ["--rate=10", "--duration=1s", "--name-header=x-id", "--paths=/?id=me,/"];
    let text = text(&load(&app, &options));
    assert!(text.contains("  me ") && text.contains("  (no name) "), "{text}");
}

#[test]
fn an_interrupt_ends_it_with_the_summary() {
    let app = App::start(&[]);
    let mut load = Running::start(&app, &[]);
    let progress = load.line().unwrap();
    assert!(progress.starts_with("0:0") && progress.contains("  web "), "{progress}");
    load.interrupt();
    let rest: Vec<_> = std::iter::from_fn(|| load.line()).collect();
    assert!(rest.iter().any(|line| line.starts_with("answered well")), "{rest:?}");
    assert!(!rest.iter().any(|line| line.starts_with("not waited for")), "{rest:?}");
    assert_eq!(load.wait().code(), Some(0));
}

#[test]
fn a_second_interrupt_waits_for_nothing_and_is_no_success() {
    let app = App::start(&["--hang-rate=1"]);
    let mut load = Running::start(&app, &["--rate=20", "--timeout=10m"]);
    let mut lines = Vec::new();
    while let Some(line) = load.line() {
        // One with each line of progress: of two at once it would see one.
        if line.starts_with("0:") {
            load.interrupt();
        }
        lines.push(line);
    }
    let text = lines.join("\n");
    assert_eq!(number(&text, "failed"), 0, "{text}");
    assert!(number(&text, "not waited for") > 0, "{text}");
    assert_eq!(load.wait().code(), Some(1), "{text}");
}

#[test]
fn tells_that_nothing_listens() {
    // Nobody else gets a port that is taken.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap();
    let output = output(&["load", &format!("http://{address}")]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("nothing to send requests to at {address}: ")), "{text}");
}

#[test]
fn bad_values_name_the_option_and_the_remedy() {
    for (argument, option, remedy) in [
        ("https://localhost", "<URL>", "as in http://localhost:8080/"),
        ("--rate=0", "--rate <NUMBER>", "1..=100000"),
        ("--duration=0s", "--duration <DURATION>", "as in 30s"),
        ("--shape=square", "--shape <SHAPE>", "steady, ramp, spike, soak"),
        ("--paths=/a,b", "--paths <PATHS>", "as in /a?b=c"),
        ("--header=a", "--header <NAME: VALUE>", "as in \"X-Forwarded-For"),
    ] {
        let output = output(&["load", argument]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{argument}: {text}");
        assert!(text.contains(option) && text.contains(remedy), "{argument}: {text}");
    }
}
