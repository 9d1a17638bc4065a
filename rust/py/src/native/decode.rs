//! Bytes become message objects: each field goes straight into its place in a new object.

use protosocket_core::wire::Malformed;
use protosocket_core::wire::protobuf_reader::{MAX_DEPTH, Reader, from_zigzag, wire};
use protosocket_core::wire::varint;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyList};

use super::crowds::Crowds;
use super::failure;
use super::merged::Merged;
use super::number;
use super::schema::{Entry, Field, Kind, Label, MessageType, Part, Schema};

/// Reads messages of a schema.
///
/// Nothing else sees an object before it is complete, except by looking through the garbage collector's lists.
pub struct Decoder<'a, 'py> {
    py: Python<'py>,
    schema: &'a Schema,
    merged: Merged<'a, 'py>,
    crowds: Crowds<'py>,
}

/// Why a value is not an object.
enum Stop {
    Malformed(Malformed),
    Python(PyErr),
    /// A number that a closed enum does not have: it counts as an unknown field.
    Foreign(u64),
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Stop::Malformed(malformed)
    }
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Stop::Python(error)
    }
}

type Value<'py> = Result<Bound<'py, PyAny>, Stop>;

impl<'a, 'py> Decoder<'a, 'py> {
    /// The message in `bytes`.
    pub fn run(
        py: Python<'py>,
        schema: &'a Schema,
        message: &'a MessageType,
        bytes: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let object = message.blank(py)?;
        let decoder = Decoder {
            py,
            schema,
            merged: Merged::new(),
            crowds: Crowds::new(),
        };
        decoder.fields(message, &object, bytes, MAX_DEPTH)?;
        decoder.merged.finish();
        // SAFETY: it is of the class.
        unsafe { message.objects().complete(&object) }?;
        Ok(object)
    }

    /// Gives `object` what `bytes` say: a new object, or one that was decoded before.
    fn fields(
        &self,
        message: &'a MessageType,
        object: &Bound<'py, PyAny>,
        bytes: &[u8],
        depth: u32,
    ) -> PyResult<()> {
        let mut unknown = Vec::new();
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            if let Err(stop) = self.field(message, object, &mut reader, depth, &mut unknown) {
                return Err(match stop {
                    Stop::Malformed(malformed) => failure::malformed(self.py, &message.name, malformed),
                    Stop::Python(error) => error,
                    Stop::Foreign(_) => {
                        unreachable!("a number that is not of its enum is kept where it is read")
                    }
                });
            }
        }
        if unknown.is_empty() {
            Ok(())
        } else {
            self.merged.keep(message, object, unknown)
        }
    }

    #[inline]
    fn field(
        &self,
        message: &'a MessageType,
        object: &Bound<'py, PyAny>,
        reader: &mut Reader<'_>,
        depth: u32,
        unknown: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let start = reader.rest();
        let (number, wire_type) = reader.key()?;
        if let Some((index, field)) = message.field(number) {
            let taken = match &field.label {
                Label::Implicit | Label::Explicit { .. } if wire_type == field.part.kind.wire() => {
                    self.single(message, index, object, reader, depth)
                }
                Label::Repeated { .. } if wire_type == field.part.kind.wire() => {
                    let value = self.value(&field.part, reader, None, depth);
                    value.and_then(|value| Ok(self.list(field, object)?.append(value)?))
                }
                Label::Repeated { .. } if wire_type == wire::BYTES => {
                    return self.packed(field, object, reader, unknown);
                }
                Label::Map(entry) if wire_type == wire::BYTES => {
                    let bytes = reader.bytes()?;
                    if !self.entry(field, entry, object, bytes, depth)? {
                        unknown.extend_from_slice(&start[..start.len() - reader.rest().len()]);
                    }
                    return Ok(());
                }
                _ => {
                    reader.skip(number, wire_type, depth)?;
                    unknown.extend_from_slice(&start[..start.len() - reader.rest().len()]);
                    return Ok(());
                }
            };
            if let Err(Stop::Foreign(_)) = taken {
                unknown.extend_from_slice(&start[..start.len() - reader.rest().len()]);
                return Ok(());
            }
            return taken;
        }
        reader.skip(number, wire_type, depth)?;
        unknown.extend_from_slice(&start[..start.len() - reader.rest().len()]);
        Ok(())
    }

    /// A field that stands once; the last one counts, and submessages are merged.
    #[inline]
    fn single(
        &self,
        message: &'a MessageType,
        index: usize,
        object: &Bound<'py, PyAny>,
        reader: &mut Reader<'_>,
        depth: u32,
    ) -> Result<(), Stop> {
        let field = &message.fields[index];
        let before = match field.part.kind {
            // SAFETY: the slots, here and below, are those of the object's class. The value gets a reference
            // of its own, since Python code may run while it is added to.
            Kind::Message(_) => unsafe { field.slot.present(object) }.map(|before| before.to_owned()),
            _ => None,
        };
        let merging = before.is_some();
        let value = self.value(&field.part, reader, before, depth)?;
        if merging {
            return Ok(());
        }
        if let Some(oneof) = field.oneof {
            for (other, _) in &message.oneofs[oneof].members {
                let slot = message.fields[*other].slot;
                // SAFETY: the value is not used.
                unsafe {
                    if *other != index && slot.present(object).is_some() {
                        slot.set(object, self.py.None().into_bound(self.py));
                    }
                }
            }
        }
        // SAFETY: as above.
        unsafe { field.slot.set(object, value) };
        Ok(())
    }

    /// The list of a repeated field, made if this is its first value.
    #[inline]
    fn list(&self, field: &Field, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        // SAFETY: the slots are those of the object's class; the list gets a reference of its own.
        unsafe {
            if let Some(list) = field.slot.get(object) {
                return Ok(list.to_owned().cast_into::<PyList>()?);
            }
            let list = PyList::empty(self.py);
            field.slot.set(object, list.clone().into_any());
            Ok(list)
        }
    }

    /// Numbers in one piece, whether or not the field is declared so.
    #[inline(never)]
    fn packed(
        &self,
        field: &Field,
        object: &Bound<'py, PyAny>,
        reader: &mut Reader<'_>,
        unknown: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let mut numbers = Reader::new(reader.bytes()?);
        if numbers.is_empty() {
            return Ok(());
        }
        let list = self.list(field, object)?;
        while !numbers.is_empty() {
            match self.value(&field.part, &mut numbers, None, 0) {
                Ok(value) => list.append(value)?,
                Err(Stop::Foreign(value)) => keep_number(&field.part, value, unknown),
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    /// An entry of a map; false if something in it is unknown, and so the entry is kept as it is.
    #[inline(never)]
    fn entry(
        &self,
        field: &Field,
        entry: &Entry,
        object: &Bound<'py, PyAny>,
        bytes: &[u8],
        depth: u32,
    ) -> Result<bool, Stop> {
        let depth = deeper(&field.part, depth, self.py)?;
        let (mut key, mut value) = (None, None);
        let mut complete = true;
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (number, wire_type) = reader.key()?;
            let (part, place) = match number {
                1 if wire_type == entry.key.kind.wire() => (&entry.key, &mut key),
                2 if wire_type == entry.value.kind.wire() => (&entry.value, &mut value),
                _ => {
                    reader.skip(number, wire_type, depth)?;
                    complete = false;
                    continue;
                }
            };
            match self.value(part, &mut reader, place.take(), depth) {
                Ok(object) => *place = Some(object),
                Err(Stop::Foreign(_)) => complete = false,
                Err(stop) => return Err(stop),
            }
        }
        if !complete {
            return Ok(false);
        }
        let key = key.map_or_else(|| self.value(&entry.key, &mut Reader::new(ZERO), None, depth), Ok)?;
        let value = match value {
            Some(value) => value,
            None => match self.value(&entry.value, &mut Reader::new(ZERO), None, depth) {
                Err(Stop::Foreign(_)) => first_of_closed(self.py, &entry.value)?,
                value => value?,
            },
        };
        // SAFETY: the slots are those of the object's class; the dict gets a reference of its own.
        let dict = unsafe {
            match field.slot.get(object) {
                Some(dict) => dict.to_owned().cast_into::<PyDict>().map_err(PyErr::from)?,
                None => {
                    let dict = PyDict::new(self.py);
                    field.slot.set(object, dict.clone().into_any());
                    dict
                }
            }
        };
        self.crowds.look(&field.part, &dict, &key)?;
        dict.set_item(key, value)?;
        Ok(true)
    }

    /// The value at the reader; a message is read into `before` if there is one.
    #[inline]
    fn value(
        &self,
        part: &Part,
        reader: &mut Reader<'_>,
        before: Option<Bound<'py, PyAny>>,
        depth: u32,
    ) -> Value<'py> {
        let py = self.py;
        match &part.kind {
            Kind::Bytes => Ok(PyBytes::new(py, reader.bytes()?).into_any()),
            Kind::String { strict } => self.text(part, reader.bytes()?, *strict),
            Kind::Message(index) => {
                let message = &self.schema.messages[*index];
                let bytes = reader.bytes()?;
                let depth = deeper(part, depth, py)?;
                match before {
                    Some(object) => {
                        self.fields(message, &object, bytes, depth)?;
                        Ok(object)
                    }
                    None => {
                        let object = message.blank(py)?;
                        self.fields(message, &object, bytes, depth)?;
                        // SAFETY: it is of the class.
                        unsafe { message.objects().complete(&object) }?;
                        Ok(object)
                    }
                }
            }
            Kind::UInt64 => self.unsigned(reader.varint()?),
            Kind::UInt32 => self.signed(i64::from(reader.varint()? as u32)),
            Kind::Int64 => self.signed(reader.varint()? as i64),
            Kind::Int32 | Kind::Enum(None) => self.signed(i64::from(reader.varint()? as i32)),
            Kind::Enum(Some(closed)) => {
                let number = reader.varint()?;
                match closed.binary_search(&(number as i32)) {
                    Ok(_) => self.signed(i64::from(number as i32)),
                    Err(_) => Err(Stop::Foreign(number)),
                }
            }
            Kind::Bool => Ok(PyBool::new(py, reader.varint()? != 0).to_owned().into_any()),
            Kind::SInt32 => self.signed(from_zigzag(u64::from(reader.varint()? as u32))),
            Kind::SInt64 => self.signed(from_zigzag(reader.varint()?)),
            Kind::Fixed32 => self.signed(i64::from(reader.fixed32()?)),
            Kind::Fixed64 => self.unsigned(reader.fixed64()?),
            Kind::SFixed32 => self.signed(i64::from(reader.fixed32()? as i32)),
            Kind::SFixed64 => self.signed(reader.fixed64()? as i64),
            Kind::Double => Ok(PyFloat::new(py, f64::from_bits(reader.fixed64()?)).into_any()),
            Kind::Float => Ok(PyFloat::new(py, number::double(reader.fixed32()?)).into_any()),
        }
    }

    #[inline]
    fn signed(&self, number: i64) -> Value<'py> {
        Ok(number.into_pyobject(self.py).map_err(PyErr::from)?.into_any())
    }

    #[inline]
    fn unsigned(&self, number: u64) -> Value<'py> {
        Ok(number.into_pyobject(self.py).map_err(PyErr::from)?.into_any())
    }

    #[inline]
    fn text(&self, part: &Part, bytes: &[u8], strict: bool) -> Value<'py> {
        let (start, length) = (bytes.as_ptr(), bytes.len() as ffi::Py_ssize_t);
        // SAFETY: a new text for ASCII has one byte a character, `length` of them, which are filled before
        // anything else sees it; CPython shares the one of no characters, and those of one, which are left to it.
        unsafe {
            if bytes.len() > 1 && bytes.is_ascii() {
                let text = Bound::from_owned_ptr_or_err(self.py, ffi::PyUnicode_New(length, 0x7f))?;
                ffi::PyUnicode_1BYTE_DATA(text.as_ptr()).copy_from_nonoverlapping(start, bytes.len());
                return Ok(text);
            }
            match Bound::from_owned_ptr_or_opt(
                self.py,
                ffi::PyUnicode_DecodeUTF8(start.cast(), length, c"strict".as_ptr()),
            ) {
                Some(text) => Ok(text),
                None => self.not_text(part, bytes, strict),
            }
        }
    }

    #[cold]
    fn not_text(&self, part: &Part, bytes: &[u8], strict: bool) -> Value<'py> {
        let error = PyErr::fetch(self.py);
        if !error.is_instance_of::<pyo3::exceptions::PyUnicodeDecodeError>(self.py) {
            return Err(error.into());
        }
        if strict {
            let text = format!("{} is not UTF-8: {}", part.name, error.value(self.py));
            return Err(failure::decode(self.py, text).into());
        }
        Ok(PyBytes::new(self.py, bytes).into_any())
    }
}

/// Zero in every way a number, a text or a message is written.
const ZERO: &[u8] = &[0; 8];

/// A closed enum without a zero: what an entry without a value holds is its first number.
#[cold]
fn first_of_closed<'py>(py: Python<'py>, part: &Part) -> PyResult<Bound<'py, PyAny>> {
    match &part.kind {
        Kind::Enum(Some(numbers)) if !numbers.is_empty() => Ok(numbers[0].into_pyobject(py)?.into_any()),
        _ => Err(failure::decode(py, format!("{} has no value", part.name))),
    }
}

#[inline]
fn deeper(part: &Part, depth: u32, py: Python<'_>) -> PyResult<u32> {
    match depth.checked_sub(1) {
        Some(depth) => Ok(depth),
        None => Err(failure::decode(
            py,
            format!("{}: messages are nested deeper than {MAX_DEPTH}", part.name),
        )),
    }
}

/// Keeps a number that a closed enum does not have.
#[cold]
fn keep_number(part: &Part, value: u64, unknown: &mut Vec<u8>) {
    varint::write(u64::from(part.number) << 3 | u64::from(wire::VARINT), unknown);
    varint::write(value, unknown);
}
