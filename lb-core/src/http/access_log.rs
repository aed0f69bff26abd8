use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use ::http::{HeaderValue, Method, Request, Uri, Version, header};
use jiff::Zoned;
use metrics::Counter;

use super::{client::Client, record::Record};
use crate::sync::lock;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The standard output of the process.
    Stdout,
    /// The end of this file, which is made if it isn't there.
    File(PathBuf),
}

/// One line for each request, in the combined format of the NCSA, with the host
/// in front. Behind it come the name of the endpoint that answered, how long the
/// request took in seconds, how many attempts were made at it, and why the
/// balancer answered it itself, if it did (see
/// [`Refusal::reason`](super::Refusal::reason)):
///
/// ```text
/// app.local 10.0.0.9 - - [22/Nov/2026:16:48:00 +0000] "GET / HTTP/1.1" 200 45 "-" "curl/8" "shop-app-1" 0.002 1 -
/// ```
///
/// A worker only appends to a buffer of its own; a thread in the background
/// writes what has come together every few milliseconds. A destination that
/// can't keep up loses lines, which are counted, and never delays a request.
#[derive(Clone)]
pub struct AccessLog(Arc<Log>);

struct Log {
    /// By worker.
    buffers: Box<[Mutex<Buffer>]>,
    file: Mutex<Sink>,
    destination: Destination,
    /// Something has come together since the writer last looked.
    pending: AtomicBool,
    writer: Mutex<Option<Thread>>,
    dropped: Counter,
}

enum Sink {
    Stdout,
    File(File),
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    /// The last second that was written out, and how.
    second: i64,
    stamp: String,
}

/// Lines are collected for this long before they are written.
const BATCH: Duration = Duration::from_millis(10);

/// What a worker may hold back at most.
const BUFFER_LIMIT: usize = 1 << 20;

impl AccessLog {
    /// Opens the log for so many workers.
    ///
    /// # Errors
    ///
    /// The file can't be opened for appending, or no thread be started.
    pub fn open(destination: Destination, workers: usize) -> io::Result<Self> {
        let log = Arc::new(Log {
            buffers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            file: Mutex::new(Sink::open(&destination)?),
            destination,
            pending: AtomicBool::new(false),
            writer: Mutex::new(None),
            dropped: crate::metrics::log_dropped(),
        });
        let weak = Arc::downgrade(&log);
        let writer =
            thread::Builder::new().name("access-log".into()).spawn(move || write(&weak))?;
        *lock(&log.writer) = Some(writer.thread().clone());
        Ok(Self(log))
    }

    /// Opens the file anew, after something has renamed it.
    ///
    /// # Errors
    ///
    /// The file can't be opened; the log then goes on in the old one.
    pub fn reopen(&self) -> io::Result<()> {
        self.flush();
        *lock(&self.0.file) = Sink::open(&self.0.destination)?;
        Ok(())
    }

    /// Writes what has come together so far.
    pub fn flush(&self) {
        self.0.flush();
    }

    pub(super) fn write(&self, worker: usize, entry: &Entry, record: &Record<'_>) {
        let log = &self.0;
        let mut buffer = lock(&log.buffers[worker % log.buffers.len()]);
        if buffer.lines.len() > BUFFER_LIMIT {
            log.dropped.increment(1);
            return;
        }
        let Buffer { lines, second, stamp } = &mut *buffer;
        let now = jiff::Timestamp::now().as_second();
        if *second != now {
            *second = now;
            *stamp = Zoned::now().strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
        }
        entry.line(lines, stamp, record);
        drop(buffer);
        if !log.pending.swap(true, Ordering::AcqRel)
            && let Some(writer) = &*lock(&log.writer)
        {
            writer.unpark();
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessLog").field(&self.0.destination).finish()
    }
}

impl Log {
    fn flush(&self) {
        // Held throughout, so that lines of one worker stay in order.
        let mut file = lock(&self.file);
        for buffer in &self.buffers {
            let lines = std::mem::take(&mut lock(buffer).lines);
            if !lines.is_empty()
                && let Err(error) = file.write_all(&lines)
            {
                let lost = lines.iter().filter(|&&byte| byte == b'\n').count();
                self.dropped.increment(lost as u64);
                tracing::warn!(%error, lost, "the access log can't be written");
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
        if let Some(writer) = &*lock(&self.writer) {
            writer.unpark();
        }
    }
}

/// The thread in the background: asleep while nothing happens.
fn write(log: &Weak<Log>) {
    while let Some(log) = log.upgrade() {
        if log.pending.swap(false, Ordering::AcqRel) {
            log.flush();
            drop(log);
            thread::sleep(BATCH);
        } else {
            drop(log);
            thread::park();
        }
    }
}

impl Sink {
    fn open(destination: &Destination) -> io::Result<Self> {
        match destination {
            Destination::Stdout => Ok(Self::Stdout),
            Destination::File(path) => {
                OpenOptions::new().append(true).create(true).open(path).map(Self::File)
            }
        }
    }

    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(file) => file.write_all(lines),
        }
    }
}

/// What a line says of the request. Everything in it is shared with the request
/// itself; nothing is copied before the line is written.
pub(super) struct Entry {
    host: Option<HeaderValue>,
    client: Arc<Client>,
    /// Who the client is, if it isn't who connected.
    origin: Option<IpAddr>,
    method: Method,
    uri: Uri,
    version: Version,
    referer: Option<HeaderValue>,
    agent: Option<HeaderValue>,
}

impl Entry {
    pub(super) fn new<B>(request: &Request<B>, client: Arc<Client>) -> Self {
        let header = |name| request.headers().get(name).cloned();
        Self {
            host: header(header::HOST),
            client,
            origin: None,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            referer: header(header::REFERER),
            agent: header(header::USER_AGENT),
        }
    }

    pub(super) fn speaks_for(&mut self, origin: IpAddr) {
        self.origin = Some(origin);
    }

    /// Who has asked, as far as that is known.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.origin.or_else(|| Some(self.client.address?.ip())).map(|ip| ip.to_canonical())
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Without the query.
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    fn line(&self, out: &mut Vec<u8>, stamp: &str, record: &Record<'_>) {
        let Record { status, sent, endpoint, took, attempts, reason, .. } = *record;
        let host = match self.uri.authority() {
            Some(authority) => Some(authority.as_str().as_bytes()),
            None => self.host.as_ref().map(HeaderValue::as_bytes),
        };
        let host = host.filter(|host| !host.is_empty()).unwrap_or(b"-");
        escape(out, host, true);
        out.push(b' ');
        match self.client() {
            Some(ip) => print(out, format_args!("{ip}")),
            None => out.push(b'-'),
        }
        print(out, format_args!(" - - [{stamp}] \"{} ", self.method));
        let target = self.uri.path_and_query().map_or("/", |target| target.as_str());
        escape(out, target.as_bytes(), false);
        print(out, format_args!(" {:?}\" {} {sent} \"", self.version, status.as_u16()));
        escape(out, self.referer.as_ref().map_or(b"-", HeaderValue::as_bytes), false);
        out.extend_from_slice(b"\" \"");
        escape(out, self.agent.as_ref().map_or(b"-", HeaderValue::as_bytes), false);
        out.extend_from_slice(b"\" \"");
        escape(out, endpoint.map_or("-", |name| name).as_bytes(), false);
        let (seconds, millis) = (took.as_secs(), took.subsec_millis());
        let reason = reason.unwrap_or("-");
        print(out, format_args!("\" {seconds}.{millis:03} {attempts} {reason}\n"));
    }
}

fn print(out: &mut Vec<u8>, what: fmt::Arguments<'_>) {
    // Writing to memory can't fail.
    let _ = out.write_fmt(what);
}

/// As nginx does: a client can't end a field, let alone a line. A `bare` field
/// has no quotes around it and ends with a space.
fn escape(out: &mut Vec<u8>, text: &[u8], bare: bool) {
    for &byte in text {
        match byte {
            b' ' if bare => out.extend_from_slice(b"\\x20"),
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => print(out, format_args!("\\x{byte:02X}")),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::http::StatusCode;

    use super::*;
    use crate::http::record::Phases;

    fn ok(endpoint: Option<&Arc<str>>) -> Record<'_> {
        Record {
            service: None,
            endpoint,
            status: StatusCode::OK,
            sent: 45,
            took: Duration::from_micros(1_002_900),
            phases: Phases::default(),
            attempts: 1,
            reason: None,
            failed: false,
        }
    }

    fn line(request: &Request<()>, endpoint: Option<&str>) -> String {
        let client = Arc::new(Client::new("10.1.2.3:5000".parse().ok(), None));
        let endpoint = endpoint.map(Arc::from);
        let mut out = Vec::new();
        Entry::new(request, client).line(&mut out, "STAMP", &ok(endpoint.as_ref()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_combined_format_with_host_and_endpoint() {
        let request = Request::builder()
            .uri("/a?b=c")
            .header("host", "app.local")
            .header("referer", "http://x/")
            .header("user-agent", "curl/8")
            .body(())
            .unwrap();
        assert_eq!(
            line(&request, Some("shop-app-1")),
            "app.local 10.1.2.3 - - [STAMP] \"GET /a?b=c HTTP/1.1\" 200 45 \"http://x/\" \"curl/8\" \"shop-app-1\" 1.002 1 -\n"
        );
    }

    #[test]
    fn nothing_a_client_sends_ends_a_field() {
        let agent = HeaderValue::from_bytes(b"a\"b\\c\t\xff").unwrap();
        let request = Request::builder().header("user-agent", agent).body(()).unwrap();
        assert_eq!(
            line(&request, None),
            "- 10.1.2.3 - - [STAMP] \"GET / HTTP/1.1\" 200 45 \"-\" \"a\\x22b\\x5Cc\\x09\\xFF\" \"-\" 1.002 1 -\n"
        );
    }

    #[test]
    fn a_host_is_one_field_whatever_it_says() {
        let forged = Request::builder().header("host", "a 6.6.6.6 - - x").body(()).unwrap();
        assert!(line(&forged, None).starts_with("a\\x206.6.6.6\\x20-\\x20-\\x20x 10.1.2.3 - - ["));
        let empty = Request::builder().header("host", "").body(()).unwrap();
        assert!(line(&empty, None).starts_with("- 10.1.2.3 - - ["));
    }

    #[test]
    fn a_renamed_file_is_left_behind_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let log = AccessLog::open(Destination::File(path.clone()), 2).unwrap();
        let write = |worker| {
            let request = Request::builder().body(()).unwrap();
            let entry = Entry::new(&request, Arc::new(Client::new(None, None)));
            log.write(worker, &entry, &ok(None));
        };
        write(0);
        write(1);
        log.flush();
        std::fs::rename(&path, &old).unwrap();
        write(7);
        log.reopen().unwrap();
        write(0);
        log.flush();
        let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(old), lines(path)), (3, 1));
    }
}
