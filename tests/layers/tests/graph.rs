//! The dependency rules, checked on a workspace that breaks them: a rule that nothing can break proves nothing.

use std::fs;
use std::path::Path;

use anyhow::Result;
use cargo_metadata::MetadataCommand;
use edgeplug_layers::graph::{forbidden_arrows, trespassers};

fn package(root: &Path, folder: &str, name: &str, dependencies: &str) -> Result<()> {
    let directory = root.join(folder).join(name);
    fs::create_dir_all(directory.join("src"))?;
    fs::write(directory.join("src/lib.rs"), "")?;
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n{dependencies}");
    fs::write(directory.join("Cargo.toml"), manifest)?;
    Ok(())
}

#[test]
fn arrows_and_trespassers_are_named_whatever_the_kind_of_dependency() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    fs::write(root.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"host/*\", \"tests/*\"]\n")?;
    package(root, "tests", "edgeplug-cloud", "[dependencies]\nrusqlite = \"0\"\n")?;
    package(root, "host", "edgeplug-protocol", "")?;
    package(root, "host", "edgeplug-newcomer", "")?;
    package(
        root,
        "host",
        "edgeplug-link",
        "[dependencies]\nedgeplug-protocol = { path = \"../edgeplug-protocol\" }\n\
         wire = { package = \"rumqttc-v4-next\", version = \"0\" }\ntss = { package = \"tss-esapi\", version = \"7\" }\n\
         [dev-dependencies]\nedgeplug-cloud = { path = \"../../tests/edgeplug-cloud\" }\nrusqlite = \"0\"\n",
    )?;
    package(
        root,
        "host",
        "edgeplug-session",
        "[dependencies]\nedgeplug-cloud = { path = \"../../tests/edgeplug-cloud\" }\n\
         [dev-dependencies]\nedgeplug-link = { path = \"../edgeplug-link\" }\n",
    )?;

    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let mut arrows = forbidden_arrows(&metadata);
    arrows.sort();
    assert_eq!(
        arrows,
        [
            "edgeplug-newcomer has no place among the layers: say what it may depend on",
            "edgeplug-session must not depend on edgeplug-cloud (normal dependency)",
            "edgeplug-session must not depend on edgeplug-link (dev dependency)",
        ]
    );
    let mut found = trespassers(&metadata);
    found.sort();
    assert_eq!(
        found,
        [
            "edgeplug-link depends on rusqlite, which only edgeplug-outbox may",
            "edgeplug-link depends on tss-esapi, which only edgeplug-identity may",
        ]
    );
    Ok(())
}
