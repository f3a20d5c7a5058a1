//! `edgeplug`: the daemon and the commands that talk to it.

mod api;
mod cli;
mod clocks;
mod cloud;
mod config;
mod daemon;
mod digest;
mod exit;
mod identity;
mod logging;
mod operators;
mod ota;
mod outbox;
mod plugin;
mod plugins;
mod preview;
mod service;
mod signals;
mod store;
mod translate;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    let command = cli::Cli::parse();
    quieten_tpm_library();
    match command.run() {
        Ok(()) => exit::Exit::Done.into(),
        Err(problem) => {
            eprintln!("edgeplug: {}", problem.text);
            problem.exit.into()
        }
    }
}

/// The C library under the TPM code prints its own error lines unless its variable says otherwise before first use.
/// Setting a variable in a running process is not safe, so the program replaces itself once, under the same pid.
fn quieten_tpm_library() {
    use std::os::unix::process::CommandExt as _;
    let (variable, value) = edgeplug_identity::TSS2_LOG_ENV;
    if std::env::var_os(variable).is_some() {
        return;
    }
    if let Ok(ourselves) = std::env::current_exe() {
        let error = std::process::Command::new(ourselves).args(std::env::args_os().skip(1)).env(variable, value).exec();
        // Only noise is lost by going on.
        eprintln!("edgeplug: cannot set {variable} ({error}); the TPM library may print lines of its own");
    }
}
