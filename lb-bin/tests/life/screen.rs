//! `lb-bin top` on a real terminal: one of tmux's.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time;

use crate::{
    lb::{LIMIT, Lb},
    load::Trickle,
    reserved::Reserved,
    site::Site,
};

/// A terminal in which a shell runs `top`, and tells how it has ended.
struct Screen {
    socket: String,
    folder: TempDir,
}

/// In that folder: the process id of `top`.
const PID: &str = "pid";

impl Screen {
    /// Nothing where there is no tmux, which CI has to have.
    fn open(lb: &Lb, environment: &str) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let socket = format!("lb-life-{}-{number}", std::process::id());
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(!std::env::var("CI").is_ok_and(|it| it == "true"), "CI needs tmux");
            eprintln!("skipped: there is no tmux");
            return None;
        }
        let screen = Self { socket, folder: tempfile::tempdir().unwrap() };
        let (program, admin) = (env!("CARGO_BIN_EXE_lb-bin"), lb.admin);
        let pid = screen.folder.path().join(PID);
        let script = format!(
            "echo before; sh -c 'echo $$ >{}; {environment} exec {program} top --interval 250ms \
             --admin {admin}'; echo ended with $?; exec cat",
            pid.display()
        );
        screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &script]);
        Some(screen)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(args).env_remove("TMUX");
        let Output { status, stdout, stderr } = command.output().unwrap();
        assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Whether anything has a colour of its own (SGR, ECMA-48).
    fn is_colored(&self) -> bool {
        let text = self.tmux(&["capture-pane", "-p", "-e"]);
        let set = text.split("\x1b[").skip(1).filter_map(|rest| rest.split('m').next());
        set.flat_map(|set| set.split(';'))
            .any(|one| one.parse::<u8>().is_ok_and(|code| matches!(code, 30..=38 | 90..=97)))
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Waits until it shows what is wanted.
    async fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if is_it(&text) {
                return text;
            }
            assert!(begun.elapsed() < LIMIT, "never {what}:\n{text}");
            time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn shows(&self, words: &str) -> String {
        self.until(words, |text| text.contains(words)).await
    }

    /// Waits until the shell has its screen back.
    async fn is_restored(&self, ending: &str) {
        let text = self.shows(ending).await;
        // Above that tmux may put lines back that a smaller window had no room for.
        assert!(text.contains(&format!("before\n{ending}\n\n")), "{text}");
        assert!(!text.contains("lb-bin top") && !text.contains("q quit"), "{text}");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Its server may have ended by itself.
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

// Asking tmux blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_what_goes_on_and_gives_the_screen_back() {
    let (one, two) = (Site::start("one"), Site::start("two"));
    let lb = Lb::start(|lb| {
        let upstream = format!("app.local={} blog.local={}", one.address, two.address);
        lb.env("LB_UPSTREAM", upstream);
    })
    .await;
    lb.ready("app.local", 1).await;
    lb.ready("blog.local", 1).await;
    let Some(screen) = Screen::open(&lb, "") else { return };
    let first = screen.shows("blog.local").await;
    assert!(first.contains(&one.address.to_string()) && first.contains("1/1 ready"), "{first}");
    assert!(first.contains("by name"), "{first}");

    let traffic = Trickle::start(lb.address(), "blog.local");
    let rate = |line: &str| line.split_whitespace().nth(3).and_then(|it| it.parse::<f64>().ok());
    let busy = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("blog.local"));
        line.and_then(rate).is_some_and(|rate| rate > 0.0)
    };
    screen.until("traffic", busy).await;
    let above = |text: &str, first: &str, second: &str| {
        let at = |name| text.find(name).unwrap_or(usize::MAX);
        at(first) < at(second)
    };
    assert!(above(&screen.text(), "app.local", "blog.local"));
    screen.keys(&["r"]);
    let busiest_first =
        |text: &str| text.contains("by requests") && above(text, "blog.local", "app.local");
    screen.until("the busiest first", busiest_first).await;
    screen.keys(&["/", "a", "p", "p", "Enter"]);
    let filtered = |text: &str| text.contains("only app") && !text.contains("blog.local");
    screen.until("the filter", filtered).await;
    screen.keys(&["Escape"]);
    screen.shows("blog.local").await;
    screen.keys(&["?"]);
    screen.shows("Ctrl-C  quit").await;
    screen.keys(&["Escape"]);
    screen.until("no help", |text| !text.contains("Ctrl-C")).await;
    screen.keys(&["Space"]);
    screen.shows("PAUSED").await;
    screen.keys(&["Space"]);
    screen.until("it to go on", |text| !text.contains("PAUSED")).await;

    screen.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    let narrow = |text: &str| text.contains("ERR/S") && !text.contains("P99");
    screen.until("fewer columns", narrow).await;
    screen.tmux(&["resize-window", "-x", "100", "-y", "30"]);
    screen.shows("P99").await;

    drop(traffic);
    screen.keys(&["q"]);
    screen.is_restored("ended with 0").await;
}

// Asking tmux blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_gone_and_comes_back_is_followed_again() {
    let site = Site::start("one");
    let settings = |lb: &mut tokio::process::Command| {
        lb.env("LB_UPSTREAM", format!("app.local={}", site.address));
    };
    let admin = Reserved::new();
    let mut lb = Lb::start(|lb| {
        settings(lb);
        lb.env("LB_ADMIN", admin.address().to_string());
    })
    .await;
    lb.ready("app.local", 1).await;
    let Some(screen) = Screen::open(&lb, "NO_COLOR=1") else { return };
    screen.shows("app.local").await;
    assert!(!screen.is_colored());
    lb.signal("KILL").await;
    lb.ended().await;
    let lost = screen.shows("connection lost, trying again").await;
    assert!(lost.contains("app.local"), "what was last known stays: {lost}");
    let again = Lb::start(|lb| {
        settings(lb);
        lb.env("LB_ADMIN", admin.address().to_string())
            .env("LB_UPSTREAM", format!("new.local={}", site.address));
    })
    .await;
    let back = screen.shows("new.local").await;
    assert!(!back.contains("connection lost") && !back.contains("app.local"), "{back}");
    drop(again);
    screen.keys(&["C-c"]);
    screen.is_restored("ended with 0").await;
}

// Asking tmux blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_to_end_leaves_no_broken_terminal() {
    let lb = Lb::start(|_| {}).await;
    let Some(screen) = Screen::open(&lb, "") else { return };
    let first = screen.shows("nothing to show").await;
    assert!(first.contains("0 of 0 ready"), "{first}");
    assert!(screen.is_colored());
    let pid = std::fs::read_to_string(screen.folder.path().join(PID)).unwrap();
    assert!(Command::new("kill").args(["-s", "TERM", pid.trim()]).status().unwrap().success());
    screen.is_restored("ended with 0").await;
}
