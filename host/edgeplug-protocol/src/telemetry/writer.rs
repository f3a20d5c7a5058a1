//! One body in the making. The keys of legacy bodies stand in the order of the old SDK; in 2.1 the time comes first, so
//! that the parts of every body lie in one order.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::Accept;
use super::body::{Body, BodyKind, Parts};
use super::decimal;
use crate::legacy::Sdk;
use crate::template::{Device, Scalar, Template, is_plain};
use crate::time::Timestamp;
use crate::validation::fault_text;
use crate::version::Version;

/// Room for an envelope.
pub(super) const ENVELOPE_BYTES: usize = 192;
/// Room for a value beside its name.
pub(super) const VALUE_BYTES: usize = 24;

/// What every body begins and ends with.
#[derive(Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub(super) template: &'a Template,
    pub(super) sdk: &'a Sdk,
    pub(super) sent_at: &'a Timestamp,
}

pub(super) struct Writer<'a> {
    kind: BodyKind,
    envelope: Envelope<'a>,
    /// Room that is made at once.
    bytes_expected: usize,
    pub(super) bytes: Vec<u8>,
    parts: Parts,
    /// The entry that a field would belong to.
    entry: Option<(&'a Device, &'a Timestamp)>,
    /// Whether entries of 2.1 name their device.
    names_devices: bool,
    /// Whether the entry has a field already.
    begun: bool,
    /// The object that members would belong to.
    object: Object,
}

impl<'a> Writer<'a> {
    pub(super) fn new(kind: BodyKind, envelope: Envelope<'a>, bytes_expected: usize) -> Self {
        Self {
            kind,
            envelope,
            bytes_expected,
            bytes: Vec::new(),
            parts: Parts::default(),
            entry: None,
            names_devices: true,
            begun: false,
            object: Object::default(),
        }
    }

    /// Leaves `id` and `tg` out of the entries (2.1).
    pub(super) fn without_devices(self) -> Self {
        Self { names_devices: false, ..self }
    }

    /// Following fields belong to this device and time.
    pub(super) fn open(&mut self, device: &'a Device, time: &'a Timestamp) {
        self.entry = Some((device, time));
        self.begun = false;
    }

    /// Begins a field; its value comes next.
    pub(super) fn field(&mut self, name: &str) -> &mut Vec<u8> {
        if self.begun {
            self.bytes.push(b',');
        } else {
            self.begin();
        }
        put_text(&mut self.bytes, name);
        self.bytes.push(b':');
        &mut self.bytes
    }

    /// The same for a name that the template declares.
    fn declared_field(&mut self, name: &str) -> &mut Vec<u8> {
        if !(self.begun && self.envelope.template.has_plain_names()) {
            return self.field(name);
        }
        self.bytes.reserve(name.len() + b",\"\":".len() + VALUE_BYTES);
        self.bytes.extend_from_slice(b",\"");
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        &mut self.bytes
    }

    /// A field of a fault message: raw in 2.1, text in the legacy protocol.
    pub(super) fn fault(&mut self, name: &str, value: &Value) {
        let version = self.envelope.template.version;
        put_faulty(version, self.field(name), value);
    }

    /// Ends the entry; says whether it has any fields.
    pub(super) fn close(&mut self) -> bool {
        if let Some((device, _)) = self.entry.take().filter(|_| self.begun) {
            match self.envelope.template.version {
                Version::Legacy => {
                    self.bytes.extend_from_slice(b"}],\"tg\":");
                    put_text(&mut self.bytes, &device.tag);
                    self.bytes.push(b'}');
                }
                Version::V21 => self.bytes.extend_from_slice(b"}}"),
            }
        }
        std::mem::take(&mut self.begun)
    }

    pub(super) fn finish(mut self) -> Option<Body> {
        if self.bytes.is_empty() {
            return None;
        }
        self.parts.d_end = self.bytes.len();
        match self.envelope.template.version {
            Version::Legacy => {
                self.bytes.extend_from_slice(b"],\"dtg\":");
                put_text(&mut self.bytes, &self.envelope.template.id);
                self.bytes.extend_from_slice(b",\"sdk\":");
                put_sdk(&mut self.bytes, self.envelope.sdk);
                self.bytes.push(b'}');
            }
            Version::V21 => self.bytes.extend_from_slice(b"]}"),
        }
        Some(Body::written(self.envelope.template.version, self.kind, self.bytes, self.parts))
    }

    /// A whole entry of another shape.
    pub(super) fn entry<T: Serialize>(&mut self, entry: &T) {
        self.begin_entry();
        put(&mut self.bytes, entry);
    }

    /// Begins the body if need be, and the entry.
    fn begin(&mut self) {
        self.begun = true;
        self.begin_entry();
        let Some((device, time)) = self.entry else { return };
        self.bytes.push(b'{');
        if self.names_devices {
            self.bytes.extend_from_slice(b"\"id\":");
            put_text(&mut self.bytes, &device.id);
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(b"\"dt\":");
        put_text(&mut self.bytes, time.as_str());
        match self.envelope.template.version {
            Version::Legacy => self.bytes.extend_from_slice(b",\"d\":[{"),
            Version::V21 => {
                if self.names_devices {
                    self.bytes.extend_from_slice(b",\"tg\":");
                    put_text(&mut self.bytes, &device.tag);
                }
                self.bytes.extend_from_slice(b",\"d\":{");
            }
        }
    }

    fn begin_entry(&mut self) {
        if self.bytes.is_empty() {
            self.begin_body();
        } else {
            self.bytes.push(b',');
        }
    }

    fn begin_body(&mut self) {
        self.bytes.reserve(self.bytes_expected);
        let version = self.envelope.template.version;
        match version {
            Version::Legacy => {
                self.bytes.extend_from_slice(b"{\"cpId\":");
                put_text(&mut self.bytes, &self.envelope.template.cpid);
                self.bytes.extend_from_slice(b",\"t\":\"");
            }
            Version::V21 => self.bytes.extend_from_slice(b"{\"dt\":\""),
        }
        self.parts.t_start = self.bytes.len();
        // A timestamp is digits and signs, nothing that JSON escapes.
        self.bytes.extend_from_slice(self.envelope.sent_at.as_str().as_bytes());
        self.parts.t_end = self.bytes.len();
        match version {
            Version::Legacy => {
                self.bytes.extend_from_slice(b"\",\"mt\":");
                put(&mut self.bytes, &self.kind.legacy_number());
                self.bytes.extend_from_slice(b",\"d\":[");
            }
            Version::V21 => self.bytes.extend_from_slice(b"\",\"d\":["),
        }
        self.parts.d_start = self.bytes.len();
    }
}

/// Valid values go into the report as they are, but for decimals nobody wants.
impl<'a> Accept<'a> for Writer<'a> {
    fn open(&mut self, _sample: usize, device: &'a Device, time: &'a Timestamp) {
        Writer::open(self, device, time);
    }

    fn scalar(&mut self, name: &'a str, scalar: &'a Scalar, value: Cow<'a, Value>) -> Option<Cow<'a, Value>> {
        put_rounded(self.declared_field(name), scalar, &value);
        None
    }

    fn member(
        &mut self,
        name: &'a str,
        member: &'a str,
        scalar: &'a Scalar,
        value: Cow<'a, Value>,
    ) -> Option<Cow<'a, Value>> {
        let mut object = std::mem::take(&mut self.object);
        put_rounded(object.member(self, name, member), scalar, &value);
        self.object = object;
        None
    }

    fn close_object(&mut self) {
        std::mem::take(&mut self.object).close(self);
    }

    fn close(&mut self) -> bool {
        Writer::close(self)
    }
}

/// The members of one object attribute that go into one body.
#[derive(Default)]
pub(super) struct Object {
    begun: bool,
}

impl Object {
    pub(super) fn member<'w>(&mut self, writer: &'w mut Writer<'_>, name: &str, child: &str) -> &'w mut Vec<u8> {
        let bytes = if self.begun { &mut writer.bytes } else { writer.field(name) };
        bytes.push(if self.begun { b',' } else { b'{' });
        self.begun = true;
        put_text(bytes, child);
        bytes.push(b':');
        bytes
    }

    /// A member of a fault message.
    pub(super) fn fault(&mut self, writer: &mut Writer<'_>, name: &str, child: &str, value: &Value) {
        let version = writer.envelope.template.version;
        put_faulty(version, self.member(writer, name, child), value);
    }

    pub(super) fn close(self, writer: &mut Writer<'_>) {
        if self.begun {
            writer.bytes.push(b'}');
        }
    }
}

fn put_faulty(version: Version, bytes: &mut Vec<u8>, value: &Value) {
    match version {
        Version::Legacy => put(bytes, &fault_text(value)),
        Version::V21 => put(bytes, value),
    }
}

fn put_rounded(bytes: &mut Vec<u8>, scalar: &Scalar, value: &Value) {
    match (scalar.decimals, value) {
        (Some(decimals), Value::Number(number)) if number.is_f64() => {
            let number = rounded(number.as_f64().unwrap_or_default(), decimals);
            if !decimal::put(bytes, number) {
                put(bytes, &number);
            }
        }
        _ => put_value(bytes, value),
    }
}

fn put_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => put_text(bytes, text),
        Value::Number(number) if number.as_f64().is_some_and(|it| number.is_f64() && decimal::put(bytes, it)) => {}
        _ => put(bytes, value),
    }
}

/// The nearest number of so many decimals.
pub(super) fn rounded(number: f64, decimals: u8) -> f64 {
    format!("{number:.*}", usize::from(decimals)).parse().unwrap_or(number)
}

/// Writes a text as JSON. Names and ids hardly ever hold anything that needs an escape.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        bytes.reserve(text.len() + 3);
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'"');
    } else {
        put(bytes, text);
    }
}

/// As `Sdk` serializes, in a fifth of the time.
fn put_sdk(bytes: &mut Vec<u8>, sdk: &Sdk) {
    let Sdk { language, version, environment } = sdk;
    for (key, text) in [(&b"{\"l\":"[..], language.as_str()), (b",\"v\":", version), (b",\"e\":", environment)] {
        bytes.extend_from_slice(key);
        put_text(bytes, text);
    }
    bytes.push(b'}');
}

/// Writes a value as JSON. Strings, numbers and trees of them have no way to fail; if one did, `null` keeps the body whole.
pub(super) fn put<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    let before = bytes.len();
    if serde_json::to_writer(&mut *bytes, value).is_err() {
        bytes.truncate(before);
        bytes.extend_from_slice(b"null");
    }
}
