//! A load balancer for containers. See `lb-bin --help`.

mod acme;
mod admin;
mod balancer;
mod certificates;
mod check;
mod cli;
mod config;
mod configured;
mod control;
mod demo;
mod explain;
mod file;
mod inherited;
mod live;
mod memory;
mod metrics;
mod process;
mod reload;
mod report;
mod run;
mod series;
mod signals;
mod take_over;
mod terminal;
mod traces;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::{
    cli::{Cli, Command, Who},
    config::{Config, Invalid},
    control::protocol::Question,
    terminal::Admin,
};

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(cli, matches) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lb-bin: {error:#}");
            // What was typed is wrong, or what was tried has failed.
            if error.is::<Invalid>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli, matches: ArgMatches) -> anyhow::Result<ExitCode> {
    let tell = |question| {
        let name = config::control(&cli, &matches)?;
        run::runtime()?.block_on(control::ask(name.as_ref(), &question))?;
        Ok(ExitCode::SUCCESS)
    };
    let admin = || Admin::at(config::admin(&cli, &matches)?);
    match &cli.command {
        Some(Command::Drain(Who { container })) => tell(Question::Drain(container.clone())),
        Some(Command::Undrain(Who { container })) => tell(Question::Undrain(container.clone())),
        Some(Command::Reload) => tell(Question::Reload),
        Some(Command::Endpoints(shown)) => {
            run::runtime()?.block_on(terminal::endpoints(admin()?, shown.json))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Explain(explain)) => {
            let question = explain.question();
            let asked = terminal::explain(admin()?, &question, explain.shown.json);
            let served = run::runtime()?.block_on(asked)?;
            Ok(if served { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Some(Command::Top(top)) => {
            run::runtime()?.block_on(terminal::top(admin()?, top.interval, top.once))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Check | Command::Demo(_)) | None => {
            balance(cli, matches)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What takes the whole configuration.
fn balance(cli: Cli, matches: ArgMatches) -> anyhow::Result<()> {
    let inherited = match cli.command {
        None => inherited::sockets()?,
        Some(_) => Vec::new(),
    };
    let read = move |cli: &Cli| Config::read(cli, &matches, |name| std::env::var(name).ok());
    let config = read(&cli)?;
    match cli.command.clone() {
        Some(Command::Demo(demo)) => demo::run(config, Box::new(move || read(&cli)), &demo),
        Some(_) => run::runtime()?.block_on(check::check(Admin::at(config.admin)?)),
        None => run::run(config, Box::new(move || read(&cli)), inherited),
    }
}
