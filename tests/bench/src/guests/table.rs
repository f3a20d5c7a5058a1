//! The languages' figures for eyes: on the terminal, and as a page of the documentation.

use std::fmt::Write as _;

use super::Row;
use super::cost::{CALLS, Cost, STARTS};

const COLUMNS: [&str; 11] = [
    "language",
    "component",
    "native code",
    "compiled in",
    "with",
    "mapped in",
    "started in",
    "up in",
    "first `sample`",
    "a `sample`",
    "memory",
];

pub(crate) fn plain(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut line = |cells: [String; 11]| {
        let [language, figures @ ..] = cells;
        let _ = write!(text, "  {language:<10}");
        for figure in figures {
            let _ = write!(text, " {figure:>14}");
        }
        text.push('\n');
    };
    line(COLUMNS.map(|column| column.replace('`', "")));
    for row in rows {
        if let Ok(cost) = &row.measured {
            line(cells(row.language.name, cost));
        }
    }
    for row in rows {
        if let Err(remedy) = &row.measured {
            let _ = writeln!(text, "  {} is left out: {remedy}", row.language.name);
        }
    }
    text
}

pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = format!(
        "# What a language costs\n\n\
         Written by `make bench`; [how](README.md#what-a-language-costs). The plugin that `edgeplug plugin new` lays down, in\n\
         each language. Exact figures: [guests.json](guests.json).\n\n\
         | {} |\n|---{}|\n",
        COLUMNS.join(" | "),
        "|---:".repeat(COLUMNS.len() - 1)
    );
    for row in rows {
        if let Ok(cost) = &row.measured {
            let _ = writeln!(text, "| {} |", cells(row.language.name, cost).join(" | "));
        }
    }
    for row in rows {
        if let Err(remedy) = &row.measured {
            let _ = writeln!(text, "\n{} is left out: {remedy}.", row.language.name);
        }
    }
    let _ = write!(
        text,
        "\n\
         - **component**: the `.wasm` file; **native code**: what the device keeps of it on disk.\n\
         - **compiled in**, **with**: wall time and largest memory of `edgeplug-compiler`, once for every new file.\n\
         - **mapped in**: the native code made ready to run; **started in**: an instance and its `lifecycle.start`.\n\
         - **up in**: from an installed, compiled plugin to one that can be called, with reading, hashing and checking both\n  \
         files. This is what a restart of the daemon costs; it holds the two columns before.\n\
         - **first `sample`**: the first call of an instance; **a `sample`**: the mean of {CALLS} calls after it, through the \
         whole\n  plugin runtime. The call reads `/proc/loadavg`.\n\
         - **memory**: linear memory of the instance after these calls.\n\n\
         Medians of {STARTS} starts.\n"
    );
    text
}

fn cells(language: &str, cost: &Cost) -> [String; 11] {
    [
        language.to_owned(),
        size(cost.component_bytes as f64),
        size(cost.native_bytes as f64),
        time(cost.compile_ms * 1e3),
        size(cost.compile_peak_mb * f64::from(1 << 20)),
        time(cost.load_us),
        time(cost.start_us),
        time(cost.up_us),
        time(cost.first_sample_us),
        time(cost.sample_us),
        size(cost.memory_bytes as f64),
    ]
}

fn size(bytes: f64) -> String {
    match bytes / 1024.0 {
        kibibytes if kibibytes < 999.5 => format!("{kibibytes:.0} KiB"),
        kibibytes => format!("{:.1} MiB", kibibytes / 1024.0),
    }
}

fn time(us: f64) -> String {
    match us {
        us if us < 999.5 => format!("{us:.0} µs"),
        us if us < 999_500.0 => format!("{} ms", three_digits(us / 1e3)),
        us => format!("{} s", three_digits(us / 1e6)),
    }
}

/// A figure of at least one, with a decimal only where it says something.
fn three_digits(figure: f64) -> String {
    if figure < 99.95 { format!("{figure:.1}") } else { format!("{figure:.0}") }
}

#[cfg(test)]
mod tests;
