//! A load balancer for containers. See `lb-bin --help`.

mod admin;
mod check;
mod cli;
mod config;
mod configured;
mod demo;
mod file;
mod report;
mod run;
mod series;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::{
    cli::{Cli, Command},
    config::Config,
};

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let config = match Config::read(&cli, &matches, |name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("lb-bin: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match cli.command {
        None => run::run(config),
        Some(Command::Demo(demo)) => demo::run(config, &demo),
        Some(Command::Check) => check::check(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lb-bin: {error:#}");
            ExitCode::FAILURE
        }
    }
}
