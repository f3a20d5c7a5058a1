//! A function's type as text, every named type written out: two functions fit when their texts are equal.

use wasmparser_of_wasmtime::component_types::{ComponentDefinedType, ComponentFuncType, ComponentValType};
use wasmparser_of_wasmtime::types::TypesRef;

/// Longest text. Types may refer to each other so that a few bytes unfold without end; ours are far shorter.
const LEN_MAX: usize = 2000;

pub(super) fn of(types: TypesRef<'_>, function: &ComponentFuncType) -> String {
    let mut text = String::new();
    if function.async_ {
        text.push_str("async ");
    }
    text.push_str("func(");
    for (position, (name, held)) in function.params.iter().enumerate() {
        separate(&mut text, position);
        text.push_str(name.as_str());
        text.push_str(": ");
        write(types, held, &mut text);
    }
    text.push(')');
    if let Some(result) = &function.result {
        text.push_str(" -> ");
        write(types, result, &mut text);
    }
    if text.len() > LEN_MAX {
        text.truncate(text.floor_char_boundary(LEN_MAX));
        text.push('…');
    }
    text
}

fn write(types: TypesRef<'_>, held: &ComponentValType, text: &mut String) {
    if text.len() > LEN_MAX {
        return;
    }
    let defined = match held {
        ComponentValType::Primitive(primitive) => return text.push_str(&primitive.to_string()),
        ComponentValType::Type(id) => types.get(*id),
    };
    match defined {
        Some(ComponentDefinedType::Primitive(primitive)) => text.push_str(&primitive.to_string()),
        Some(ComponentDefinedType::Record(record)) => {
            let fields = record.fields.iter().map(|(name, held)| (name.as_str(), Some(held)));
            named(types, "record { ", ": ", fields, " }", text);
        }
        Some(ComponentDefinedType::Variant(variant)) => {
            let cases = variant.cases.iter().map(|(name, case)| (name.as_str(), case.ty.as_ref()));
            named(types, "variant { ", " ", cases, " }", text);
        }
        Some(ComponentDefinedType::Enum(names)) => {
            named(types, "enum { ", "", names.iter().map(|name| (name.as_str(), None)), " }", text);
        }
        Some(ComponentDefinedType::Flags(names)) => {
            named(types, "flags { ", "", names.iter().map(|name| (name.as_str(), None)), " }", text);
        }
        Some(ComponentDefinedType::Tuple(tuple)) => {
            named(types, "tuple<", "", tuple.types.iter().map(|held| ("", Some(held))), ">", text);
        }
        Some(ComponentDefinedType::List { element, .. }) => {
            named(types, "list<", "", [("", Some(element))].into_iter(), ">", text);
        }
        Some(ComponentDefinedType::Option { ty, .. }) => {
            named(types, "option<", "", [("", Some(ty))].into_iter(), ">", text);
        }
        Some(ComponentDefinedType::Result { ok, err, .. }) => {
            let sides = [ok, err].map(|side| (if side.is_some() { "" } else { "_" }, side.as_ref()));
            named(types, "result<", "", sides.into_iter(), ">", text);
        }
        // Handles, streams and the like; the interface has none.
        Some(_) | None => text.push('?'),
    }
}

fn named<'a>(
    types: TypesRef<'_>,
    begin: &str,
    between: &str,
    parts: impl Iterator<Item = (&'a str, Option<&'a ComponentValType>)>,
    end: &str,
    text: &mut String,
) {
    text.push_str(begin);
    for (position, (name, held)) in parts.enumerate() {
        if text.len() > LEN_MAX {
            return;
        }
        separate(text, position);
        text.push_str(name);
        if let Some(held) = held {
            text.push_str(between);
            write(types, held, text);
        }
    }
    text.push_str(end);
}

fn separate(text: &mut String, position: usize) {
    if position > 0 {
        text.push_str(", ");
    }
}
