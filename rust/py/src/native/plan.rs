//! What Python tells of a schema: plain objects whose attributes are read once, when it is compiled.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// A message class and its fields.
#[derive(FromPyObject)]
pub struct MessagePlan<'py> {
    /// The full name in the schema.
    pub name: String,
    /// The class of its messages.
    #[pyo3(attribute("message"))]
    pub class: Bound<'py, PyType>,
    /// The attribute that keeps fields the schema does not know.
    pub unknown: Bound<'py, PyString>,
    pub fields: Vec<FieldPlan<'py>>,
    /// The names of its oneofs.
    pub oneofs: Vec<Bound<'py, PyString>>,
}

/// A field, or the key or value of a map.
#[derive(FromPyObject)]
pub struct FieldPlan<'py> {
    /// The full name, for errors.
    pub name: String,
    pub attribute: Bound<'py, PyString>,
    pub number: u32,
    /// The number of its type in `google.protobuf.FieldDescriptorProto.Type`.
    pub kind: u8,
    /// "implicit", "explicit", "required", "repeated", "packed" or "map".
    pub label: String,
    /// Whether what is not UTF-8 is refused.
    pub utf8: bool,
    /// The numbers of a closed enum.
    pub closed: Option<Vec<i32>>,
    /// The index of a submessage's class.
    pub message: Option<usize>,
    /// The index of its oneof.
    pub oneof: Option<usize>,
    /// The key and the value of a map.
    pub entry: Vec<FieldPlan<'py>>,
}
