//! `edgeplug`: the daemon and the commands that talk to it.

mod api;
mod cli;
mod config;
mod daemon;
mod exit;
mod identity;
mod logging;
mod store;
mod translate;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    let command = cli::Cli::parse();
    match command.run() {
        Ok(()) => exit::Exit::Done.into(),
        Err(problem) => {
            eprintln!("edgeplug: {}", problem.text);
            problem.exit.into()
        }
    }
}
