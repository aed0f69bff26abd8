//! Reads the configuration again, and makes of it what can be made while serving.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use lb_core::{
    Change,
    discovery::Sender,
    http::{AccessLog, Controls, Https, Options, Plane, Traces},
    registry::Registration,
};
use metrics::{Counter, Gauge, counter, gauge};
use tokio::{task, time};

use crate::{
    certificates::Certificates,
    config::{self, Config, Invalid},
    configured,
    memory::Guard,
    metrics::{LAST_RELOAD, RELOADS},
};

/// Puts together flags, environment and file as they are now.
pub(crate) type Read = Box<dyn Fn() -> Result<Config, Invalid> + Send + Sync>;

/// Makes a filter of diagnostics that has been checked the one in force.
pub(crate) type SetLog = Box<dyn Fn(&str) + Send + Sync>;

pub(crate) struct Reloader {
    pub(crate) read: Read,
    pub(crate) set_log: SetLog,
    /// What it was started with, but for services and default host, which are
    /// those in force.
    pub(crate) config: Config,
    pub(crate) timing: Arc<Timing>,
    pub(crate) memory: Guard,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) traces: Option<Traces>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) services: Sender<Registration>,
    pub(crate) controls: Controls,
    pub(crate) plane: Plane,
    pub(crate) numbers: Numbers,
}

/// How long the end may take, as it was said last.
pub(crate) struct Timing(Mutex<(Option<Duration>, Duration)>);

pub(crate) struct Numbers {
    done: Counter,
    invalid: Counter,
    last: Gauge,
}

impl Reloader {
    /// Says what has been done, and to the log as well.
    ///
    /// # Errors
    ///
    /// The configuration can't be used. Then nothing is changed.
    pub(crate) async fn reload(&mut self) -> anyhow::Result<String> {
        let done = self.try_reload().await;
        match &done {
            Ok(_) => self.numbers.succeeded(),
            Err(error) => {
                self.numbers.invalid.increment(1);
                tracing::error!(
                    "the configuration can't be used and the one before stays: {error:#}"
                );
            }
        }
        done
    }

    async fn try_reload(&mut self) -> anyhow::Result<String> {
        let config = (self.read)()?;
        let services = configured::servers(&config.services).await?;

        // From here on nothing fails.
        if config.default_host != self.config.default_host {
            // Whoever is the default host from now on must be there before that is
            // said, and the one before until it is.
            let both: Vec<_> =
                self.config.services.iter().chain(&config.services).cloned().collect();
            if let Ok(both) = configured::servers(&both).await {
                self.publish(both);
                self.appears(config.default_host.as_deref()).await;
            }
        }
        let log = self.access_log.clone();
        // Where TLS is spoken, it still is: whoever connects there is to be asked for what
        // he was asked for before.
        let https = config.https.as_ref().or(self.config.https.as_ref());
        let https = self.certificates.as_deref().zip(https);
        self.controls.reload(options(&config, log, https)).await;
        self.publish(services);
        (self.set_log)(&config.log);
        self.timing.set(&config);
        self.memory.set(config.limits.memory).await;
        if let (Some(traces), Some(said)) = (&self.traces, &config.traces) {
            traces.set_share(said.share);
        }

        let mut done = "the configuration is reloaded".to_owned();
        if let Some(log) = self.access_log.clone() {
            log.set_format(&config.access_log.format);
            // What is written to may hang.
            let reopened = task::spawn_blocking(move || log.reopen()).await;
            if let Err(error) = reopened.unwrap_or_else(|error| Err(error.into())) {
                done += &format!(
                    "; the access log can't be opened anew and goes on in the old file: {error}"
                );
            }
        }
        let fixed = fixed(&self.config, &config);
        if fixed.is_empty() {
            tracing::info!("{done}");
        } else {
            let remedy = if fixed.contains(&"--control") {
                // Another one would look for this one under the new name.
                "restart it"
            } else {
                "restart it, or start another one with --take-over"
            };
            done += &format!("; {} can't change while it runs: {remedy}", fixed.join(", "));
            tracing::warn!("{done}");
        }
        self.config.services = config.services;
        self.config.default_host = config.default_host;
        Ok(done)
    }

    fn publish(&self, services: Vec<configured::Server>) {
        // Fails when the balancer is stopping, and nobody is routed any more.
        let _ = self.services.send(Change::Reset(services));
    }

    /// Waits until a host is known, for a moment: it may be one of no service.
    async fn appears(&self, host: Option<&str>) {
        let Some(host) = host else { return };
        let known = async {
            // One without endpoints is only remembered.
            while !self
                .plane
                .services()
                .iter()
                .any(|service| *service.name == *host && !service.endpoints.is_empty())
            {
                time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = time::timeout(Duration::from_secs(1), known).await;
    }
}

/// What the proxy is told of the configuration.
pub(crate) fn options(
    config: &Config,
    access_log: Option<AccessLog>,
    https: Option<(&Certificates, &config::Https)>,
) -> Options {
    let mut options = Options::default();
    options.workers = config.workers();
    options.connect_timeout = config.connect_timeout;
    options.upstream_tls = Some(config.upstream_tls.clone());
    options.wait = config.wait;
    options.wait_limit = config.wait_limit;
    options.retry_share = config.retry_share;
    if config.retry_share == 0.0 {
        options.retries_per_second = 0.0;
    }
    options.eject = config.eject;
    options.slow_start = Some(config.slow_start).filter(|time| !time.is_zero());
    options.algorithm = config.algorithm;
    options.default_host.clone_from(&config.default_host);
    options.forwarding.clone_from(&config.forwarding);
    options.uri_limit = config.limits.uri;
    options.body_limit = config.limits.body;
    options.body_timeout = config.limits.body_timeout;
    options.answer_timeout = config.limits.answer_timeout;
    options.idle_timeout = config.limits.idle_timeout;
    options.access_log = access_log;
    options.https = https.map(|(certificates, said)| {
        let mut https = Https::new(certificates.acceptor());
        https.challenges = certificates.challenges();
        https.method = said.method;
        https.http_without_certificate = said.http_without_certificate;
        https.hsts.clone_from(&said.hsts);
        https.port = said.port.unwrap_or(certificates.port());
        https.redirect = said.redirect;
        https
    });
    options
}

/// Whether traces are sent as before; which ones may be another question.
fn sends_the_same(before: &Config, now: &Config) -> bool {
    match (&before.traces, &now.traces) {
        (Some(before), Some(now)) => before.sends_as(now),
        (before, now) => before.is_none() && now.is_none(),
    }
}

/// What is another one now, but can't be while the balancer runs.
fn fixed(before: &Config, now: &Config) -> Vec<&'static str> {
    let listeners = |config: &Config| config.https.as_ref().map(|https| https.listeners.clone());
    let orders = |config: &Config| config.acme.clone();
    let destination = |config: &Config| config.access_log.destination.clone();
    [
        ("--listen", before.listen != now.listen),
        ("how certificates are ordered", orders(before) != orders(now)),
        ("where and how TLS is spoken", listeners(before) != listeners(now)),
        ("--proxy-protocol", before.proxy_protocol != now.proxy_protocol),
        ("--admin", before.admin != now.admin),
        ("--control", before.control != now.control),
        ("--docker", before.docker != now.docker),
        ("--workers", before.workers != now.workers),
        ("--access-log", destination(before) != destination(now)),
        ("where traces are sent", !sends_the_same(before, now)),
        ("limits of connections", before.limits.server != now.limits.server),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

impl Timing {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Mutex::new((config.stop_delay, config.drain_timeout)))
    }

    fn set(&self, config: &Config) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            (config.stop_delay, config.drain_timeout);
    }

    /// The stop delay, if it was said, and the drain timeout.
    pub(crate) fn get(&self) -> (Option<Duration>, Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    pub(crate) fn new() -> Self {
        let numbers = Self {
            done: counter!(RELOADS, "outcome" => "ok"),
            invalid: counter!(RELOADS, "outcome" => "invalid"),
            last: gauge!(LAST_RELOAD),
        };
        numbers.now();
        numbers
    }

    fn succeeded(&self) {
        self.done.increment(1);
        self.now();
    }

    fn now(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.last.set(now.unwrap_or_default().as_secs_f64());
    }
}
