use std::time::{Duration, Instant};

use fastrand::Rng;
use lb_core::{
    balance::BalancerFactory,
    load::{Lease, Outcome},
};

use super::{
    client::{Arrivals, Client},
    clock::Clock,
    figures::{End, Figures, Recorder},
    random::{Distribution, Keys},
    server::{Reaction, Server, Setup},
};

/// What is simulated: servers, and clients that send them requests.
#[derive(Debug)]
pub struct Simulation {
    /// The servers.
    pub servers: Vec<Setup>,
    /// Requests that each of them does at the same time.
    pub workers: usize,
    /// How many clients there are. One is a proxy.
    pub clients: usize,
    /// Requests in all. The first fifth warms things up and is not counted.
    pub requests: usize,
    /// Requests a second, of all clients together.
    pub rate: f64,
    /// How long a worker of a usual server needs for a request, on average.
    pub mean_work: Duration,
    /// How requests differ.
    pub distribution: Distribution,
    /// What requests are for.
    pub keys: Keys,
    /// A request that has no answer by then has failed.
    pub timeout: Duration,
    /// The same seed gives the same figures.
    pub seed: u64,
}

/// How long a server needs that fails.
const FAILS_IN: Duration = Duration::from_millis(1);

impl Simulation {
    /// Requests a second that servers can do, those in trouble counted out.
    pub fn capacity(servers: &[Setup], workers: usize, mean_work: Duration) -> f64 {
        let speed: f64 =
            servers.iter().filter(|server| server.trouble.is_none()).map(|one| one.speed).sum();
        speed * workers as f64 / mean_work.as_secs_f64()
    }

    /// Sends all requests and waits until the last one has ended.
    pub fn run(self, factory: &dyn BalancerFactory) -> Figures {
        // Balancers draw from the thread's generator, all else from its own.
        fastrand::seed(self.seed);
        let clients: Vec<_> =
            (0..self.clients).map(|_| Client::new(&self.servers, factory)).collect();
        let arrivals = Arrivals {
            rng: Rng::with_seed(self.seed ^ 0x5eed),
            clients: self.clients,
            rate: self.rate,
            distribution: self.distribution,
            mean_work: self.mean_work,
            keys: self.keys,
        };
        let run = Run {
            // After the balancers were made, to which it would be the past.
            epoch: Instant::now(),
            clock: Clock::new(),
            servers: self.servers.iter().map(|&setup| Server::new(setup, self.workers)).collect(),
            requests: Vec::with_capacity(self.requests),
            recorder: Recorder::new(self.servers.len(), arrivals.keys.count()),
            clients,
            arrivals,
            timeout: self.timeout,
            first: self.requests / 5,
        };
        run.until(self.requests)
    }
}

/// What happens. Requests are known by their number.
#[derive(Debug)]
enum Event {
    Arrival,
    /// A worker is done with it.
    Done(usize),
    Failed(usize, Option<Duration>),
    /// Its client waits no longer.
    Timeout(usize),
}

#[derive(Debug)]
struct Request {
    arrived: Duration,
    work: Duration,
    server: usize,
    /// None once it has ended, or if it found no server.
    lease: Option<Lease>,
}

struct Run {
    epoch: Instant,
    clock: Clock<Event>,
    clients: Vec<Client>,
    servers: Vec<Server>,
    arrivals: Arrivals,
    requests: Vec<Request>,
    timeout: Duration,
    /// The first request that counts.
    first: usize,
    recorder: Recorder,
}

impl Run {
    fn until(mut self, last: usize) -> Figures {
        self.clock.at(self.arrivals.pause(), Event::Arrival);
        while let Some(event) = self.clock.advance() {
            match event {
                Event::Arrival => {
                    self.arrival();
                    if self.requests.len() < last {
                        let pause = self.arrivals.pause();
                        self.clock.at(self.clock.now() + pause, Event::Arrival);
                    }
                }
                Event::Done(id) => self.done(id),
                Event::Failed(id, None) => self.end(id, End::Failed, Outcome::Failure),
                Event::Failed(id, Some(pause)) => {
                    self.end(id, End::Failed, Outcome::RetryAfter(pause));
                }
                Event::Timeout(id) => self.end(id, End::TimedOut, Outcome::Failure),
            }
        }
        let odd = |server: usize| self.servers[server].setup().odd;
        self.recorder.figures(self.clients.len(), odd)
    }

    fn arrival(&mut self) {
        let (id, now) = (self.requests.len(), self.clock.now());
        let demand = self.arrivals.next();
        let client = &self.clients[demand.client];
        let in_flight = client.in_flight();
        let picked = client.pick(self.epoch + now, self.arrivals.keys.hash(demand.key));
        if id >= self.first {
            self.recorder.arrived(now, in_flight);
        }
        let (server, lease) = picked.unzip();
        let request =
            Request { arrived: now, work: demand.work, server: server.unwrap_or(0), lease };
        self.requests.push(request);
        let Some(server) = server else {
            if id >= self.first {
                self.recorder.ended(Duration::ZERO, End::Failed);
            }
            return;
        };
        if id >= self.first {
            self.recorder.sent(demand.key, server);
        }
        let deadline = now + self.timeout;
        match self.servers[server].accept(id) {
            Reaction::Begins => {
                if self.begin(id) > deadline {
                    self.clock.at(deadline, Event::Timeout(id));
                }
            }
            Reaction::Queues | Reaction::Hangs => self.clock.at(deadline, Event::Timeout(id)),
            Reaction::Fails(pause) => self.clock.at(now + FAILS_IN, Event::Failed(id, pause)),
        }
    }

    /// A worker begins with it. Says when it will be done.
    fn begin(&mut self, id: usize) -> Duration {
        let (request, now) = (&self.requests[id], self.clock.now());
        let done = now + self.servers[request.server].takes(request.work, now);
        self.clock.at(done, Event::Done(id));
        done
    }

    fn done(&mut self, id: usize) {
        self.end(id, End::Answered, Outcome::Success);
        let requests = &self.requests;
        let server = &mut self.servers[requests[id].server];
        if let Some(next) = server.next(|waiting| requests[waiting].lease.is_some()) {
            self.begin(next);
        }
    }

    /// Its client has an answer, or waits no longer. A worker doesn't notice
    /// that, and goes on.
    fn end(&mut self, id: usize, end: End, outcome: Outcome) {
        let now = self.clock.now();
        let request = &mut self.requests[id];
        let Some(lease) = request.lease.take() else { return };
        lease.finish_at(outcome, self.epoch + now);
        if id >= self.first {
            self.recorder.ended(now - request.arrived, end);
        }
    }
}
