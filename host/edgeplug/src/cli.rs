//! The command line: what was typed, and where it goes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::api;
use crate::config::{Config, DEFAULT_FILE, DEFAULT_SOCKET};
use crate::daemon;
use crate::exit::{Exit, Problem, chain};
use crate::identity;
use crate::logging::{self, LogFormat};

/// WebAssembly plugins for IoT devices: sensor components in, /IOTCONNECT cloud out.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground until SIGTERM.
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// How log lines look; EDGEPLUG_LOG sets what is logged (`debug`, `edgeplug_link=trace,info`).
        #[arg(long, value_enum, default_value = "text")]
        log_format: LogFormat,
    },
    /// Say what a configuration means, or what is wrong with it.
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Show how the running daemon stands with the cloud.
    Status(Listing),
    /// Plugins of the running daemon.
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// The device's identity: TPM or key.
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// What runs, what it may touch, how it fares.
    List(Listing),
}

#[derive(Debug, Subcommand)]
enum IdentityCommand {
    /// Print what the portal asks for: endorsement key and registration ids.
    Show {
        #[command(flatten)]
        config: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Also find out from which template the endorsement key was made; slow on real chips.
        #[arg(long)]
        template: bool,
    },
    /// Go the whole way to the hub once and say where it ends; the exit code tells what is wrong.
    Test {
        #[command(flatten)]
        config: ConfigFile,
        /// Give up after so many seconds.
        #[arg(long, default_value = "60")]
        timeout_s: u64,
    },
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// Configuration file.
    #[arg(long, env = "EDGEPLUG_CONFIG", default_value = DEFAULT_FILE)]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Listing {
    /// Socket of the daemon.
    #[arg(long, env = "EDGEPLUG_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// Carries the command out.
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self.command {
            Command::Run { config, log_format } => {
                logging::start(log_format, "info");
                let config = Config::load(&config.config)?;
                on_runtime(daemon::run(config))
            }
            Command::Check { config } => {
                let checked = Config::load(&config.config)?;
                println!("{} is understood", config.config.display());
                println!("  device   {} of company {}", checked.session.unique_id, checked.session.cpid);
                println!("  state    {}", checked.state_dir.display());
                println!("  socket   {}", checked.socket.display());
                println!("  plugins  {}", checked.plugins.directory.display());
                Ok(())
            }
            Command::Status(listing) => listing.show("/v1/status", print_status),
            Command::Plugin { command: PluginCommand::List(listing) } => listing.show("/v1/plugins", print_plugins),
            Command::Identity { command: IdentityCommand::Show { config, json, template } } => {
                logging::start(LogFormat::Text, "warn");
                let config = Config::load(&config.config)?;
                on_runtime(identity::show(config, json, template))
            }
            Command::Identity { command: IdentityCommand::Test { config, timeout_s } } => {
                logging::start(LogFormat::Text, "warn");
                let config = Config::load(&config.config)?;
                on_runtime(identity::test(config, Duration::from_secs(timeout_s)))
            }
        }
    }
}

impl Listing {
    fn show(&self, path: &str, print: fn(&Value)) -> Result<(), Problem> {
        let answer = on_runtime(async {
            api::get_json(&self.socket, path).await.map_err(|error| {
                let socket = self.socket.display();
                let text = format!("no daemon answers on {socket} ({error:#}); start one with `edgeplug run`, or name its socket with --socket");
                Problem::new(Exit::NoDaemon, text)
            })
        })?;
        if self.json {
            println!("{answer:#}")
        } else {
            print(&answer)
        }
        Ok(())
    }
}

fn on_runtime<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        // A plugin that computes holds a worker for a whole tick; look at sockets and timers after every other one.
        .event_interval(2)
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Exit::Failed, format!("cannot start: {}", chain(&error))))?;
    let result = runtime.block_on(work);
    // A TPM that hangs must not keep the process.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    result
}

/// One for the main loop and the link, one for plugins; more only wait on small devices.
const WORKER_THREADS: usize = 2;
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

fn print_status(status: &Value) {
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    println!("link      {} {}", text("/link"), text("/hub"));
    if !text("/trouble/text").is_empty() {
        println!("trouble   {} ({})", text("/trouble/text"), text("/trouble/kind"));
    }
    if let Some(wait) = status.get("retry_in_s").and_then(Value::as_f64) {
        println!("retry     in {wait:.0} s");
    }
    match status.get("template_attributes").and_then(Value::as_u64) {
        Some(count) => println!("template  {count} attributes"),
        None => println!("template  not known yet; readings are stored as they are"),
    }
    println!(
        "readings  {} accepted, {} rejected; {} messages delivered, {} waiting",
        number("/uplink/accepted"),
        number("/uplink/rejected"),
        number("/uplink/delivered"),
        number("/uplink/waiting")
    );
    println!(
        "commands  {} done, {} failed, {} open",
        number("/commands/done"),
        number("/commands/failed"),
        number("/commands/open")
    );
}

fn print_plugins(plugins: &Value) {
    let plugins = plugins.as_array().map(Vec::as_slice).unwrap_or_default();
    if plugins.is_empty() {
        println!("no plugins; drop a .wasm component into the plugins directory");
    }
    for plugin in plugins {
        let text = |key: &str| plugin.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| plugin.get(key).and_then(Value::as_u64).unwrap_or_default();
        let version: String = text("sha256").chars().take(12).collect();
        println!("{}  {}  {version}", text("plugin"), text("state"));
        println!(
            "  calls {}, faults {}, restarts {}, every {} ms",
            number("calls"),
            number("faults"),
            number("restarts"),
            number("interval_ms")
        );
        let grants = plugin.get("grants").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for grant in grants.iter().filter_map(Value::as_str) {
            println!("  {grant}");
        }
        if !text("problem").is_empty() {
            println!("  problem: {}", text("problem"));
        }
    }
}
