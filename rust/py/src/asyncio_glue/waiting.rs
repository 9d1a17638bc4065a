//! What a task and the future it waits for say to each other, without the general ways.
//!
//! asyncio's tasks know the structure of `asyncio.Future` alone. Of everything else they ask three attributes by
//! name for each wait, and the result when they wake up. Here those names are told by their addresses, and a task is
//! woken with a future that it knows. Every other name and every other caller goes the general way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyCFunction};
use pyo3::{ffi, intern};

use crate::asyncio_glue::home::Home;
use crate::asyncio_glue::slots::{borrowed, given_back, panicked};
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
}

/// An event loop, with what its tasks ask for at every wait.
pub struct EventLoop {
    pub home: Home,
    /// An `asyncio.Future` that is done.
    done: Held<PyAny>,
    /// Its method that gives the event loop.
    get_loop: Held<PyAny>,
}

impl EventLoop {
    pub fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        let done = event_loop.call_method0(intern!(py, "create_future"))?;
        done.call_method1(intern!(py, "set_result"), (py.None(),))?;
        Ok(EventLoop {
            get_loop: done.getattr(intern!(py, "get_loop"))?.into(),
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
    if woken_task(callback).is_some() {
        callback.call1((T::of(call).asked(call.py(), |event_loop| &event_loop.done)?,))
    } else {
        callback.call1((call,))
    }
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
    // SAFETY: the slot is this class's alone, and nobody derives from it.
    let this = unsafe { borrowed::<T>(call) };
    let py = this.py();
    let known = catch_unwind(AssertUnwindSafe(|| {
        if name == intern!(py, "_asyncio_future_blocking").as_ptr() {
            let blocking = T::of(&this).blocking(py).into_pyobject(py);
            Some(blocking.map(Bound::into_any).map_err(PyErr::from))
        } else if name == intern!(py, "get_loop").as_ptr() {
            Some(T::of(&this).asked(py, |event_loop| &event_loop.get_loop))
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
    // SAFETY: the slot is this class's alone, and nobody derives from it; null is no value.
    let (this, value_given) = unsafe {
        let this = borrowed::<T>(call);
        let value = Borrowed::from_ptr_or_opt(this.py(), value);
        (this, value)
    };
    let py = this.py();
    if name == intern!(py, "_asyncio_future_blocking").as_ptr() {
        if let Some(Ok(blocking)) =
            value_given.map(|value| value.cast_exact::<PyBool>().map(|value| value.is_true()))
        {
            let set = catch_unwind(AssertUnwindSafe(|| T::of(&this).set_blocking(py, blocking)));
            if set.is_err() {
                panicked(py);
            }
            return if set.is_ok() { 0 } else { -1 };
        }
    }
    // SAFETY: live objects, by the slot's contract.
    unsafe { ffi::PyObject_GenericSetAttr(call, name, value) }
}

/// The task that a callback wakes, if it is what a task of asyncio's C code gives a future to be woken by.
#[inline]
pub fn woken_task<'py>(callback: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    /// Where such a callback's definition is, once one was seen.
    static WAKEUP: AtomicPtr<ffi::PyMethodDef> = AtomicPtr::new(std::ptr::null_mut());
    let function = callback
        .cast_exact::<PyCFunction>()
        .ok()?
        .as_ptr()
        .cast::<ffi::PyCFunctionObject>();
    // SAFETY: the exact type says what the object is; it keeps what it is bound to.
    let (definition, task) = unsafe {
        let task = Borrowed::from_ptr_or_opt(callback.py(), (*function).m_self)?;
        ((*function).m_ml, task)
    };
    if definition != WAKEUP.load(Ordering::Relaxed) {
        if !is_wakeup_of_a_task(callback) {
            return None;
        }
        WAKEUP.store(definition, Ordering::Relaxed);
    }
    Some(task.to_owned())
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

/// Whether others hold an object than so many, or know it by a weak reference.
#[inline]
pub fn has_others<T>(object: &Bound<'_, T>, known: isize) -> bool {
    holders(object) > known || is_known_weakly(object)
}

/// How many hold an object.
#[inline]
pub fn holders<T>(object: &Bound<'_, T>) -> isize {
    // SAFETY: a live object.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// Whether somebody knows an object by a weak reference. Taken for granted if its class has no list of them.
#[inline]
pub fn is_known_weakly<T>(object: &Bound<'_, T>) -> bool {
    // SAFETY: a live object, whose class keeps the list where it says.
    unsafe {
        (*ffi::Py_TYPE(object.as_ptr())).tp_weaklistoffset <= 0
            || !(*ffi::PyObject_GET_WEAKREFS_LISTPTR(object.as_ptr())).is_null()
    }
}
