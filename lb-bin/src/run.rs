//! Puts the parts together.

use std::{
    io::IsTerminal,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use lb_core::{
    Change,
    discovery::{self, Fixed},
    http::{AccessLog, Driver, Plane, Proxy},
    overload::Pressure,
    registry::Registration,
    server::Server,
};
use lb_docker::DockerDiscovery;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::{TcpListener as TokioListener, UnixListener},
    sync::{Mutex, mpsc},
    time,
};
use tracing_subscriber::EnvFilter;

use crate::{
    acme::Orders,
    admin::{self, Admin, Capacity},
    balancer::{Balancer, Task},
    certificates::Certificates,
    config::{self, Config},
    configured,
    control::{Claim, Control},
    memory::Guard,
    metrics,
    reload::{Numbers, Read, Reloader, SetLog, Timing, options},
    series::{FORGETS, Series},
    signals::Signals,
    take_over::Predecessor,
    traces::Traces,
};

/// Runs the balancer until it is told to stop.
pub(crate) fn run(config: Config, read: Read, inherited: Vec<TcpListener>) -> anyhow::Result<()> {
    let set_log = log(&config.log);
    runtime()?.block_on(balance(Start { config, read, set_log, inherited, demo: None }))
}

/// Diagnostics go to standard error, away from the access log.
pub(crate) fn log(filter: &str) -> SetLog {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    subscriber.init();
    Box::new(move |filter| {
        if let Err(error) = handle.reload(EnvFilter::new(filter)) {
            tracing::error!(%error, "what is logged can't be changed");
        }
    })
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

/// What it takes to begin.
pub(crate) struct Start {
    pub(crate) config: Config,
    pub(crate) read: Read,
    pub(crate) set_log: SetLog,
    /// Sockets that somebody has opened for us.
    pub(crate) inherited: Vec<TcpListener>,
    /// A source beside the configured ones.
    pub(crate) demo: Option<Fixed<Registration>>,
}

/// Serves until a signal says stop, or another process has taken over.
pub(crate) async fn balance(start: Start) -> anyhow::Result<()> {
    // Before anything is bound: a signal that comes early is not lost.
    let mut signals = Signals::new(start.demo.is_some())?;
    let balancer = tokio::select! {
        biased;
        _ = signals.stop() => {
            tracing::info!("stopped before it had started");
            return Ok(());
        }
        started = start.start() => started?,
    };
    balancer.run(signals).await
}

/// How long clients wait in the sockets' queues until it is known who is there.
const SETTLE: Duration = Duration::from_secs(2);

/// The same where another process serves them meanwhile.
const SETTLE_BEFORE_TAKING_OVER: Duration = Duration::from_secs(30);

impl Start {
    async fn start(self) -> anyhow::Result<Balancer> {
        let Self { config, read, set_log, inherited, demo } = self;
        raise_descriptor_limit();
        let (recorder, series) = Series::new(metrics::all());
        metrics::record(recorder, config.admin.is_some())?;

        let mut listen = config.listen.clone();
        if !config.listen_was_said && !inherited.is_empty() {
            let inherited = inherited.iter().map(TcpListener::local_addr);
            listen = inherited.collect::<Result<_, _>>().context("an inherited socket")?;
            listen.retain(|address| Some(*address) != config.admin && !config.serves_tls(*address));
        }
        let mut open = inherited;
        let (predecessor, control, handed_over) = sockets(&config, &mut open).await?;

        let access_log = access_log(&config)?;
        let certificates = match &config.https {
            Some(https) => Some(Arc::new(Certificates::open(&https.listeners).await?)),
            None => None,
        };
        let pressure = Pressure::default();
        let https = certificates.as_deref().zip(config.https.as_ref());
        let mut options = options(&config, access_log.clone(), https);
        options.pressure = pressure.clone();
        let start = |said| Traces::start(said, config.workers());
        let traces = config.traces.as_ref().map(start).transpose()?;
        options.traces = traces.as_ref().map(Traces::handle);
        let (proxy, driver) = Proxy::new(options);
        if !config.trust_was_said {
            tracing::warn!(
                "X-Forwarded-* headers of every client are believed, as nginx-proxy does: set \
                 TRUST_DOWNSTREAM_PROXY=false unless a proxy of yours is in front"
            );
        }
        let (services, changes) = discovery::channel();
        // It is read below.
        let _ = services.send(Change::Reset(configured::servers(&config.services).await?));
        let mut driver = driver.source("config", changes);
        if let Some(demo) = demo {
            driver = driver.source("demo", demo);
        }
        let (driver, docker) = match config.docker.clone().map(DockerDiscovery::new) {
            Some((discovery, status)) => (driver.source("docker", discovery), Some(status)),
            None => (driver, None),
        };
        let server = Server::bind_or_adopt(listen, &mut open)
            .with_context(|| match &predecessor {
                None => "choose another address with --listen",
                Some(_) => {
                    "choose another address with --listen; one that overlaps with one of the \
                     process before, as 80 does with 127.0.0.1:80, takes a restart"
                }
            })?
            .workers(config.workers())
            .limits(config.limits.server.clone())
            .pressure(pressure.clone());
        let plain = server.local_addresses()?.len();
        let server = match (&config.https, &certificates) {
            (Some(https), Some(certificates)) => {
                let hosts = proxy.clone();
                let listen = https.listeners.listen.iter().copied();
                server
                    .tls(listen, &mut open, certificates.acceptor(), move |host| {
                        hosts.handshake(host)
                    })
                    .context("choose another address with --listen-tls")?
            }
            _ => server,
        };
        let server = match config.proxy_protocol.clone() {
            Some(from) => server.proxy_protocol(move |client| from.believes(client)),
            None => server,
        };
        let addresses = server.local_addresses()?;
        let admin_listener =
            config.admin.map(|address| admin::listen(address, &mut open)).transpose()?;
        let admin = admin_listener.as_ref().map(TokioListener::local_addr).transpose()?;
        for socket in open.into_iter().filter_map(|socket| socket.local_addr().ok()) {
            if handed_over.contains(&socket) {
                tracing::info!("nobody asked for the socket on {socket} of the process before");
            } else if !addresses.contains(&socket) && admin != Some(socket) {
                tracing::warn!(
                    "nobody asked for the socket on {socket} that was passed on: it is closed; --listen={socket} would serve it"
                );
            }
        }

        let (plane, controls) = (proxy.plane(), driver.controls());
        let driver = tokio::spawn(Driver::run(driver));
        settle(&plane, predecessor.is_some()).await?;
        if let Some(predecessor) = &predecessor {
            predecessor.drain_the_same(&controls).await;
        }
        let running = server.start(move |worker| {
            let proxy = proxy.worker(worker);
            move |accepted| {
                proxy
                    .client(accepted.peer, Some(accepted.local), accepted.guard)
                    .informing(accepted.interim)
                    .secure(accepted.secure)
                    .session(accepted.session)
            }
        })?;

        let upkeep = tokio::spawn(upkeep(series.clone()));
        let memory = Guard::new(config.limits.memory, pressure.clone());
        let orders = match (&config.acme, &certificates) {
            (Some(acme), Some(certificates)) => {
                let orders = Orders::start(acme, certificates, plane.clone());
                Some(Arc::new(orders.context("can't order certificates")?))
            }
            _ => None,
        };
        let connections = running.connections();
        let https = certificates.clone().map(|certificates| (certificates, orders.clone()));
        let capacity =
            Capacity { workers: config.workers(), connections: config.limits.server.connections };
        let admin =
            Admin::new(plane.clone(), series, connections, pressure, docker, https, &capacity);
        let admin = Arc::new(admin);
        let admin_task = admin_listener
            .map(|listener| Task::spawn(listener, |listener| Arc::clone(&admin).serve(listener)));
        let timing = Arc::new(Timing::new(&config));
        let reloader = Arc::new(Mutex::new(Reloader {
            read,
            set_log,
            timing: Arc::clone(&timing),
            memory,
            access_log: access_log.clone(),
            traces: traces.as_ref().map(Traces::handle),
            certificates: certificates.clone(),
            services,
            controls: controls.clone(),
            plane: plane.clone(),
            numbers: Numbers::new(),
            config,
        }));
        let (holder, requests) = mpsc::channel(1);
        let answers = Arc::new(Control::new(controls, plane, Arc::clone(&reloader), holder));
        Ok(Balancer {
            running,
            addresses,
            plain,
            predecessor,
            admin,
            admin_task,
            control,
            commands: None,
            answers,
            requests,
            reloader,
            timing,
            access_log,
            traces,
            driver,
            upkeep,
            orders,
        })
    }
}

/// Whom we take over from, the control socket, and the addresses of the sockets
/// that one gives us, which come first in `open`.
async fn sockets(
    config: &Config,
    open: &mut Vec<TcpListener>,
) -> anyhow::Result<(Option<Predecessor>, Option<(Claim, UnixListener)>, Vec<SocketAddr>)> {
    let Some(name) = config.control.clone() else { return Ok((None, None, Vec::new())) };
    if config.take_over {
        if let Some((predecessor, sockets)) = Predecessor::find(&name).await? {
            let addresses = sockets.tcp.iter().map(TcpListener::local_addr);
            let addresses = addresses.collect::<Result<_, _>>().context("a socket passed on")?;
            open.splice(0..0, sockets.tcp);
            let claim = Claim { name, ours: false };
            return Ok((Some(predecessor), Some((claim, sockets.control)), addresses));
        }
        tracing::info!("nobody answers at {name} to take over from: this one starts as usual");
    }
    let control = match name.listen().await {
        Ok(listener) => Some((Claim { name, ours: true }, listener)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(
                "another process answers commands at {name}: this one can't be told to drain, to \
                 reload or to hand over; give it another name with --control or LB_CONTROL"
            );
            None
        }
        Err(error) => {
            return Err(error).context(format!(
                "can't listen for commands at {name}: choose another name with --control, or off"
            ));
        }
    };
    Ok((None, control, Vec::new()))
}

fn access_log(config: &Config) -> anyhow::Result<Option<AccessLog>> {
    let config::AccessLog { destination, format, warnings } = &config.access_log;
    let Some(destination) = destination else { return Ok(None) };
    let log = AccessLog::open(destination.clone(), config.workers())
        .with_context(|| format!("can't open the access log {destination:?}; see --access-log"))?;
    log.set_format(format);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(Some(log))
}

/// Who connects already waits in the sockets' queues; to be told that nobody
/// answers for his host would be wrong.
async fn settle(plane: &Plane, takes_over: bool) -> anyhow::Result<()> {
    let limit = if takes_over { SETTLE_BEFORE_TAKING_OVER } else { SETTLE };
    let settled = time::timeout(limit, plane.settled()).await;
    if settled.is_err() && takes_over {
        bail!(
            "the containers are still not known after {limit:?}, so the balancer that runs goes \
             on; is the engine well? See its log above"
        );
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
    let mut tick = time::interval(FORGETS);
    loop {
        tick.tick().await;
        series.forget();
    }
}
