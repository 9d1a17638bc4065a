//! Interior state of the native classes, reached only by a thread that is attached to Python.
//!
//! While state is borrowed no Python code may run: it may come back to the same object. Code of Python's runs where
//! Python is called, and also where a reference is dropped, which may be the last one, and where the garbage
//! collector gets its turn, which until Python 3.12 is wherever an object is made that it has to know. So what is
//! replaced or taken out is dropped behind the borrow, and messages and errors are made before or behind it.
//!
//! A debug build ends the process where that is not so ([`check`]).

use std::cell::{Ref, RefCell, RefMut};
use std::ops::{Deref, DerefMut};

use pyo3::{Bound, Py, Python};

#[cfg(debug_assertions)]
pub mod check;

/// A `RefCell` that may sit in a Python object.
pub struct Guarded<T>(RefCell<T>);

// SAFETY: every access takes a `Python` token, so the thread holds the GIL (the module declares
// that it needs it, and refuses an interpreter without), and no borrow is held while the GIL is released: between
// two borrows of one thread no other thread can be inside.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub fn new(value: T) -> Self {
        Guarded(RefCell::new(value))
    }

    #[inline]
    pub fn borrow<'a>(&'a self, py: Python<'a>) -> Borrowed<'a, T> {
        #[cfg(not(debug_assertions))]
        let _ = py;
        Borrowed {
            state: self.0.borrow_mut(),
            #[cfg(debug_assertions)]
            _counted: check::Counted::new(py),
        }
    }

    /// For what is being dropped.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// For the garbage collector's visit: nothing while the state is being changed, which makes
    /// the collector keep what it holds.
    pub fn peek(&self) -> Option<Ref<'_, T>> {
        self.0.try_borrow().ok()
    }
}

/// State that is borrowed.
pub struct Borrowed<'a, T> {
    state: RefMut<'a, T>,
    #[cfg(debug_assertions)]
    _counted: check::Counted,
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T> DerefMut for Borrowed<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.state
    }
}

/// A reference that state holds. Dropping one while anything is borrowed is a fault, which a debug build finds whether
/// or not it is the last one.
pub struct Held<T> {
    object: Py<T>,
    #[cfg(debug_assertions)]
    dropped: check::Dropped,
}

impl<T> Held<T> {
    /// The reference, which state holds no more.
    #[inline]
    pub fn free(self) -> Py<T> {
        #[cfg(debug_assertions)]
        std::mem::forget(self.dropped);
        self.object
    }
}

impl<T> From<Py<T>> for Held<T> {
    #[inline]
    fn from(object: Py<T>) -> Self {
        Held {
            object,
            #[cfg(debug_assertions)]
            dropped: check::Dropped,
        }
    }
}

impl<T> From<Bound<'_, T>> for Held<T> {
    #[inline]
    fn from(object: Bound<'_, T>) -> Self {
        object.unbind().into()
    }
}

/// What the garbage collector's visit is told of it.
impl<'a, T> From<&'a Held<T>> for Option<&'a Py<T>> {
    fn from(held: &'a Held<T>) -> Self {
        Some(held)
    }
}

impl<T> Deref for Held<T> {
    type Target = Py<T>;

    #[inline]
    fn deref(&self) -> &Py<T> {
        &self.object
    }
}
