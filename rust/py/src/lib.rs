//! The module `protosocket._core`: the protocol core bound to Python.

use pyo3::prelude::*;

/// The native core of protosocket: framing, reactors, relay.
#[pymodule]
mod _core {}
