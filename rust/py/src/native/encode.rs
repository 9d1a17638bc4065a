//! Message objects become bytes: from the last field to the first, so that every length is known in time.

use protosocket_core::wire_reader::DEPTH;
use protosocket_core::wire_writer::{Writer, to_zigzag};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::failure;
use super::number::{self, Refused};
use super::schema::{Field, Kind, Label, MessageType, Schema};

/// The longest message protobuf allows, in bytes.
const LONGEST: usize = i32::MAX as usize;

/// Writes messages of a schema.
///
/// Every object is held by a reference of its own while it is looked at, so nothing breaks should Python code
/// (of the garbage collector, of a class without plain members) change the message meanwhile.
pub struct Encoder<'a> {
    schema: &'a Schema,
    output: &'a mut Writer,
}

impl<'a> Encoder<'a> {
    /// Writes `object`, which the caller has checked to be of this type, to the empty `output`.
    pub fn run(
        schema: &'a Schema,
        message: &MessageType,
        object: &Bound<'_, PyAny>,
        output: &'a mut Writer,
    ) -> PyResult<()> {
        let mut encoder = Encoder { schema, output };
        encoder.message(message, object, DEPTH)?;
        if encoder.output.length() > LONGEST {
            return Err(failure::encode(
                object.py(),
                format!("a {} is longer than 2 GiB", message.name),
            ));
        }
        Ok(())
    }

    fn message(&mut self, message: &MessageType, object: &Bound<'_, PyAny>, depth: u32) -> PyResult<()> {
        let py = object.py();
        // SAFETY: the slots are those of the object's class; so they are below.
        if let Some(unknown) = unsafe { message.unknown.get(object) }?.filter(|unknown| !unknown.is_none()) {
            match unknown.cast::<PyBytes>() {
                Ok(bytes) => self.output.raw(bytes.as_bytes()),
                Err(_) => {
                    return Err(failure::encode(
                        py,
                        format!("unknown fields of {} are bytes or None", message.name),
                    ));
                }
            }
        }
        let mut oneofs = 0u64;
        for field in message.fields.iter().rev() {
            // SAFETY: as above.
            let Some(value) = (unsafe { field.slot.get(object) })? else {
                return Err(failure::encode(
                    py,
                    format!("the attribute for {} was deleted", field.name),
                ));
            };
            match &field.label {
                Label::Implicit => {
                    if self.value(field, &value, true, depth)? {
                        self.output.key(&field.key);
                    }
                }
                Label::Explicit { required } => {
                    if value.is_none() {
                        if *required {
                            return Err(failure::encode(
                                py,
                                format!("{} is required, not None", field.name),
                            ));
                        }
                        continue;
                    }
                    if let Some(oneof) = field.oneof {
                        if oneofs & 1 << oneof != 0 {
                            return Err(two_of_one(message, oneof, object));
                        }
                        oneofs |= 1 << oneof;
                    }
                    self.value(field, &value, false, depth)?;
                    self.output.key(&field.key);
                }
                Label::Repeated { packed } => {
                    let list = value
                        .cast::<PyList>()
                        .map_err(|_| wrong_type(field, "a list", &value))?;
                    self.list(field, list, *packed, depth)?;
                }
                Label::Map(entry) => {
                    let dict = value
                        .cast::<PyDict>()
                        .map_err(|_| wrong_type(field, "a dict", &value))?;
                    if !dict.is_empty() {
                        self.map(field, &entry.key, &entry.value, dict, depth)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, field: &Field, list: &Bound<'_, PyList>, packed: bool, depth: u32) -> PyResult<()> {
        let before = self.output.length();
        let mut left = list.len();
        while left > 0 {
            left -= 1;
            // Gone only if Python code has shortened the list meanwhile.
            let Ok(value) = list.get_item(left) else { continue };
            self.value(field, &value, false, depth)?;
            if !packed {
                self.output.key(&field.key);
            }
        }
        let length = self.output.length() - before;
        if packed && length > 0 {
            self.output.varint(length as u64);
            self.output.key(&field.key);
        }
        Ok(())
    }

    /// Writes the entries so that they stand in the order of the dict.
    #[inline(never)]
    fn map(
        &mut self,
        field: &Field,
        key_field: &Field,
        value_field: &Field,
        dict: &Bound<'_, PyDict>,
        depth: u32,
    ) -> PyResult<()> {
        let items = dict.items();
        for index in (0..items.len()).rev() {
            let item = items.get_item(index)?;
            let item = item.cast::<PyTuple>()?;
            let before = self.output.length();
            self.value(value_field, &item.get_item(1)?, false, depth)?;
            self.output.key(&value_field.key);
            self.value(key_field, &item.get_item(0)?, false, depth)?;
            self.output.key(&key_field.key);
            self.output.varint((self.output.length() - before) as u64);
            self.output.key(&field.key);
        }
        Ok(())
    }

    /// Writes a value without its key, or nothing and gives false if it is zero and to be left out.
    #[inline]
    fn value(
        &mut self,
        field: &Field,
        value: &Bound<'_, PyAny>,
        skip_zero: bool,
        depth: u32,
    ) -> PyResult<bool> {
        match &field.kind {
            Kind::Bytes => {
                let bytes = value
                    .cast::<PyBytes>()
                    .map_err(|_| wrong_type(field, "bytes", value))?
                    .as_bytes();
                if skip_zero && bytes.is_empty() {
                    return Ok(false);
                }
                self.output.bytes(bytes);
            }
            Kind::String { strict } => {
                let bytes = match value.cast::<PyString>() {
                    Ok(text) => text
                        .to_str()
                        .map_err(|error| refused(field, value, error))?
                        .as_bytes(),
                    Err(_) => match value.cast::<PyBytes>() {
                        // What was not UTF-8 was read as bytes, so it can be written as bytes.
                        Ok(bytes) if !strict => bytes.as_bytes(),
                        _ => return Err(wrong_type(field, "str", value)),
                    },
                };
                if skip_zero && bytes.is_empty() {
                    return Ok(false);
                }
                self.output.bytes(bytes);
            }
            Kind::Message(index) => {
                let message = &self.schema.messages[*index];
                if !message.is_instance(value) {
                    return Err(wrong_type(field, &format!("a {}", message.name), value));
                }
                let Some(depth) = depth.checked_sub(1) else {
                    let text = format!("{}: messages are nested deeper than {DEPTH}", field.name);
                    return Err(failure::encode(value.py(), text));
                };
                let before = self.output.length();
                self.message(message, value, depth)?;
                self.output.varint((self.output.length() - before) as u64);
            }
            Kind::Double => {
                let bits = number::float(value)
                    .map_err(|why| not_a(field, value, why))?
                    .to_bits();
                if skip_zero && bits == 0 {
                    return Ok(false);
                }
                self.output.fixed64(bits);
            }
            Kind::Float => {
                let bits = (number::float(value).map_err(|why| not_a(field, value, why))? as f32).to_bits();
                if skip_zero && bits == 0 {
                    return Ok(false);
                }
                self.output.fixed32(bits);
            }
            kind => {
                let number = integer(kind, value).map_err(|why| not_a(field, value, why))?;
                if skip_zero && number == 0 {
                    return Ok(false);
                }
                match kind {
                    Kind::Fixed32 | Kind::SFixed32 => self.output.fixed32(number as u32),
                    Kind::Fixed64 | Kind::SFixed64 => self.output.fixed64(number),
                    _ => self.output.varint(number),
                }
            }
        }
        Ok(true)
    }
}

/// The number as it is written: zigzag, or signed ones extended to 64 bits.
#[inline]
fn integer(kind: &Kind, value: &Bound<'_, PyAny>) -> Result<u64, Refused> {
    let i32s = (i64::from(i32::MIN), i64::from(i32::MAX));
    match kind {
        Kind::UInt32 | Kind::Fixed32 => number::unsigned(value, u64::from(u32::MAX)),
        Kind::UInt64 | Kind::Fixed64 => number::unsigned(value, u64::MAX),
        Kind::Int64 | Kind::SFixed64 => number::signed(value, i64::MIN, i64::MAX).map(|number| number as u64),
        Kind::Int32 | Kind::SFixed32 | Kind::Enum(None) => {
            number::signed(value, i32s.0, i32s.1).map(|number| number as u64)
        }
        Kind::SInt32 => number::signed(value, i32s.0, i32s.1).map(to_zigzag),
        Kind::SInt64 => number::signed(value, i64::MIN, i64::MAX).map(to_zigzag),
        Kind::Enum(Some(closed)) => {
            let number = number::signed(value, i32s.0, i32s.1)?;
            match closed.binary_search(&(number as i32)) {
                Ok(_) => Ok(number as u64),
                Err(_) => Err(Refused::Range),
            }
        }
        Kind::Bool => number::signed(value, 0, 1).map(|number| number as u64),
        Kind::Double | Kind::Float | Kind::String { .. } | Kind::Bytes | Kind::Message(_) => {
            Err(Refused::Type)
        }
    }
}

/// What a number of this kind is, for errors.
fn described(kind: &Kind) -> &'static str {
    match kind {
        Kind::Double | Kind::Float => "a float",
        Kind::Bool => "a bool",
        Kind::Enum(Some(_)) => "a number of its closed enum",
        Kind::UInt32 | Kind::Fixed32 => "an int from 0 to 2**32 - 1",
        Kind::UInt64 | Kind::Fixed64 => "an int from 0 to 2**64 - 1",
        Kind::Int64 | Kind::SFixed64 | Kind::SInt64 => "an int from -2**63 to 2**63 - 1",
        _ => "an int from -2**31 to 2**31 - 1",
    }
}

#[cold]
fn not_a(field: &Field, value: &Bound<'_, PyAny>, why: Refused) -> PyErr {
    match why {
        Refused::Type => wrong_type(field, described(&field.kind), value),
        Refused::Range => {
            let text = format!(
                "{} takes {}, not {}",
                field.name,
                described(&field.kind),
                shown(value)
            );
            failure::encode(value.py(), text)
        }
    }
}

#[cold]
fn wrong_type(field: &Field, wanted: &str, value: &Bound<'_, PyAny>) -> PyErr {
    let class = value
        .get_type()
        .fully_qualified_name()
        .map(|name| name.to_string())
        .unwrap_or_default();
    failure::encode(value.py(), format!("{} takes {wanted}, not {class}", field.name))
}

#[cold]
fn refused(field: &Field, value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = value.py();
    let failure = failure::encode(
        py,
        format!(
            "{} takes text that UTF-8 can hold: {}",
            field.name,
            error.value(py)
        ),
    );
    failure.set_cause(py, Some(error));
    failure
}

/// The value in few characters: an int of a million digits is not spelt out.
fn shown(value: &Bound<'_, PyAny>) -> String {
    match value.extract::<i128>() {
        Ok(number) => number.to_string(),
        Err(_) => "one of more than 128 bits".to_owned(),
    }
}

#[cold]
fn two_of_one(message: &MessageType, oneof: usize, object: &Bound<'_, PyAny>) -> PyErr {
    let oneof = &message.oneofs[oneof];
    let given: Vec<String> = oneof
        .members
        .iter()
        // SAFETY: the slots are those of the object's class.
        .filter(|(index, _)| matches!(unsafe { message.fields[*index].slot.get(object) }, Ok(Some(value)) if !value.is_none()))
        .map(|(_, attribute)| attribute.to_string())
        .collect();
    let text = format!(
        "{}: one member of the oneof {} at most, not {}",
        message.name,
        oneof.name,
        given.join(" and ")
    );
    failure::encode(object.py(), text)
}
