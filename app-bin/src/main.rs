//! The command line around the hello server; see the library `app_bin`.

mod check;
mod cli;
mod exporter;
mod load;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Check(args)) => check::check(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Load(args)) => load::load(&args),
        None => serve::serve(&cli.serve),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("app-bin: {error:#}");
        ExitCode::FAILURE
    })
}
