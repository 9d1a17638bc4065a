//! What the relay consists of: routes, the connections of clients and those to storages. They know each other.

use protosocket_core::rpc::relay::key_path::KeyPath;
use protosocket_core::rpc::relay::{Back, Front};
use protosocket_core::wire::framing::Framing;
use pyo3::prelude::*;

use crate::codec::Side;
use crate::connection::{Connection, Limits};
use crate::guarded::{Guarded, Held};

pub const FRAMING: Framing = Framing::Varint;

/// Bytes that are written before the tick ends; else the relay writes once a tick (it is so cheap
/// that it would wake for fragments, and spend its time in the kernel).
pub const WRITE_NOW: usize = 128 * 1024;

/// Where keys live and which connections lead there; shared by all fronts of a router.
#[pyclass(frozen, module = "protosocket._core")]
pub struct RelayRoutes {
    pub requests: Side,
    pub responses: Side,
    pub path: KeyPath,
    /// Points of the consistent hash, sorted: (position, storage).
    pub points: Vec<(u64, usize)>,
    /// The answer for the keys of a storage that is down, without an id.
    pub unavailable: Vec<Vec<u8>>,
    pub state: Guarded<RoutesState>,
}

pub struct RoutesState {
    /// The live connections to each storage.
    pub backs: Vec<Vec<Held<RelayBack>>>,
    /// Fronts made so far.
    pub fronts: usize,
}

/// A router's connection to a storage.
#[pyclass(extends = Connection, subclass, frozen, module = "protosocket._core")]
pub struct RelayBack {
    pub routes: Py<RelayRoutes>,
    pub storage: usize,
    /// Python code waits with a future for the answer.
    pub calls: Guarded<Back<Held<RelayFront>, Held<PyAny>>>,
    pub waiting: Guarded<Waiting>,
}

/// Who waits for room on this connection.
#[derive(Default)]
pub struct Waiting {
    pub fronts: Vec<Held<RelayFront>>,
    /// Python code, which `_room()` tells.
    pub calls: bool,
}

/// A client's connection to a router.
///
/// The Python class adds `_local(request)`, which gives the encoded answer (without an id) to what is not
/// forwarded, or None for what is no message; `_unread_answers(size)`, which cuts off a client that does
/// not read; `_drained()`; and what `Connection` calls.
#[pyclass(extends = Connection, subclass, frozen, module = "protosocket._core")]
pub struct RelayFront {
    pub routes: Py<RelayRoutes>,
    /// Bytes of unread answers that end a client that does not read.
    pub most_unread: usize,
    pub state: Guarded<FrontState>,
}

pub struct FrontState {
    /// Commands are forwarded; before, everything is answered here.
    pub open: bool,
    /// Which of several connections to a storage this client's commands use: the same while they live, so
    /// that commands on one key stay in order.
    pub turn: usize,
    pub front: Front,
}

/// A relay's queue is bounded by bytes: it writes once a tick, however many messages that is.
pub fn limits(receive: usize, send_bytes: usize, read_messages: usize) -> Limits {
    Limits {
        receive,
        send_messages: usize::MAX,
        send_bytes,
        read_messages,
    }
}
