//! Message objects become bytes: from the last field to the first, so that every length is known in time.

use std::ptr::null_mut;

use protosocket_core::wire::protobuf_reader::MAX_DEPTH;
use protosocket_core::wire::protobuf_writer::{Writer, to_zigzag};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::failure;
use super::number::{self, Refused};
use super::schema::{Entry, Field, Kind, Label, MessageType, Part, Schema};

/// The longest message protobuf allows, in bytes.
const LONGEST: usize = i32::MAX as usize;

/// Writes messages of a schema.
///
/// No Python code runs in here: attributes are read where they are, only objects of built-in types are asked
/// for their values, and nothing is made that the garbage collector knows. So references are borrowed.
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
        encoder.message(message, object, MAX_DEPTH)?;
        if encoder.output.length() > LONGEST {
            return Err(failure::encode(
                object.py(),
                format!("a {} is longer than 2 GiB", message.name),
            ));
        }
        Ok(())
    }

    fn message(&mut self, message: &MessageType, object: &Bound<'_, PyAny>, depth: u32) -> PyResult<()> {
        // SAFETY: the slots are those of the object's class; no Python code runs (see above).
        if let Some(unknown) = unsafe { message.unknown.present(object) } {
            match unknown.cast::<PyBytes>() {
                Ok(bytes) => self.output.raw(bytes.as_bytes()),
                Err(_) => return Err(unknown_not_bytes(message, object)),
            }
        }
        let mut oneofs = 0u64;
        for field in message.fields.iter().rev() {
            // SAFETY: as above.
            let Some(value) = (unsafe { field.slot.get(object) }) else {
                return Err(deleted(field, object));
            };
            if field
                .absent
                .as_ref()
                .is_some_and(|absent| absent.as_ptr() == value.as_ptr())
            {
                if let Label::Explicit { required: true } = field.label {
                    return Err(missing(field, object));
                }
                continue;
            }
            match &field.label {
                Label::Implicit => {
                    if self.value(&field.part, value, true, depth)? {
                        self.output.key(&field.part.key);
                    }
                }
                Label::Explicit { .. } => {
                    if let Some(oneof) = field.oneof {
                        let bit = 1u64.checked_shl(oneof as u32).unwrap_or(0);
                        if oneofs & bit != 0 || (bit == 0 && has_two(message, oneof, object)) {
                            return Err(two_of_one(message, oneof, object));
                        }
                        oneofs |= bit;
                    }
                    self.value(&field.part, value, false, depth)?;
                    self.output.key(&field.part.key);
                }
                Label::Repeated { packed } => {
                    let list = value
                        .cast::<PyList>()
                        .map_err(|_| wrong_type(&field.part, "a list", value))?;
                    if !list.is_empty() {
                        self.list(&field.part, list, *packed, depth)?;
                    }
                }
                Label::Map(entry) => {
                    let dict = value
                        .cast::<PyDict>()
                        .map_err(|_| wrong_type(&field.part, "a dict", value))?;
                    if !dict.is_empty() {
                        self.map(&field.part, entry, dict, depth)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        part: &Part,
        list: Borrowed<'_, '_, PyList>,
        packed: bool,
        depth: u32,
    ) -> PyResult<()> {
        let before = self.output.length();
        for index in (0..list.len()).rev() {
            // SAFETY: the index is in the list, which does not change (see above).
            let value = unsafe {
                Borrowed::from_ptr(
                    list.py(),
                    ffi::PyList_GET_ITEM(list.as_ptr(), index as ffi::Py_ssize_t),
                )
            };
            self.value(part, value, false, depth)?;
            if !packed {
                self.output.key(&part.key);
            }
        }
        if packed {
            self.output.varint((self.output.length() - before) as u64);
            self.output.key(&part.key);
        }
        Ok(())
    }

    /// Writes the entries so that they stand in the order of the dict.
    #[inline(never)]
    fn map(
        &mut self,
        part: &Part,
        entry: &Entry,
        dict: Borrowed<'_, '_, PyDict>,
        depth: u32,
    ) -> PyResult<()> {
        // An entry is a level of its own to a decoder.
        let Some(depth) = depth.checked_sub(1) else {
            return Err(too_deep(part, dict.as_any().as_borrowed()));
        };
        let mut items = Vec::with_capacity(dict.len());
        let (mut position, mut key, mut value) = (0, null_mut(), null_mut());
        // SAFETY: the dict does not change (see above), so what it lends stays valid.
        unsafe {
            while ffi::PyDict_Next(dict.as_ptr(), &raw mut position, &raw mut key, &raw mut value) != 0 {
                items.push((
                    Borrowed::from_ptr(dict.py(), key),
                    Borrowed::from_ptr(dict.py(), value),
                ));
            }
        }
        for (key, value) in items.into_iter().rev() {
            let before = self.output.length();
            self.value(&entry.value, value, false, depth)?;
            self.output.key(&entry.value.key);
            self.value(&entry.key, key, false, depth)?;
            self.output.key(&entry.key.key);
            self.output.varint((self.output.length() - before) as u64);
            self.output.key(&part.key);
        }
        Ok(())
    }

    /// Writes a value without its key, or nothing and gives false if it is zero and to be left out.
    #[inline]
    fn value(
        &mut self,
        part: &Part,
        value: Borrowed<'_, '_, PyAny>,
        skip_zero: bool,
        depth: u32,
    ) -> PyResult<bool> {
        match &part.kind {
            Kind::Bytes => {
                let bytes = value
                    .cast::<PyBytes>()
                    .map_err(|_| wrong_type(part, "bytes", value))?;
                let bytes = content(&bytes);
                if skip_zero && bytes.is_empty() {
                    return Ok(false);
                }
                self.output.bytes(bytes);
            }
            Kind::String { strict } => {
                let text = value.cast::<PyString>();
                let lax = value.cast::<PyBytes>();
                let bytes = match (&text, &lax) {
                    (Ok(text), _) => text
                        .to_str()
                        .map_err(|error| not_utf8(part, value, error))?
                        .as_bytes(),
                    // What was not UTF-8 was read as bytes, so it can be written as bytes.
                    (_, Ok(bytes)) if !strict => content(bytes),
                    _ => return Err(wrong_type(part, "str", value)),
                };
                if skip_zero && bytes.is_empty() {
                    return Ok(false);
                }
                self.output.bytes(bytes);
            }
            Kind::Message(index) => {
                let message = &self.schema.messages[*index];
                if !message.is_instance(&value) {
                    return Err(wrong_type(part, &format!("a {}", message.name), value));
                }
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(too_deep(part, value));
                };
                let before = self.output.length();
                self.message(message, &value, depth)?;
                self.output.varint((self.output.length() - before) as u64);
            }
            Kind::Double => {
                let bits = number::float(&value)
                    .map_err(|why| not_a(part, value, why))?
                    .to_bits();
                if skip_zero && bits == 0 {
                    return Ok(false);
                }
                self.output.fixed64(bits);
            }
            Kind::Float => {
                let bits = number::single(number::float(&value).map_err(|why| not_a(part, value, why))?);
                if skip_zero && bits == 0 {
                    return Ok(false);
                }
                self.output.fixed32(bits);
            }
            kind => {
                let number = integer(kind, &value).map_err(|why| not_a(part, value, why))?;
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

/// The bytes of the object: `as_bytes` without its two calls.
#[inline]
fn content<'a>(bytes: &'a Bound<'_, PyBytes>) -> &'a [u8] {
    // SAFETY: a bytes object has so many bytes there, which never change.
    unsafe {
        let start = ffi::PyBytes_AS_STRING(bytes.as_ptr()).cast::<u8>();
        std::slice::from_raw_parts(start, ffi::Py_SIZE(bytes.as_ptr()) as usize)
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
fn not_a(part: &Part, value: Borrowed<'_, '_, PyAny>, why: Refused) -> PyErr {
    let wanted = described(&part.kind);
    match why {
        Refused::Type => wrong_type(part, wanted, value),
        Refused::Range => {
            // An int of a million digits is not spelt out.
            let shown = match value.extract::<i128>() {
                Ok(number) => number.to_string(),
                Err(_) => "one of more than 128 bits".to_owned(),
            };
            failure::encode(value.py(), format!("{} takes {wanted}, not {shown}", part.name))
        }
    }
}

#[cold]
fn wrong_type(part: &Part, wanted: &str, value: Borrowed<'_, '_, PyAny>) -> PyErr {
    let class = value
        .get_type()
        .fully_qualified_name()
        .map(|name| name.to_string())
        .unwrap_or_default();
    failure::encode(value.py(), format!("{} takes {wanted}, not {class}", part.name))
}

#[cold]
fn not_utf8(part: &Part, value: Borrowed<'_, '_, PyAny>, error: PyErr) -> PyErr {
    let py = value.py();
    let failure = failure::encode(
        py,
        format!(
            "{} takes text that UTF-8 can hold: {}",
            part.name,
            error.value(py)
        ),
    );
    failure.set_cause(py, Some(error));
    failure
}

#[cold]
fn too_deep(part: &Part, value: Borrowed<'_, '_, PyAny>) -> PyErr {
    failure::encode(
        value.py(),
        format!("{}: messages are nested deeper than {MAX_DEPTH}", part.name),
    )
}

/// Whether two members of a oneof are set, of which there are more than the encoder has bits for.
#[cold]
fn has_two(message: &MessageType, oneof: usize, object: &Bound<'_, PyAny>) -> bool {
    members_set(message, oneof, object).count() > 1
}

/// The attributes of the members of a oneof that are set.
fn members_set<'a>(
    message: &'a MessageType,
    oneof: usize,
    object: &'a Bound<'_, PyAny>,
) -> impl Iterator<Item = &'a Py<PyString>> {
    let members = message.oneofs[oneof].members.iter();
    // SAFETY: the slots are those of the object's class, and the values are not used.
    let set = |index: usize| unsafe { message.fields[index].slot.present(object) }.is_some();
    members.filter_map(move |(index, attribute)| set(*index).then_some(attribute))
}

#[cold]
fn two_of_one(message: &MessageType, oneof: usize, object: &Bound<'_, PyAny>) -> PyErr {
    let given = members_set(message, oneof, object);
    let oneof = &message.oneofs[oneof];
    let given: Vec<String> = given.map(Py::to_string).collect();
    let text = format!(
        "{}: one member of the oneof {} at most, not {}",
        message.name,
        oneof.name,
        given.join(" and ")
    );
    failure::encode(object.py(), text)
}

#[cold]
fn unknown_not_bytes(message: &MessageType, object: &Bound<'_, PyAny>) -> PyErr {
    failure::encode(
        object.py(),
        format!("the unknown fields of a {} are bytes or None", message.name),
    )
}

#[cold]
fn deleted(field: &Field, object: &Bound<'_, PyAny>) -> PyErr {
    failure::encode(
        object.py(),
        format!("the attribute for {} was deleted", field.part.name),
    )
}

#[cold]
fn missing(field: &Field, object: &Bound<'_, PyAny>) -> PyErr {
    failure::encode(
        object.py(),
        format!("{} is required, so it cannot be None", field.part.name),
    )
}
