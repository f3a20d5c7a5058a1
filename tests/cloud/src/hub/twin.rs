//! A device twin: merge patches, versions, the size limit of each section.
//!
//! A patch merges by key, `null` deletes, each accepted patch raises the section's `$version` by one (Azure "Understand and use
//! device twins"). A refused patch changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::limits::TWIN_BYTES_MAX;

/// Deeper nesting is refused by the service as well (its limit is 10).
const DEPTH_MAX: usize = 10;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Twin {
    pub(crate) desired: Section,
    pub(crate) reported: Section,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Section {
    values: Map<String, Value>,
    version: u64,
}

impl Default for Section {
    fn default() -> Self {
        Self { values: Map::new(), version: 1 }
    }
}

impl Twin {
    pub(crate) fn to_json(&self) -> Value {
        json!({"desired": self.desired.to_json(), "reported": self.reported.to_json()})
    }
}

impl Section {
    /// The section's new version, or why the patch is refused.
    pub(crate) fn patch(&mut self, patch: &Value) -> Result<u64, &'static str> {
        let patch = patch.as_object().ok_or("a twin patch must be a JSON object")?;
        if patch.keys().any(|key| key.starts_with('$')) {
            return Err("a twin key must not begin with $");
        }
        let mut merged = self.values.clone();
        merge(&mut merged, patch, DEPTH_MAX)?;
        if Value::Object(merged.clone()).to_string().len() > TWIN_BYTES_MAX {
            return Err("a twin section must not pass 32 KB");
        }
        self.values = merged;
        self.version += 1;
        Ok(self.version)
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut all = self.values.clone();
        all.insert("$version".to_owned(), self.version.into());
        Value::Object(all)
    }
}

fn merge(into: &mut Map<String, Value>, patch: &Map<String, Value>, depth: usize) -> Result<(), &'static str> {
    let depth = depth.checked_sub(1).ok_or("a twin patch must not nest deeper than 10")?;
    for (key, value) in patch {
        match value {
            Value::Null => {
                into.remove(key);
            }
            Value::Object(inner) => {
                let slot = into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(slot) = slot {
                    merge(slot, inner, depth)?;
                }
            }
            other => {
                into.insert(key.clone(), other.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_merge_and_null_deletes() {
        let mut section = Section::default();
        assert_eq!(section.patch(&json!({"fan": 1, "net": {"a": 1, "b": 2}})), Ok(2));
        assert_eq!(section.patch(&json!({"fan": null, "net": {"b": null, "c": 3}})), Ok(3));
        assert_eq!(section.to_json(), json!({"net": {"a": 1, "c": 3}, "$version": 3}));
    }

    #[test]
    fn hostile_patches_change_nothing() {
        let mut section = Section::default();
        let mut deep = json!(1);
        for _ in 0..20 {
            deep = json!({"d": deep});
        }
        for patch in [json!([]), json!(1), json!({"$version": 9}), json!({"big": "x".repeat(40_000)}), deep] {
            assert!(section.patch(&patch).is_err());
        }
        assert_eq!(section.to_json(), json!({"$version": 1}));
    }
}
