//! What the TOML reader says, as one message that names file, line, key and remedy.

use std::path::Path;

use crate::exit::{Exit, Problem};

/// One message that names file, line, key and remedy.
pub(super) fn explain(file: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message();
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    let place = format!("{}, line {number}", file.display());
    if let Some(unknown) = quoted(message).next().filter(|_| message.starts_with("unknown field")) {
        let known: Vec<_> = quoted(message).skip(1).collect();
        let nearest =
            known.iter().max_by(|a, b| strsim::jaro_winkler(a, unknown).total_cmp(&strsim::jaro_winkler(b, unknown)));
        let hint = match nearest {
            Some(nearest) if strsim::jaro_winkler(nearest, unknown) > 0.8 => format!("did you mean `{nearest}`?"),
            _ => format!("known here: {}", known.join(", ")),
        };
        return Problem::new(Exit::ConfigUnknownKey, format!("{place}: there is no key `{unknown}`; {hint}"));
    }
    if message.starts_with("missing field") {
        let key = quoted(message).next().unwrap_or_default();
        return Problem::new(Exit::ConfigWrongType, format!("{place}: the key `{key}` is missing; add it"));
    }
    if message.starts_with("invalid")
        || message.contains("expected") && line.contains('=') && !message.contains("invalid ")
    {
        let key = line.split('=').next().unwrap_or_default().trim();
        let text = format!("{place}: the value of `{key}` does not fit ({message}); mend `{line}`");
        return Problem::new(Exit::ConfigWrongType, text);
    }
    Problem::new(Exit::ConfigSyntax, format!("{place}: this is not TOML ({message}); mend `{line}`"))
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
