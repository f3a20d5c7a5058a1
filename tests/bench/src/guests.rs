//! What each language costs: the plugin that `edgeplug plugin new` lays down, built as its author would.
//!
//! The committed table is written only by a run that measured every language.

mod cost;
mod project;
mod table;

use std::path::Path;

use edgeplug_test_support::programs::target_directory;
use serde_json::{Map, Value, json};

use self::cost::Cost;
use self::project::{LANGUAGES, Language};

/// One row: what was measured, or why nothing was.
pub(crate) struct Row {
    language: Language,
    measured: Result<Cost, String>,
}

/// `LANGUAGES="rust c"` in the environment chooses some.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let chosen = std::env::var("LANGUAGES").unwrap_or_default();
    let chosen: Vec<_> = chosen.split_whitespace().collect();
    let mut rows = Vec::new();
    for language in LANGUAGES {
        if !chosen.is_empty() && !chosen.contains(&language.id) {
            continue;
        }
        let measured = match language.missing()? {
            Some(remedy) => Err(remedy),
            None => Ok(cost::measure(&language.build()?).await?),
        };
        rows.push(Row { language, measured });
    }
    Ok(rows)
}

/// Prints the table; the whole one also goes into the documentation, a part of it below the target directory.
pub(crate) fn publish(rows: &[Row]) -> anyhow::Result<Value> {
    println!("the plugin of `edgeplug plugin new`, by language");
    print!("{}", table::plain(rows));
    let figures: Map<_, _> = rows.iter().map(|row| (row.language.id.to_owned(), row.json())).collect();
    let figures = Value::Object(figures);
    let whole = rows.len() == LANGUAGES.len() && rows.iter().all(|row| row.measured.is_ok());
    let place = match whole {
        true => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bench"),
        false => target_directory().join("bench"),
    };
    std::fs::create_dir_all(&place)?;
    std::fs::write(place.join("guests.json"), format!("{figures:#}\n"))?;
    std::fs::write(place.join("guests.md"), table::markdown(rows))?;
    Ok(json!({ "guests": figures }))
}

impl Row {
    fn json(&self) -> Value {
        match &self.measured {
            Ok(cost) => cost.json(),
            Err(remedy) => json!({ "skipped": remedy }),
        }
    }
}
