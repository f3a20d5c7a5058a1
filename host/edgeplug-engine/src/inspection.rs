//! What the compiler program tells of a file without compiling it; as JSON between the two programs.

use serde::{Deserialize, Serialize};

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// In bytes.
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
    pub form: Form,
    /// Interfaces it imports, with their versions. Of a core module: names of the modules it imports from.
    pub imports: Vec<String>,
    /// Functions of `edgeplug:plugin` it imports, such as `files.read`: most need a right.
    pub calls: Vec<String>,
    /// What it exports, with versions.
    pub exports: Vec<String>,
    /// Which of the exports the daemon will call.
    pub provides: Exports,
    /// Languages and tools that made it, by its own account, with versions.
    pub producers: Vec<(String, String)>,
    /// Whether this daemon can run it, as far as can be seen from outside.
    pub fits: bool,
    /// Why not: what it wants, what there is, what to do.
    pub problem: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    Component,
    /// A core module: what a compiler makes before it is wrapped into a component.
    Module,
    /// It begins like one of the two, but goes on as neither.
    Broken,
    /// Nothing of WebAssembly.
    #[default]
    Unknown,
}

/// Which of the optional interfaces a component exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exports {
    pub sensor: bool,
    pub commands: bool,
    pub twin_events: bool,
    pub connection_events: bool,
    pub firmware: bool,
    pub lifecycle: bool,
    pub transform: bool,
}
