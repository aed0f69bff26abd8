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
mod traces;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::{
    cli::{Cli, Command, Who},
    config::{Config, Invalid},
    control::protocol::Question,
};

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(cli, matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lb-bin: {error:#}");
            // What was typed is wrong, or what was tried has failed.
            if error.is::<Invalid>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli, matches: ArgMatches) -> anyhow::Result<()> {
    let ask = |cli: &Cli, question| {
        let name = config::control(cli, &matches)?;
        run::runtime()?.block_on(control::ask(name.as_ref(), &question))
    };
    match &cli.command {
        Some(Command::Drain(Who { container })) => {
            return ask(&cli, Question::Drain(container.clone()));
        }
        Some(Command::Undrain(Who { container })) => {
            return ask(&cli, Question::Undrain(container.clone()));
        }
        Some(Command::Reload) => return ask(&cli, Question::Reload),
        Some(Command::Check | Command::Demo(_)) | None => {}
    }
    let inherited = match cli.command {
        None => inherited::sockets()?,
        Some(_) => Vec::new(),
    };
    let read = move |cli: &Cli| Config::read(cli, &matches, |name| std::env::var(name).ok());
    let config = read(&cli)?;
    match cli.command.clone() {
        Some(Command::Demo(demo)) => demo::run(config, Box::new(move || read(&cli)), &demo),
        Some(_) => check::check(&config),
        None => run::run(config, Box::new(move || read(&cli)), inherited),
    }
}
