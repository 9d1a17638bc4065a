//! The native protobuf codec: message classes of `msgspec.Struct` kind, read and written without Python code.

mod class_map;
mod crowds;
mod decode;
mod encode;
mod failure;
mod merged;
mod number;
mod objects;
mod plan;
mod schema;
mod slot;

use protosocket_core::wire::protobuf_reader::wire;
use protosocket_core::wire::protobuf_writer::{Key, Writer};
use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};

use crate::guarded::Guarded;
use decode::Decoder;
use encode::Encoder;
use plan::MessagePlan;
use schema::{MessageType, Schema};

/// What a schema keeps between messages: the largest that a connection takes by default, with room.
/// Fresh memory for each long message costs more than everything else that is done with it.
const KEPT: usize = 5 * 1024 * 1024;

/// Message classes compiled for encoding and decoding.
#[pyclass(frozen, module = "protosocket._core")]
pub struct NativeSchema {
    schema: Schema,
    /// Taken out while it is used, so a finaliser that encodes meanwhile finds another.
    writer: Guarded<Writer>,
}

#[pymethods]
impl NativeSchema {
    /// Compiles the plans; `ValueError` for what cannot be.
    #[new]
    fn new(plans: Vec<MessagePlan<'_>>) -> PyResult<Self> {
        Ok(NativeSchema {
            schema: Schema::compile(plans)?,
            writer: Guarded::new(Writer::new()),
        })
    }

    /// The bytes of a message; `EncodeError` if a field cannot be written, `TypeError` for another class.
    #[pyo3(signature = (message, /))]
    fn encode<'py>(&self, message: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let written = self.write(message)?;
        Ok(PyBytes::new(message.py(), written.as_bytes()))
    }

    /// The message of class `kind` in `data`; `InvalidMessage` if there is none, `TypeError` for another class.
    #[pyo3(signature = (kind, data, /))]
    fn decode<'py>(&self, kind: &Bound<'py, PyType>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let index = self
            .schema
            .index(kind.as_type_ptr())
            .ok_or_else(|| foreign(kind))?;
        Decoder::run(kind.py(), &self.schema, &self.schema.messages[index], data)
    }

    /// What decodes messages of class `kind`; `TypeError` for another class.
    fn decoder(slf: &Bound<'_, Self>, kind: &Bound<'_, PyType>) -> PyResult<NativeDecoder> {
        let index = slf
            .get()
            .schema
            .index(kind.as_type_ptr())
            .ok_or_else(|| foreign(kind))?;
        Ok(NativeDecoder {
            schema: slf.clone().unbind(),
            index,
        })
    }

    /// The attribute of the oneof's member that is set, or None; `KeyError` if there is no such oneof.
    #[pyo3(signature = (message, oneof, /))]
    fn which_oneof<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        oneof: &Bound<'py, PyString>,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        let py = message.py();
        let kind = self.type_of(message)?;
        for known in &kind.oneofs {
            if known.name.is(oneof) || known.name.bind(py).as_any().eq(oneof)? {
                for (index, attribute) in &known.members {
                    // SAFETY: `type_of` saw that the object is of this class; the value is not used.
                    if unsafe { kind.fields[*index].slot.present(message) }.is_some() {
                        return Ok(Some(attribute.bind(py).clone()));
                    }
                }
                return Ok(None);
            }
        }
        Err(PyKeyError::new_err(format!(
            "{} has no oneof {}",
            kind.name,
            oneof.repr()?
        )))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.schema
            .messages
            .iter()
            .try_for_each(|message| visit.call(&message.class))
    }
}

/// An encoded message, in memory that the schema gets back.
pub struct Written<'a, 'py> {
    py: Python<'py>,
    schema: &'a NativeSchema,
    writer: Writer,
}

impl Written<'_, '_> {
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.writer.written()
    }

    /// Puts a field before what is written.
    #[inline]
    pub fn varint_field(&mut self, number: u32, value: u64) {
        self.writer.varint(value);
        self.writer.key(&Key::new(number, wire::VARINT));
    }

    /// Puts a field before what is written.
    #[inline]
    pub fn bytes_field(&mut self, number: u32, content: &[u8]) {
        self.writer.bytes(content);
        self.writer.key(&Key::new(number, wire::BYTES));
    }
}

impl Drop for Written<'_, '_> {
    fn drop(&mut self) {
        self.writer.clear(KEPT);
        *self.schema.writer.borrow(self.py) = std::mem::take(&mut self.writer);
    }
}

impl NativeSchema {
    /// What `encode` gives, without an object for it.
    #[inline]
    pub fn write<'a, 'py>(&'a self, message: &Bound<'py, PyAny>) -> PyResult<Written<'a, 'py>> {
        let kind = self.type_of(message)?;
        let mut written = self.blank(message.py());
        Encoder::run(&self.schema, kind, message, &mut written.writer)?;
        Ok(written)
    }

    /// Memory for a message.
    #[inline]
    pub fn blank<'a, 'py>(&'a self, py: Python<'py>) -> Written<'a, 'py> {
        Written {
            py,
            schema: self,
            writer: std::mem::take(&mut *self.writer.borrow(py)),
        }
    }

    /// The type of a message: of its class, or of one that its class derives from.
    #[inline]
    fn type_of(&self, message: &Bound<'_, PyAny>) -> PyResult<&MessageType> {
        match self.schema.index(message.get_type_ptr()) {
            Some(index) => Ok(&self.schema.messages[index]),
            None => self.derived(message),
        }
    }

    #[cold]
    fn derived(&self, message: &Bound<'_, PyAny>) -> PyResult<&MessageType> {
        for base in message.get_type().mro().iter() {
            if let Some(index) = self.schema.index(base.cast::<PyType>()?.as_type_ptr()) {
                return Ok(&self.schema.messages[index]);
            }
        }
        Err(foreign(&message.get_type()))
    }
}

#[cold]
fn foreign(class: &Bound<'_, PyType>) -> PyErr {
    match class.fully_qualified_name() {
        Ok(name) => PyTypeError::new_err(format!("{name} is not a message class of this schema")),
        Err(error) => error,
    }
}

/// Decodes messages of one class.
#[pyclass(frozen, module = "protosocket._core")]
pub struct NativeDecoder {
    schema: Py<NativeSchema>,
    index: usize,
}

#[pymethods]
impl NativeDecoder {
    /// The message in `data`; `InvalidMessage` if there is none.
    #[pyo3(signature = (data, /))]
    fn decode<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        self.read(py, data)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.schema)
    }
}

impl NativeDecoder {
    /// What `decode` gives.
    #[inline]
    pub fn read<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let schema = &self.schema.get().schema;
        Decoder::run(py, schema, &schema.messages[self.index], data)
    }
}
