//! `edgeplug ota …`: what was typed, and where it goes.

use std::path::PathBuf;

use clap::Subcommand;

use super::{ConfigFile, Listing, on_runtime, print};
use crate::config::Config;
use crate::exit::Problem;
use crate::logging::{self, LogFormat};
use crate::ota;

#[derive(Debug, Subcommand)]
pub(super) enum OtaCommand {
    /// Updates that have no outcome yet, one for each device they are for.
    List(Listing),
    /// Carry out one request of the daemon's and answer it; for edgeplug-install.service, which runs as root.
    InstallRequest {
        /// The request: `ota/requests/install.json` below the daemon's state directory.
        file: PathBuf,
        /// A directory of root's, where the files are copied to and verified.
        #[arg(long, value_name = "DIR", env = "CACHE_DIRECTORY", default_value = "/var/cache/edgeplug-install")]
        work: PathBuf,
        #[command(flatten)]
        config: ConfigFile,
    },
}

impl OtaCommand {
    pub(super) fn run(self) -> Result<(), Problem> {
        match self {
            Self::List(listing) => listing.show("/v1/updates", print::updates::list),
            Self::InstallRequest { file, work, config } => {
                logging::start(LogFormat::Text, "info");
                let config = Config::load_ota(&config.config);
                on_runtime(async move { ota::install_request(config, &file, &work).await })
            }
        }
    }
}
