//! The outside of a component: names and types of what it imports and exports, and who made it.

use wasmparser_of_wasmtime::component_types::ComponentEntityType;
use wasmparser_of_wasmtime::types::{Types, TypesRef};
use wasmparser_of_wasmtime::{BinaryReaderError, KnownCustom, Parser, Payload, ValidPayload, Validator, WasmFeatures};

use super::shape;

/// Names of one list that are reported. A component of every language has a few dozen.
const NAMES_MAX: usize = 256;
/// Producers that are reported; a component joined of several parts has one or two for each.
const PRODUCERS_MAX: usize = 32;
/// Bytes of one name; those of the component model's registry are far shorter.
const NAME_LEN_MAX: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
    /// `interface.function` of `edgeplug:plugin`, each with its type.
    pub(super) import_functions: Vec<(String, String)>,
    pub(super) export_functions: Vec<(String, String)>,
    pub(super) producers: Vec<(String, String)>,
}

impl Contents {
    /// Reads a component. What its functions do is not looked at.
    pub(super) fn of_component(bytes: &[u8]) -> Result<Self, String> {
        let mut contents = Self::default();
        // Newer proposals too: to say that they are not offered, they must be read.
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let (mut imports, mut exports, mut outermost) = (Vec::new(), Vec::new(), None);
        let mut depth = 0u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| said(&error))?;
            match &payload {
                Payload::Version { .. } => depth += 1,
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section.clone() {
                        imports.push(import.map_err(|error| said(&error))?.name.name);
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section.clone() {
                        exports.push(export.map_err(|error| said(&error))?.name.name);
                    }
                }
                Payload::CustomSection(section) => contents.add_producers(section.as_known()),
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if let ValidPayload::End(types) = validator.payload(&payload).map_err(|error| said(&error))? {
                outermost = Some(types);
            }
        }
        let types = outermost.ok_or("it has no end")?;
        contents.take(&types, &imports, &exports);
        Ok(contents)
    }

    /// Reads a core module's names.
    pub(super) fn of_module(bytes: &[u8]) -> Result<Self, String> {
        let mut contents = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| said(&error))? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let name = cut(import.map_err(|error| said(&error))?.module);
                        if !contents.imports.contains(&name) && contents.imports.len() < NAMES_MAX {
                            contents.imports.push(name);
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section.into_iter().take(NAMES_MAX) {
                        contents.exports.push(cut(export.map_err(|error| said(&error))?.name));
                    }
                }
                Payload::CustomSection(section) => contents.add_producers(section.as_known()),
                _ => {}
            }
        }
        Ok(contents)
    }

    fn take(&mut self, types: &Types, imports: &[&str], exports: &[&str]) {
        let types = types.as_ref();
        for name in imports.iter().take(NAMES_MAX) {
            self.imports.push(cut(name));
            let item = types.component_item_for_import(name);
            add_functions(types, name, item.map(|item| &item.ty), &mut self.import_functions);
        }
        for name in exports.iter().take(NAMES_MAX) {
            self.exports.push(cut(name));
            let item = types.component_item_for_export(name);
            add_functions(types, name, item.map(|item| &item.ty), &mut self.export_functions);
        }
    }

    /// By the component's own account, so a section that cannot be read is none.
    fn add_producers(&mut self, section: KnownCustom<'_>) {
        let KnownCustom::Producers(fields) = section else {
            return;
        };
        for value in fields.into_iter().flatten().flat_map(|field| field.values.into_iter().flatten()) {
            let producer = (cut(value.name), cut(value.version));
            if self.producers.len() < PRODUCERS_MAX && !self.producers.contains(&producer) {
                self.producers.push(producer);
            }
        }
    }
}

fn add_functions(
    types: TypesRef<'_>,
    name: &str,
    item: Option<&ComponentEntityType>,
    functions: &mut Vec<(String, String)>,
) {
    let interface = name.strip_prefix("edgeplug:plugin/").and_then(|name| name.split('@').next());
    let (Some(interface), Some(ComponentEntityType::Instance(id))) = (interface, item) else {
        return;
    };
    let Some(instance) = types.get(*id) else {
        return;
    };
    for (function, item) in &instance.exports {
        if let ComponentEntityType::Func(id) = &item.ty
            && functions.len() < NAMES_MAX
            && let Some(function_type) = types.get(*id)
        {
            functions.push((format!("{interface}.{}", cut(function)), shape::of(types, function_type)));
        }
    }
}

fn cut(name: &str) -> String {
    one_line(name.get(..name.floor_char_boundary(NAME_LEN_MAX)).unwrap_or_default())
}

fn said(error: &BinaryReaderError) -> String {
    one_line(&error.to_string())
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
    line
}
