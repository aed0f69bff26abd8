//! Puts the parts together, and takes them apart in order.

use std::{
    io::IsTerminal,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::Context;
use lb_core::{
    discovery::Fixed,
    http::{AccessLog, Driver, Options, Proxy},
    metrics,
    registry::Registration,
    server::Server,
};
use lb_docker::DockerDiscovery;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time,
};
use tracing_subscriber::EnvFilter;

use crate::{admin::Admin, config::Config, configured, series::Series};

/// Runs the balancer until it is told to stop.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    log(&config.log);
    runtime()?.block_on(balance(config, None))
}

/// Diagnostics go to standard error, away from the access log.
pub(crate) fn log(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// For everything but requests: discovery, probes, admin, signals.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("can't start a runtime")
}

/// How long clients wait in the sockets' queues until it is known who is there.
const SETTLE: Duration = Duration::from_secs(2);

/// Serves until a signal says stop. The `demo` is a source beside the configured
/// ones.
pub(crate) async fn balance(
    config: Config,
    demo: Option<Fixed<Registration>>,
) -> anyhow::Result<()> {
    // Before anything is bound: a signal that comes early is not lost.
    let mut signals = Signals::new()?;
    raise_descriptor_limit();
    let (recorder, series) = Series::new().context("can't set up metrics")?;
    ::metrics::set_global_recorder(recorder).context("can't install metrics")?;
    metrics::describe();

    let workers =
        config.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let access_log = config
        .access_log
        .clone()
        .map(|destination| {
            let shown = format!("{destination:?}");
            AccessLog::open(destination, workers)
                .with_context(|| format!("can't open the access log {shown}; see --access-log"))
        })
        .transpose()?;
    let mut options = Options::default();
    options.workers = workers;
    options.connect_timeout = config.connect_timeout;
    options.wait = config.wait;
    options.wait_limit = config.wait_limit;
    options.algorithm = config.algorithm;
    options.default_host = config.default_host.clone();
    options.trust_downstream = config.trust_downstream;
    options.access_log = access_log.clone();
    if !config.trust_was_said {
        tracing::warn!(
            "X-Forwarded-* headers of every client are believed, as nginx-proxy does: set \
             TRUST_DOWNSTREAM_PROXY=false unless a proxy of yours is in front"
        );
    }

    let (proxy, mut driver) = Proxy::new(options);
    if !config.services.is_empty() {
        driver = driver.source("config", configured::discovery(&config.services).await?);
    }
    if let Some(demo) = demo {
        driver = driver.source("demo", demo);
    }
    let docker = config.docker.map(DockerDiscovery::new);
    let (driver, docker) = match docker {
        Some((discovery, status)) => (driver.source("docker", discovery), Some(status)),
        None => (driver, None),
    };
    let server = Server::bind(config.listen)
        .context("choose another address with --listen")?
        .workers(workers);
    let addresses = server.local_addresses()?;
    let plane = proxy.plane();
    let mut driver = tokio::spawn(Driver::run(driver));
    // Who connects already waits in the sockets' queues; to be told that nobody
    // answers for his host would be wrong.
    let _ = time::timeout(SETTLE, plane.settled()).await;
    let running = server.start(move |worker| {
        let proxy = proxy.worker(worker);
        move |accepted| proxy.client(accepted.peer, Some(accepted.local), accepted.guard)
    })?;

    let upkeep = tokio::spawn(upkeep(series.clone()));
    let admin = Arc::new(Admin::new(plane, series, running.connections(), docker));
    if let Some(address) = config.admin {
        let (bound, serve) = admin.listen(address).await?;
        tokio::spawn(serve);
        tracing::info!("metrics and status on http://{bound}/");
    }
    for address in addresses {
        tracing::info!("listening on http://{address}/");
    }

    tokio::select! {
        () = signals.stop(access_log.as_ref()) => {}
        _ = &mut driver => anyhow::bail!("what follows the containers has failed: this is a bug"),
    }
    admin.stopping.store(true, Ordering::Relaxed);
    tracing::info!("stopping: requests in flight may take {:?}", config.drain_timeout);
    let cut = tokio::select! {
        cut = running.shutdown(config.drain_timeout) => cut.context("stopping")?,
        () = signals.stop(access_log.as_ref()) => {
            anyhow::bail!("stopped at once by a second signal");
        }
    };
    driver.abort();
    upkeep.abort();
    if let Some(log) = access_log {
        log.flush();
    }
    match cut {
        0 => tracing::info!("stopped"),
        cut => tracing::warn!("stopped; {cut} connections were still busy and are cut off"),
    }
    Ok(())
}

/// Every connection is a descriptor, and the usual soft limit of 1,024 is for
/// programs that can't deal with more.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the number of connections is limited to {:?}", limit.current);
    }
}

async fn upkeep(series: Series) {
    let mut tick = time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        series.upkeep();
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reopen: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("can't listen for signals");
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            reopen: on(SignalKind::user_defined1())?,
        })
    }

    /// Does what other signals ask for until one says stop.
    async fn stop(&mut self, access_log: Option<&AccessLog>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.reopen.recv() => match access_log.map(AccessLog::reopen) {
                    Some(Ok(())) => tracing::info!("the access log is opened anew"),
                    Some(Err(error)) => {
                        tracing::error!(%error, "the access log can't be opened anew; it goes on in the old file");
                    }
                    None => {}
                },
            }
        }
    }
}
