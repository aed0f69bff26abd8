//! The access log: a line for each request that has ended.

mod compile;
mod entry;
mod escape;
mod format;
mod line;
mod names;
mod presets;
mod variable;
mod writer;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use ::http::Request;
use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::record::Record;
use crate::{metrics, sync::lock};
use line::Stamps;
use writer::{BATCH, Writer};

pub(super) use entry::Entry;
pub use escape::{Escape, EscapeError};
pub use format::{LogFormat, LogFormatError};

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The standard output of the process.
    Stdout,
    /// The end of this file, which is made if it isn't there. A named pipe is written
    /// to whether or not somebody reads it.
    File(PathBuf),
}

/// One line for each request, in a [`LogFormat`]. Without another one, that is the
/// combined format of the NCSA with the host in front, and behind it the name of the
/// endpoint that answered, how long the request took in seconds, how many attempts were
/// made at it, and why there is no whole answer of an endpoint, if there is none: a
/// [`Refusal::reason`](super::Refusal::reason) where the balancer answered it itself, or
/// `upstream_reset`, `upstream_idle` or `client_timeout` where an answer was broken off:
///
/// ```text
/// app.local 10.0.0.9 - - [22/Nov/2026:16:48:00 +0000] "GET / HTTP/1.1" 200 45 "-" "curl/8" "shop-app-1" 0.002 1 -
/// ```
///
/// A worker only appends to a buffer of its own; a thread in the background writes what
/// has come together twenty times a second, or once a worker has 256 KiB. A destination
/// that can't keep up, or takes nothing at all, loses lines, which are counted, and never
/// delays a request.
///
/// The thread ends with the last clone, which nobody waits for: call
/// [`flush`](Self::flush) before the process ends.
#[derive(Clone)]
pub struct AccessLog(Arc<Log>);

struct Log {
    /// By worker.
    lanes: Arc<[Lane]>,
    writer: Writer,
    destination: Destination,
}

/// What one worker needs. No two of them touch the same line of cache.
#[repr(align(128))]
struct Lane {
    /// The same for all, but each counts its own references.
    format: ArcSwap<LogFormat>,
    buffer: Mutex<Buffer>,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    /// Lines for which there was no room.
    dropped: u64,
    stamps: Stamps,
}

/// What a worker may hold back at most.
const BUFFER_LIMIT: usize = 1 << 20;

/// What is much to hold back.
const MUCH: usize = BUFFER_LIMIT / 4;

impl AccessLog {
    /// Opens the log for so many workers.
    ///
    /// # Errors
    ///
    /// The file can't be opened for appending, or no thread be started.
    pub fn open(destination: Destination, workers: usize) -> io::Result<Self> {
        let lanes: Arc<[Lane]> = (0..workers.max(1)).map(|_| Lane::default()).collect();
        let writer =
            Writer::start(&destination, Arc::clone(&lanes), BATCH, metrics::log_dropped())?;
        Ok(Self(Arc::new(Log { lanes, writer, destination })))
    }

    /// What lines say of requests that begin from now on.
    pub fn set_format(&self, format: &LogFormat) {
        for lane in &*self.0.lanes {
            lane.format.store(Arc::new(format.clone()));
        }
    }

    /// Opens the file anew, after something has renamed it. What has come together so
    /// far goes to the old one.
    ///
    /// # Errors
    ///
    /// The file can't be opened; the log then goes on in the old one. Or it isn't open
    /// within a second, as the old one takes nothing or the disk hangs; the new one is used
    /// once it is.
    pub fn reopen(&self) -> io::Result<()> {
        self.0.writer.reopen(&self.0.destination)
    }

    /// Waits until what has come together so far is written.
    ///
    /// # Errors
    ///
    /// The destination has taken nothing for a second.
    pub fn flush(&self) -> io::Result<()> {
        self.0.writer.flush()
    }

    /// Has a request that begins remembered as its line wants it.
    pub(super) fn note<B>(&self, worker: usize, entry: &mut Entry, request: &Request<B>) {
        entry.note(request, self.lane(worker).format.load_full());
    }

    pub(super) fn write(&self, worker: usize, entry: &Entry, record: &Record<'_>) {
        let mut buffer = lock(&self.lane(worker).buffer);
        let Buffer { lines, dropped, stamps } = &mut *buffer;
        if lines.len() > BUFFER_LIMIT {
            *dropped += 1;
            self.0.writer.dropped.increment(1);
            return;
        }
        stamps.look(record.ended, Timestamp::now);
        let before = lines.len();
        line::write(lines, entry, record, stamps);
        let is_much = before < MUCH && lines.len() >= MUCH;
        drop(buffer);
        if is_much {
            self.0.writer.hurry();
        } else {
            self.0.writer.wake();
        }
    }

    fn lane(&self, worker: usize) -> &Lane {
        &self.0.lanes[worker % self.0.lanes.len()]
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessLog").field(&self.0.destination).finish()
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self { format: ArcSwap::from_pointee(LogFormat::default()), buffer: Mutex::default() }
    }
}

#[cfg(test)]
mod tests;
