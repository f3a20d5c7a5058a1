//! Corpora out of recorded cases: `seeds DIRECTORY FILE.jsonl...` writes one file for each thing worth starting from, into
//! one directory for each target.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;

use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let corpora = arguments.next().ok_or("usage: seeds DIRECTORY FILE.jsonl...")?;
    let seeds = Seeds(corpora.as_ref());
    for file in arguments {
        for line in fs::read_to_string(&file)?.lines() {
            let case: Value = serde_json::from_str(line).map_err(|error| format!("{file}: {error}"))?;
            seeds.of_case(&case)?;
        }
    }
    Ok(())
}

struct Seeds<'a>(&'a Path);

impl Seeds<'_> {
    fn of_case(&self, case: &Value) -> std::io::Result<()> {
        let whole = |d: &Value| json!({"d": d, "status": 200, "message": ""}).to_string();
        if let sync @ Value::Object(_) = &case["sync"] {
            self.keep("sync", &json!({"d": sync}).to_string())?;
        }
        if let identity @ Value::Object(_) = &case["identity"] {
            self.keep("identity", &whole(identity))?;
        }
        for reply in case["replies"].as_object().into_iter().flat_map(|replies| replies.values()) {
            self.keep("c2d", &reply.to_string())?;
        }
        for step in case["steps"].as_array().into_iter().flatten().filter(|step| step["op"] == "c2d") {
            match &step["raw"] {
                Value::String(raw) => self.keep("c2d", raw)?,
                _ => self.keep("c2d", &step["payload"].to_string())?,
            }
        }
        let replied = case["replies"].as_object().into_iter().flat_map(|replies| replies.values());
        let said = replied.map(|reply| &reply["d"]).chain([&case["sync"]]);
        for part in said {
            for rule in part["r"].as_array().into_iter().flatten() {
                self.keep("rules", rule["con"].as_str().unwrap_or_default())?;
            }
            for group in part["att"].as_array().into_iter().flatten() {
                for attribute in group["d"].as_array().into_iter().flatten() {
                    self.dv(attribute, case)?;
                }
            }
        }
        Ok(())
    }

    /// A `dv` with every value the case sends.
    fn dv(&self, attribute: &Value, case: &Value) -> std::io::Result<()> {
        let (number, dv) = (attribute["dt"].as_u64().unwrap_or_default(), attribute["dv"].as_str().unwrap_or_default());
        let steps = case["steps"].as_array().into_iter().flatten().map(|step| &step["data"]);
        for entry in steps.chain([&case["send"]]).flat_map(|sent| sent.as_array().into_iter().flatten()) {
            for value in entry["data"].as_object().into_iter().flat_map(|data| data.values()) {
                self.keep("dv", &format!("{}{dv}\n{value}", char::from(b'0' + (number % 64) as u8)))?;
            }
        }
        Ok(())
    }

    fn keep(&self, target: &str, seed: &str) -> std::io::Result<()> {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        let directory = self.0.join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("seed-{:016x}", hasher.finish())), seed)
    }
}
