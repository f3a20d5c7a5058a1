//! The layers, checked on this very workspace: what Cargo says about dependencies, and what the sources name.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use edgeplug_layers::graph::{COMPILER_PACKAGES, NEVER_SHIPPED, OWNED, forbidden_arrows, host_packages, trespassers};
use edgeplug_layers::rules::{Finding, holds_only_tests, impure, names_any_of, rust_files, unsafe_code};

/// The crates that decide and encode, and so must give the same answer to the same input for ever.
const PURE: [&str; 2] = ["edgeplug-protocol", "edgeplug-session"];

/// The files that may hold `unsafe`: one loads a component that our own compiler made, one sets a socket option that no crate
/// has in a safe form.
const UNSAFE_FILES: [&str; 2] = ["host/edgeplug-plugins/src/artefact.rs", "host/edgeplug-link/src/gather.rs"];

fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn workspace() -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.cargo_path(cargo()).manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"));
    // Dependencies as declared are all that is asked; resolving them would want every platform's crates.
    command.no_deps();
    command.exec().context("cargo metadata failed on the workspace")
}

/// What `judge` finds in the files of a package: `src`, and with `also` its tests and build script too.
fn scan(
    root: &Path,
    package: &Package,
    folders: &[&str],
    judge: impl Fn(&Path, &str) -> Vec<Finding>,
) -> Result<Vec<Finding>> {
    let directory = package.manifest_path.parent().context("a manifest lies in a directory")?.as_std_path();
    let mut found = Vec::new();
    for folder in folders {
        for file in rust_files(&directory.join(folder))? {
            let source = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            found.extend(judge(file.strip_prefix(root)?, &source));
        }
    }
    Ok(found)
}

fn none(found: &[impl ToString]) -> Result<()> {
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    ensure!(lines.is_empty(), "the layers are broken in {} places:\n{}", lines.len(), lines.join("\n"));
    Ok(())
}

#[test]
fn arrows_between_our_packages_only_run_downwards() -> Result<()> {
    none(&forbidden_arrows(&workspace()?))
}

#[test]
fn a_library_with_a_home_is_a_dependency_only_there() -> Result<()> {
    none(&trespassers(&workspace()?))
}

#[test]
fn a_library_with_a_home_is_named_only_there() -> Result<()> {
    let metadata = workspace()?;
    let mut found = Vec::new();
    for package in host_packages(&metadata) {
        for owned in OWNED.iter().filter(|owned| !owned.owners.contains(&package.name.as_str())) {
            found.extend(scan(
                metadata.workspace_root.as_std_path(),
                package,
                &["src", "tests", "benches"],
                |file, source| names_any_of(file, source, owned.crates, &owned.owners.join(", ")),
            )?);
        }
    }
    none(&found)
}

#[test]
fn pure_crates_name_no_runtime_no_io_no_clock_and_no_random_source() -> Result<()> {
    let metadata = workspace()?;
    let pure: Vec<&Package> =
        host_packages(&metadata).into_iter().filter(|package| PURE.contains(&package.name.as_str())).collect();
    ensure!(pure.len() == PURE.len(), "the pure crates are not where this test looks for them");
    let mut found = Vec::new();
    for package in pure {
        found.extend(scan(metadata.workspace_root.as_std_path(), package, &["src"], |file, source| {
            if holds_only_tests(file) { Vec::new() } else { impure(file, source) }
        })?);
    }
    none(&found)
}

#[test]
fn unsafe_is_only_in_the_files_named_for_it() -> Result<()> {
    let metadata = workspace()?;
    let mut found = Vec::new();
    for package in host_packages(&metadata) {
        found.extend(scan(
            metadata.workspace_root.as_std_path(),
            package,
            &["src", "tests", "benches"],
            |file, source| {
                if UNSAFE_FILES.iter().any(|named| file == Path::new(named)) {
                    Vec::new()
                } else {
                    unsafe_code(file, source)
                }
            },
        )?);
    }
    none(&found)
}

/// Features depend on what one Cargo call selects, so the selections are exactly those of the Makefile: the daemon by
/// itself (release) and everything but the compiler (development and tests, hence with development dependencies).
#[test]
fn no_build_of_the_daemon_holds_a_wasm_compiler() -> Result<()> {
    for selection in [["-p", "edgeplug"].as_slice(), &["--workspace", "--exclude", "edgeplug-compiler"]] {
        none(&linked(&COMPILER_PACKAGES, selection, "normal,dev")?)?;
    }
    Ok(())
}

/// Without this the test above would pass on an empty answer.
#[test]
fn the_compiler_is_found_where_it_belongs() -> Result<()> {
    let found = linked(&COMPILER_PACKAGES, &["-p", "edgeplug-compiler"], "normal")?;
    ensure!(
        found.iter().any(|line| line.starts_with("cranelift-codegen ")),
        "cargo tree shows no Cranelift: {found:?}"
    );
    Ok(())
}

#[test]
fn what_only_tests_may_use_is_in_nothing_that_ships() -> Result<()> {
    for program in ["edgeplug", "edgeplug-compiler"] {
        none(&linked(&NEVER_SHIPPED, &["-p", program], "normal,build")?)?;
    }
    Ok(())
}

/// Which of `packages` Cargo builds for a selection of packages on this platform, along dependencies of these kinds.
fn linked(packages: &[&str], selection: &[&str], edges: &str) -> Result<Vec<String>> {
    let output = Command::new(cargo())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .args(["tree", "--prefix", "none", "--format", "{p}", "--edges", edges])
        .args(selection)
        .output()
        .context("cargo tree did not start")?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout)?;
    ensure!(tree.lines().count() > 10, "cargo tree is too short to be true: {tree}");
    let mut found: Vec<String> = tree
        .lines()
        .filter(|line| line.split(' ').next().is_some_and(|name| packages.contains(&name)))
        .map(|line| format!("{line}, selected by {}", selection.join(" ")))
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}
