//! Unknown fields of messages that stand in their message more than once and are merged.
//!
//! Were each part's fields put behind those of the parts before it, many small parts would take the square of their
//! number: one frame of 4 MiB blocked its process for minutes. So they are gathered, and put in place at the end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::class_map::AddressHasher;
use super::schema::MessageType;

/// A message with all its unknown fields so far. It stays alive, so that its address is no other's.
struct Gathered<'a, 'py> {
    message: &'a MessageType,
    object: Bound<'py, PyAny>,
    unknown: Vec<u8>,
}

/// The messages of one decoding that had unknown fields in more than one part, by their addresses.
pub struct Merged<'a, 'py>(RefCell<Option<Box<Table<'a, 'py>>>>);

type Table<'a, 'py> = HashMap<usize, Gathered<'a, 'py>, BuildHasherDefault<AddressHasher>>;

impl<'a, 'py> Merged<'a, 'py> {
    #[inline]
    pub fn new() -> Self {
        Merged(RefCell::new(None))
    }

    /// Adds to the fields of `object` that the schema does not know.
    #[cold]
    pub fn keep(
        &self,
        message: &'a MessageType,
        object: &Bound<'py, PyAny>,
        unknown: Vec<u8>,
    ) -> PyResult<()> {
        // SAFETY: the slots are those of the object's class, here and below; no Python code runs while the value is
        // used.
        let Some(before) = (unsafe { message.unknown.present(object) }) else {
            let unknown = PyBytes::new(object.py(), &unknown).into_any();
            // SAFETY: as above.
            unsafe { message.unknown.set(object, unknown) };
            return Ok(());
        };
        let mut table = self.0.borrow_mut();
        match table.get_or_insert_default().entry(object.as_ptr() as usize) {
            Entry::Occupied(mut known) => known.get_mut().unknown.extend_from_slice(&unknown),
            Entry::Vacant(place) => {
                let first = before.cast::<PyBytes>().map_err(PyErr::from)?;
                place.insert(Gathered {
                    message,
                    object: object.clone(),
                    unknown: [first.as_bytes(), &unknown].concat(),
                });
            }
        }
        Ok(())
    }

    /// Gives the messages what was gathered for them.
    #[inline]
    pub fn finish(self) {
        if let Some(table) = self.0.into_inner() {
            put_in_place(*table);
        }
    }
}

#[cold]
fn put_in_place(table: Table<'_, '_>) {
    for gathered in table.into_values() {
        let unknown = PyBytes::new(gathered.object.py(), &gathered.unknown).into_any();
        // SAFETY: the slot is that of the object's class.
        unsafe { gathered.message.unknown.set(&gathered.object, unknown) };
    }
}
