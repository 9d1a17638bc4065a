//! The module `protosocket._core`: the protocol core bound to Python.

use pyo3::prelude::*;

mod engine;

/// The native core of protosocket: framing, reactors, relay.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::engine::{CacheEngine, key_hash};
}
