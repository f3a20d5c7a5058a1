//! `[plugins]`: where they lie, whose they may be, how they are tried and what they are allowed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgeplug_plugins::{EngineKind, KeyError, Limits, PluginPolicy, Policy, Probation, SignatureMode, SignaturePolicy};
use edgeplug_session::config::{TransformFailure, Transforms};
use serde::Deserialize;

use super::compiler_beside_us;
use super::context::Context;
use crate::exit::{Exit, Problem, chain};

/// A file is read when it has not changed for so long; a minute is longer than any copy pauses.
const SETTLE_MS: std::ops::RangeInclusive<u64> = 0..=60_000;
/// An hour: who waits longer for a file to be seen says `plugin restart`.
const RESCAN_S: std::ops::RangeInclusive<u64> = 1..=3_600;
/// A week.
const PROBATION_S: std::ops::RangeInclusive<u64> = 0..=604_800;
const PROBATION_CALLS: std::ops::RangeInclusive<u32> = 0..=1_000_000;
const QUARANTINE_STRIKES: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Up to the longest wait between two restarts.
const RESTART_MIN_MS: std::ops::RangeInclusive<u64> = 10..=300_000;
/// Plugins that one reading may pass through. Each costs a call.
const FILTERS_MAX: usize = 8;
/// As many as there may be plugins, and `*`.
const SOURCES_MAX: usize = 257;

/// What `[plugins]` means.
#[derive(Debug)]
pub(crate) struct PluginsConfig {
    pub(crate) directory: PathBuf,
    pub(crate) compiler: PathBuf,
    pub(crate) engine: EngineKind,
    pub(crate) cache_images: Vec<PathBuf>,
    pub(crate) signature: SignaturePolicy,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedPlugins {
    directory: Option<PathBuf>,
    compiler: Option<PathBuf>,
    #[serde(default)]
    engine: EngineKind,
    #[serde(default)]
    cache_images: Vec<PathBuf>,
    #[serde(default)]
    signature: SignatureMode,
    #[serde(default)]
    keys: Vec<String>,
    settle_ms: Option<u64>,
    rescan_s: Option<u64>,
    probation_s: Option<u64>,
    probation_calls: Option<u32>,
    quarantine_strikes: Option<u32>,
    restart_min_ms: Option<u64>,
    #[serde(default)]
    transforms: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    transform_failure: TypedTransformFailure,
    #[serde(default)]
    allow: BTreeMap<String, PluginPolicy>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TypedTransformFailure {
    /// Readings go on as they were.
    #[default]
    Pass,
    /// They are not taken.
    Drop,
}

impl TypedPlugins {
    pub(super) fn check(self, context: &Context<'_>, state_dir: &Path) -> Result<PluginsConfig, Problem> {
        let limits = self.limits(context)?;
        let signature = SignaturePolicy::new(self.signature, &self.keys).map_err(|error| match &error {
            KeyError::NoKeys(mode) => {
                let reason = format!("{mode:?} needs a key whose signatures count; set plugins.keys");
                context.invalid("plugins.signature", &reason)
            }
            KeyError::Read(..) => context.wrong("plugins.keys", Exit::ConfigFileMissing, &chain(&error)),
            _ => context.invalid("plugins.keys", &chain(&error)),
        })?;
        if let Some(path) = self.cache_images.iter().find(|path| !path.is_absolute()) {
            let reason = format!("{} is no absolute path; write it from / on", path.display());
            return Err(context.invalid("plugins.cache_images", &reason));
        }
        let compiler = match self.compiler {
            Some(compiler) => {
                context.file("plugins.compiler", &compiler)?;
                compiler
            }
            None => compiler_beside_us(),
        };
        Ok(PluginsConfig {
            directory: self.directory.unwrap_or_else(|| state_dir.join("plugins")),
            compiler,
            engine: self.engine,
            cache_images: self.cache_images,
            signature,
            policy: Policy {
                source: format!("[plugins.allow.NAME] in {}", context.file.display()),
                plugins: self.allow,
            },
            limits,
        })
    }

    /// Which plugins filter whose readings.
    pub(super) fn transforms(&self, context: &Context<'_>) -> Result<Transforms, Problem> {
        if self.transforms.len() > SOURCES_MAX {
            return Err(context.invalid("plugins.transforms", &format!("at most {SOURCES_MAX} plugins can be named")));
        }
        for (source, filters) in &self.transforms {
            let key = format!("plugins.transforms.{source}");
            if filters.len() > FILTERS_MAX {
                return Err(context.invalid(&key, &format!("at most {FILTERS_MAX} filters can stand in a row")));
            }
            for (index, filter) in filters.iter().enumerate() {
                context.name(&key, filter)?;
                let reason = match filter.as_str() {
                    "*" => "a filter is named; `*` stands for sources only".to_owned(),
                    itself if itself == source => {
                        format!("{itself} cannot filter what it measured itself; remove it")
                    }
                    twice if filters.iter().take(index).any(|other| other == twice) => {
                        format!("{twice} stands there twice; remove one")
                    }
                    _ => continue,
                };
                return Err(context.invalid(&key, &reason));
            }
        }
        let failure = match self.transform_failure {
            TypedTransformFailure::Pass => TransformFailure::Pass,
            TypedTransformFailure::Drop => TransformFailure::Drop,
        };
        Ok(Transforms { filters: self.transforms.clone(), failure })
    }

    fn limits(&self, context: &Context<'_>) -> Result<Limits, Problem> {
        let usual = Limits::default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let range = |key: &str, typed, default, range, unit| {
            context.range::<u64>(&format!("plugins.{key}"), typed, default, range, unit)
        };
        let count = |key: &str, typed, default, range, unit| {
            context.range::<u32>(&format!("plugins.{key}"), typed, default, range, unit)
        };
        let settle_ms = range("settle_ms", self.settle_ms, ms(usual.settle), SETTLE_MS, "ms")?;
        let rescan_s = range("rescan_s", self.rescan_s, usual.rescan.as_secs(), RESCAN_S, "seconds")?;
        let probation_s =
            range("probation_s", self.probation_s, usual.probation.time.as_secs(), PROBATION_S, "seconds")?;
        let restart_min_ms = range("restart_min_ms", self.restart_min_ms, ms(usual.restart_min), RESTART_MIN_MS, "ms")?;
        let good_calls =
            count("probation_calls", self.probation_calls, usual.probation.good_calls, PROBATION_CALLS, "calls")?;
        let quarantine_strikes = count(
            "quarantine_strikes",
            self.quarantine_strikes,
            usual.quarantine_strikes,
            QUARANTINE_STRIKES,
            "faults",
        )?;
        Ok(Limits {
            settle: Duration::from_millis(settle_ms),
            rescan: Duration::from_secs(rescan_s),
            restart_min: Duration::from_millis(restart_min_ms),
            quarantine_strikes,
            probation: Probation { good_calls, time: Duration::from_secs(probation_s) },
            ..usual
        })
    }
}
