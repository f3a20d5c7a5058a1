//! The SDKs and templates that are part of this program (`build.rs` packs them), and what a new project gets of them.

use std::collections::BTreeMap;

/// Compressed; for each file its SDK, path and length, a line each, and its content.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/packed"));
/// A tenth of it is more than there is.
const UNPACKED_BYTES_MAX: usize = 16 << 20;

/// One file of `guests/<sdk>/`.
struct Packed<'a> {
    sdk: &'a str,
    /// Below the SDK's folder, with `/`.
    path: &'a str,
    content: &'a [u8],
}

/// Template of an SDK, and what another language of the same SDK has instead (`template-go`).
const TEMPLATE: &str = "template";
/// Where a project keeps its copy of the SDK.
const SDK: &str = "sdk";
/// Ends the name of a file that our own tools would take for one of theirs: `Cargo.toml.in`.
const ESCAPE: &str = ".in";

/// A file to be written, its path below the project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Laid {
    pub(super) path: String,
    pub(super) content: Vec<u8>,
}

/// Everything of a new project, ordered by path; empty when this program has nothing for the language.
pub(super) fn project(sdk: &str, language: &str, fill: impl Fn(&str) -> String) -> Vec<Laid> {
    // It is our own; it would be the build that is broken.
    let unpacked = miniz_oxide::inflate::decompress_to_vec_with_limit(PACKED, UNPACKED_BYTES_MAX).unwrap_or_default();
    let packed: Vec<Packed<'_>> = Files(&unpacked).filter(|file| file.sdk == sdk).collect();
    let special = format!("{TEMPLATE}-{language}");
    let mut files = BTreeMap::new();
    // In order of precedence: what is special to a language comes last and replaces.
    for folder in [TEMPLATE, &special] {
        for file in &packed {
            if let Some(path) = file.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) {
                let content = match std::str::from_utf8(file.content) {
                    Ok(text) => fill(text).into_bytes(),
                    Err(_) => file.content.to_vec(),
                };
                files.insert(laid_name(&fill(path)), content);
            }
        }
    }
    if !files.is_empty() {
        for file in packed.iter().filter(|file| !file.path.starts_with(TEMPLATE)) {
            files.insert(format!("{SDK}/{}", file.path), file.content.to_vec());
        }
    }
    files.into_iter().map(|(path, content)| Laid { path, content }).collect()
}

/// Takes one file after the other from what is left.
struct Files<'a>(&'a [u8]);

impl<'a> Iterator for Files<'a> {
    type Item = Packed<'a>;

    fn next(&mut self) -> Option<Packed<'a>> {
        let mut parts = self.0.splitn(4, |byte| *byte == b'\n');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let (sdk, path, length) = (text()?, text()?, text()?);
        let (content, rest) = parts.next()?.split_at_checked(length.parse().ok()?)?;
        self.0 = rest;
        Some(Packed { sdk, path, content })
    }
}

fn laid_name(path: &str) -> String {
    let path = path.strip_suffix(ESCAPE).unwrap_or(path);
    match path.rsplit_once('/') {
        Some((directory, "gitignore")) => format!("{directory}/.gitignore"),
        None if path == "gitignore" => ".gitignore".to_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
