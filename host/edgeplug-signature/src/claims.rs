//! What a trusted comment says.

use crate::version::ReleaseVersion;

/// Files that are named after the plugin they bring: a component, and a bundle of one with its manifest.
const PLUGIN_FILES: [&str; 2] = [".wasm", ".edgeplug"];

/// What a trusted comment says; each at most once.
#[derive(Debug, Default)]
pub(crate) struct Claims<'a> {
    version: Option<&'a str>,
    file: Option<&'a str>,
    plugin: Option<&'a str>,
}

impl<'a> Claims<'a> {
    pub(crate) fn read(comment: &'a str) -> Result<Self, String> {
        let mut claims = Self::default();
        for (key, value) in comment.split_whitespace().filter_map(|word| word.split_once(':')) {
            let place = match key {
                "version" => &mut claims.version,
                "file" => &mut claims.file,
                "plugin" => &mut claims.plugin,
                // When it was signed, and whatever else somebody notes.
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(format!("says `{key}:` twice"));
            }
        }
        Ok(claims)
    }

    /// Whether all of it is about this file.
    pub(crate) fn are_about(&self, file_name: &str) -> Result<(), String> {
        let plugin = PLUGIN_FILES.iter().find_map(|ending| file_name.strip_suffix(ending)).unwrap_or(file_name);
        for (said, wanted) in [(self.file, file_name), (self.plugin, plugin)] {
            if let Some(said) = said.filter(|said| *said != wanted) {
                return Err(format!("is for {said:?}, not for {wanted:?}"));
            }
        }
        Ok(())
    }

    pub(crate) fn version(&self) -> Option<&'a str> {
        self.version
    }

    /// The release it names, where releases count.
    pub(crate) fn release(version: Option<&str>) -> Result<Option<ReleaseVersion>, String> {
        let parse = |text: &str| text.parse().map_err(|error| format!("says `version:{text}`, but {error}"));
        version.map(parse).transpose()
    }
}
