//! The routes of a router: which storage has a key, and which connections lead there.

use protosocket_core::cache::engine::key_hash;
use protosocket_core::rpc::relay::key_path::KeyPath;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::types::{RelayBack, RelayRoutes, RoutesState};
use crate::codec::HeaderLayout;
use crate::guarded::Guarded;

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
                backs: (0..storages).map(|_| Vec::new()).collect(),
                fronts: 0,
            }),
        })
    }

    /// Uses a connection to its storage from now on.
    fn add(&self, py: Python<'_>, connection: Py<RelayBack>) {
        let storage = connection.get().storage();
        self.state.borrow(py).backs[storage].push(connection.into());
    }

    /// Uses a connection no more; nothing if it was not used.
    fn remove(&self, py: Python<'_>, connection: &Bound<'_, RelayBack>) {
        let removed = {
            let mut state = self.state.borrow(py);
            let backs = &mut state.backs[connection.get().storage()];
            backs
                .iter()
                .position(|known| known.is(connection))
                .map(|at| backs.remove(at))
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(removed);
    }

    /// The storage of a key: the owner of the first point after its hash, going round.
    pub fn storage_of(&self, key: &[u8]) -> usize {
        let hash = key_hash(key);
        let at = self.points.partition_point(|(position, _)| *position <= hash);
        self.points[if at < self.points.len() { at } else { 0 }].1
    }

    /// Live connections to a storage.
    fn connections(&self, py: Python<'_>, storage: usize) -> usize {
        self.state.borrow(py).backs.get(storage).map_or(0, Vec::len)
    }

    /// A live connection to the storage of a key, or None; `turn` says which of several.
    fn connection_for(&self, py: Python<'_>, key: &[u8], turn: usize) -> Option<Py<RelayBack>> {
        let state = self.state.borrow(py);
        let backs = &state.backs[self.storage_of(key)];
        backs
            .get(turn % backs.len().max(1))
            .map(|connection| connection.clone_ref(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        state
            .backs
            .iter()
            .flatten()
            .try_for_each(|connection| visit.call(connection))
    }

    fn __clear__(&self, py: Python<'_>) {
        let held: Vec<_> = self
            .state
            .borrow(py)
            .backs
            .iter_mut()
            .map(std::mem::take)
            .collect();
        drop(held);
    }
}

impl RelayRoutes {
    /// Every live connection.
    pub fn backs(&self, py: Python<'_>) -> Vec<Py<RelayBack>> {
        let state = self.state.borrow(py);
        state
            .backs
            .iter()
            .flatten()
            .map(|connection| connection.clone_ref(py))
            .collect()
    }
}
