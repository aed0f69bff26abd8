//! What the balancer was told, checked: nothing after this meets a bad value.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use clap::ArgMatches;
use lb_core::{
    balance::Algorithm,
    http::{Forwarding, Trust, UpstreamTls},
};

use crate::{
    cli::{Cli, Command},
    control,
    file::{File, Scalar},
};

use access_log::access_log;
use acme::acme;
use headers::forwarding;
use https::https;
use limits::limits;
use parse::{
    any, duration, from_str, host, listen_address, log_filter, number, on_or_off, share, truth,
    unless_off,
};
use services::services;
use setting::{Origins, Setting};
use traces::traces;
use upstream::upstream_tls;

pub(crate) use access_log::AccessLog;
pub(crate) use acme::Acme;
pub(crate) use https::{Https, Listeners as TlsListeners};
pub(crate) use limits::{Limits, MemoryLimit};
pub(crate) use services::{HostAndPort, Service};
pub(crate) use setting::Invalid;
pub(crate) use traces::{Traces, TracesProtocol};

mod access_log;
mod acme;
mod headers;
mod https;
mod limits;
mod parse;
mod services;
mod setting;
mod traces;
mod upstream;

/// The host that stands for all hosts nobody names, where servers are given
/// without one.
const CATCH_ALL: &str = "default";

/// Everything the balancer needs to know.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: Vec<SocketAddr>,
    /// Whether somebody has said so, rather than us.
    pub(crate) listen_was_said: bool,
    /// How HTTPS is served, if it is.
    pub(crate) https: Option<Https>,
    /// How certificates are ordered, if they are.
    pub(crate) acme: Option<Acme>,
    /// Whose connections begin with a PROXY header.
    pub(crate) proxy_protocol: Option<Trust>,
    pub(crate) control: Option<control::Name>,
    pub(crate) take_over: bool,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) docker: Option<lb_docker::Options>,
    pub(crate) services: Vec<Service>,
    pub(crate) default_host: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) limits: Limits,
    pub(crate) forwarding: Forwarding,
    /// Whether somebody has thought about who is believed.
    pub(crate) trust_was_said: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) upstream_tls: UpstreamTls,
    pub(crate) wait: Duration,
    pub(crate) wait_limit: usize,
    pub(crate) retry_share: f64,
    pub(crate) eject: bool,
    pub(crate) slow_start: Duration,
    /// As it was said: it need not be waited out else.
    pub(crate) stop_delay: Option<Duration>,
    pub(crate) drain_timeout: Duration,
    pub(crate) workers: Option<usize>,
    pub(crate) access_log: AccessLog,
    /// Where traces of requests are sent, if they are.
    pub(crate) traces: Option<Traces>,
    pub(crate) log: String,
}

impl Config {
    /// Puts together flags, environment and file.
    pub(crate) fn read(
        cli: &Cli,
        matches: &ArgMatches,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Invalid> {
        let options = &cli.options;
        let path = options.config.clone().filter(|path| !path.is_empty());
        let file = path.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let from = Origins { matches, file: path.as_deref().unwrap_or_default() };
        let env = |name: &'static str| {
            env(name)
                .filter(|value| !value.is_empty())
                .map(|value| Setting { key: name.into(), value })
        };

        let setting = |id, typed: &Option<String>, written: &Option<Scalar>| {
            from.setting(id, typed.as_deref(), written.as_ref())
        };
        let listen = setting("listen", &options.listen, &file.listen)
            .or_else(|| env("HTTP_PORT"))
            .map(|given| given.list(listen_address))
            .transpose()?;
        let admin = admin_address(cli, &from, &file)?;
        let docker = setting("docker", &options.docker, &file.docker)
            .map_or(Ok(true), |given| given.parse(on_or_off))?;
        let (forwarding, trust_was_said) = forwarding(options, &from, &file)?;
        let time = |id, typed, written, default| {
            setting(id, typed, written)
                .map_or(Ok(Duration::from_millis(default)), |given: Setting| given.parse(duration))
        };
        let log = setting("log", &options.log, &file.log);
        let log = log.map_or(Ok("info".into()), |given| given.parse(log_filter))?;
        let default_host = setting("default_host", &options.default_host, &file.default_host)
            .map(|given| given.parse(|text| host(text).map(|host| host.to_string())))
            .transpose()?;

        let control = control_name(cli, &from, &file)?;
        let take_over = setting("take_over", &options.take_over, &None);
        let takes_over = take_over.as_ref().map_or(Ok(false), |given| given.parse(truth))?;
        if let (true, None, Some(Setting { key, value })) = (takes_over, &control, take_over) {
            let remedy = "that asks the balancer that runs over its control socket, and \
                          --control is off; name the socket there";
            return Err(Invalid { key, value, remedy: remedy.into() });
        }
        let services = services(&options.upstream, &from, &file)?;
        let catch_all = services.iter().find(|service| service.host.to_string() == CATCH_ALL);
        if let (Some(service), Some(host)) = (catch_all, &default_host) {
            return Err(Invalid {
                key: service.source.clone(),
                value: service
                    .endpoints
                    .iter()
                    .map(HostAndPort::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
                remedy: format!(
                    "without HOST= these would answer for hosts nobody names, but the default \
                     host is {host}; write {host}=ADDR, or leave the default host out"
                ),
            });
        }
        let https = https(&options.https, &from, &file, env, default_listen(cli, 443))?;
        Ok(Self {
            acme: acme(&options.acme, &from, &file, https.is_some())?,
            https,
            listen_was_said: listen.is_some(),
            listen: listen.unwrap_or_else(|| vec![default_listen(cli, 80)]),
            proxy_protocol: setting(
                "proxy_protocol",
                &options.proxy_protocol,
                &file.proxy_protocol,
            )
            .map(|given| given.parse(|text| unless_off(text, from_str)))
            .or_else(|| env("ENABLE_PROXY_PROTOCOL").map(|given| given.parse(from_str).map(Some)))
            .unwrap_or(Ok(None))?
            .filter(|from| *from != Trust::nobody()),
            control,
            take_over: takes_over,
            admin,
            docker: docker.then(|| docker_options(&env)).transpose()?,
            default_host: default_host.or_else(|| catch_all.map(|_| CATCH_ALL.into())),
            services,
            algorithm: setting("algorithm", &options.algorithm, &file.algorithm)
                .map_or(Ok(Algorithm::default()), |given| given.parse(from_str))?,
            limits: limits(&options.limits, &from, &file)?,
            forwarding,
            trust_was_said: trust_was_said || matches!(cli.command, Some(Command::Demo(_))),
            connect_timeout: time(
                "connect_timeout",
                &options.connect_timeout,
                &file.connect_timeout,
                250,
            )?,
            upstream_tls: upstream_tls(&options.upstream_tls, &from, &file)?,
            wait: time("wait", &options.wait, &file.wait, 10_000)?,
            wait_limit: setting("wait_limit", &options.wait_limit, &file.wait_limit)
                .map_or(Ok(1024), |given| given.parse(|text| number(text, 0)))?,
            retry_share: setting("retry_budget", &options.retry_budget, &file.retry_budget)
                .map_or(Ok(0.2), |given| given.parse(share))?,
            eject: setting("eject", &options.eject, &file.eject)
                .map_or(Ok(true), |given| given.parse(on_or_off))?,
            slow_start: time("slow_start", &options.slow_start, &file.slow_start, 0)?,
            stop_delay: setting("stop_delay", &options.stop_delay, &file.stop_delay)
                .map(|given| given.parse(duration))
                .transpose()?,
            drain_timeout: time(
                "drain_timeout",
                &options.drain_timeout,
                &file.drain_timeout,
                8_000,
            )?,
            workers: setting("workers", &options.workers, &file.workers)
                .map(|given| given.parse(|text| number(text, 1)))
                .transpose()?,
            access_log: access_log(options, &from, &file, env)?,
            traces: traces(&options.traces, &from, &file, env)?,
            log,
        })
    }
}

/// Where the balancer that runs can be told things: all that commands need to
/// know. The file is only read where nothing else says it.
pub(crate) fn control(cli: &Cli, matches: &ArgMatches) -> Result<Option<control::Name>, Invalid> {
    alone(cli, matches, cli.options.control.as_deref(), control_name)
}

/// Where the balancer that runs can be asked about itself, in the same way.
pub(crate) fn admin(cli: &Cli, matches: &ArgMatches) -> Result<Option<SocketAddr>, Invalid> {
    alone(cli, matches, cli.options.admin.as_deref(), admin_address)
}

/// One setting, whatever is wrong with others.
fn alone<T>(
    cli: &Cli,
    matches: &ArgMatches,
    typed: Option<&str>,
    read: impl FnOnce(&Cli, &Origins<'_>, &File) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    let said = typed.is_some_and(|value| !value.trim().is_empty());
    let path = cli.options.config.as_deref().filter(|path| !path.is_empty() && !said);
    // Without it, another balancer would be asked.
    let file = path.map(File::read).transpose()?.unwrap_or_default();
    read(cli, &Origins { matches, file: path.unwrap_or_default() }, &file)
}

fn admin_address(
    cli: &Cli,
    from: &Origins<'_>,
    file: &File,
) -> Result<Option<SocketAddr>, Invalid> {
    from.setting("admin", cli.options.admin.as_deref(), file.admin.as_ref()).map_or_else(
        || Ok(Some((Ipv4Addr::LOCALHOST, 9180).into())),
        |given| given.parse(|text| unless_off(text, listen_address)),
    )
}

fn control_name(
    cli: &Cli,
    from: &Origins<'_>,
    file: &File,
) -> Result<Option<control::Name>, Invalid> {
    let given = from.setting("control", cli.options.control.as_deref(), file.control.as_ref());
    match given {
        Some(given) => given.parse(|text| unless_off(text, control::Name::parse)),
        None if matches!(cli.command, Some(Command::Demo(_))) => Ok(None),
        None => Ok(control::Name::usual()),
    }
}

impl Config {
    /// Whether HTTPS is served at this address.
    pub(crate) fn serves_tls(&self, address: SocketAddr) -> bool {
        self.https.as_ref().is_some_and(|https| https.listeners.listen.contains(&address))
    }

    /// As many as there are cores, unless it was said.
    pub(crate) fn workers(&self) -> usize {
        self.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
    }
}

fn docker_options(
    env: &impl Fn(&'static str) -> Option<Setting>,
) -> Result<lb_docker::Options, Invalid> {
    // The names it may ask for; everything else is none of its business.
    const NAMES: [&str; 6] = [
        "DOCKER_HOST",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
        "DOCKER_CONTAINER_FILTERS",
        "HOME",
        "HOSTNAME",
    ];
    let lookup = |name: &str| {
        let name = NAMES.into_iter().find(|known| *known == name)?;
        env(name).map(|setting| setting.value)
    };
    lb_docker::Options::from_env(lookup).map_err(|error| Invalid {
        key: error.key.into(),
        value: error.value,
        remedy: error.remedy,
    })
}

/// The demo is for the one who runs it, who may not be allowed to take port 80.
fn default_listen(cli: &Cli, port: u16) -> SocketAddr {
    match cli.command {
        Some(Command::Demo(_)) => (Ipv4Addr::LOCALHOST, 8000 + port).into(),
        _ => any(port),
    }
}

#[cfg(test)]
mod tests;
