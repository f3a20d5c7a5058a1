//! The command line: what was typed, and where it goes.

mod ota;
mod plugin;
pub(crate) mod print;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::api::{
    self,
    client::{self, AskError},
};
use crate::config::{Config, DEFAULT_FILE, DEFAULT_SOCKET};
use crate::daemon;
use crate::exit::{Exit, Problem, chain};
use crate::identity;
use crate::logging::{self, LogFormat};
use crate::outbox::{self, Output, Which};
use crate::preview::Preview;
use ota::OtaCommand;
use plugin::PluginCommand;

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
    /// Let the running daemon connect to the cloud again.
    Connect(Daemon),
    /// Have the running daemon close its connection to the cloud and leave it closed; readings go on being stored.
    Disconnect(Daemon),
    /// Take back a hard stop by the cloud: the running daemon samples and sends again.
    Resume(Daemon),
    /// Have the running daemon ask the cloud again for everything it says about this device.
    Refresh(Daemon),
    /// Child devices of a gateway.
    Child {
        #[command(subcommand)]
        command: ChildCommand,
    },
    /// Plugins: those of the running daemon, and making and trying new ones without one.
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Firmware updates from the cloud.
    Ota {
        #[command(subcommand)]
        command: OtaCommand,
    },
    /// Show what the cloud would get of readings on standard input: topics, bodies, and what is refused or held back.
    Preview(Preview),
    /// What waits for the cloud on this device's disk.
    Outbox {
        #[command(subcommand)]
        command: OutboxCommand,
    },
    /// The device's identity: TPM or key.
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
}

#[derive(Debug, Subcommand)]
enum OutboxCommand {
    /// How much there is, file by file; beside a running daemon or without one.
    Stats {
        #[command(flatten)]
        config: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy every row out, one JSON object a line; the rows stay. Beside a running daemon or without one.
    Export {
        #[command(flatten)]
        config: ConfigFile,
        /// Into this file instead of standard output.
        #[arg(long)]
        output: Option<PathBuf>,
        /// Write over a file that is there already.
        #[arg(long, requires = "output")]
        force: bool,
    },
    /// Give rows up: the cloud never gets them. Through the running daemon, or without one.
    Drop {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        which: WhichRows,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhichRows {
    /// Every row up to this id, as `stats` and `export` show them.
    #[arg(long, value_name = "ID")]
    through: Option<i64>,
    /// Every row there is.
    #[arg(long)]
    all: bool,
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

#[derive(Debug, Args)]
struct Daemon {
    /// Socket of the daemon.
    #[arg(long, env = "EDGEPLUG_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
}

#[derive(Debug, Subcommand)]
enum ChildCommand {
    /// The children the cloud names.
    List(Listing),
    /// Create one at the cloud (protocol 2.1).
    Create {
        /// Its unique id.
        id: String,
        /// Its tag, which binds it to attributes of the template.
        #[arg(long)]
        tag: String,
        /// The name the portal shows; the unique id when none is given.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Delete one at the cloud (protocol 2.1).
    Delete {
        /// Its unique id.
        id: String,
        #[command(flatten)]
        daemon: Daemon,
    },
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
                println!("  updates  {}", checked.ota.words());
                if let Some(reason) = &checked.ota.refused {
                    eprintln!("edgeplug: warning: updates will be refused: {reason}");
                }
                Ok(())
            }
            Command::Status(listing) => listing.show("/v1/status", print::status),
            Command::Connect(daemon) => daemon.tell("/v1/cloud/connect", &()),
            Command::Disconnect(daemon) => daemon.tell("/v1/cloud/disconnect", &()),
            Command::Resume(daemon) => daemon.tell("/v1/cloud/resume", &()),
            Command::Refresh(daemon) => daemon.tell("/v1/cloud/refresh", &()),
            Command::Child { command } => command.run(),
            Command::Plugin { command } => command.run(),
            Command::Ota { command } => command.run(),
            Command::Preview(preview) => {
                logging::start(LogFormat::Text, "error");
                preview.run()
            }
            Command::Outbox { command } => command.run(),
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

impl OutboxCommand {
    fn run(self) -> Result<(), Problem> {
        logging::start(LogFormat::Text, "warn");
        match self {
            Self::Stats { config, json } => outbox::stats(&Config::load(&config.config)?, json),
            Self::Export { config, output, force } => {
                let output = Output { file: output.as_deref(), force };
                outbox::export(&Config::load(&config.config)?, &output)
            }
            Self::Drop { config, which, yes, json } => {
                let which = which.through.map_or(Which::All, Which::Through);
                let config = Config::load(&config.config)?;
                on_runtime(outbox::drop_rows(&config, which, yes, json))
            }
        }
    }
}

impl ChildCommand {
    fn run(self) -> Result<(), Problem> {
        match self {
            Self::List(listing) => listing.show("/v1/children", print::children),
            Self::Create { id, tag, name, daemon } => {
                daemon.tell("/v1/children/create", &api::Child { unique_id: id, tag, name })
            }
            Self::Delete { id, daemon } => {
                daemon.tell("/v1/children/delete", &api::Child { unique_id: id, tag: String::new(), name: None })
            }
        }
    }
}

impl Daemon {
    /// Has it do something, and says what was done.
    fn tell(&self, path: &str, body: &impl serde::Serialize) -> Result<(), Problem> {
        let answer = on_runtime(async {
            client::post(&self.socket, path, body).await.map_err(|error| match error {
                AskError::NoDaemon(_) => Problem::no_daemon(&self.socket, &error),
                other => Problem::new(Exit::Failed, other.to_string()),
            })
        })?;
        print::say(answer.get("done").and_then(Value::as_str).unwrap_or("done"))
    }
}

impl Listing {
    fn show(&self, path: &str, words: fn(&Value) -> String) -> Result<(), Problem> {
        let answer = on_runtime(async {
            client::get(&self.socket, path).await.map_err(|error| match error {
                AskError::NoDaemon(_) => Problem::no_daemon(&self.socket, &error),
                other => Problem::new(Exit::Failed, other.to_string()),
            })
        })?;
        print::say(&if self.json { format!("{answer:#}") } else { words(&answer) })
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
