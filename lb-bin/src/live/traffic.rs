use std::{
    collections::HashMap,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use lb_core::http::{End, Plane, Sample, Watch};
use serde::Serialize;

use super::window::{Figures, WINDOW, Window};

/// Requests that are told one by one in each tick.
const SAMPLES: usize = 64;

/// Adds up what is watched.
pub(super) struct Traffic {
    watch: Watch,
    begun: Instant,
    last: Instant,
    all: Window,
    /// By service and endpoint; those of no endpoint are the balancer's own, those of
    /// no service are of no route.
    each: HashMap<Key, Window>,
    /// By service.
    services: HashMap<Arc<str>, Window>,
}

type Key = (Option<Arc<str>>, Option<Arc<str>>);

/// What has happened in one tick, and figures over the window that ends with it.
#[derive(Serialize)]
pub(super) struct Tick {
    /// When it ended, in seconds of Unix time.
    at: f64,
    seconds: f64,
    window: f64,
    connections: usize,
    total: Figures,
    services: Vec<Service>,
    unrouted: Figures,
    requests: Vec<Request>,
    skipped: u64,
}

#[derive(Serialize)]
struct Service {
    name: Arc<str>,
    waiting: usize,
    total: Figures,
    local: Figures,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
struct Endpoint {
    name: Arc<str>,
    in_flight: usize,
    total: Figures,
}

#[derive(Serialize)]
struct Request {
    /// Seconds since the tick began.
    t: f64,
    service: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    status: u16,
    failed: bool,
    ms: f64,
    client: Option<String>,
    reason: Option<&'static str>,
}

impl Traffic {
    pub(super) fn new(watch: Watch) -> Self {
        let now = Instant::now();
        Self {
            watch,
            begun: now,
            last: now,
            all: Window::new(),
            each: HashMap::new(),
            services: HashMap::new(),
        }
    }

    /// What has happened since the last tick.
    pub(super) fn next(&mut self, plane: &Plane, connections: usize) -> Tick {
        let now = Instant::now();
        let seen = self.watch.look();
        let (watched, tick) = (now - self.begun, now - self.last);
        let since = std::mem::replace(&mut self.last, now);
        for end in &seen.ends {
            self.add(end, now);
        }
        let ended = seen.ends.len() as u64 + seen.lost;
        let samples = thinned(seen.samples);
        let services = plane.services().into_iter().map(|service| {
            let name = Some(service.name.clone());
            let here = |endpoint| figures(&self.each, &(name.clone(), endpoint), watched);
            let endpoints = service.endpoints.into_iter().map(|endpoint| Endpoint {
                total: here(Some(endpoint.name.clone())),
                in_flight: endpoint.in_flight,
                name: endpoint.name,
            });
            let endpoints = endpoints.collect();
            Service {
                waiting: service.waiting,
                total: figures(&self.services, &service.name, watched),
                local: here(None),
                endpoints,
                name: service.name,
            }
        });
        let services = services.collect();
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let skipped = ended - samples.len() as u64;
        let tick = Tick {
            at: at.as_secs_f64(),
            seconds: tick.as_secs_f64(),
            window: watched.min(WINDOW).as_secs_f64(),
            connections,
            total: self.all.figures(watched),
            services,
            unrouted: figures(&self.each, &(None, None), watched),
            requests: samples.into_iter().map(|sample| Request::of(sample, since)).collect(),
            skipped,
        };
        self.all.turn(now);
        // Those of containers and hosts that are gone go with their last request.
        self.each.retain(|_, window| window.turn(now));
        self.services.retain(|_, window| window.turn(now));
        tick
    }

    fn add(&mut self, end: &End, now: Instant) {
        self.all.add(end, now);
        let key = (end.service.clone(), end.endpoint.clone());
        self.each.entry(key).or_insert_with(Window::new).add(end, now);
        if let Some(service) = &end.service {
            self.services.entry(service.clone()).or_insert_with(Window::new).add(end, now);
        }
    }
}

fn figures<K: Eq + Hash>(windows: &HashMap<K, Window>, key: &K, watched: Duration) -> Figures {
    windows.get(key).map_or_else(|| Window::new().figures(watched), |one| one.figures(watched))
}

/// In the order of time, and no more than are told.
fn thinned(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.sort_unstable_by_key(|sample| sample.at);
    let (there, told) = (samples.len(), samples.len().min(SAMPLES));
    for at in 0..told {
        samples.swap(at, at * there / told);
    }
    samples.truncate(told);
    samples
}

impl Request {
    fn of(sample: Sample, since: Instant) -> Self {
        Self {
            t: sample.at.saturating_duration_since(since).as_secs_f64(),
            service: sample.end.service,
            endpoint: sample.end.endpoint,
            status: sample.status.as_u16(),
            failed: sample.end.failed,
            ms: sample.end.took.as_secs_f64() * 1000.0,
            client: sample.client.map(|client| client.to_string()),
            reason: sample.reason,
        }
    }
}
