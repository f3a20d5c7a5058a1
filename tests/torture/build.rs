//! Makes an enum of the hostile fixtures (`tests/fixtures/hostile-*`), so that one without a wall does not compile: the
//! `match` in `hostile/walls.rs` has no arm for it.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").canonicalize()?;
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut fixtures = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(short) = name.strip_prefix("hostile-") {
            let text = short.ends_with(".wat").then(|| entry.path());
            fixtures.push((short.trim_end_matches(".wat").to_owned(), text));
        }
    }
    fixtures.sort();

    let mut code = String::new();
    let out = &mut code;
    let each = |line: &dyn Fn(&str, &str, Option<&Path>) -> String| -> String {
        fixtures.iter().map(|(name, text)| line(&variant(name), name, text.as_deref())).collect()
    };
    let variants = each(&|variant, name, _| format!("    /// `hostile-{name}`.\n    {variant},\n"));
    let all = each(&|variant, _, _| format!("Self::{variant}, "));
    let names = each(&|variant, name, _| format!("            Self::{variant} => \"hostile-{name}\",\n"));
    let texts = each(&|variant, _, text| match text {
        Some(text) => format!("            Self::{variant} => Some(include_str!({:?})),\n", text.display().to_string()),
        None => format!("            Self::{variant} => None,\n"),
    });
    let write = write!(
        out,
        "/// A component that tries to get through, `tests/fixtures/hostile-*`.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n\
         pub enum Fixture {{\n{variants}}}\n\n\
         impl Fixture {{\n    /// All there are.\n    pub const ALL: &[Self] = &[{all}];\n\n    \
         /// Of its directory or file.\n    #[must_use]\n    pub const fn name(self) -> &'static str {{\n        \
         match self {{\n{names}        }}\n    }}\n\n    \
         /// Of a fixture that is written in WebAssembly's text format.\n    \
         const fn text(self) -> Option<&'static str> {{\n        match self {{\n{texts}        }}\n    }}\n}}\n"
    );
    write.map_err(io::Error::other)?;
    fs::write(Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("fixtures.rs"), code)
}

/// `start-loop` is `StartLoop`.
fn variant(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
        })
        .collect()
}
