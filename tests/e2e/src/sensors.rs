//! The example plugin `system-sensors` in its box: what the portal knows of it and what it is allowed.

use edgeplug_cloud::{Attribute, Template};

use crate::world::{PluginFiles, WorldOptions};

/// Its name in the plugins directory.
pub const SYSTEM_SENSORS: &str = "system-sensors";

const ATTRIBUTES: [&str; 7] = [
    "cpu_load_1m",
    "cpu_percent",
    "memory_available_mb",
    "memory_used_percent",
    "uptime_s",
    "temperature_c",
    "sequence",
];

/// A world whose portal has its attributes and whose operator allows its files; `attributes` are added to them.
#[must_use]
pub fn system_sensors(attributes: &[&str]) -> WorldOptions {
    let attributes = ATTRIBUTES.iter().chain(attributes).map(|name| Attribute::number(name)).collect();
    WorldOptions {
        template: Template { attributes, ..Template::default() },
        plugins: "[plugins.allow.system-sensors]\nfiles = [\"/proc/loadavg\", \"/proc/stat\", \"/proc/meminfo\", \
                  \"/proc/uptime\", \"/sys/class/thermal/thermal_zone*/temp\"]\n"
            .to_owned(),
        ..WorldOptions::default()
    }
}

/// Its manifest, with this interval; each accepted reading is logged by number.
#[must_use]
pub fn manifest(interval_ms: u32) -> String {
    format!(
        "interval_ms = {interval_ms}\nfiles = [\"/proc/loadavg\", \"/proc/stat\", \"/proc/meminfo\", \"/proc/uptime\", \
         \"/sys/class/thermal/thermal_zone*/temp\"]\n[config]\nlog_accepted = \"true\"\n"
    )
}

/// Its first build, with this manifest.
#[must_use]
pub fn first_build(manifest: &str) -> PluginFiles<'_> {
    PluginFiles { name: SYSTEM_SENSORS, guest: "system-sensors-rust", manifest: Some(manifest) }
}

/// Its second build, to be dropped over the first.
#[must_use]
pub fn second_build() -> PluginFiles<'static> {
    PluginFiles { name: SYSTEM_SENSORS, guest: "system-sensors-rust-v2", manifest: None }
}
