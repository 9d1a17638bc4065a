//! One attribute of a message class, reached at its offset in the object as Python's own descriptor does it.

use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// Where the objects of a class keep an attribute.
pub enum Slot {
    /// At this offset: the class has a plain object member (`Py_T_OBJECT_EX`, as `__slots__` makes them).
    At(usize),
    /// Somewhere else: through `getattr` and `setattr`.
    Named(Py<PyString>),
}

impl Slot {
    /// The slot of the attribute `name` of `class`; its offset is only taken from a member of `class` itself
    /// or of a class it derives from, which has objects that large.
    pub fn of(class: &Bound<'_, PyType>, name: &Bound<'_, PyString>) -> PyResult<Self> {
        let member = class.getattr(name)?;
        // SAFETY: `member` is checked to be exactly a member descriptor before it is read as one; CPython
        // keeps `d_type` and `d_member` valid as long as the descriptor lives.
        unsafe {
            if ffi::Py_TYPE(member.as_ptr()) == &raw mut ffi::PyMemberDescr_Type {
                let descriptor = member.as_ptr().cast::<ffi::PyMemberDescrObject>();
                let definition = &*(*descriptor).d_member;
                let of_this_class =
                    ffi::PyType_IsSubtype(class.as_type_ptr(), (*descriptor).d_common.d_type) != 0;
                let end = definition.offset + size_of::<*mut ffi::PyObject>() as isize;
                let inside = definition.offset >= size_of::<ffi::PyObject>() as isize
                    && end <= (*class.as_type_ptr()).tp_basicsize;
                if of_this_class
                    && inside
                    && definition.type_code == ffi::Py_T_OBJECT_EX
                    && definition.flags & ffi::Py_READONLY == 0
                {
                    return Ok(Slot::At(definition.offset as usize));
                }
            }
        }
        Ok(Slot::Named(name.clone().unbind()))
    }

    /// The attribute of `object`, or `None` where it has none.
    ///
    /// # Safety
    /// `object` is an instance of the class this slot was made for.
    #[inline]
    pub unsafe fn get<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Slot::At(offset) => {
                // SAFETY: the offset lies inside the object (`of`, and the caller), at a pointer that is null
                // or owns a reference.
                unsafe {
                    let value = *object.as_ptr().byte_add(*offset).cast::<*mut ffi::PyObject>();
                    Ok(Bound::from_borrowed_ptr_or_opt(object.py(), value))
                }
            }
            Slot::Named(name) => named(object, name),
        }
    }

    /// Gives `object` the attribute.
    ///
    /// # Safety
    /// As for `get`.
    #[inline]
    pub unsafe fn set(&self, object: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Slot::At(offset) => {
                // SAFETY: as in `get`. The old value is released only after the new one stands in its place,
                // since that may run Python code.
                unsafe {
                    let place = object.as_ptr().byte_add(*offset).cast::<*mut ffi::PyObject>();
                    let old = place.replace(value.into_ptr());
                    ffi::Py_XDECREF(old);
                }
                Ok(())
            }
            Slot::Named(name) => object.setattr(name.bind(object.py()), value),
        }
    }
}

#[cold]
fn named<'py>(object: &Bound<'py, PyAny>, name: &Py<PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match object.getattr(name.bind(object.py())) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyAttributeError>(object.py()) => Ok(None),
        Err(error) => Err(error),
    }
}
