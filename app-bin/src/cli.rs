//! The command line and the environment.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use app_bin::{Behavior, Rate, parse_duration};
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::load::LoadArgs;

const ABOUT: &str = "A hello server that can misbehave: the backend behind the load balancer";

const LONG_ABOUT: &str = "\
A hello server that can misbehave: the backend behind the load balancer.

It answers every path and every method with 200 and
\"Hi there, I'm served from <name>!\". The options make it slow, failing, hanging
or slow to leave. Each is also read from the environment, where the command line
takes precedence.";

const AFTER_LONG_HELP: &str = "\
Durations are a number and a unit, as in 250ms, 2s or 1m30s. Flags are read from
the environment as true unless empty, 0, no, off or false.

One request can ask for its own treatment, in its query string:
  ?latency=100ms  wait this long, instead of --latency and --jitter
  ?status=503     answer with this status (200 to 599), instead of --error-rate
  ?size=1024      answer with a body of this many bytes, instead of --body-size
  ?pace=10ms      wait this long before each block of 32 KiB of the body
  ?chunked        answer without telling the length of the body
  ?truncate       break off half-way through the body, if that has two bytes or more
  ?id=X           have this identity: the answer carries it in x-id; see --journal
  ?hang           never answer
  ?echo           answer with the request line and headers as received
They combine with &. A request with \"Connection: upgrade\" and \"Upgrade: echo\"
is answered 101, and every byte after that is sent back.

The control address answers:
  GET /metrics                          metrics as Prometheus text
  GET /healthz                          200, or 503 when unhealthy or draining
  PUT or POST /health/up, /health/down  sets the health
  PUT or POST /hang, /fail              answers nothing, or 500, while it goes on accepting
  PUT or POST /resume                   ends that; what hung is answered
  GET /requests                         {\"requests\":N,\"in_flight\":N,\"first_request_ms\":T|null}

Signals:
  SIGTERM  as --on-term says
  SIGINT   exits at once, with status 130
  SIGUSR1  flips the health

  A load ends with the first SIGTERM or SIGINT once what is due by then is answered,
  and at once with the second.

Exit status: 0 ended by SIGTERM, or checked and healthy, or all of a load answered well;
1 cannot start, or checked and not healthy, or a request of a load failed or was not
waited for; 2 cannot read the command line; 130 ended by SIGINT, other than a load.";

/// What the program is told to do.
#[derive(Debug, Parser)]
#[command(
    name = "app-bin",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_long_help = AFTER_LONG_HELP,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do other than serve.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// What to do other than serve.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Asks a running server for its health, as a container's HEALTHCHECK
    ///
    /// Exits with status 0 when it answers 200 within 2 seconds; else with
    /// status 1 and one line on stderr that says why.
    Check(CheckArgs),
    /// Sends requests at a steady rate, and shows how they fare and who answers
    ///
    /// Requests are sent when they are due, whatever becomes of those before, and
    /// latencies count from then. Ctrl-C ends it with the summary, once what is due by
    /// then is answered; a second one doesn't wait. Exits with status 0 when every request
    /// was answered with a status below 400, else with 1.
    Load(Box<LoadArgs>),
}

/// Options of `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Control address of the server; one of all interfaces (0.0.0.0, [::]) is
    /// asked at the loopback address
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "APP_ADMIN",
        hide_env_values = true,
        default_value = "0.0.0.0:8485",
        value_parser = parse_admin
    )]
    pub(crate) admin: Admin,
    /// URL to ask instead, http only
    #[arg(long, value_name = "URL", env = "APP_CHECK_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
}

/// Options of the server.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Address to greet on; port 0 takes a free one
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "APP_LISTEN",
        hide_env_values = true,
        default_value = "0.0.0.0:8484",
        value_parser = parse_address,
        help_heading = "Server"
    )]
    pub(crate) listen: SocketAddr,
    /// Address for metrics, health and control; port 0 takes a free one, off has none
    #[arg(
        long,
        value_name = "IP:PORT|off",
        env = "APP_ADMIN",
        hide_env_values = true,
        default_value = "0.0.0.0:8485",
        value_parser = parse_admin,
        help_heading = "Server"
    )]
    pub(crate) admin: Admin,
    /// Name to greet with [default: the host name]
    #[arg(
        long,
        value_name = "NAME",
        env = "APP_NAME",
        hide_env_values = true,
        help_heading = "Server"
    )]
    pub(crate) name: Option<String>,
    /// Threads that serve; one is enough for a demo
    #[arg(
        long,
        value_name = "COUNT",
        env = "APP_THREADS",
        hide_env_values = true,
        default_value = "1",
        value_parser = clap::value_parser!(u16).range(1..=1024),
        help_heading = "Server"
    )]
    pub(crate) threads: u16,

    /// Time to wait before listening, as a slow starter does
    #[arg(
        long,
        value_name = "DURATION",
        env = "APP_START_DELAY",
        hide_env_values = true,
        default_value = "0s",
        value_parser = parse_duration,
        help_heading = "Start and end"
    )]
    pub(crate) start_delay: Duration,
    /// Start unhealthy: /healthz answers 503 until told otherwise
    #[arg(
        long,
        env = "APP_UNHEALTHY",
        hide_env_values = true,
        value_parser = FalseyValueParser::new(),
        help_heading = "Start and end"
    )]
    pub(crate) unhealthy: bool,
    /// What SIGTERM does
    #[arg(
        long,
        value_name = "HOW",
        env = "APP_ON_TERM",
        hide_env_values = true,
        default_value = "drain",
        help_heading = "Start and end"
    )]
    pub(crate) on_term: OnTerm,
    /// Most time a drain takes; what is unanswered then is dropped
    #[arg(
        long,
        value_name = "DURATION",
        env = "APP_DRAIN_TIMEOUT",
        hide_env_values = true,
        default_value = "10s",
        value_parser = parse_duration,
        help_heading = "Start and end"
    )]
    pub(crate) drain_timeout: Duration,

    /// Print two lines for each request with ?id=X: "accepted X" as soon as its
    /// body is read, "executed X" once its answer is made and before that is sent
    #[arg(
        long,
        env = "APP_JOURNAL",
        hide_env_values = true,
        value_parser = FalseyValueParser::new(),
        help_heading = "Server"
    )]
    pub(crate) journal: bool,

    /// Time before every answer
    #[arg(
        long,
        value_name = "DURATION",
        env = "APP_LATENCY",
        hide_env_values = true,
        default_value = "0ms",
        value_parser = parse_duration,
        help_heading = "Behavior"
    )]
    pub(crate) latency: Duration,
    /// Most time added to --latency; each answer draws from zero to this
    #[arg(
        long,
        value_name = "DURATION",
        env = "APP_JITTER",
        hide_env_values = true,
        default_value = "0ms",
        value_parser = parse_duration,
        help_heading = "Behavior"
    )]
    pub(crate) jitter: Duration,
    /// Share of requests answered 500, from 0 (none) to 1 (all)
    #[arg(
        long,
        value_name = "SHARE",
        env = "APP_ERROR_RATE",
        hide_env_values = true,
        default_value = "0",
        allow_negative_numbers = true,
        help_heading = "Behavior"
    )]
    pub(crate) error_rate: Rate,
    /// Share of requests never answered, from 0 (none) to 1 (all)
    #[arg(
        long,
        value_name = "SHARE",
        env = "APP_HANG_RATE",
        hide_env_values = true,
        default_value = "0",
        allow_negative_numbers = true,
        help_heading = "Behavior"
    )]
    pub(crate) hang_rate: Rate,
    /// Length of every body, the greeting repeated or cut [default: the greeting once]
    #[arg(
        long,
        value_name = "BYTES",
        env = "APP_BODY_SIZE",
        hide_env_values = true,
        value_parser = parse_size,
        help_heading = "Behavior"
    )]
    pub(crate) body_size: Option<u64>,
}

impl ServeArgs {
    /// The knobs among the options.
    pub(crate) fn behavior(&self) -> Behavior {
        Behavior {
            latency: self.latency,
            jitter: self.jitter,
            error_rate: self.error_rate,
            hang_rate: self.hang_rate,
            body_size: self.body_size,
        }
    }
}

/// What SIGTERM does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnTerm {
    /// Exit at once, dropping what is unanswered
    Exit,
    /// Stop accepting, answer what is in flight, exit
    Drain,
    /// Keep serving
    Ignore,
}

/// Where the control port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admin {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

/// Text that is not an address; says what to write instead.
#[derive(Debug)]
pub(crate) struct InvalidAddress {
    example: &'static str,
}

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an IP address and a port: write it as in {}", self.example)
    }
}

impl std::error::Error for InvalidAddress {}

fn parse_address(text: &str) -> Result<SocketAddr, InvalidAddress> {
    SocketAddr::from_str(text).map_err(|_| InvalidAddress { example: "0.0.0.0:8484 or [::]:8484" })
}

fn parse_admin(text: &str) -> Result<Admin, InvalidAddress> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(Admin::Off);
    }
    SocketAddr::from_str(text)
        .map(Admin::At)
        .map_err(|_| InvalidAddress { example: "0.0.0.0:8485 or [::]:8485, or off" })
}

fn parse_size(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "not a size: write a whole number of bytes, as in 1024")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_tells_every_environment_variable() {
        let command = Cli::command();
        for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
            let Some(long) = argument.get_long() else { continue };
            if matches!(long, "help" | "version") {
                continue;
            }
            let expected = format!("APP_{}", long.replace('-', "_").to_uppercase());
            let found = argument.get_env().and_then(std::ffi::OsStr::to_str);
            assert_eq!(found, Some(&*expected), "--{long}");
        }
    }

    #[test]
    fn reads_the_knobs() {
        let cli = Cli::try_parse_from([
            "app-bin",
            "--latency",
            "5ms",
            "--jitter",
            "1s",
            "--error-rate",
            "0.5",
            "--body-size",
            "9",
        ])
        .unwrap();
        let behavior = cli.serve.behavior();
        assert_eq!(behavior.latency, Duration::from_millis(5));
        assert_eq!(behavior.jitter, Duration::from_secs(1));
        assert_eq!(behavior.error_rate, Rate::new(0.5).unwrap());
        assert_eq!(behavior.hang_rate, Rate::NEVER);
        assert_eq!(behavior.body_size, Some(9));
    }

    #[test]
    fn admin_may_be_off() {
        assert_eq!(parse_admin("off").unwrap(), Admin::Off);
        assert!(parse_admin("no").unwrap_err().to_string().ends_with("or off"));
    }
}
