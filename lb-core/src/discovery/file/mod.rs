//! A file of endpoints, followed as it changes.
//!
//! ```text
//! # id (or none: the target is its own name), target, what else is said of it
//! 10.0.0.1:8080
//! 10.0.0.2:8080        weight=3  zone=eu-1
//! spare 10.1.0.1:8080  priority=1
//! ```
//!
//! One endpoint a line. Two words are an identity and a target, one word is
//! both: fit for a target that is never given to something else. After them come `weight=` (1 unless said; 0 for no new requests),
//! `priority=` (0 unless said; the first choice) and `zone=`. From a word that
//! begins with `#` on, the rest of a line is a comment. A file that is meant to
//! hold no endpoint says so with a line `!empty`; any other file without one is
//! taken for a mistake.
//!
//! A version that can't be read or parsed changes nothing: the last good set
//! stays in force, and the [`Status`] and the log tell what is wrong with which
//! line. Every change is a [`Change::Reset`].
//!
//! # How changes are found
//!
//! The file is read again at an interval and its content compared. Files are
//! replaced in too many ways for anything cleverer: Kubernetes swaps a symbolic
//! link two folders up, editors rename, network file systems and bind mounts
//! tell nobody, and `cp -p` keeps time and size. Reading says it in all of them,
//! and costs next to nothing for a file of this kind.
//!
//! A version counts once two reads in a row found the same, so a file that is
//! still being written is left alone. Writers that pause in the middle for
//! longer than an interval should write beside the file and rename.

mod parse;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use tokio::{task, time};

use super::{Change, Reporter, Sender, Status, driven::Driven};

pub use parse::{Invalid, parse};

/// Follows the file at `path`. Targets are whatever can be parsed: addresses,
/// URLs, names.
///
/// It never ends, and must be read inside a tokio runtime. A file that isn't
/// there yet is waited for.
///
/// ```
/// use std::net::SocketAddr;
/// use lb_core::discovery::file;
///
/// let endpoints = file::follow::<SocketAddr>("/etc/lb/endpoints");
/// let status = endpoints.status();
/// assert!(!status.report().synced);
/// ```
pub fn follow<T>(path: impl Into<PathBuf>) -> Followed<T> {
    let (reporter, status) = Reporter::new();
    Followed {
        path: path.into(),
        interval: INTERVAL,
        reporter: Some(reporter),
        status,
        driven: None,
    }
}

/// The discovery returned by [`follow`].
#[must_use = "a discovery does nothing unless it is read"]
pub struct Followed<T> {
    path: PathBuf,
    interval: Duration,
    status: Status,
    /// Taken along when the work begins.
    reporter: Option<Reporter>,
    driven: Option<Driven<T>>,
}

impl<T> Followed<T> {
    /// The time between two reads: 1 second unless set here, and 10 ms at
    /// least. A change is in force two reads after it at the latest.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(SHORTEST_INTERVAL);
        self
    }

    /// Whether the file says what is in force, and if not, why.
    pub fn status(&self) -> Status {
        self.status.clone()
    }
}

impl<T> Stream for Followed<T>
where
    T: FromStr<Err: fmt::Display> + Send + 'static,
{
    type Item = Change<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(reporter) = this.reporter.take() {
            let (path, interval) = (this.path.clone(), this.interval);
            this.driven = Some(Driven::new(|changes| run(path, interval, reporter, changes)));
        }
        match &mut this.driven {
            Some(driven) => Pin::new(driven).poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("path", &self.path).finish_non_exhaustive()
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Between the two reads of the first version, while nothing is in force that
/// could be lost.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);

/// A network file system that doesn't answer in this time is reported.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// More than a list of endpoints can sensibly be: somebody named another file.
const SIZE_LIMIT: u64 = 16 << 20;

async fn run<T>(path: PathBuf, interval: Duration, reporter: Reporter, changes: Sender<T>)
where
    T: FromStr<Err: fmt::Display>,
{
    let mut versions = Versions::default();
    loop {
        match read(&path, &reporter).await {
            Err(error) => {
                versions.interrupted();
                trouble(&path, &reporter, &error);
            }
            Ok(content) => match versions.read(content) {
                Verdict::Unsettled => {}
                Verdict::InForce => confirmed(&path, &reporter),
                Verdict::Refused => trouble(&path, &reporter, versions.refusal()),
                Verdict::New => match parse(versions.settled()) {
                    Err(error) => trouble(&path, &reporter, versions.refuse(error.to_string())),
                    Ok(set) => {
                        tracing::debug!(path = %path.display(), endpoints = set.len(), "read");
                        if changes.send(Change::Reset(set)).is_err() {
                            return;
                        }
                        versions.accept();
                        confirmed(&path, &reporter);
                    }
                },
            },
        }
        let pause =
            if versions.in_force.is_some() { interval } else { interval.min(FIRST_INTERVAL) };
        time::sleep(pause).await;
    }
}

/// Reads away from this thread, because a file system may take its time.
async fn read(path: &Path, reporter: &Reporter) -> io::Result<Vec<u8>> {
    let from = path.to_owned();
    let mut reading = task::spawn_blocking(move || read_all(&from));
    let read = match time::timeout(READ_LIMIT, &mut reading).await {
        Ok(read) => read,
        Err(_) => {
            let limit = READ_LIMIT.as_secs();
            trouble(
                path,
                reporter,
                format_args!("not read in {limit} s; is its file system there?"),
            );
            // Another read would hang beside it and cost one more thread.
            reading.await
        }
    };
    read.map_err(io::Error::other)?
}

fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for who writes into it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file; name the file of endpoints itself"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(SIZE_LIMIT + 1).read_to_end(&mut content)?;
    if content.len() as u64 > SIZE_LIMIT {
        let limit = SIZE_LIMIT >> 20;
        return Err(io::Error::other(format!("more than {limit} MiB; is it the right file?")));
    }
    Ok(content)
}

fn trouble(path: &Path, reporter: &Reporter, error: impl fmt::Display) {
    let error = format!("{}: {error}", path.display());
    if reporter.trouble(&error) {
        tracing::warn!(error, "endpoints not read; what is known stays in force");
    }
}

fn confirmed(path: &Path, reporter: &Reporter) {
    if reporter.confirmed() {
        tracing::info!(path = %path.display(), "endpoints are read again");
    }
}

/// What was read, and whether it has settled.
#[derive(Default)]
struct Versions {
    in_force: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
    /// With what is wrong with it.
    refused: Option<(Vec<u8>, String)>,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    /// It may still be written.
    Unsettled,
    /// It has settled and is not in force.
    New,
    InForce,
    /// It can't be parsed, as is known.
    Refused,
}

impl Versions {
    fn read(&mut self, content: Vec<u8>) -> Verdict {
        if self.in_force.as_ref() == Some(&content) {
            self.last = None;
            return Verdict::InForce;
        }
        if self.refused.as_ref().is_some_and(|(refused, _)| *refused == content) {
            self.last = None;
            return Verdict::Refused;
        }
        let settled = self.last.as_ref() == Some(&content);
        self.last = Some(content);
        if settled { Verdict::New } else { Verdict::Unsettled }
    }

    fn settled(&self) -> &[u8] {
        self.last.as_deref().unwrap_or_default()
    }

    fn accept(&mut self) {
        self.in_force = self.last.take();
        self.refused = None;
    }

    fn refuse(&mut self, error: String) -> &str {
        self.refused = self.last.take().map(|content| (content, error));
        self.refusal()
    }

    fn refusal(&self) -> &str {
        self.refused.as_ref().map_or("", |(_, error)| error)
    }

    /// Nothing was read, so the next read is the first in a row.
    fn interrupted(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures_util::{FutureExt, StreamExt};
    use tempfile::TempDir;
    use tokio::time::Instant;

    use super::*;
    use crate::endpoint::{Endpoint, EndpointId};

    struct Scene {
        folder: TempDir,
        followed: Followed<u16>,
        status: Status,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let followed = follow(folder.path().join("endpoints"));
            let status = followed.status();
            Self { folder, followed, status }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("endpoints")
        }

        fn write(&self, content: &str) {
            fs::write(self.path(), content).unwrap();
        }

        /// The targets of the next set.
        async fn next(&mut self) -> Vec<u16> {
            let Some(Change::Reset(set)) = self.followed.next().await else { panic!("no reset") };
            set.into_iter().map(|(_, endpoint)| endpoint.target).collect()
        }

        /// The error that comes next, with nothing said before.
        async fn error(&mut self) -> String {
            let before = self.status.report().last_error;
            let news = |report: &crate::discovery::Report| {
                report.last_error.is_some() && report.last_error != before
            };
            tokio::select! {
                report = self.status.wait_for(news) => report.unwrap().last_error.unwrap(),
                change = self.followed.next() => panic!("{change:?}"),
            }
        }

        /// Nothing is said for so long that it was looked at many times.
        async fn quiet(&mut self) {
            time::timeout(INTERVAL * 20, self.followed.next()).await.unwrap_err();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn follows_what_is_written() {
        let mut scene = Scene::new();
        scene.write("a 1 weight=2\n2 zone=x\n");
        let Some(Change::Reset(set)) = scene.followed.next().await else { panic!() };
        let two = Endpoint::new(2).zone("x");
        assert_eq!(set, [("a".into(), Endpoint::new(1).weight(2)), (EndpointId::from("2"), two)]);
        assert_eq!(scene.status.report().last_error, None);
        assert!(scene.status.report().synced);

        scene.quiet().await;
        let start = Instant::now();
        scene.write("3\n");
        assert_eq!(scene.next().await, [3]);
        assert!(start.elapsed() <= INTERVAL * 2, "{:?}", start.elapsed());
        assert_eq!(scene.status.since_confirmed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_later_is_waited_for() {
        let mut scene = Scene::new();
        let error = scene.error().await;
        assert!(error.contains("endpoints: No such file"), "{error}");
        scene.write("1\n");
        assert_eq!(scene.next().await, [1]);
        assert_eq!(scene.status.report().last_error, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_changes_nothing_and_is_said() {
        let mut scene = Scene::new();
        scene.write("1\n");
        assert_eq!(scene.next().await, [1]);

        scene.write("1\n2 weight=many\n");
        let error = scene.error().await;
        assert!(
            error.ends_with("weight=\"many\": write a whole number from 0 to 4294967295"),
            "{error}"
        );
        assert!(error.contains("endpoints: line 2: "), "{error}");
        scene.write("");
        assert!(scene.error().await.contains("!empty"));
        fs::remove_file(scene.path()).unwrap();
        assert!(scene.error().await.contains("No such file"));
        fs::create_dir(scene.path()).unwrap();
        assert!(scene.error().await.contains("not a regular file"));
        scene.quiet().await;
        assert!(scene.status.since_confirmed() > INTERVAL * 20);

        fs::remove_dir(scene.path()).unwrap();
        scene.write("1\n");
        scene.quiet().await;
        assert_eq!(scene.status.report().last_error, None, "what is in force is right again");
        scene.write("!empty\n");
        assert_eq!(scene.next().await, [0_u16; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_is_still_being_written_is_left_alone() {
        let mut scene = Scene::new();
        scene.write("1\n2\n");
        assert_eq!(scene.next().await, [1, 2]);
        for partial in ["", "1", "1\n", "1\n2\n", "1\n2\n3", "1\n2\n33"] {
            scene.write(partial);
            // Too short for two reads.
            time::timeout(INTERVAL * 9 / 10, scene.followed.next()).await.unwrap_err();
            assert_eq!(scene.status.report().last_error, None, "after {partial:?}");
        }
        scene.write("1\n2\n333\n");
        assert_eq!(scene.next().await, [1, 2, 333]);
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_link_that_is_swapped_is_followed() {
        use std::os::unix::fs::symlink;

        let mut scene = Scene::new();
        let folder = scene.folder.path().to_owned();
        for version in ["1", "2"] {
            fs::create_dir(folder.join(version)).unwrap();
            fs::write(folder.join(version).join("endpoints"), version).unwrap();
        }
        // As a mounted ConfigMap: the file is a link into a folder that is a link.
        let swap = |version| {
            symlink(version, folder.join("new")).unwrap();
            fs::rename(folder.join("new"), folder.join("data")).unwrap();
        };
        symlink("data/endpoints", scene.path()).unwrap();
        swap("1");
        assert_eq!(scene.next().await, [1]);
        swap("2");
        assert_eq!(scene.next().await, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_too_large_is_refused() {
        let mut scene = Scene::new();
        File::create(scene.path()).unwrap().set_len(SIZE_LIMIT + 1).unwrap();
        assert!(scene.error().await.contains("more than 16 MiB"));
    }

    #[test]
    fn nothing_is_read_before_it_is_asked_for() {
        // No runtime is needed for that, either.
        let followed = follow::<u16>("/nowhere");
        let status = followed.status();
        assert_eq!(status.report().last_error, None);
        drop(followed);
        assert!(status.wait_for(|report| report.synced).now_or_never().unwrap().is_none());
    }

    #[test]
    fn a_version_counts_when_it_is_read_twice_in_a_row() {
        let mut versions = Versions::default();
        let mut read = |content: &str| versions.read(content.into());
        assert_eq!(read("a"), Verdict::Unsettled);
        assert_eq!(read("b"), Verdict::Unsettled);
        assert_eq!(read("a"), Verdict::Unsettled);
        assert_eq!(read("a"), Verdict::New);
        versions.accept();
        let mut read = |content: &str| versions.read(content.into());
        assert_eq!(read("a"), Verdict::InForce);
        assert_eq!(read("b"), Verdict::Unsettled);
        assert_eq!(read("a"), Verdict::InForce);
        assert_eq!(read("b"), Verdict::Unsettled, "not twice in a row");
        versions.interrupted();
        let mut read = |content: &str| versions.read(content.into()) == Verdict::New;
        assert!(!read("b"), "there was an error in between");
        assert!(read("b"));
    }

    /// A target that counts how often it is parsed.
    #[derive(Debug)]
    struct Counted;

    static PARSED: AtomicUsize = AtomicUsize::new(0);

    impl FromStr for Counted {
        type Err = &'static str;

        fn from_str(_: &str) -> Result<Self, Self::Err> {
            PARSED.fetch_add(1, Ordering::Relaxed);
            Err("none will do")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_is_not_parsed_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoints");
        fs::write(&path, "1\n").unwrap();
        let mut followed = follow::<Counted>(&path);
        let status = followed.status();
        let is_refused = || status.report().last_error.unwrap().contains("none will do");
        time::timeout(INTERVAL * 20, followed.next()).await.unwrap_err();
        assert!(is_refused());
        fs::remove_file(&path).unwrap();
        time::timeout(INTERVAL * 20, followed.next()).await.unwrap_err();
        assert!(!is_refused(), "it is gone");
        fs::write(&path, "1\n").unwrap();
        time::timeout(INTERVAL * 20, followed.next()).await.unwrap_err();
        assert!(is_refused(), "what is wrong with it is said all the same");
        assert_eq!(PARSED.load(Ordering::Relaxed), 1);
    }
}
