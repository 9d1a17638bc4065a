//! Long maps with numbers as keys: their dicts are looked at while they grow.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;

use protosocket_core::wire::hash_flooding::{MIN_WATCHED, Probes, hash_of_int};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};

use super::class_map::AddressHasher;
use super::failure;
use super::schema::Part;

/// The long dicts of one decoding, by their addresses; they stay alive, so that these are no other's.
pub struct Crowds<'py>(RefCell<Option<Box<Table<'py>>>>);

type Table<'py> = HashMap<usize, (Bound<'py, PyDict>, Probes), BuildHasherDefault<AddressHasher>>;

impl<'py> Crowds<'py> {
    #[inline]
    pub fn new() -> Self {
        Crowds(RefCell::new(None))
    }

    /// Before `key` is set in `dict`: `InvalidMessage` if its keys were chosen to meet one another.
    #[inline]
    pub fn look(&self, part: &Part, dict: &Bound<'py, PyDict>, key: &Bound<'py, PyAny>) -> PyResult<()> {
        if dict.len() < MIN_WATCHED {
            return Ok(());
        }
        match key.cast_exact::<PyInt>() {
            Ok(key) => self.add(part, dict, key),
            Err(_) => Ok(()),
        }
    }

    #[cold]
    fn add(&self, part: &Part, dict: &Bound<'py, PyDict>, key: &Bound<'py, PyInt>) -> PyResult<()> {
        let mut table = self.0.borrow_mut();
        let (_, places) = match table.get_or_insert_default().entry(dict.as_ptr() as usize) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let mut places = Probes::default();
                for key in dict.keys() {
                    places.add(hash_of_int(key.extract()?));
                }
                place.insert((dict.clone(), places))
            }
        };
        if places.add(hash_of_int(key.extract()?)) {
            Ok(())
        } else {
            let text = format!("the keys of {} were chosen to meet in a dict", part.name);
            Err(failure::decode(dict.py(), text))
        }
    }
}
