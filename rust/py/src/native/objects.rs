//! Making and freeing message objects: a class's own constructor, destructor and a few objects kept for reuse.
//!
//! A small message lives as long as a call, and msgspec's general way to make and free it took more instructions
//! than its bytes do. Where the garbage collector does not know a class's objects, two slots of the class are
//! replaced: the constructor with keywords, and the destructor. Whatever they do not do themselves (positional
//! arguments, unknown names, derived classes, finalisers) is left to the functions that stood there before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::slot::Slot;
use crate::asyncio_glue::slots::given_back;
use crate::asyncio_glue::switch::plain;
use crate::guarded::Guarded;

/// How many freed objects a class keeps.
const KEPT: usize = 32;

/// What an attribute holds when nothing was given for it.
pub enum Default {
    Value(Py<PyAny>),
    /// A new list.
    List,
    /// A new dict.
    Dict,
}

/// An attribute of the objects.
pub struct Member {
    pub name: Py<PyString>,
    pub slot: Slot,
    pub default: Default,
}

/// The objects of one class, which keeps this in its `tp_cache`: a reference that CPython itself does not use
/// any more and drops with the class, so this is there as long as any object is.
///
/// A blank object holds its default values, and null for every list and dict. That is how objects are kept: most
/// attributes of a message with a oneof are never touched from its making to its end.
#[pyclass(frozen, module = "protosocket._core")]
pub struct MessageObjects {
    /// The attributes in the order in which the objects hold them.
    members: Vec<Member>,
    /// The lists and dicts among them.
    containers: Vec<usize>,
    /// What a blank object holds: borrowed from the members.
    blank: Vec<Pointer>,
    general: Option<General>,
    kept: Guarded<Kept>,
}

#[derive(Clone, Copy)]
struct Pointer(*mut ffi::PyObject);

// SAFETY: what it leads to is reached by threads that hold the GIL.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

/// What stood in the class before.
struct General {
    construct: ffi::vectorcallfunc,
    release: ffi::destructor,
    free: ffi::freefunc,
}

/// Freed objects, which are blank.
struct Kept {
    objects: [Pointer; KEPT],
    count: usize,
}

impl MessageObjects {
    /// The objects of `class`, whose slots are replaced if that may be; `ValueError` if none can be made.
    pub fn of(class: &Bound<'_, PyType>, mut members: Vec<Member>) -> PyResult<Py<Self>> {
        let py = class.py();
        let kind = class.as_type_ptr();
        members.sort_by_key(|member| member.slot);
        // One after the other, and nothing else, is what the objects hold.
        let is_gapless = members
            .iter()
            .enumerate()
            .all(|(index, member)| member.slot == Slot::behind_header(index));
        // SAFETY: a class is a valid type object; its slots are read.
        let general = unsafe {
            if (*kind).tp_alloc.is_none() || (*kind).tp_itemsize != 0 {
                let text = format!("objects of {class} cannot be made here");
                return Err(PyValueError::new_err(text));
            }
            let size = (*kind).tp_basicsize as usize;
            match ((*kind).tp_vectorcall, (*kind).tp_dealloc, (*kind).tp_free) {
                (Some(construct), Some(release), Some(free))
                    if !plain()
                        && (*kind).tp_flags & ffi::Py_TPFLAGS_HAVE_GC == 0
                        && is_gapless
                        && Slot::behind_header(members.len()).offset() == size
                        && (*kind).tp_cache.is_null() =>
                {
                    Some(General {
                        construct,
                        release,
                        free,
                    })
                }
                _ => None,
            }
        };
        let is_taken_over = general.is_some();
        let containers = (0..members.len()).filter(|index| members[*index].value().is_none());
        let objects = MessageObjects {
            containers: containers.collect(),
            blank: members
                .iter()
                .map(|member| Pointer(member.value().map_or(null_mut(), Py::as_ptr)))
                .collect(),
            members,
            general,
            kept: Guarded::new(Kept {
                objects: [Pointer(null_mut()); KEPT],
                count: 0,
            }),
        };
        let objects = Py::new(py, objects)?;
        if is_taken_over {
            // SAFETY: the class is ours and has no objects yet; it owns the reference that it is given.
            unsafe {
                (*kind).tp_cache = objects.clone_ref(py).into_ptr();
                (*kind).tp_vectorcall = Some(construct);
                (*kind).tp_dealloc = Some(release);
            }
        }
        Ok(objects)
    }

    /// A new blank object of `class`, whose objects these are.
    #[inline]
    pub fn blank<'py>(&self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        let kept = self.kept.borrow(class.py()).take();
        match kept {
            // SAFETY: it has the size of the class's objects, and nobody knows it.
            Some(object) => unsafe {
                let object = ffi::PyObject_Init(object, class.as_type_ptr());
                Ok(Bound::from_owned_ptr(class.py(), object))
            },
            None => self.allocate(class),
        }
    }

    fn allocate<'py>(&self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        let kind = class.as_type_ptr();
        // SAFETY: `of` saw the allocator, which CPython fills in for every class made at run time; it gives an
        // object with all members null, or null and an error.
        let object = unsafe {
            let allocate = (*kind).tp_alloc.expect("looked at when the schema was compiled");
            Bound::from_owned_ptr_or_err(class.py(), allocate(kind, 0))?
        };
        for (member, value) in self.members.iter().zip(&self.blank) {
            // SAFETY: it is of the class; live values, or null.
            unsafe {
                ffi::Py_XINCREF(value.0);
                member.slot.put(object.as_ptr(), value.0);
            }
        }
        Ok(object)
    }

    /// Gives an object that was blank the lists and dicts that it lacks.
    ///
    /// # Safety
    /// `object` is an instance of the class.
    #[inline]
    pub unsafe fn complete(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        for index in &self.containers {
            let member = &self.members[*index];
            // SAFETY: the caller vouches for the class; the value is not used. Both functions give a new object, or
            // null and an error.
            unsafe {
                if member.slot.get(object).is_none() {
                    let container = match member.default {
                        Default::Dict => ffi::PyDict_New(),
                        _ => ffi::PyList_New(0),
                    };
                    let container = Bound::from_owned_ptr_or_err(object.py(), container)?;
                    member.slot.set(object, container);
                }
            }
        }
        Ok(())
    }

    /// A new object with the attributes of these names; None if one of them has no such name.
    ///
    /// # Safety
    /// `names` are as many texts as there are `values`, and all are live.
    #[inline]
    unsafe fn make<'py>(
        &self,
        class: &Bound<'py, PyType>,
        names: *mut ffi::PyObject,
        values: *const *mut ffi::PyObject,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let object = self.blank(class)?;
        // SAFETY: see above; the object is of the class.
        unsafe {
            let count = if names.is_null() {
                0
            } else {
                ffi::PyTuple_GET_SIZE(names)
            };
            for index in 0..count {
                let name = ffi::PyTuple_GET_ITEM(names, index);
                // Names in calls are interned, as the members' are.
                let Some(member) = self.members.iter().find(|member| member.name.as_ptr() == name) else {
                    return Ok(None);
                };
                let value = ffi::Py_NewRef(*values.add(index as usize));
                member.slot.put(object.as_ptr(), value);
            }
            self.complete(&object)?;
        }
        Ok(Some(object))
    }

    /// Takes back an object that nobody refers to any more.
    ///
    /// # Safety
    /// `object` is an instance of the class, whose functions were replaced.
    #[inline]
    unsafe fn take_back(&self, py: Python<'_>, object: *mut ffi::PyObject) {
        for (index, value) in self.blank.iter().enumerate() {
            let slot = Slot::behind_header(index);
            // SAFETY: the caller vouches for the class, whose objects have no gaps.
            unsafe {
                if !slot.holds(object, value.0) {
                    ffi::Py_XINCREF(value.0);
                    slot.put(object, value.0);
                }
            }
        }
        if !self.kept.borrow(py).put(object) {
            // SAFETY: nobody knows it.
            unsafe { self.free(object) };
        }
    }

    /// # Safety
    /// `object` is a blank instance of the class that nobody knows.
    #[cold]
    unsafe fn free(&self, object: *mut ffi::PyObject) {
        let Some(general) = &self.general else { return };
        // SAFETY: the class's allocator made it; its references are of values that the members refer to as well.
        unsafe {
            for index in 0..self.blank.len() {
                Slot::behind_header(index).put(object, null_mut());
            }
            (general.free)(object.cast());
        }
    }
}

impl Member {
    /// The value by default, unless that is a new container.
    fn value(&self) -> Option<&Py<PyAny>> {
        match &self.default {
            Default::Value(value) => Some(value),
            Default::List | Default::Dict => None,
        }
    }
}

impl Kept {
    #[inline]
    fn take(&mut self) -> Option<*mut ffi::PyObject> {
        self.count = self.count.checked_sub(1)?;
        Some(self.objects[self.count].0)
    }

    /// Keeps a blank object; false if there are enough.
    #[inline]
    fn put(&mut self, object: *mut ffi::PyObject) -> bool {
        let Some(place) = self.objects.get_mut(self.count) else {
            return false;
        };
        *place = Pointer(object);
        self.count += 1;
        true
    }
}

impl Drop for MessageObjects {
    fn drop(&mut self) {
        while let Some(object) = self.kept.get_mut().take() {
            // SAFETY: it was kept, and is dropped with the last reference to this: by a thread that holds the GIL.
            unsafe { self.free(object) };
        }
    }
}

/// The objects of the class `kind`, if it is one whose slots were replaced.
///
/// # Safety
///
/// `kind` is a live type object, whose `tp_cache` nobody else has set, and lives as long as what this gives.
#[inline]
unsafe fn objects_of<'a>(py: Python<'a>, kind: *mut ffi::PyTypeObject) -> Option<&'a MessageObjects> {
    // SAFETY: only `MessageObjects::of` sets it.
    unsafe {
        let objects = Borrowed::from_ptr_or_opt(py, (*kind).tp_cache)?;
        Some(objects.cast_unchecked::<MessageObjects>().get())
    }
}

/// What a call of a class gives: a new object of it, or null with an error set.
///
/// # Safety
///
/// Called by the interpreter, with a class that has it in its slot, and arguments.
unsafe extern "C" fn construct(
    class: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter holds the GIL.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: a live class, which has objects of its own as long as this function is in its slot.
    let (kind, objects) = unsafe {
        let kind = Bound::from_borrowed_ptr(py, class).cast_into_unchecked::<PyType>();
        (kind, objects_of(py, class.cast()))
    };
    let general = objects.and_then(|objects| Some((objects, objects.general.as_ref()?)));
    let Some((objects, general)) = general else {
        unreachable!("a class without objects of its own has msgspec's constructor")
    };
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: without positional arguments, the values are as many as the names.
        unsafe {
            if ffi::PyVectorcall_NARGS(count) == 0 {
                if let Some(object) = objects.make(&kind, names, arguments)? {
                    return Ok(object);
                }
            }
            Bound::from_owned_ptr_or_err(py, (general.construct)(class, arguments, count, names))
        }
    }));
    given_back(py, result)
}

/// Frees an object that nobody refers to any more.
///
/// # Safety
///
/// Called by the interpreter, with an object of a class that has it in its slot, or of one derived from such.
unsafe extern "C" fn release(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter holds the GIL. The class outlives this function's use of it: the object has a
    // reference to it, which is given up last.
    unsafe {
        let py = Python::assume_attached();
        let kind = ffi::Py_TYPE(object);
        if let Some(objects) = objects_of(py, kind).filter(|_| (*kind).tp_finalize.is_none()) {
            objects.take_back(py, object);
            ffi::Py_DECREF(kind.cast());
            return;
        }
        // As it was before its class, or one that this derives from, had objects of its own.
        let mut general = kind;
        while !general.is_null() {
            if let Some(general) = objects_of(py, general).and_then(|objects| objects.general.as_ref()) {
                return (general.release)(object);
            }
            general = (*general).tp_base;
        }
    }
}
