//! Message classes compiled for the encoder and the decoder: what each field is, and where objects keep it.

use std::sync::atomic::{AtomicUsize, Ordering};

use protosocket_core::wire::protobuf_reader::wire;
use protosocket_core::wire::protobuf_writer::Key;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};

use super::class_map::ClassMap;
use super::objects::{Default, Member, MessageObjects};
use super::plan::{FieldPlan, MessagePlan};
use super::slot::Slot;
use crate::errors;

/// What a field's value is.
pub enum Kind {
    Double,
    Float,
    Int64,
    UInt64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    /// Text; what is not UTF-8 is refused if `strict`, and otherwise read as `bytes`.
    String {
        strict: bool,
    },
    /// The messages of the class with this index.
    Message(usize),
    Bytes,
    UInt32,
    /// With its numbers, sorted, if it is closed.
    Enum(Option<Box<[i32]>>),
    SFixed32,
    SFixed64,
    SInt32,
    SInt64,
}

impl Kind {
    /// Its wire type outside a packed field.
    #[inline]
    pub fn wire(&self) -> u8 {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::SFixed64 => wire::FIXED64,
            Kind::Float | Kind::Fixed32 | Kind::SFixed32 => wire::FIXED32,
            Kind::String { .. } | Kind::Bytes | Kind::Message(_) => wire::BYTES,
            _ => wire::VARINT,
        }
    }

    fn of(plan: &FieldPlan<'_>) -> PyResult<Self> {
        Ok(match plan.kind {
            1 => Kind::Double,
            2 => Kind::Float,
            3 => Kind::Int64,
            4 => Kind::UInt64,
            5 => Kind::Int32,
            6 => Kind::Fixed64,
            7 => Kind::Fixed32,
            8 => Kind::Bool,
            9 => Kind::String { strict: plan.utf8 },
            11 => Kind::Message(
                plan.message
                    .ok_or_else(|| impossible(plan, "it has no message"))?,
            ),
            12 => Kind::Bytes,
            13 => Kind::UInt32,
            14 => Kind::Enum(plan.closed.clone().map(|mut numbers| {
                numbers.sort_unstable();
                numbers.into_boxed_slice()
            })),
            15 => Kind::SFixed32,
            16 => Kind::SFixed64,
            17 => Kind::SInt32,
            18 => Kind::SInt64,
            _ => return Err(impossible(plan, "there is no such type")),
        })
    }
}

/// Whether and how often a field stands in a message.
pub enum Label {
    /// Left out when zero; absent reads zero.
    Implicit,
    /// Present unless it is `None`; the bool says whether it must be.
    Explicit { required: bool },
    /// A list; the bool says whether numbers stand in one piece.
    Repeated { packed: bool },
    /// A dict.
    Map(Box<Entry>),
}

/// The two parts of a map's entries, which are fields with the numbers 1 and 2.
pub struct Entry {
    pub key: Part,
    pub value: Part,
}

/// What stands on the wire: a field, or a part of a map's entry.
pub struct Part {
    /// The full name in the schema.
    pub name: String,
    pub number: u32,
    pub key: Key,
    pub kind: Kind,
}

impl Part {
    fn compile(plan: &FieldPlan<'_>, wire_type: Option<u8>) -> PyResult<Self> {
        if plan.number == 0 || plan.number >= 1 << 29 {
            return Err(impossible(plan, "a number is 1 to 2^29 - 1"));
        }
        let kind = Kind::of(plan)?;
        let key = Key::new(plan.number, wire_type.unwrap_or(kind.wire()));
        Ok(Part {
            name: plan.name.clone(),
            number: plan.number,
            key,
            kind,
        })
    }
}

/// A field of a message class.
pub struct Field {
    pub part: Part,
    pub label: Label,
    pub slot: Slot,
    /// What the attribute holds when the field is absent; nothing for an empty list or dict of its own.
    pub absent: Option<Py<PyAny>>,
    /// The index of its oneof.
    pub oneof: Option<usize>,
}

impl Field {
    fn compile(class: &Bound<'_, PyType>, plan: &FieldPlan<'_>) -> PyResult<Self> {
        let py = class.py();
        let label = match plan.label.as_str() {
            "implicit" => Label::Implicit,
            "explicit" => Label::Explicit { required: false },
            "required" => Label::Explicit { required: true },
            "repeated" => Label::Repeated { packed: false },
            "packed" => Label::Repeated { packed: true },
            "map" => match plan.entry.as_slice() {
                [key, value] if key.number == 1 && value.number == 2 => Label::Map(Box::new(Entry {
                    key: Part::compile(key, None)?,
                    value: Part::compile(value, None)?,
                })),
                _ => {
                    return Err(impossible(
                        plan,
                        "an entry is a key with the number 1 and a value with 2",
                    ));
                }
            },
            _ => return Err(impossible(plan, "there is no such label")),
        };
        let one_piece = matches!(label, Label::Repeated { packed: true } | Label::Map(_));
        let part = Part::compile(plan, one_piece.then_some(wire::BYTES))?;
        let absent = match label {
            Label::Implicit => Some(default_of(class, &plan.attribute)?),
            Label::Explicit { .. } => Some(py.None()),
            Label::Repeated { .. } | Label::Map(_) => None,
        };
        Ok(Field {
            part,
            label,
            slot: Slot::of(class, &plan.attribute)?,
            absent,
            oneof: plan.oneof,
        })
    }
}

/// A oneof: at most one of its members is not `None`.
pub struct Oneof {
    pub name: Py<PyString>,
    /// The indices of its fields and their attributes.
    pub members: Vec<(usize, Py<PyString>)>,
}

/// A message class.
pub struct MessageType {
    pub name: String,
    pub class: Py<PyType>,
    objects: Py<MessageObjects>,
    /// In the order of their numbers, which is the order on the wire.
    pub fields: Vec<Field>,
    pub oneofs: Vec<Oneof>,
    pub unknown: Slot,
    /// The index of each field with a small number, or `NO_FIELD`.
    near: Vec<u16>,
}

const NO_FIELD: u16 = u16::MAX;

/// Field numbers below this are found in a table, others by searching.
const NEAR: u32 = 256;

impl MessageType {
    fn compile(plan: MessagePlan<'_>) -> PyResult<Self> {
        let MessagePlan {
            name,
            class,
            unknown,
            fields: mut plans,
            oneofs,
        } = plan;
        plans.sort_by_key(|field| field.number);
        if plans.len() >= usize::from(NO_FIELD) {
            let text = format!("{name} has more than {} fields", NO_FIELD - 1);
            return Err(errors::option(class.py(), &text));
        }
        let mut oneofs: Vec<Oneof> = oneofs
            .into_iter()
            .map(|name| Oneof {
                name: name.unbind(),
                members: Vec::new(),
            })
            .collect();
        let mut fields = Vec::with_capacity(plans.len());
        let mut members = Vec::with_capacity(plans.len() + 1);
        let mut near = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            let field = Field::compile(&class, plan)?;
            if let Some(oneof) = plan.oneof {
                let oneof = oneofs
                    .get_mut(oneof)
                    .ok_or_else(|| impossible(plan, "there is no such oneof"))?;
                oneof.members.push((index, plan.attribute.clone().unbind()));
            }
            if field.part.number < NEAR {
                near.resize(field.part.number as usize + 1, NO_FIELD);
                near[field.part.number as usize] = index as u16;
            }
            members.push(Member {
                name: plan.attribute.clone().unbind(),
                slot: field.slot,
                default: match (&field.absent, &field.label) {
                    (Some(value), _) => Default::Value(value.clone_ref(class.py())),
                    (None, Label::Map(_)) => Default::Dict,
                    (None, _) => Default::List,
                },
            });
            fields.push(field);
        }
        let kept_unknown = Member {
            slot: Slot::of(&class, &unknown)?,
            name: unknown.unbind(),
            default: Default::Value(class.py().None()),
        };
        let unknown = kept_unknown.slot;
        members.push(kept_unknown);
        Ok(MessageType {
            name,
            objects: MessageObjects::of(&class, members)?,
            class: class.unbind(),
            fields,
            oneofs,
            unknown,
            near,
        })
    }

    /// The field with this number and its index.
    #[inline]
    pub fn field(&self, number: u32) -> Option<(usize, &Field)> {
        let index = match self.near.get(number as usize) {
            Some(&NO_FIELD) => return None,
            Some(index) => usize::from(*index),
            None if number < NEAR => return None,
            None => self
                .fields
                .binary_search_by_key(&number, |field| field.part.number)
                .ok()?,
        };
        Some((index, &self.fields[index]))
    }

    /// Whether `object` is of this class, or one derived from it, and so has its slots.
    #[inline]
    pub fn is_instance(&self, object: &Bound<'_, PyAny>) -> bool {
        let class = self.class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: both are valid type objects.
        unsafe {
            let other = ffi::Py_TYPE(object.as_ptr());
            other == class || ffi::PyType_IsSubtype(other, class) != 0
        }
    }

    /// A new object of the class with its default values, but no list and no dict.
    #[inline]
    pub fn blank<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.objects.get().blank(self.class.bind(py))
    }

    /// The objects of the class.
    #[inline]
    pub fn objects(&self) -> &MessageObjects {
        self.objects.get()
    }
}

/// Message classes that may hold one another.
pub struct Schema {
    pub messages: Vec<MessageType>,
    by_class: ClassMap,
    /// The index that was asked for last, as a connection mostly sends one class of messages.
    last: AtomicUsize,
}

impl Schema {
    pub fn compile(plans: Vec<MessagePlan<'_>>) -> PyResult<Self> {
        let count = plans.len();
        let mut messages = Vec::with_capacity(count);
        let mut by_class = ClassMap::default();
        for (index, plan) in plans.into_iter().enumerate() {
            by_class.insert(plan.class.as_ptr() as usize, index);
            messages.push(MessageType::compile(plan)?);
        }
        for field in messages.iter().flat_map(|message| &message.fields) {
            let kinds = match &field.label {
                Label::Map(entry) => [&entry.key.kind, &entry.value.kind],
                _ => [&field.part.kind, &field.part.kind],
            };
            for kind in kinds {
                if matches!(kind, Kind::Message(index) if *index >= count) {
                    return Err(PyValueError::new_err(format!(
                        "the field {}: there is no such message",
                        field.part.name
                    )));
                }
            }
        }
        Ok(Schema {
            messages,
            by_class,
            last: AtomicUsize::new(0),
        })
    }

    /// The index of this class.
    #[inline]
    pub fn index(&self, class: *const ffi::PyTypeObject) -> Option<usize> {
        let last = self.last.load(Ordering::Relaxed);
        let is_last = |message: &MessageType| message.class.as_ptr().cast_const() == class.cast();
        if self.messages.get(last).is_some_and(is_last) {
            return Some(last);
        }
        let index = self.by_class.get(&class.addr()).copied()?;
        self.last.store(index, Ordering::Relaxed);
        Some(index)
    }
}

/// What an absent field without presence reads as: the very object that the class has for it, by which `repr` knows it.
fn default_of(class: &Bound<'_, PyType>, attribute: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
    let fields = class.getattr("__struct_fields__")?.cast_into::<PyTuple>()?;
    let defaults = class.getattr("__struct_defaults__")?.cast_into::<PyTuple>()?;
    // They are the last fields'.
    let without = fields.len() - defaults.len();
    match fields
        .iter()
        .position(|field| field.eq(attribute).unwrap_or(false))
    {
        Some(index) if index >= without => Ok(defaults.get_item(index - without)?.unbind()),
        _ => {
            let text = format!("{class} has no default for {attribute}");
            Err(PyValueError::new_err(text))
        }
    }
}

fn impossible(plan: &FieldPlan<'_>, why: &str) -> PyErr {
    PyValueError::new_err(format!("the field {} cannot be compiled: {why}", plan.name))
}
