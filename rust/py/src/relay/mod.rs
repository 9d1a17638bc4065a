//! The relay: commands from many clients go to the storage of their key and the answers back,
//! with only the message id changed. No Python object is made for a message that is forwarded.

mod back;
mod front;

use protosocket_core::cache::engine::key_hash;
use protosocket_core::rpc::relay::key_path::KeyPath;
use protosocket_core::wire::framing::Framing;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::codec::{HeaderLayout, Side};
use crate::connection::Limits;
use crate::guarded::{Guarded, Held};

pub use back::RelayBack;
pub use front::RelayFront;

const FRAMING: Framing = Framing::Varint;

/// Bytes that are written before the tick ends; else the relay writes once a tick (it is so cheap
/// that it would wake for fragments, and spend its time in the kernel).
const WRITE_NOW: usize = 128 * 1024;

/// Where keys live and which connections lead there; shared by all fronts of a router.
#[pyclass(frozen, module = "protosocket._core")]
pub struct RelayRoutes {
    requests: Side,
    responses: Side,
    path: KeyPath,
    /// Points of the consistent hash, sorted: (position, storage).
    points: Vec<(u64, usize)>,
    /// The answer for the keys of a storage that is down, without an id.
    unavailable: Vec<Vec<u8>>,
    state: Guarded<RoutesState>,
}

struct RoutesState {
    /// The live connections to each storage.
    links: Vec<Vec<Held<RelayBack>>>,
    /// Fronts made so far.
    fronts: usize,
}

#[pymethods]
impl RelayRoutes {
    /// `points` are sorted `(position, storage)`. A request carries its key in the field `command` > one of
    /// `keyed` > `key`; `others` are the commands without a key, `text` is the field of any command that is
    /// a string.
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        requests: &Bound<'_, HeaderLayout>,
        responses: &Bound<'_, HeaderLayout>,
        points: Vec<(u64, usize)>,
        unavailable: Vec<Vec<u8>>,
        command: u32,
        keyed: Vec<u32>,
        others: Vec<u32>,
        key: u32,
        text: u32,
    ) -> PyResult<Self> {
        let storages = unavailable.len();
        if points.is_empty() || points.iter().any(|(_, storage)| *storage >= storages) || !points.is_sorted()
        {
            return Err(PyValueError::new_err(
                "points are sorted and each belongs to a storage",
            ));
        }
        Ok(RelayRoutes {
            requests: requests.get().0.clone(),
            responses: responses.get().0.clone(),
            path: KeyPath {
                command,
                keyed,
                others,
                key,
                text,
            },
            points,
            unavailable,
            state: Guarded::new(RoutesState {
                links: (0..storages).map(|_| Vec::new()).collect(),
                fronts: 0,
            }),
        })
    }

    /// Uses a connection to its storage from now on.
    fn add(&self, py: Python<'_>, connection: Py<RelayBack>) {
        let storage = connection.get().storage();
        self.state.borrow(py).links[storage].push(connection.into());
    }

    /// Uses a connection no more; nothing if it was not used.
    fn remove(&self, py: Python<'_>, connection: &Bound<'_, RelayBack>) {
        let removed = {
            let mut state = self.state.borrow(py);
            let links = &mut state.links[connection.get().storage()];
            links
                .iter()
                .position(|known| known.is(connection))
                .map(|at| links.remove(at))
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(removed);
    }

    /// The storage of a key: the owner of the first point after its hash, going round.
    fn storage_of(&self, key: &[u8]) -> usize {
        let hash = key_hash(key);
        let at = self.points.partition_point(|(position, _)| *position <= hash);
        self.points[if at < self.points.len() { at } else { 0 }].1
    }

    /// Live connections to a storage.
    fn connections(&self, py: Python<'_>, storage: usize) -> usize {
        self.state.borrow(py).links.get(storage).map_or(0, Vec::len)
    }

    /// A live connection to the storage of a key, or None; `turn` says which of several.
    fn link_for(&self, py: Python<'_>, key: &[u8], turn: usize) -> Option<Py<RelayBack>> {
        let state = self.state.borrow(py);
        let links = &state.links[self.storage_of(key)];
        links
            .get(turn % links.len().max(1))
            .map(|connection| connection.clone_ref(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        state
            .links
            .iter()
            .flatten()
            .try_for_each(|connection| visit.call(connection))
    }

    fn __clear__(&self, py: Python<'_>) {
        let held: Vec<_> = self
            .state
            .borrow(py)
            .links
            .iter_mut()
            .map(std::mem::take)
            .collect();
        drop(held);
    }
}

impl RelayRoutes {
    /// Every live connection.
    fn links(&self, py: Python<'_>) -> Vec<Py<RelayBack>> {
        let state = self.state.borrow(py);
        state
            .links
            .iter()
            .flatten()
            .map(|connection| connection.clone_ref(py))
            .collect()
    }
}

/// A relay's queue is bounded by bytes: it writes once a tick, however many messages that is.
fn limits(receive: usize, send_bytes: usize, read_messages: usize) -> Limits {
    Limits {
        receive,
        send_messages: usize::MAX,
        send_bytes,
        read_messages,
    }
}
