//! `HeaderLayout`: where a message carries its id and its control code, made of the core's table.

use std::collections::BTreeMap;

use protosocket_core::rpc::may_begin;
use protosocket_core::wire::header::Header;
use protosocket_core::wire::layouts::{Layout, Parameter};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// One direction's header layout.
#[derive(Clone)]
pub struct Side {
    pub layout: Layout,
    /// The encoded message that carries nothing but a header: what a Cancel and an End are.
    pub empty: Vec<u8>,
    /// The largest id its field can hold.
    pub largest_id: u64,
}

/// Where a message carries its id and its control code.
#[pyclass(frozen, module = "protosocket._core")]
#[derive(Clone)]
pub struct HeaderLayout(pub Side);

#[pymethods]
impl HeaderLayout {
    /// The layout with this name in the core's table; what its parameters are, is said there. `empty` is an encoded
    /// message with nothing in it.
    #[new]
    #[pyo3(signature = (name, /, *, empty=Vec::new(), **parameters))]
    fn new(
        name: &str,
        empty: Vec<u8>,
        parameters: Option<BTreeMap<String, Bound<'_, PyAny>>>,
    ) -> PyResult<Self> {
        let value = |value: Bound<'_, PyAny>| match value.cast::<PyString>() {
            Ok(text) => Ok(Parameter::Text(text.to_cow()?.into_owned())),
            Err(_) => value.extract().map(Parameter::Number),
        };
        let parameters: BTreeMap<String, Parameter> = parameters
            .unwrap_or_default()
            .into_iter()
            .map(|(name, parameter)| Ok((name, value(parameter)?)))
            .collect::<PyResult<_>>()?;
        let layout = Layout::new(name, parameters.into()).map_err(PyValueError::new_err)?;
        let largest_id = layout.largest_id();
        Ok(HeaderLayout(Side {
            layout,
            empty,
            largest_id,
        }))
    }

    /// The part of an encoded message that the user's own encoding reads.
    fn content<'py>(&self, py: Python<'py>, message: &[u8]) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.layout.content(message))
    }

    /// The id and the control code (0 Normal, 1 Cancel, 2 End) of an encoded message.
    fn scan(&self, message: &[u8]) -> PyResult<(u64, u8)> {
        match self.0.layout.scan(message) {
            Ok(header) => Ok((header.id, header.control as u8)),
            Err(malformed) => Err(PyValueError::new_err(malformed.0)),
        }
    }

    /// For people: the id of an encoded message, the name of its control code, and whether one with it may begin a
    /// call.
    fn describe(&self, message: &[u8]) -> PyResult<(u64, &'static str, bool)> {
        match self.0.layout.scan(message) {
            Ok(header) => Ok((header.id, header.control.name(), may_begin(header))),
            Err(malformed) => Err(PyValueError::new_err(malformed.0)),
        }
    }

    /// The encoded message with this id and control code in it.
    fn splice<'py>(
        &self,
        py: Python<'py>,
        message: &[u8],
        id: u64,
        control: u8,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut output = Vec::with_capacity(message.len() + 24);
        let Header { id, control } = Header::from_wire(id, u64::from(control));
        match self.0.layout.splice(message, id, control, &mut output) {
            Ok(()) => Ok(PyBytes::new(py, &output)),
            Err(malformed) => Err(PyValueError::new_err(malformed.0)),
        }
    }
}
