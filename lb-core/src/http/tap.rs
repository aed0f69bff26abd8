use std::{
    fmt, mem,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ::http::{Method, StatusCode};

use super::{
    access_log::Entry,
    clip::{clip, clip_method},
    record::Record,
};
use crate::sync::lock;

/// Where requests can be watched as they end. While nobody does, that costs a look at
/// a flag.
#[derive(Default)]
pub(super) struct Tap {
    watched: AtomicBool,
    /// By worker.
    buffers: Box<[Mutex<Seen>]>,
}

/// Requests that are being watched, until this is dropped.
pub struct Watch(Arc<Tap>);

/// What has been seen since somebody last looked.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Seen {
    /// Each of them, in few words.
    pub ends: Vec<End>,
    /// Some of them, each of one worker with the same chance, in more words.
    pub samples: Vec<Sample>,
    /// How many ended beside these, as nobody looked for too long.
    pub lost: u64,
}

/// The end of a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct End {
    /// Whom it was for, if a route was found.
    pub service: Option<Arc<str>>,
    /// Who answered, if it wasn't the balancer itself.
    pub endpoint: Option<Arc<str>>,
    /// From its head to the last byte of the answer.
    pub took: Duration,
    /// Whether the answer is an error of the server (5xx, or a gRPC status that blames it
    /// in the head; what trailers say behind a body isn't looked at), or was broken off on
    /// this side. A client that leaves, or asks for too much (429), hasn't failed.
    pub failed: bool,
}

/// A request that stands for others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// What is known of all of them.
    pub end: End,
    /// When it ended.
    pub at: Instant,
    /// The client, as far as it is known.
    pub client: Option<IpAddr>,
    /// Its method, and not all of a long one.
    pub method: Method,
    /// The path without the query, which may hold secrets, and not all of a long one.
    pub path: String,
    /// The status of the answer.
    pub status: StatusCode,
    /// Why there is no whole answer of an endpoint.
    pub reason: Option<&'static str>,
}

/// Requests that one worker may keep until somebody looks.
const ENDS: usize = 1 << 16;

/// Requests of one worker that are told in more words each time somebody looks.
const SAMPLES: usize = 64;

/// Bytes of a path.
const PATH: usize = 96;

impl End {
    /// One that took so long.
    pub fn new(
        service: Option<Arc<str>>,
        endpoint: Option<Arc<str>>,
        took: Duration,
        failed: bool,
    ) -> Self {
        Self { service, endpoint, took, failed }
    }
}

impl Tap {
    pub(super) fn new(workers: usize) -> Self {
        let buffers = (0..workers.max(1)).map(|_| Mutex::default()).collect();
        Self { watched: AtomicBool::new(false), buffers }
    }

    /// Whether somebody watches.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Has requests told from now on, unless somebody else does already.
    pub(super) fn watch(self: &Arc<Self>) -> Option<Watch> {
        (!self.watched.swap(true, Ordering::AcqRel)).then(|| {
            let watch = Watch(Arc::clone(self));
            // What came when the one before stopped looking.
            watch.look();
            watch
        })
    }

    /// A request has ended.
    pub(super) fn tell(&self, worker: usize, entry: &Entry, record: &Record<'_>) {
        if !self.is_watched() {
            return;
        }
        let mut seen = lock(&self.buffers[worker % self.buffers.len()]);
        if seen.ends.len() == ENDS {
            seen.lost += 1;
            return;
        }
        let (service, endpoint) = (record.service.cloned(), record.endpoint.cloned());
        let end = End::new(service, endpoint, record.took, record.failed);
        // A reservoir: the n-th takes the place of another one with a chance of
        // SAMPLES in n, so that in the end all have had the same.
        let place = match seen.ends.len() {
            at @ ..SAMPLES => Some(at),
            at => Some(fastrand::usize(..=at)).filter(|&place| place < SAMPLES),
        };
        if let Some(place) = place {
            let sample = Sample {
                end: end.clone(),
                at: record.ended,
                client: entry.client(),
                method: clip_method(entry.method()),
                path: clip(entry.path(), PATH).to_owned(),
                status: record.status,
                reason: record.reason,
            };
            match seen.samples.get_mut(place) {
                Some(other) => *other = sample,
                None => seen.samples.push(sample),
            }
        }
        seen.ends.push(end);
    }
}

impl Watch {
    /// What has ended since the last look.
    pub fn look(&self) -> Seen {
        let mut all = Seen::default();
        for buffer in &self.0.buffers {
            let room =
                Seen { ends: Vec::with_capacity(lock(buffer).ends.len()), ..Seen::default() };
            let mut seen = mem::replace(&mut *lock(buffer), room);
            all.ends.append(&mut seen.ends);
            all.samples.append(&mut seen.samples);
            all.lost += seen.lost;
        }
        all
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // First, as it may be somebody else's as soon as it is free. What comes in between
        // is left to who looks next.
        for buffer in &self.0.buffers {
            *lock(buffer) = Seen::default();
        }
        self.0.watched.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ::http::Request;

    use super::*;
    use crate::http::client::Client;

    fn tell(tap: &Tap, worker: usize, path: &str) {
        tell_of(tap, worker, &Request::builder().uri(path).body(()).unwrap());
    }

    fn tell_of(tap: &Tap, worker: usize, request: &Request<()>) {
        let client = Client::new("10.1.2.3:5000".parse().ok(), None);
        let record = Record {
            service: Some(&Arc::from("app.local")),
            endpoint: None,
            status: StatusCode::SERVICE_UNAVAILABLE,
            received: 0,
            sent: 7,
            complete: true,
            ended: Instant::now(),
            took: Duration::from_millis(2),
            attempts: 0,
            attempt: None,
            reason: Some("no_endpoint"),
            failed: true,
        };
        tap.tell(worker, &Entry::new(request, Arc::new(client)), &record);
    }

    #[test]
    fn who_watches_sees_what_ends_meanwhile() {
        let tap = Arc::new(Tap::new(2));
        tell(&tap, 0, "/before");
        let watch = tap.watch().unwrap();
        assert!(tap.watch().is_none(), "one at a time");
        tell(&tap, 0, "/a?secret");
        tell(&tap, 1, "/b");
        let seen = watch.look();
        let paths: Vec<_> = seen.samples.iter().map(|sample| &*sample.path).collect();
        assert_eq!((seen.ends.len(), paths), (2, vec!["/a", "/b"]));
        let sample = &seen.samples[0];
        assert_eq!((sample.status.as_u16(), sample.reason), (503, Some("no_endpoint")));
        assert_eq!(sample.client, "10.1.2.3".parse().ok());
        assert!(watch.look().ends.is_empty());

        tell(&tap, 0, "/unseen");
        drop(watch);
        tell(&tap, 0, "/after");
        assert!(tap.watch().unwrap().look().ends.is_empty());
    }

    #[test]
    fn some_stand_for_many() {
        let tap = Arc::new(Tap::new(1));
        let watch = tap.watch().unwrap();
        (0..6400).for_each(|n| tell(&tap, 0, &format!("/{n}")));
        let seen = watch.look();
        assert_eq!((seen.ends.len(), seen.samples.len()), (6400, SAMPLES));
        let late = seen.samples.iter().filter(|sample| sample.path.len() == 5).count();
        assert!(late > SAMPLES / 2, "{late} of {SAMPLES} are of the last 84 %");
    }

    #[test]
    fn nobody_keeps_for_ever_what_nobody_looks_at() {
        let tap = Arc::new(Tap::new(1));
        let watch = tap.watch().unwrap();
        (0..ENDS + 3).for_each(|_| tell(&tap, 0, "/"));
        let seen = watch.look();
        assert_eq!((seen.ends.len(), seen.lost), (ENDS, 3));
    }

    #[test]
    fn what_is_long_is_cut() {
        let tap = Arc::new(Tap::new(1));
        let watch = tap.watch().unwrap();
        let method = "M".repeat(5000);
        let request = Request::builder().method(&*method).uri(format!("/{method}"));
        tell_of(&tap, 0, &request.body(()).unwrap());
        let Sample { method, path, .. } = watch.look().samples.remove(0);
        assert!(method.as_str().len() < PATH && path.len() == PATH, "{method} {path}");
    }
}
