//! From the options to a server, and from signals to its end.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use app_bin::{App, Control, Ended, Handle, Health, Server, hostname};
use tokio::runtime::{Builder, Runtime};

use crate::cli::{Admin, OnTerm, ServeArgs};
use crate::exporter::Exporter;
use crate::signals::{Order, Signals};

/// Status of a process that SIGINT ended, as shells have it.
const INTERRUPTED: u8 = 130;

/// Serves until a signal ends it; returns the status to exit with.
///
/// # Errors
///
/// The runtime does not start, or an address cannot be listened on.
pub(crate) fn serve(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let runtime = runtime(args.threads).context("cannot start the runtime")?;
    let status = runtime.block_on(run(args));
    // Not one task is worth waiting for.
    runtime.shutdown_background();
    status
}

fn runtime(threads: u16) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads.into()).enable_all().build()
}

async fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let mut conductor = Conductor {
        signals: Signals::install().context("cannot handle signals")?,
        health: Health::new(!args.unhealthy),
        on_term: args.on_term,
        drain_timeout: args.drain_timeout,
    };
    if !args.start_delay.is_zero() {
        say(format_args!("starting in {:?}", args.start_delay));
        tokio::select! {
            status = conductor.until_end(None) => return Ok(status),
            () = tokio::time::sleep(args.start_delay) => {}
        }
    }

    let name = args.name.clone().unwrap_or_else(hostname);
    let mut app = App::new(name).with_behavior(args.behavior());
    if args.journal {
        app = app.with_journal(|step, id| say(format_args!("{step} {id}")));
    }
    // Metrics that nobody can read are not worth recording.
    let mut admin = None;
    if let Admin::At(address) = args.admin {
        let exporter = Exporter::new(conductor.health.clone())?;
        app = app.with_metrics(exporter.metrics());
        admin = Some((address, exporter));
    }
    let server =
        Server::bind(args.listen, app).map_err(|error| explain(&error, args.listen, "--listen"))?;
    let (address, handle) = (server.local_addr(), server.handle());
    let metrics = match admin {
        Some((address, exporter)) => {
            let control = Control::bind(address, handle.clone(), conductor.health.clone())
                .map_err(|error| explain(&error, address, "--admin"))?;
            let address = control.local_addr();
            tokio::spawn(exporter.clone().upkeep());
            tokio::spawn(control.with_metrics(move || exporter.render()).run());
            format!("on {address}")
        }
        None => "off".to_owned(),
    };
    say(format_args!("listening on {address}, metrics {metrics}"));

    tokio::select! {
        status = conductor.until_end(Some(&handle)) => Ok(status),
        ended = server.run() => {
            match ended {
                Ended::Drained => say(format_args!("drained")),
                Ended::Stopped => say(format_args!("stopped")),
                Ended::TimedOut { open } => {
                    say(format_args!("drain timed out: dropping open connections ({open})"));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Carries out the orders that signals give.
struct Conductor {
    signals: Signals,
    health: Health,
    on_term: OnTerm,
    drain_timeout: Duration,
}

impl Conductor {
    /// Carries out orders until one ends the process; returns its status. A
    /// drain ends with the server instead, so that there must be one.
    async fn until_end(&mut self, server: Option<&Handle>) -> ExitCode {
        loop {
            match (self.signals.next().await, self.on_term, server) {
                (Order::Interrupt, ..) => {
                    say(format_args!("SIGINT: exiting"));
                    return ExitCode::from(INTERRUPTED);
                }
                (Order::Terminate, OnTerm::Exit, _) | (Order::Terminate, OnTerm::Drain, None) => {
                    say(format_args!("SIGTERM: exiting"));
                    return ExitCode::SUCCESS;
                }
                (Order::Terminate, OnTerm::Drain, Some(server)) => {
                    server.drain(self.drain_timeout);
                    say(format_args!("SIGTERM: draining for at most {:?}", self.drain_timeout));
                }
                (Order::Terminate, OnTerm::Ignore, _) => say(format_args!("SIGTERM: ignored")),
                (Order::FlipHealth, ..) => {
                    let health = if self.health.toggle() { "up" } else { "down" };
                    say(format_args!("SIGUSR1: health is {health}"));
                }
            }
        }
    }
}

/// Says why an address cannot be listened on, and what to do about it.
fn explain(error: &io::Error, address: SocketAddr, option: &str) -> anyhow::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => format!("address in use: choose another with {option}"),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "not an address of this host: choose one that is, or 0.0.0.0 for all, with {option}"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("not permitted: choose a port from 1024 on with {option}")
        }
        _ => error.to_string(),
    };
    anyhow::anyhow!("cannot listen on {address}: {why}")
}

/// Prints a line for whoever watches. Nobody has to: a closed pipe must not end
/// the server, as it would with `println!`.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}
