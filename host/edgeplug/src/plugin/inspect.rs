//! `edgeplug plugin inspect`: what a file is, without running it.

use std::fmt::Write as _;
use std::path::Path;

use edgeplug_plugins::{Form, InspectError, Inspection};

use crate::cli::print::say;
use crate::exit::{Exit, Problem};

/// Calls that are refused until the operator allows something, by how they begin, and what that takes.
const RIGHTS: [(&str, &str); 7] = [
    ("files.", "reads files: those in `files` of the manifest that the operator allows"),
    ("device.disconnect", "ends the connection: with `disconnect = true` in the manifest, if the operator allows it"),
    (
        "device.reconnect",
        "makes the connection again: with `disconnect = true` in the manifest, if the operator allows it",
    ),
    ("i2c.", "uses I2C: this version of the daemon has no hardware interfaces yet"),
    ("spi.", "uses SPI: this version of the daemon has no hardware interfaces yet"),
    ("gpio.", "uses GPIO: this version of the daemon has no hardware interfaces yet"),
    ("serial.", "uses serial ports: this version of the daemon has no hardware interfaces yet"),
];

/// Says what the file holds; the exit code says whether a daemon would take it.
pub(crate) async fn inspect(file: &Path, compiler: &Path, json: bool) -> Result<(), Problem> {
    let found = look(file, &super::read(file)?, compiler).await?;
    if json {
        let mut answer = serde_json::to_value(&found).map_err(|error| Problem::new(Exit::Failed, error.to_string()))?;
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("rights".to_owned(), rights(&found).into());
        }
        say(&format!("{answer:#}"))?;
    } else {
        say(&words(file, &found))?;
    }
    verdict(file, &found)
}

/// What the compiler program says of a file with these bytes.
pub(super) async fn look(file: &Path, bytes: &[u8], compiler: &Path) -> Result<Inspection, Problem> {
    edgeplug_plugins::inspect(compiler, bytes).await.map_err(|error| match error {
        InspectError::File(reason) => Problem::new(Exit::PluginUnfit, format!("{}: {reason}", file.display())),
        InspectError::Machine(reason) => Problem::new(Exit::Failed, reason),
    })
}

/// A file that does not fit is a failure of the command.
pub(super) fn verdict(file: &Path, found: &Inspection) -> Result<(), Problem> {
    match &found.problem {
        _ if found.fits => Ok(()),
        Some(problem) => Err(Problem::new(Exit::PluginUnfit, format!("{}: {problem}", file.display()))),
        None => Err(Problem::new(Exit::PluginUnfit, format!("{} does not fit this daemon", file.display()))),
    }
}

/// What it is in a few lines.
pub(super) fn words(file: &Path, found: &Inspection) -> String {
    let form = match found.form {
        Form::Component => "a component",
        Form::Module => "a core module",
        Form::Broken => "damaged WebAssembly",
        Form::Unknown => "no WebAssembly",
    };
    let mut text = format!("{}: {form}, {} bytes, sha256 {}\n", file.display(), found.size, found.sha256);
    for (title, names) in [("exports", &found.exports), ("imports", &found.imports)] {
        list(&mut text, title, names.iter().map(String::as_str));
    }
    // Not everybody says a version.
    let producer = |(name, version): &(String, String)| match version.as_str() {
        "" => name.clone(),
        version => format!("{name}: {version}"),
    };
    let producers: Vec<String> = found.producers.iter().map(producer).collect();
    list(&mut text, "made by", producers.iter().map(String::as_str));
    list(&mut text, "rights", rights(found));
    text
}

fn list<'a>(text: &mut String, title: &str, items: impl IntoIterator<Item = &'a str>) {
    for (number, item) in items.into_iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:9}{item}", if number == 0 { title } else { "" });
    }
}

/// What it would need beyond its own configuration, log, state and readings, as far as the functions it imports show.
/// Languages with an interpreter (Python) import all there are.
fn rights(found: &Inspection) -> Vec<&'static str> {
    let calls = |beginning: &str| found.calls.iter().any(|call| call.starts_with(beginning));
    RIGHTS.iter().filter(|(beginning, _)| calls(beginning)).map(|(_, words)| *words).collect()
}

#[cfg(test)]
mod tests;
