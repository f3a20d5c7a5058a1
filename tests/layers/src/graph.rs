//! The arrows between packages, as Cargo reports them, and which of them the architecture allows.

use cargo_metadata::{DependencyKind, Metadata, Package};

/// What a package of the host may depend on among our own packages.
///
/// A package that is missing here has no place in the architecture, which is a finding too.
pub const ARROWS: [(&str, &[&str]); 10] = [
    ("edgeplug-protocol", &[]),
    ("edgeplug-engine", &[]),
    ("edgeplug-signature", &[]),
    ("edgeplug-session", &["edgeplug-protocol"]),
    ("edgeplug-identity", &["edgeplug-protocol"]),
    ("edgeplug-outbox", &["edgeplug-protocol"]),
    ("edgeplug-link", &["edgeplug-protocol"]),
    ("edgeplug-firmware", &["edgeplug-signature"]),
    ("edgeplug-plugins", &["edgeplug-protocol", "edgeplug-engine", "edgeplug-signature"]),
    ("edgeplug-compiler", &["edgeplug-engine"]),
];

/// The daemon composes everything but the compiler, which is a program of its own.
pub const DAEMON: (&str, &[&str]) = (
    "edgeplug",
    &[
        "edgeplug-session",
        "edgeplug-identity",
        "edgeplug-outbox",
        "edgeplug-link",
        "edgeplug-firmware",
        "edgeplug-plugins",
        "edgeplug-protocol",
        "edgeplug-signature",
    ],
);

/// What tests of a host package may use besides; none of it is ever part of what ships.
pub const TEST_PACKAGES: [&str; 2] = ["edgeplug-cloud", "edgeplug-test-support"];

/// A library that has one home: how packages of it begin, how Rust paths to it begin, and who may name it within `host/`.
pub struct Owned {
    /// A package belongs to it by this name, or by this name and a hyphen before more (`wasmtime`, `wasmtime-wasi`).
    pub packages: &'static [&'static str],
    /// How its crates are written in a source.
    pub crates: &'static [&'static str],
    pub owners: &'static [&'static str],
}

pub const OWNED: [Owned; 6] = [
    Owned {
        packages: &["wasmtime", "cranelift"],
        crates: &["wasmtime", "wasmtime_wasi", "wasmtime_environ"],
        owners: &["edgeplug-plugins", "edgeplug-engine", "edgeplug-compiler"],
    },
    Owned { packages: &["tss-esapi"], crates: &["tss_esapi", "tss_esapi_sys"], owners: &["edgeplug-identity"] },
    Owned { packages: &["rumqttc", "mqttbytes"], crates: &["rumqttc", "mqttbytes"], owners: &["edgeplug-link"] },
    Owned {
        packages: &["rusqlite", "libsqlite3-sys"],
        crates: &["rusqlite", "libsqlite3_sys"],
        owners: &["edgeplug-outbox"],
    },
    Owned { packages: &["minisign-verify"], crates: &["minisign_verify"], owners: &["edgeplug-signature"] },
    Owned { packages: &["tar"], crates: &["tar"], owners: &["edgeplug-firmware"] },
];

/// What makes a WebAssembly compiler; wasmtime's runtime needs Cranelift's small data structures (`-entity`, `-bitset`,
/// `-bforest`), which compile nothing, so those do not count.
pub const COMPILER_PACKAGES: [&str; 7] = [
    "cranelift-codegen",
    "cranelift-frontend",
    "cranelift-native",
    "regalloc2",
    "wasmtime-internal-cranelift",
    "wasmtime-internal-winch",
    "winch-codegen",
];

/// What no shipped program may hold even though tests do: an unfixed timing weakness, TLS other
/// than rustls with ring, what signs, the simulator.
pub const NEVER_SHIPPED: [&str; 6] = ["rsa", "openssl-sys", "native-tls", "aws-lc-sys", "minisign", "edgeplug-cloud"];

/// The packages below `host/`.
#[must_use]
pub fn host_packages(metadata: &Metadata) -> Vec<&Package> {
    let host = metadata.workspace_root.join("host");
    metadata.workspace_packages().into_iter().filter(|package| package.manifest_path.starts_with(&host)).collect()
}

/// Every arrow between our own packages that [`ARROWS`] and [`DAEMON`] do not allow, as a sentence.
#[must_use]
pub fn forbidden_arrows(metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    for package in host_packages(metadata) {
        let Some((_, allowed)) = ARROWS.iter().chain([&DAEMON]).find(|(name, _)| package.name.as_str() == *name) else {
            found.push(format!("{} has no place among the layers: say what it may depend on", package.name));
            continue;
        };
        // A dependency by path is one of our own.
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let name = dependency.name.as_str();
            let for_tests = dependency.kind == DependencyKind::Development && TEST_PACKAGES.contains(&name);
            if !allowed.contains(&name) && !for_tests {
                found.push(format!("{} must not depend on {name} ({} dependency)", package.name, dependency.kind));
            }
        }
    }
    found
}

/// Every dependency within `host/` on a library that belongs to another package, as a sentence.
#[must_use]
pub fn trespassers(metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    for package in host_packages(metadata) {
        for dependency in &package.dependencies {
            for owned in OWNED.iter().filter(|owned| owned.holds(&dependency.name)) {
                if !owned.owners.contains(&package.name.as_str()) {
                    found.push(format!(
                        "{} depends on {}, which only {} may",
                        package.name,
                        dependency.name,
                        owned.owners.join(", ")
                    ));
                }
            }
        }
    }
    found
}

impl Owned {
    fn holds(&self, package: &str) -> bool {
        self.packages
            .iter()
            .any(|name| package.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
    }
}
