//! One attribute of a message class, reached at its offset in the object as Python's own descriptor does it.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// Where the objects of a class keep an attribute: a pointer that is null or owns a reference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(usize);

impl Slot {
    /// The slot number `index` of objects that hold nothing but slots, one after the other.
    #[inline]
    pub fn behind_header(index: usize) -> Self {
        Slot(size_of::<ffi::PyObject>() + index * size_of::<*mut ffi::PyObject>())
    }

    /// Where it is in an object, in bytes.
    pub fn offset(self) -> usize {
        self.0
    }

    /// The slot of the attribute `name` of `class`; `TypeError` unless it is a plain object member
    /// (`Py_T_OBJECT_EX`), as `__slots__` and so `msgspec.Struct` make them.
    pub fn of(class: &Bound<'_, PyType>, name: &Bound<'_, PyString>) -> PyResult<Self> {
        let member = class.getattr(name)?;
        // SAFETY: `member` is seen to be a member descriptor before it is read as one; CPython keeps what it
        // points to as long as the descriptor lives. Nothing is trusted but what is checked here: the
        // descriptor is for objects of this class, and the pointer lies inside them, behind their header.
        unsafe {
            if ffi::Py_TYPE(member.as_ptr()) == &raw mut ffi::PyMemberDescr_Type {
                let class = class.as_type_ptr();
                let descriptor = member.as_ptr().cast::<ffi::PyMemberDescrObject>();
                let definition = &*(*descriptor).d_member;
                let end = definition.offset + size_of::<*mut ffi::PyObject>() as isize;
                if ffi::PyType_IsSubtype(class, (*descriptor).d_common.d_type) != 0
                    && definition.type_code == ffi::Py_T_OBJECT_EX
                    && definition.flags & ffi::Py_READONLY == 0
                    && definition.offset >= size_of::<ffi::PyObject>() as isize
                    && end <= (*class).tp_basicsize
                {
                    return Ok(Slot(definition.offset as usize));
                }
            }
        }
        Err(PyTypeError::new_err(format!(
            "{class} does not keep {name} as a plain member of its objects"
        )))
    }

    /// The attribute of `object`; `None` if it was deleted or not yet set.
    ///
    /// # Safety
    /// `object` is an instance of the class of this slot, and no Python code runs while the value is used.
    #[inline]
    pub unsafe fn get<'a, 'py>(self, object: &'a Bound<'py, PyAny>) -> Option<Borrowed<'a, 'py, PyAny>> {
        // SAFETY: `of` saw that the offset is in the object; the caller vouches for its class.
        unsafe {
            let value = *object.as_ptr().byte_add(self.0).cast::<*mut ffi::PyObject>();
            Borrowed::from_ptr_or_opt(object.py(), value)
        }
    }

    /// The attribute of `object`, unless it is absent or `None`.
    ///
    /// # Safety
    /// As for `get`.
    #[inline]
    pub unsafe fn present<'a, 'py>(self, object: &'a Bound<'py, PyAny>) -> Option<Borrowed<'a, 'py, PyAny>> {
        // SAFETY: the caller vouches for it.
        unsafe { self.get(object) }.filter(|value| !value.is_none())
    }

    /// Gives `object` the attribute.
    ///
    /// # Safety
    /// `object` is an instance of the class of this slot.
    #[inline]
    pub unsafe fn set(self, object: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) {
        // SAFETY: the caller vouches for the class.
        unsafe { self.put(object.as_ptr(), value.into_ptr()) };
    }

    /// Whether the attribute of an object is this very value.
    ///
    /// # Safety
    /// As for `put`.
    #[inline]
    pub unsafe fn holds(self, object: *mut ffi::PyObject, value: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller vouches for the class.
        unsafe { *object.byte_add(self.0).cast::<*mut ffi::PyObject>() == value }
    }

    /// Gives an object a reference that it owns then, or null, for the one that it has.
    ///
    /// # Safety
    /// `object` is an instance of the class of this slot, which may have no references any more.
    #[inline]
    pub unsafe fn put(self, object: *mut ffi::PyObject, value: *mut ffi::PyObject) {
        // SAFETY: as in `get`. The old value is released after the new one stands in its place, since that
        // may run Python code.
        unsafe {
            let place = object.byte_add(self.0).cast::<*mut ffi::PyObject>();
            ffi::Py_XDECREF(place.replace(value));
        }
    }
}
