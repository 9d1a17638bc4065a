//! What a task and the future it waits for say to each other, without the general ways.
//!
//! asyncio's tasks know the structure of `asyncio.Future` alone. Of everything else they ask three attributes by
//! name for each wait, and the result when they wake up. Here those names are told by their addresses, and a task is
//! woken with a future that it knows. Every other name and every other caller goes the general way.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::{ffi, intern};

use crate::asyncio_glue::home::Home;
use crate::asyncio_glue::slots::{given_back, panicked};
use crate::asyncio_glue::switch::plain;
use crate::guarded::Held;

/// A callback with the context it runs in.
pub type Callback = (Held<PyAny>, Held<PyAny>);

/// A future of a class of our own, from which nobody derives. It has asyncio's methods as well, for everybody who asks
/// for them in the general way.
pub trait Awaited: PyTypeInfo {
    fn of<'a>(slf: &'a Bound<'_, Self>) -> &'a Self;

    /// What `_asyncio_future_blocking` is: None as long as it is no future.
    fn blocking(&self, py: Python<'_>) -> Option<bool>;

    fn set_blocking(&self, py: Python<'_>, value: bool);

    /// One of the things of its event loop.
    fn asked<'py>(
        &self,
        py: Python<'py>,
        which: impl FnOnce(&EventLoop) -> &Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// Has `callback` called with it in `context`, where a task would go on.
    fn add_waiter(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Py<PyAny>) -> PyResult<()>;
}

/// An event loop, with what its tasks ask for at every wait.
pub struct EventLoop {
    pub home: Home,
    /// A function that gives the event loop.
    get_loop: Held<PyAny>,
    /// An `asyncio.Future` that is done.
    done: Held<PyAny>,
}

impl EventLoop {
    pub fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        let done = event_loop.call_method0(intern!(py, "create_future"))?;
        done.call_method1(intern!(py, "set_result"), (py.None(),))?;
        Ok(EventLoop {
            get_loop: function(&GET_LOOP, event_loop)?.into(),
            home: Home::new(event_loop.clone().unbind()),
            done: done.into(),
        })
    }

    pub fn held(&self) -> [&Py<PyAny>; 3] {
        [&self.home.event_loop, &self.get_loop, &self.done]
    }
}

/// Calls what waits for `call`. A task's own callback looks at nothing but whether there is a result.
#[inline]
pub fn wake<'py, T: Awaited>(
    callback: &Bound<'py, PyAny>,
    call: &Bound<'py, T>,
) -> PyResult<Bound<'py, PyAny>> {
    if wakes_a_task(callback) {
        callback.call1((T::of(call).asked(call.py(), |event_loop| &event_loop.done)?,))
    } else {
        callback.call1((call,))
    }
}

/// The task that a callback wakes, if it is one of asyncio's C code.
#[inline]
pub fn woken_task<'py>(callback: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if !wakes_a_task(callback) {
        return None;
    }
    // SAFETY: it is a bound function of a task.
    unsafe { Bound::from_borrowed_ptr_or_opt(callback.py(), ffi::PyCFunction_GetSelf(callback.as_ptr())) }
}

/// Has the class answer the names that asyncio asks for at every wait, before it looks for others.
pub fn fill_attribute_slots<T: Awaited>(py: Python<'_>) {
    if plain() {
        return;
    }
    let kind = py.get_type::<T>().as_type_ptr();
    // SAFETY: the module is being made, so nobody uses the class.
    unsafe {
        (*kind).tp_getattro = Some(getattro::<T>);
        (*kind).tp_setattro = Some(setattro::<T>);
    }
}

/// # Safety
///
/// Called by the interpreter, with an object of the class and a name.
unsafe extern "C" fn getattro<T: Awaited>(
    call: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter holds the GIL; nothing is dropped here, which is what attaching would be for.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the slot is this class's alone, and nobody derives from it.
    let this = unsafe { Bound::from_borrowed_ptr(py, call).cast_into_unchecked::<T>() };
    let known = catch_unwind(AssertUnwindSafe(|| {
        if name == intern!(py, "_asyncio_future_blocking").as_ptr() {
            let blocking = T::of(&this).blocking(py).into_pyobject(py);
            Some(blocking.map(Bound::into_any).map_err(PyErr::from))
        } else if name == intern!(py, "get_loop").as_ptr() {
            Some(T::of(&this).asked(py, |event_loop| &event_loop.get_loop))
        } else if name == intern!(py, "add_done_callback").as_ptr() {
            Some(function(AddDoneCallback::<T>::DEFINITION, &this))
        } else {
            None
        }
    }));
    match known {
        Ok(Some(result)) => given_back(py, Ok(result)),
        // SAFETY: live objects, by the slot's contract.
        Ok(None) => unsafe { ffi::PyObject_GenericGetAttr(call, name) },
        Err(_) => panicked(py),
    }
}

/// # Safety
///
/// Called by the interpreter, with an object of the class, a name, and a value unless the attribute is to be deleted.
unsafe extern "C" fn setattro<T: Awaited>(
    call: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> std::ffi::c_int {
    // SAFETY: as in `getattro`.
    let py = unsafe { Python::assume_attached() };
    if name == intern!(py, "_asyncio_future_blocking").as_ptr() {
        // SAFETY: compares addresses of objects that are always there.
        let blocking = unsafe {
            match value {
                value if value == ffi::Py_False() => Some(false),
                value if value == ffi::Py_True() => Some(true),
                _ => None,
            }
        };
        if let Some(blocking) = blocking {
            // SAFETY: the slot is this class's alone, and nobody derives from it.
            let this = unsafe { Bound::from_borrowed_ptr(py, call).cast_into_unchecked::<T>() };
            let set = catch_unwind(AssertUnwindSafe(|| T::of(&this).set_blocking(py, blocking)));
            return match set {
                Ok(()) => 0,
                Err(_) => {
                    panicked(py);
                    -1
                }
            };
        }
    }
    // SAFETY: live objects, by the slot's contract.
    unsafe { ffi::PyObject_GenericSetAttr(call, name, value) }
}

/// A definition of a function; the interpreter reads it only.
struct Definition(ffi::PyMethodDef);

// SAFETY: it is never written.
unsafe impl Sync for Definition {}

static GET_LOOP: Definition = Definition(ffi::PyMethodDef {
    ml_name: c"get_loop".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer {
        PyCFunction: get_loop,
    },
    ml_flags: ffi::METH_NOARGS,
    ml_doc: c"The event loop that the call belongs to.".as_ptr(),
});

/// The same for `add_done_callback` of a class.
struct AddDoneCallback<T>(PhantomData<T>);

impl<T: Awaited> AddDoneCallback<T> {
    const DEFINITION: &'static Definition = &Definition(ffi::PyMethodDef {
        ml_name: c"add_done_callback".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: add_done_callback::<T>,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: c"Have callback(call) called when the call has ended.".as_ptr(),
    });
}

/// A Python function that has `held` for its first argument.
#[inline]
fn function<'py, T>(definition: &'static Definition, held: &Bound<'py, T>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the definition lives for ever; gives a new reference or null with an error set.
    unsafe {
        let definition = (&raw const definition.0).cast_mut();
        let function = ffi::PyCFunction_NewEx(definition, held.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(held.py(), function)
    }
}

/// # Safety
///
/// Called by the interpreter, with a live object.
unsafe extern "C" fn get_loop(event_loop: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object.
    unsafe { ffi::Py_NewRef(event_loop) }
}

/// # Safety
///
/// Called by the interpreter, with an object of the class and its arguments.
unsafe extern "C" fn add_done_callback<T: Awaited>(
    call: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter holds the GIL. Attaching would panic where it collects for the last time.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the function is made for objects of this class alone.
    let this = unsafe { Bound::from_borrowed_ptr(py, call).cast_into_unchecked::<T>() };
    // SAFETY: `names` is a tuple or null; with one name there is one value behind the positional arguments.
    let in_context = unsafe {
        count == 1
            && !names.is_null()
            && ffi::PyTuple_GET_SIZE(names) == 1
            && ffi::PyUnicode_CompareWithASCIIString(ffi::PyTuple_GET_ITEM(names, 0), c"context".as_ptr())
                == 0
            && *arguments.add(1) != ffi::Py_None()
    };
    let added = catch_unwind(AssertUnwindSafe(|| {
        if in_context {
            // SAFETY: see above; live objects, by the function's contract.
            let (callback, context) = unsafe {
                (
                    Bound::from_borrowed_ptr(py, *arguments).unbind(),
                    Bound::from_borrowed_ptr(py, *arguments.add(1)).unbind(),
                )
            };
            return T::add_waiter(&this, callback, context).map(|()| py.None().into_bound(py));
        }
        // SAFETY: live objects; both functions give a new reference or null with an error set.
        unsafe {
            let name = intern!(py, "add_done_callback").as_ptr();
            let general = Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetAttr(call, name))?;
            let result = ffi::PyObject_Vectorcall(general.as_ptr(), arguments, count as usize, names);
            Bound::from_owned_ptr_or_err(py, result)
        }
    }));
    given_back(py, added)
}

/// Whether a callback is what a task of asyncio's C code gives a future to be woken by.
#[inline]
fn wakes_a_task(callback: &Bound<'_, PyAny>) -> bool {
    /// Where such a callback's definition is, once one was seen.
    static WAKEUP: AtomicPtr<ffi::PyMethodDef> = AtomicPtr::new(std::ptr::null_mut());
    // SAFETY: the exact type says what the object is.
    let definition = unsafe {
        if ffi::PyCFunction_CheckExact(callback.as_ptr()) == 0 {
            return false;
        }
        (*callback.as_ptr().cast::<ffi::PyCFunctionObject>()).m_ml
    };
    if definition == WAKEUP.load(Ordering::Relaxed) {
        return true;
    }
    let found = is_wakeup_of_a_task(callback);
    if found {
        WAKEUP.store(definition, Ordering::Relaxed);
    }
    found
}

#[cold]
fn is_wakeup_of_a_task(callback: &Bound<'_, PyAny>) -> bool {
    let py = callback.py();
    let look = || -> PyResult<bool> {
        let task = py.import("_asyncio")?.getattr("Task")?;
        Ok(callback.getattr("__self__")?.is_instance(&task)?
            && callback.getattr("__name__")?.extract::<String>()? == "task_wakeup")
    };
    look().unwrap_or(false)
}

/// Whether somebody knows an object by a weak reference.
///
/// # Safety
///
/// Its class has a list of weak references.
#[inline]
pub unsafe fn is_known_weakly<T>(object: &Bound<'_, T>) -> bool {
    // SAFETY: a live object; the caller vouches for its class.
    unsafe { !(*ffi::PyObject_GET_WEAKREFS_LISTPTR(object.as_ptr())).is_null() }
}
