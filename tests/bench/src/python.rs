//! The Python SDKs beside us, each in a process of its own, on versions that `scripts/bench-python.sh` installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use edgeplug_test_support::certificates::ServerCertificate;
use edgeplug_test_support::programs::target_directory;
use serde_json::Value;

use crate::figures::Round;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Sdk {
    /// `iotconnect-sdk-lite`: the vendor's own.
    Lite,
    /// `azure-iot-device`: what the old SDK and most Azure devices use.
    Azure,
}

impl Sdk {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lite => "lite",
            Self::Azure => "azure",
        }
    }

    fn program(self) -> PathBuf {
        let name = match self {
            Self::Lite => "iotconnect_sdk_lite.py",
            Self::Azure => "azure_iot_device.py",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
    }

    fn interpreter(self) -> anyhow::Result<PathBuf> {
        let python = target_directory().join("bench-venv").join(self.name()).join("bin/python");
        ensure!(python.is_file(), "{} is not there: run `make bench`", python.display());
        Ok(python)
    }
}

/// What was measured: package and version, by package.
pub(crate) fn versions() -> anyhow::Result<Value> {
    let mut versions = serde_json::Map::new();
    for sdk in [Sdk::Lite, Sdk::Azure] {
        let text = run(sdk, &["versions"])?;
        let Value::Object(found) = serde_json::from_str(&text)? else { continue };
        versions.extend(found);
    }
    Ok(versions.into())
}

/// Runs the SDK for a while. Its processor time is its own process's.
pub(crate) async fn round(
    sdk: Sdk,
    ca_file: &Path,
    server: &ServerCertificate,
    port: u16,
    in_flight: u16,
    warm_up: Duration,
    time: Duration,
) -> anyhow::Result<Round> {
    let arguments = [
        "run".to_owned(),
        ca_file.display().to_string(),
        // The lite SDK insists on a certificate of its own; the broker does not ask for it.
        server.certificate_file.display().to_string(),
        server.key_file.display().to_string(),
        port.to_string(),
        in_flight.to_string(),
        warm_up.as_secs_f64().to_string(),
        time.as_secs_f64().to_string(),
    ];
    let text = tokio::task::spawn_blocking(move || run(sdk, &arguments.iter().map(String::as_str).collect::<Vec<_>>()))
        .await??;
    let figure: Value = serde_json::from_str(&text).with_context(|| format!("{} said {text:?}", sdk.name()))?;
    let number = |name: &str| figure.get(name).and_then(Value::as_f64).with_context(|| format!("no {name} in {text}"));
    Ok(Round {
        messages: number("messages")? as u64,
        time: Duration::from_secs_f64(number("seconds")?),
        processor: Duration::from_secs_f64(number("processor_s")?),
    })
}

/// The last line of JSON that it prints; the SDKs speak too.
fn run(sdk: Sdk, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(sdk.interpreter()?)
        // No bytecode beside the sources.
        .arg("-B")
        .arg(sdk.program())
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run the {} SDK", sdk.name()))?;
    ensure!(output.status.success(), "the {} SDK ended with {}", sdk.name(), output.status);
    let text = String::from_utf8(output.stdout)?;
    let answer = text.lines().rfind(|line| line.starts_with('{'));
    answer.map(str::to_owned).with_context(|| format!("the {} SDK said nothing", sdk.name()))
}
