//! Moments one after the other: what a load generator keeps of each call, at the cost of the clock.

use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::guarded::Guarded;

/// Keeps moments, in seconds of `time.perf_counter()`.
///
/// With Python's own clock and an array, a moment costs half a thousand instructions, as much as asyncio's part of
/// a call.
#[pyclass(frozen, module = "protosocket._core")]
pub struct Stopwatch {
    /// A moment by both clocks.
    start: (Instant, f64),
    moments: Guarded<Vec<f64>>,
}

#[pymethods]
impl Stopwatch {
    /// A stopwatch that has kept nothing; `now` is `time.perf_counter()`, just taken.
    #[new]
    fn new(now: f64) -> Self {
        Stopwatch {
            start: (Instant::now(), now),
            moments: Guarded::new(Vec::new()),
        }
    }

    /// Keep this moment.
    fn lap(&self, py: Python<'_>) {
        let now = self.start.1 + self.start.0.elapsed().as_secs_f64();
        self.moments.borrow(py).push(now);
    }

    /// Keep a NaN: what ends and what begins here is no lap.
    fn void(&self, py: Python<'_>) {
        self.moments.borrow(py).push(f64::NAN);
    }

    /// The last moment that was kept; NaN if none was.
    #[getter]
    fn last(&self, py: Python<'_>) -> f64 {
        self.moments.borrow(py).last().copied().unwrap_or(f64::NAN)
    }

    /// All that was kept: native doubles.
    fn moments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let moments = self.moments.borrow(py);
        PyBytes::new_with(py, size_of_val(moments.as_slice()), |bytes| {
            for (bytes, moment) in bytes.chunks_exact_mut(size_of::<f64>()).zip(moments.iter()) {
                bytes.copy_from_slice(&moment.to_ne_bytes());
            }
            Ok(())
        })
    }
}
