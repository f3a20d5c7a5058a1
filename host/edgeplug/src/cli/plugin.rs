//! `edgeplug plugin …`: what was typed, and where it goes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use edgeplug_plugins::EngineKind;

use super::{Daemon, Listing, on_runtime, print};
use crate::api::client;
use crate::config::compiler_beside_us;
use crate::exit::Problem;
use crate::plugin::build::Build;
use crate::plugin::compile::Compile;
use crate::plugin::logs::{Logs, TAIL_DEFAULT};
use crate::plugin::new::Language;
use crate::plugin::trial::schedule::{At, Object, Setting, Span, Switch};
use crate::plugin::trial::{Inject, Samples, Try};
use crate::plugin::{inspect, new};

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// What runs and how it fares, a line each.
    List(Listing),
    /// All that is known of one plugin: version, rights, calls, times, memory.
    Show {
        /// The plugin.
        name: String,
        #[command(flatten)]
        listing: Listing,
    },
    /// Have a fresh instance of a plugin started now; ends a quarantine.
    Restart(Operated),
    /// Switch a plugin on again; ends a quarantine, too.
    Enable(Operated),
    /// Switch a plugin off; it stays off until it is enabled, whatever happens to its files or the daemon.
    Disable(Operated),
    /// What a plugin of the running daemon logged, printed and died of: the last lines.
    Logs {
        /// The plugin.
        name: String,
        /// Go on until Ctrl-C.
        #[arg(long)]
        follow: bool,
        /// So many of the lines there are.
        #[arg(long, value_name = "N", default_value_t = TAIL_DEFAULT)]
        tail: usize,
        #[command(flatten)]
        listing: Listing,
    },
    /// Begin a plugin: a directory with a source, a test, a manifest and a copy of the SDK, which builds with `make`.
    New {
        /// What it is written in.
        #[arg(long, value_enum)]
        lang: Language,
        /// The plugin's name.
        name: String,
        /// The directory to make, instead of one of the plugin's name here.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Make a component of what a compiler built, and say whether the daemon takes it.
    Build {
        /// A core module or a component.
        file: PathBuf,
        /// Where the component goes, in place of the file itself.
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// What a module exports that does not say so itself: a world of the interface, or a list such as
        /// `sensor,commands`. What the module has not is left out.
        #[arg(long, default_value = "plugin")]
        world: String,
        #[command(flatten)]
        compiler: Compiler,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compile components for a system image, so that no device has to.
    ///
    /// The daemon takes them from the directories of `plugins.cache_images`. They fit daemons of this build, on this
    /// architecture.
    Compile {
        /// The components.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The directory for what they become; made when it is missing.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
        /// What they are compiled for: `plugins.engine` of the daemon's configuration, native or interpreter.
        #[arg(long, default_value_t = EngineKind::Native)]
        engine: EngineKind,
        #[command(flatten)]
        compiler: Compiler,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what a file is without running it: imports, exports, whether the daemon takes it, what it needs.
    Inspect {
        /// A component, or whatever it is.
        file: PathBuf,
        #[command(flatten)]
        compiler: Compiler,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a plugin without a daemon, a device or a cloud, and print what it does.
    ///
    /// It gets every right its manifest asks for but the network. A moment may stand before what happens: `--command '+5m set-limit
    /// 10'`. Without one it happens at the start. The exit code says whether all calls were answered well.
    Try(Box<TryArguments>),
}

#[derive(Debug, Args)]
pub(super) struct Operated {
    /// The plugin.
    name: String,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Args)]
pub(super) struct TryArguments {
    /// The component.
    file: PathBuf,
    /// Its manifest, in place of the .toml file beside it.
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// A value of its configuration, over that of the manifest; as often as needed.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<Setting>,
    /// A directory that stands for / in all that the plugin reads.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Let it use the network as far as its manifest asks.
    #[arg(long)]
    allow_network: bool,
    /// So much time on a clock that runs as fast as the plugin can (1h30m); without it in real time, until Ctrl-C.
    #[arg(long, value_name = "TIME")]
    virtual_time: Option<Span>,
    /// A command from the cloud; as often as needed.
    #[arg(long, value_name = "[+TIME ]TEXT")]
    command: Vec<At<String>>,
    /// What the cloud wants of the twin: a JSON object; as often as needed.
    #[arg(long, value_name = "[+TIME ]JSON")]
    desired: Vec<At<Object>>,
    /// A firmware file; as often as needed.
    #[arg(long, value_name = "[+TIME ]FILE")]
    update: Vec<At<PathBuf>>,
    /// Other plugins' samples, to be transformed: a JSON list; as often as needed.
    #[arg(long, value_name = "[+TIME ]JSON")]
    transform: Vec<At<Samples>>,
    /// The connection to the cloud, which is on when nothing is said: on or off; as often as needed.
    #[arg(long, value_name = "[+TIME ]ON/OFF")]
    connection: Vec<At<Switch>>,
    /// Break something: failing reads, files without numbers, a leaping clock; as often as needed.
    #[arg(long, value_enum, ignore_case = true)]
    inject: Vec<Inject>,
    #[command(flatten)]
    compiler: Compiler,
    /// As JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Compiler {
    /// The program edgeplug-compiler, when it does not lie where it was installed or built.
    #[arg(long, env = "EDGEPLUG_COMPILER", value_name = "PROGRAM")]
    compiler: Option<PathBuf>,
}

impl PluginCommand {
    pub(super) fn run(self) -> Result<(), Problem> {
        match self {
            Self::List(listing) => listing.show("/v1/plugins", print::plugins::list),
            Self::Show { name, listing } => {
                listing.show(&format!("/v1/plugins/{}", client::segment(&name)), print::plugins::show)
            }
            Self::Restart(operated) => operated.tell("restart"),
            Self::Enable(operated) => operated.tell("enable"),
            Self::Disable(operated) => operated.tell("disable"),
            Self::Logs { name, follow, tail, listing } => {
                let Listing { socket, json } = listing;
                on_runtime(Logs { plugin: name, socket, follow, tail, json }.run())
            }
            Self::New { lang, name, dir } => new::new(lang, &name, dir.as_deref()),
            Self::Build { file, output, world, compiler, json } => {
                on_runtime(Build { file, output, world, compiler: compiler.path(), json }.run())
            }
            Self::Compile { files, output, engine, compiler, json } => {
                on_runtime(Compile { files, output, engine, compiler: compiler.path(), json }.run())
            }
            Self::Inspect { file, compiler, json } => {
                on_runtime(async move { inspect::inspect(&file, &compiler.path(), json).await })
            }
            Self::Try(arguments) => on_runtime(arguments.meaning().run()),
        }
    }
}

impl Operated {
    fn tell(&self, operation: &str) -> Result<(), Problem> {
        self.daemon.tell(&format!("/v1/plugins/{}/{operation}", client::segment(&self.name)), &())
    }
}

impl TryArguments {
    fn meaning(self) -> Try {
        Try {
            component: self.file,
            manifest: self.manifest,
            config: self.config,
            root: self.root,
            allow_network: self.allow_network,
            virtual_time: self.virtual_time.map(|span| span.0),
            connection: self.connection,
            desired: self.desired,
            commands: self.command,
            updates: self.update,
            samples: self.transform,
            inject: self.inject,
            compiler: self.compiler.path(),
            json: self.json,
        }
    }
}

impl Compiler {
    fn path(self) -> PathBuf {
        self.compiler.unwrap_or_else(compiler_beside_us)
    }
}
