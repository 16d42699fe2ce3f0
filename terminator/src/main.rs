//! The program `halfshake`: a TLS terminator, a load generator and a demonstration, all over one
//! session cache.
//!
//! Exit status: 0 when the work was done, 1 when it was done and something failed (a handshake of
//! `load`), 2 when it could not begin (arguments, ports, certificates).

mod admin;
mod certs;
mod cli;
mod demo;
mod endpoint;
mod external;
mod load;
mod output;
mod serve;
mod sessions;
mod setup_error;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::setup_error::SetupError;

/// Something failed after the work had begun.
const EXIT_FAILED: u8 = 1;
/// The work could not begin.
const EXIT_SETUP: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_arguments(&error),
    };
    start_log();
    match run(cli.command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(EXIT_FAILED),
        Err(error) => {
            eprintln!("halfshake: {error}");
            ExitCode::from(EXIT_SETUP)
        }
    }
}

/// How a command that could begin has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed,
}

fn run(command: Command) -> Result<Outcome, SetupError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| SetupError::Runtime { source })?;
    match command {
        Command::Serve(args) => runtime.block_on(serve::run(args)).map(|()| Outcome::Done),
        Command::Load(args) => runtime.block_on(load::run(args)),
        Command::Demo(args) => runtime.block_on(demo::run(args)),
    }
}

/// Help and version go to standard output as clap lays them out; a mistake becomes one line.
fn refuse_arguments(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nothing useful is left to do when standard output is closed.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    eprintln!("{}", cli::one_line(error));
    ExitCode::from(EXIT_SETUP)
}

/// Logs go to standard error, so that standard output stays for what a caller reads.
fn start_log() {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;

    let filter = EnvFilter::try_from_env("HALFSHAKE_LOG")
        .unwrap_or_else(|_| EnvFilter::new("halfshake=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
