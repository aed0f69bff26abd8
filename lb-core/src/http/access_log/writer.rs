//! The thread that writes, and what it is told. Nobody waits for it longer than a
//! second: what it writes to may hang for ever.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    mem,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use metrics::Counter;
use rustix::fs::OFlags;

use super::{Buffer, Destination, Lane};
use crate::sync::lock;

/// Ends with whoever has it.
pub(super) struct Writer {
    told: Arc<Told>,
    thread: Thread,
    pub(super) dropped: Counter,
}

/// What the thread is told.
#[derive(Default)]
struct Told {
    /// It doesn't look again before it is called.
    asleep: AtomicBool,
    orders: Mutex<Vec<Order>>,
    /// There will be nothing more.
    ended: AtomicBool,
}

/// Done once what has come together before is written.
struct Order {
    /// Where to go on from then on, if that is to be opened anew.
    reopened: Option<Destination>,
    /// What came of that.
    done: SyncSender<io::Result<()>>,
}

/// Lines are collected for this long before they are written. To wake up and to write
/// costs as much as hundreds of lines.
pub(super) const BATCH: Duration = Duration::from_millis(50);

/// How long anybody waits for an order to be done.
const WAIT: Duration = Duration::from_secs(1);

/// Between two tries to write to a pipe that is full.
const AGAIN: Duration = Duration::from_millis(10);

/// Room for lines that is kept while there are few.
const ROOM: usize = 64 << 10;

/// Between two complaints of the same.
const SILENCE: Duration = Duration::from_secs(60);

impl Writer {
    pub(super) fn start(
        destination: &Destination,
        lanes: Arc<[Lane]>,
        batch: Duration,
        dropped: Counter,
    ) -> io::Result<Self> {
        let told = Arc::<Told>::default();
        let sink = Sink::new(open(destination)?, dropped.clone());
        let mine = Arc::clone(&told);
        let thread = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || run(&mine, &lanes, batch, sink))?;
        Ok(Self { told, thread: thread.thread().clone(), dropped })
    }

    /// Something has come together.
    pub(super) fn wake(&self) {
        // Mostly it looks by itself, and workers need not fight over that. Whoever has
        // locked a lane since it last looked there knows whether it does.
        let asleep = &self.told.asleep;
        if asleep.load(Ordering::Relaxed) && asleep.swap(false, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }

    /// So much has come together that it is to look now.
    pub(super) fn hurry(&self) {
        self.thread.unpark();
    }

    pub(super) fn reopen(&self, destination: &Destination) -> io::Result<()> {
        // Not opened here: on a disk that hangs, that takes as long as it likes.
        self.order(Some(destination.clone()))
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.order(None)
    }

    fn order(&self, reopened: Option<Destination>) -> io::Result<()> {
        let (done, told) = sync_channel(1);
        lock(&self.told.orders).push(Order { reopened, done });
        self.thread.unpark();
        told.recv_timeout(WAIT).unwrap_or_else(|_| {
            let error = format!("its destination has taken nothing for {WAIT:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, error))
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.told.ended.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Asleep while nothing happens.
fn run(told: &Told, lanes: &[Lane], batch: Duration, mut sink: Sink) {
    let mut spare = Vec::new();
    loop {
        let ended = told.ended.load(Ordering::Acquire);
        let orders = mem::take(&mut *lock(&told.orders));
        let mut any = !orders.is_empty();
        for lane in lanes {
            let lines;
            (lines, spare) = sink.drain(lane, spare, told);
            any |= lines;
        }
        for order in orders {
            let done = order.reopened.map_or(Ok(()), |destination| {
                sink.turn_to(open(&destination)?);
                Ok(())
            });
            // Who waited may have given up.
            let _ = order.done.try_send(done);
        }
        if ended {
            return;
        }
        if any {
            thread::park_timeout(batch);
            continue;
        }
        told.asleep.store(true, Ordering::Release);
        // Who wrote before that has not called.
        if lanes.iter().all(|lane| lock(&lane.buffer).lines.is_empty()) {
            thread::park();
        }
        told.asleep.store(false, Ordering::Release);
    }
}

fn open(destination: &Destination) -> io::Result<File> {
    match destination {
        // A copy: what hangs while it is written to must not keep a lock that others
        // want.
        Destination::Stdout => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
        Destination::File(path) if is_pipe(path) => {
            // Opened for writing alone, it would wait for somebody who reads.
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
        }
        Destination::File(path) => OpenOptions::new().append(true).create(true).open(path),
    }
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// What is written to, and how that goes.
struct Sink {
    file: File,
    /// The last line there is only part of one.
    cut: bool,
    /// Lines lost since it can't be written to.
    failing: Option<u64>,
    /// Lines that were dropped since that was last told, and when that was.
    untold: u64,
    complained: Option<Instant>,
    dropped: Counter,
}

impl Sink {
    fn new(file: File, dropped: Counter) -> Self {
        Self { file, cut: false, failing: None, untold: 0, complained: None, dropped }
    }

    fn turn_to(&mut self, file: File) {
        self.file = file;
        self.cut = false;
    }

    /// Writes what has come together there, if anything has. `room` is exchanged for what
    /// is there.
    fn drain(&mut self, lane: &Lane, mut room: Vec<u8>, told: &Told) -> (bool, Vec<u8>) {
        let dropped = {
            let mut buffer = lock(&lane.buffer);
            let Buffer { lines, dropped, .. } = &mut *buffer;
            mem::swap(lines, &mut room);
            mem::take(dropped)
        };
        if let Some(lines) = self.complaint(dropped, Instant::now()) {
            tracing::warn!(
                lines,
                "the access log is written too slowly, and lines are dropped; \
                 lb_access_log_dropped_total counts them"
            );
        }
        let used = room.len();
        if used > 0 {
            self.write(&room, told);
        }
        room.clear();
        // As much again will come together while it is busy.
        let enough = 2 * used.max(ROOM);
        if room.capacity() > 2 * enough {
            room.shrink_to(enough);
        }
        (used > 0, room)
    }

    /// How many lines were dropped, with so many more, if that is to be told `now`.
    fn complaint(&mut self, dropped: u64, now: Instant) -> Option<u64> {
        self.untold += dropped;
        let is_silent = self.complained.is_some_and(|at| now.duration_since(at) <= SILENCE);
        if self.untold == 0 || is_silent {
            return None;
        }
        self.complained = Some(now);
        Some(mem::take(&mut self.untold))
    }

    fn write(&mut self, lines: &[u8], told: &Told) {
        let mut left = lines;
        let written = self.write_all(&mut left, told);
        if left.len() < lines.len() {
            self.cut = !left.is_empty() && lines[lines.len() - left.len() - 1] != b'\n';
        }
        match (written, self.failing) {
            (Ok(()), None) => {}
            (Ok(()), Some(lost)) => {
                self.failing = None;
                tracing::info!(lost, "the access log can be written again");
            }
            (Err(error), failing) => {
                let lost = left.iter().filter(|&&byte| byte == b'\n').count() as u64;
                self.dropped.increment(lost);
                if failing.is_none() {
                    tracing::warn!(%error, "the access log can't be written, and lines are lost");
                }
                self.failing = Some(failing.unwrap_or_default() + lost);
            }
        }
    }

    /// Writes `left`, which is what is left of it in the end.
    fn write_all(&mut self, left: &mut &[u8], told: &Told) -> io::Result<()> {
        let mut end_of_line: &[u8] = if self.cut { b"\n" } else { b"" };
        while !left.is_empty() {
            let part = if end_of_line.is_empty() { &mut *left } else { &mut end_of_line };
            match self.file.write(part) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    *part = &part[length..];
                    self.cut = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody reads at the moment, and while somebody may, nobody is lost.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && !told.ended.load(Ordering::Acquire) =>
                {
                    thread::sleep(AGAIN);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, path::PathBuf, sync::atomic::AtomicU64};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    struct Scene {
        _folder: tempfile::TempDir,
        path: PathBuf,
        lanes: Arc<[Lane]>,
        writer: Writer,
        dropped: Arc<AtomicU64>,
    }

    impl Scene {
        fn new(prepare: impl FnOnce(&Path)) -> Self {
            Self::with_batches_of(BATCH, prepare)
        }

        fn with_batches_of(batch: Duration, prepare: impl FnOnce(&Path)) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            prepare(&path);
            let lanes: Arc<[Lane]> = (0..2).map(|_| Lane::default()).collect();
            let dropped = Arc::<AtomicU64>::default();
            let counter = Counter::from_arc(Arc::clone(&dropped));
            let destination = Destination::File(path.clone());
            let writer = Writer::start(&destination, Arc::clone(&lanes), batch, counter).unwrap();
            Self { _folder: folder, path, lanes, writer, dropped }
        }

        fn write(&self, lane: usize, lines: &str) {
            lock(&self.lanes[lane].buffer).lines.extend_from_slice(lines.as_bytes());
            self.writer.wake();
        }

        fn reopen(&self) -> io::Result<()> {
            self.writer.reopen(&Destination::File(self.path.clone()))
        }
    }

    fn pipe(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    /// A file that takes so many bytes of what is in it, and then nothing.
    fn almost_full(left: usize) -> (File, Sink, Arc<AtomicU64>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        pipe(&path);
        let mut file = open(&Destination::File(path)).unwrap();
        let mut room = 0;
        while file.write(&[b'.'; 4096]).is_ok() {
            room += 4096;
        }
        let mut filling = vec![0; left];
        file.read_exact(&mut filling).unwrap();
        assert!(room > left);
        let dropped = Arc::<AtomicU64>::default();
        let sink = Sink::new(file.try_clone().unwrap(), Counter::from_arc(Arc::clone(&dropped)));
        (file, sink, dropped)
    }

    #[test]
    fn a_renamed_file_is_left_behind_when_told() {
        let scene = Scene::new(|_| ());
        let old = scene.path.with_extension("1");
        scene.write(0, "a\n");
        scene.write(1, "b\n");
        scene.writer.flush().unwrap();
        fs::rename(&scene.path, &old).unwrap();
        scene.write(1, "c\n");
        scene.reopen().unwrap();
        scene.write(0, "d\n");
        scene.writer.flush().unwrap();
        let lines = |path| fs::read_to_string(path).unwrap();
        assert_eq!((lines(&old), lines(&scene.path)), ("a\nb\nc\n".into(), "d\n".into()));
    }

    #[test]
    fn the_thread_is_called_from_its_sleep_and_hurried_from_its_nap() {
        let scene = Scene::with_batches_of(Duration::from_secs(3600), |_| ());
        let has = |expected: &str| {
            let begun = Instant::now();
            while fs::read_to_string(&scene.path).unwrap() != expected {
                assert!(begun.elapsed() < Duration::from_secs(30), "{expected:?} isn't written");
                thread::yield_now();
            }
        };
        while !scene.writer.told.asleep.load(Ordering::Acquire) {
            thread::yield_now();
        }
        scene.write(0, "a\n");
        has("a\n");
        // It collects now, for an hour, and needs no call.
        scene.write(1, "b\n");
        assert!(!scene.writer.told.asleep.load(Ordering::Acquire));
        scene.writer.hurry();
        has("a\nb\n");
        scene.write(0, "c\n");
        scene.writer.flush().unwrap();
        has("a\nb\nc\n");
    }

    #[test]
    fn what_is_written_when_nobody_needs_it_any_more_is_written() {
        let scene = Scene::new(|_| ());
        scene.write(0, "a\n");
        let Scene { _folder, path, writer, .. } = scene;
        drop(writer);
        let begun = Instant::now();
        while fs::read_to_string(&path).unwrap() != "a\n" {
            assert!(begun.elapsed() < Duration::from_secs(30));
            thread::yield_now();
        }
    }

    #[test]
    fn nobody_waits_long_for_a_pipe_that_nobody_reads() {
        let scene = Scene::new(pipe);
        let line = "x".repeat(99) + "\n";
        scene.write(0, &line.repeat(10_000));
        assert_eq!(scene.writer.flush().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(scene.reopen().unwrap_err().kind(), io::ErrorKind::TimedOut);
        let other = scene.path.with_extension("other");
        let reopened = scene.writer.reopen(&Destination::File(other.clone()));
        assert_eq!(reopened.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!other.exists(), "who can wait opens it");
        // What was there once somebody reads: nothing was given up.
        scene.write(0, "last\n");
        let mut reader = OpenOptions::new().read(true).open(&scene.path).unwrap();
        let mut all = Vec::new();
        let mut part = [0; 4096];
        while !all.ends_with(b"last\n") {
            let length = reader.read(&mut part).unwrap();
            all.extend_from_slice(&part[..length]);
        }
        assert_eq!(all.len(), line.len() * 10_000 + 5);
        assert!(scene.writer.flush().is_ok());
        assert_eq!(scene.dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_cannot_be_opened_is_told_and_the_old_one_goes_on() {
        let scene = Scene::new(|_| ());
        let nowhere = Destination::File(scene.path.join("no/folder"));
        let error = scene.writer.reopen(&nowhere).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        scene.write(0, "a\n");
        scene.writer.flush().unwrap();
        assert_eq!(fs::read_to_string(&scene.path).unwrap(), "a\n");
    }

    #[test]
    fn all_that_is_dropped_is_told_once_and_not_too_often() {
        let (_, mut sink, _) = almost_full(0);
        let now = Instant::now();
        assert_eq!(sink.complaint(0, now), None);
        assert_eq!(sink.complaint(3, now), Some(3));
        assert_eq!(sink.complaint(4, now + SILENCE / 2), None);
        assert_eq!(sink.complaint(5, now + SILENCE), None);
        assert_eq!(sink.complaint(0, now + SILENCE * 2), Some(9));
        assert_eq!(sink.complaint(0, now + SILENCE * 9), None);
    }

    #[test]
    fn what_fails_is_counted_and_costs_no_other_line() {
        let told = Told { ended: AtomicBool::new(true), ..Told::default() };
        // A pipe frees whole pages.
        let (mut file, mut sink, dropped) = almost_full(4096);
        let line = "y".repeat(999) + "\n";
        sink.write(line.repeat(10).as_bytes(), &told);
        assert!(sink.cut, "the fifth was begun");
        assert_eq!(dropped.load(Ordering::Relaxed), 6);
        sink.write(b"lost\n", &told);
        assert_eq!((sink.failing, dropped.load(Ordering::Relaxed)), (Some(7), 7));

        let mut before = Vec::new();
        let mut part = [0; 4096];
        while let Ok(length) = file.read(&mut part) {
            before.extend_from_slice(&part[..length]);
        }
        assert!(before.ends_with(b"yy"));
        sink.write(b"whole\n", &told);
        assert_eq!((sink.cut, sink.failing), (false, None));
        let length = file.read(&mut part).unwrap();
        assert_eq!(&part[..length], b"\nwhole\n");
    }

    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let scene = Scene::new(|path| std::os::unix::fs::symlink("/dev/full", path).unwrap());
        scene.write(0, "a\nb\n");
        scene.writer.flush().unwrap();
        assert_eq!(scene.dropped.load(Ordering::Relaxed), 2);
        fs::remove_file(&scene.path).unwrap();
        scene.reopen().unwrap();
        scene.write(0, "c\n");
        scene.writer.flush().unwrap();
        assert_eq!(fs::read_to_string(&scene.path).unwrap(), "c\n");
    }
}
