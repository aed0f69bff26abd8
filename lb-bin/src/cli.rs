mod acme;
mod https;
mod limits;
mod terminal;
mod traces;
mod upstream;

use clap::{Args, Parser, Subcommand};

pub(crate) use acme::AcmeOptions;
pub(crate) use https::HttpsOptions;
pub(crate) use limits::LimitOptions;
pub(crate) use terminal::{Explain, Shown, Top};
pub(crate) use traces::TraceOptions;
pub(crate) use upstream::UpstreamOptions;

/// A load balancer for containers.
///
/// Finds containers over the Docker socket, routes to them by the host they name
/// in VIRTUAL_HOST (or the label lb.host), and follows them as they come and go.
/// Nothing is ever written to Docker, and containers need no reload.
///
/// Every option is also an environment variable, and most are keys of the file
/// given with --config. A flag outranks the environment, the environment the
/// file.
#[derive(Debug, Parser)]
#[command(name = "lb-bin", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask the balancer in this container whether it is ready; for HEALTHCHECK.
    ///
    /// Asks /readyz at the address given with --admin. Exits with 0 if it is
    /// ready, else with 1 and the reason.
    Check,
    /// Give a container no new requests; what it has, it finishes.
    ///
    /// Holds until `undrain`, or until the container is gone. Asks the balancer
    /// that runs at the socket given with --control, as the user it runs as, or as
    /// root: `docker exec lb /lb-bin drain shop-app-1`.
    Drain(Who),
    /// Give a drained container requests again.
    Undrain(Who),
    /// Have the balancer that runs read its configuration again, as SIGHUP does.
    ///
    /// Prints what is wrong with it, and exits with 1, if it can't be used: then
    /// everything stays as it was.
    Reload,
    /// Show who is routed, in which state, and who isn't and why.
    ///
    /// Asks the balancer that runs, at the address given with --admin.
    Endpoints(Shown),
    /// Tell why a container is routed, or not, and where a request for a host would go.
    ///
    /// Of a container: all that it takes to get requests, whether that is so, and what to
    /// do where it isn't. Of a host or a URL: what answers for it, by HTTP and by HTTPS,
    /// and which container a request would go to. Asks the balancer that runs, at the
    /// address given with --admin; nothing is changed by asking.
    ///
    /// Exits with 0 if the container gets requests, or the request would be served; with
    /// 1 if not, or if it can't be found out.
    Explain(Explain),
    /// Show what goes on as it goes on: services and containers, requests and errors a
    /// second, latencies, states, and what isn't routed and why.
    ///
    /// Asks the balancer that runs, at the address given with --admin, and goes on when
    /// it is restarted or replaced. Keys: q quits, n r e l sort by name, requests, errors
    /// or latency, / filters, space stands still, ? shows the rest. With NO_COLOR there
    /// are no colours. Where standard output is no terminal it is printed once.
    Top(Top),
    /// Balance over hello servers started in this process: no Docker needed.
    Demo(Demo),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Who {
    /// Its name, its id, or 4 digits or more with which its id begins.
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Demo {
    /// How many hello servers to start.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) apps: u8,
}

/// What was typed or set, not yet looked at: [`Config`](crate::config::Config)
/// does that.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Where clients connect: `PORT`, `IP:PORT` or `[IPv6]:PORT`; several separated
    /// by commas. [default: 80, or HTTP_PORT; 127.0.0.1:8080 for the demo]
    #[arg(long, env = "LB_LISTEN", global = true, value_name = "ADDR", help_heading = "Listening")]
    pub(crate) listen: Option<String>,

    /// Whose connections begin with a PROXY header, version 1 or 2, and are closed if
    /// they don't: `true` for everybody's, or the networks of the proxies in front.
    /// [default: off, or ENABLE_PROXY_PROTOCOL]
    #[arg(
        long,
        env = "LB_PROXY_PROTOCOL",
        global = true,
        value_name = "BOOL|NETWORKS",
        help_heading = "Listening"
    )]
    pub(crate) proxy_protocol: Option<String>,

    /// Where /metrics, /healthz, /readyz and /endpoints are answered, or `off`.
    /// Not for the public. [default: 127.0.0.1:9180]
    #[arg(long, env = "LB_ADMIN", global = true, value_name = "ADDR", help_heading = "Listening")]
    pub(crate) admin: Option<String>,

    /// The socket that `drain`, `undrain`, `reload` and `--take-over` ask: a path,
    /// `@NAME` (Linux: needs no file, is seen in the same network namespace), or
    /// `off`, as it is for the demo. (default: @lb-bin)
    #[arg(
        long,
        env = "LB_CONTROL",
        global = true,
        value_name = "PATH|@NAME",
        help_heading = "Listening"
    )]
    pub(crate) control: Option<String>,

    /// Take the listening sockets over from the balancer that answers at --control,
    /// which then finishes what it has and ends. Nobody is refused or cut off. If
    /// there is none, start as usual.
    #[arg(
        long,
        env = "LB_TAKE_OVER",
        global = true,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Listening"
    )]
    pub(crate) take_over: Option<String>,

    /// Whether to find containers over Docker: `on` or `off`. The engine is
    /// where DOCKER_HOST says (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH),
    /// else at /var/run/docker.sock or /tmp/docker.sock. [default: on]
    #[arg(long, env = "LB_DOCKER", global = true, value_name = "on|off", help_heading = "Sources")]
    pub(crate) docker: Option<String>,

    /// Servers that are always there, e.g. `api.local=10.0.0.1:80,10.0.0.2:80`.
    /// Without HOST= they answer for every host that nobody names. May be given
    /// several times; in the environment, separated by spaces.
    #[arg(
        long,
        env = "LB_UPSTREAM",
        global = true,
        value_name = "[HOST=]ADDR[,ADDR]",
        value_delimiter = ' ',
        help_heading = "Sources"
    )]
    pub(crate) upstream: Vec<String>,

    /// A file in TOML with these options and with services.
    #[arg(long, env = "LB_CONFIG", global = true, value_name = "FILE", help_heading = "Sources")]
    pub(crate) config: Option<String>,

    /// The host that answers for hosts nobody names; without one they get 503.
    #[arg(
        long,
        env = "DEFAULT_HOST",
        global = true,
        value_name = "HOST",
        help_heading = "Routing"
    )]
    pub(crate) default_host: Option<String>,

    /// How to pick where nobody says: `round_robin`, `least_request`,
    /// `peak_ewma`, `ring_hash` or another one of docs/algorithms.md.
    /// [default: round_robin]
    #[arg(
        long,
        env = "LB_ALGORITHM",
        global = true,
        value_name = "NAME",
        help_heading = "Routing"
    )]
    pub(crate) algorithm: Option<String>,

    /// Whose X-Forwarded-* headers are believed: `true` for everybody's, `false` for
    /// nobody's, or the networks of your proxies, as 10.0.0.0/8,192.0.2.7. Say false
    /// where clients connect to the balancer directly. [default: true, as
    /// nginx-proxy does]
    #[arg(
        long,
        env = "TRUST_DOWNSTREAM_PROXY",
        global = true,
        value_name = "BOOL|NETWORKS",
        help_heading = "Headers"
    )]
    pub(crate) trust_downstream_proxy: Option<String>,

    /// Whether containers get the header Forwarded as well: `on` or `off`.
    /// [default: off]
    #[arg(
        long,
        env = "LB_FORWARDED",
        global = true,
        value_name = "on|off",
        help_heading = "Headers"
    )]
    pub(crate) forwarded: Option<String>,

    /// The name under which the balancer appears in the header Via, of requests and
    /// of answers. [default: off]
    #[arg(long, env = "LB_VIA", global = true, value_name = "NAME", help_heading = "Headers")]
    pub(crate) via: Option<String>,

    /// Whether requests without an X-Request-Id get one: `on` or `off`. [default: on]
    #[arg(
        long,
        env = "LB_REQUEST_ID",
        global = true,
        value_name = "on|off",
        help_heading = "Headers"
    )]
    pub(crate) request_id: Option<String>,

    /// Whether requests without a traceparent (W3C Trace Context) get one: `on` or
    /// `off`. [default: on]
    #[arg(
        long,
        env = "LB_TRACEPARENT",
        global = true,
        value_name = "on|off",
        help_heading = "Headers"
    )]
    pub(crate) traceparent: Option<String>,

    /// How long opening a connection to a container may take. [default: 250ms]
    #[arg(
        long,
        env = "LB_CONNECT_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) connect_timeout: Option<String>,

    /// How long requests wait while none of a service's containers is ready.
    /// [default: 10s]
    #[arg(long, env = "LB_WAIT", global = true, value_name = "TIME", help_heading = "Limits")]
    pub(crate) wait: Option<String>,

    /// How many requests of one service may wait. [default: 1024]
    #[arg(long, env = "LB_WAIT_LIMIT", global = true, value_name = "N", help_heading = "Limits")]
    pub(crate) wait_limit: Option<String>,

    /// How long to go on accepting after SIGTERM, while /readyz says 503, so that
    /// whoever sends traffic here can notice. [default: 1s, or less when no
    /// connection is open]
    #[arg(
        long,
        env = "LB_STOP_DELAY",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) stop_delay: Option<String>,

    /// The share of requests that may be sent again, to another container, after
    /// they had gone out: up to 1, beside ten a second; 0 for none. [default: 0.2]
    #[arg(
        long,
        env = "LB_RETRY_BUDGET",
        global = true,
        value_name = "SHARE",
        help_heading = "Limits"
    )]
    pub(crate) retry_budget: Option<String>,

    /// Whether a container that hangs, or fails more than the others of its host,
    /// is left alone for a while: `on` or `off`. [default: on]
    #[arg(long, env = "LB_EJECT", global = true, value_name = "on|off", help_heading = "Routing")]
    pub(crate) eject: Option<String>,

    /// The time over which new containers are given more and more requests, where
    /// nobody says. [default: 0s: all at once]
    #[arg(
        long,
        env = "LB_SLOW_START",
        global = true,
        value_name = "TIME",
        help_heading = "Routing"
    )]
    pub(crate) slow_start: Option<String>,

    /// How long requests in flight may take to finish after SIGTERM, once the stop
    /// delay is over. [default: 8s]
    #[arg(
        long,
        env = "LB_DRAIN_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) drain_timeout: Option<String>,

    #[command(flatten)]
    pub(crate) https: HttpsOptions,

    #[command(flatten)]
    pub(crate) acme: AcmeOptions,

    #[command(flatten)]
    pub(crate) upstream_tls: UpstreamOptions,

    #[command(flatten)]
    pub(crate) limits: LimitOptions,

    #[command(flatten)]
    pub(crate) traces: TraceOptions,

    /// Threads that serve requests. [default: one for each core]
    #[arg(long, env = "LB_WORKERS", global = true, value_name = "N", help_heading = "Limits")]
    pub(crate) workers: Option<String>,

    /// Where requests are logged: `-` for standard output, a file, or `off`.
    /// A file is opened anew on SIGUSR1. [default: -]
    #[arg(
        long,
        env = "LB_ACCESS_LOG",
        global = true,
        value_name = "FILE",
        help_heading = "Logging"
    )]
    pub(crate) access_log: Option<String>,

    /// What a line of that says: `default`, `nginx-proxy`, `combined`, `json`,
    /// `nginx-proxy-json`, `logstalgia`, or text with nginx's variables, such as
    /// `$remote_addr "$request" $status`; docs/access-log.md has all of them.
    /// [default: default, or LOG_FORMAT, LOG_JSON]
    #[arg(
        long,
        env = "LB_LOG_FORMAT",
        global = true,
        value_name = "NAME|TEXT",
        help_heading = "Logging"
    )]
    pub(crate) log_format: Option<String>,

    /// How what clients say is written in such a text: `default`, `json` or `none`, as
    /// nginx does. [default: default, or LOG_FORMAT_ESCAPE]
    #[arg(
        long,
        env = "LB_LOG_FORMAT_ESCAPE",
        global = true,
        value_name = "HOW",
        help_heading = "Logging"
    )]
    pub(crate) log_format_escape: Option<String>,

    /// What is told on standard error: `error`, `warn`, `info`, `debug`, or a
    /// filter such as `info,lb_docker=debug`. [default: info]
    #[arg(long, env = "LB_LOG", global = true, value_name = "LEVEL", help_heading = "Logging")]
    pub(crate) log: Option<String>,
}
