//! What a file is made of and whether it fits this daemon, read from its bytes alone: nothing is compiled or run.
//!
//! A file that does not fit gets a diagnosis of three parts: what it wants, what there is, what to do. What is compared
//! is the text of `inspect/interface.txt`: every function of `wit/` with its type written out (a test keeps the two
//! together).
//!
//! It is done in this program because a hostile file can make the best parser recurse or hoard without end: behind the
//! locks that costs this process and nobody else.
//!
//! What must stay true: every name and text taken from a file is capped and on one line. A component that is broken
//! inside its functions is the compiler's to find.

mod contents;
mod shape;

use std::fmt::Write as _;

use edgeplug_engine::{Exports, Form, Inspection};
use sha2::{Digest, Sha256};

use crate::compile::{COMPONENT_PREAMBLE, MODULE_PREAMBLE};
use contents::Contents;

/// The version of `edgeplug:plugin` that this daemon offers.
const VERSION: &str = "0.2.0";
/// Every function of the interface, one a line: `import` or `export`, `interface.function: type`.
const INTERFACE: &str = include_str!("inspect/interface.txt");

/// Looks at any bytes.
pub(crate) fn inspect(bytes: &[u8]) -> Inspection {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let sha256 = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let (form, contents, problem) = if bytes.starts_with(COMPONENT_PREAMBLE) {
        match Contents::of_component(bytes) {
            Ok(contents) => {
                let problem = problem(&contents);
                (Form::Component, contents, problem)
            }
            Err(reason) => (Form::Broken, Contents::default(), Some(broken(&reason))),
        }
    } else if bytes.starts_with(MODULE_PREAMBLE) {
        match Contents::of_module(bytes) {
            Ok(contents) => {
                let problem = "it is a core module, this daemon runs components; make it a component with \
                               `edgeplug plugin build`";
                (Form::Module, contents, Some(problem.to_owned()))
            }
            Err(reason) => (Form::Broken, Contents::default(), Some(broken(&reason))),
        }
    } else {
        let problem = if bytes.is_empty() {
            "the file is empty; copy it again"
        } else {
            "it is not WebAssembly: it does not begin like a component; build it with the SDK of its language, or copy \
             it again"
        };
        (Form::Unknown, Contents::default(), Some(problem.to_owned()))
    };
    let provides = if form == Form::Component { provides(&contents) } else { Exports::default() };
    let calls = contents.import_functions.iter().map(|(function, _)| function.clone()).collect();
    let Contents { imports, exports, producers, .. } = contents;
    Inspection { size, sha256, form, imports, calls, exports, provides, producers, fits: problem.is_none(), problem }
}

fn broken(reason: &str) -> String {
    format!("it is broken or cut short ({reason}); build it or copy it again")
}

fn provides(contents: &Contents) -> Exports {
    let has = |interface: &str| contents.exports.contains(&format!("edgeplug:plugin/{interface}@{VERSION}"));
    Exports {
        sensor: has("sensor"),
        commands: has("commands"),
        twin_events: has("twin-events"),
        connection_events: has("connection-events"),
        firmware: has("firmware"),
        lifecycle: has("lifecycle"),
        transform: has("transform"),
    }
}

/// The first thing that does not fit, the most telling first.
fn problem(contents: &Contents) -> Option<String> {
    another_version(contents)
        .or_else(|| contents.imports.iter().find_map(|import| unknown_import(import)))
        .or_else(|| contents.import_functions.iter().find_map(unknown_function))
        .or_else(|| wrong_export(contents))
        .or_else(|| no_export(contents))
}

fn another_version(contents: &Contents) -> Option<String> {
    let versions = contents.imports.iter().chain(&contents.exports).filter_map(|name| {
        let (_, version) = name.strip_prefix("edgeplug:plugin/")?.split_once('@')?;
        Some(version)
    });
    let other = versions.into_iter().find(|version| *version != VERSION)?;
    Some(format!(
        "it was built for edgeplug:plugin@{other}; this daemon offers {VERSION}: build it again with this daemon's SDK"
    ))
}

fn unknown_import(import: &str) -> Option<String> {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    if let Some(interface) = name.strip_prefix("edgeplug:plugin/") {
        // One of types alone has no functions, so it is in no line.
        let is_known =
            functions("import").any(|(of, _, _)| of == interface) || matches!(interface, "types" | "hardware-types");
        return (!is_known).then(|| {
            format!(
                "it imports {name}, which edgeplug:plugin@{VERSION} does not have: build it again with this daemon's SDK"
            )
        });
    }
    let Some(interface) = name.strip_prefix("wasi:") else {
        return Some(format!(
            "it imports {import}; this daemon offers edgeplug:plugin@{VERSION} and WASI 0.2: leave out what needs it, or \
             link it into the component"
        ));
    };
    if !version.starts_with("0.2.") {
        return Some(format!(
            "it imports {import}; this daemon offers WASI 0.2: build it for wasm32-wasip2 (or WASI 0.2 in the words of its \
             toolchain)"
        ));
    }
    (!WASI.contains(&interface)).then(|| {
        format!(
            "it imports {import}; of WASI 0.2 this daemon offers cli, clocks, filesystem, io, random and sockets (and \
             plugins have no files and no network by these): leave out what needs it"
        )
    })
}

/// What `wasmtime-wasi` links for WASI 0.2 without unstable features.
const WASI: [&str; 27] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

fn unknown_function((function, shape): &(String, String)) -> Option<String> {
    let wanted = functions("import").find(|(interface, name, _)| is_named(function, interface, name));
    match wanted {
        None => Some(format!(
            "it calls {function}, which edgeplug:plugin@{VERSION} does not have: build it again with this daemon's SDK"
        )),
        Some((_, _, wanted)) if wanted != shape => Some(format!(
            "it calls {function} as `{shape}`; this daemon offers `{wanted}`: build it again with this daemon's SDK"
        )),
        Some(_) => None,
    }
}

fn wrong_export(contents: &Contents) -> Option<String> {
    functions("export").find_map(|(interface, name, wanted)| {
        if !contents.exports.contains(&format!("edgeplug:plugin/{interface}@{VERSION}")) {
            return None;
        }
        let found = contents.export_functions.iter().find(|(function, _)| is_named(function, interface, name));
        match found {
            None => Some(format!(
                "its export {interface} lacks the function {name}; this daemon wants `{wanted}`: build it again with this \
                 daemon's SDK"
            )),
            Some((_, shape)) if shape != wanted => Some(format!(
                "its export {interface}.{name} is `{shape}`; this daemon wants `{wanted}`: build it again with this \
                 daemon's SDK"
            )),
            Some(_) => None,
        }
    })
}

fn no_export(contents: &Contents) -> Option<String> {
    if provides(contents) != Exports::default() {
        return None;
    }
    let found = if contents.exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
        "it is a program (it exports wasi:cli/run) and not a plugin: build it as a library (in Rust `crate-type = \
         [\"cdylib\"]`) that exports"
    } else if contents.exports.is_empty() {
        "it exports nothing; export"
    } else {
        "it exports nothing that this daemon calls; export"
    };
    Some(format!(
        "{found} at least one of edgeplug:plugin@{VERSION}'s sensor, commands, twin-events, connection-events, firmware, \
         lifecycle and transform"
    ))
}

fn is_named(function: &str, interface: &str, name: &str) -> bool {
    function.split_once('.') == Some((interface, name))
}

/// Interface, function and type of every line of this direction.
fn functions(direction: &str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    INTERFACE.lines().filter_map(move |line| {
        let (function, shape) = line.strip_prefix(direction)?.strip_prefix(' ')?.split_once(": ")?;
        let (interface, name) = function.split_once('.')?;
        Some((interface, name, shape))
    })
}

#[cfg(test)]
mod tests;
