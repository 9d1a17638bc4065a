//! What a peer sent that ends its connection.

use pyo3::intern;
use pyo3::prelude::*;

use crate::connection::next::BadInput;
use crate::connection::state::Connection;
use crate::errors;

/// Ends the connection because of what the peer sent: `_invalid(detail, cause)` or `_too_large(size)` of the Python
/// class. What the codec raised that is not about the message, as KeyboardInterrupt, cuts it off and is raised.
#[cold]
pub fn end_for_bad_input(connection: &Bound<'_, PyAny>, state: &Connection, why: BadInput) -> PyResult<()> {
    let py = connection.py();
    if let BadInput::Doubtful(what) = why {
        state.state(py).incoming.doubt();
        return connection
            .call_method1(intern!(py, "_doubtful"), (what,))
            .map(drop);
    }
    {
        let mut state = state.state(py);
        state.closed = true;
        state.incoming.drop_all();
    }
    let (detail, cause) = match why {
        BadInput::TooLarge(size) => {
            let told = connection.call_method1(intern!(py, "_too_large"), (size,));
            return told.map(drop);
        }
        BadInput::Undecodable(error) if !errors::is_ordinary(py, &error) => {
            connection.call_method0(intern!(py, "abort"))?;
            return Err(error);
        }
        BadInput::Undecodable(error) => (error.to_string(), Some(error.into_value(py))),
        BadInput::Invalid(detail) => (detail, None),
        BadInput::Doubtful(what) => (what.to_owned(), None),
    };
    connection
        .call_method1(intern!(py, "_invalid"), (detail, cause))
        .map(drop)
}
