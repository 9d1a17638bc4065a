//! One connection's state: what came in, what goes out, and what both are attached to.

use protosocket_core::connection::flush::FlushPolicy;
use protosocket_core::wire::Malformed;
use protosocket_core::wire::framing::Framing;
use protosocket_core::wire::header::Header;
use protosocket_core::wire::layouts::Layout;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::asyncio_glue::home::{Home, is_running};
use crate::codec::{Payload, WireCodec};
use crate::connection::assembly::LONG;
use crate::connection::attached::Attached;
use crate::connection::counts::Counts;
use crate::connection::flow::Flow;
use crate::connection::incoming::Incoming;
use crate::connection::limits::Limits;
use crate::connection::next::{BadInput, Next};
use crate::connection::outgoing::Outgoing;
use crate::guarded::{Borrowed, Guarded, Held};

pub struct ConnectionState {
    pub incoming: Incoming,
    pub outgoing: Outgoing,
    pub flow: Flow,
    pub policy: FlushPolicy,
    pub limits: Limits,
    pub counts: Counts,
    /// The transport and the event loop; there as long as the transport is.
    pub attached: Option<Attached>,
    /// Nothing more is read or written.
    pub closed: bool,
    /// Messages are being handled: what they write is flushed when the batch ends.
    pub in_batch: bool,
}

impl ConnectionState {
    /// Looks for the next message.
    #[inline]
    pub fn next(&mut self) -> Next {
        self.incoming.next(self.limits.receive)
    }

    /// The next message with its header: where its payload begins and ends. Nothing if none is there, or none counts
    /// any more. `exchanges`: other protocols are told by the very first bytes, before any message is whole.
    // Always: each call of native messages has 1% more instructions otherwise (`make costs`).
    #[inline(always)]
    pub fn next_with_header(
        &mut self,
        py: Python<'_>,
        layout: &Layout,
        exchanges: bool,
    ) -> Result<Option<(Header, usize, usize)>, BadInput> {
        if self.closed {
            return Ok(None);
        }
        if exchanges {
            if let Some(what) = self.foreign() {
                return Err(BadInput::Invalid(what.to_owned()));
            }
        }
        let (start, total) = match self.next() {
            Next::Frame { header, total } => (header, total),
            Next::Wait => return Ok(None),
            Next::BadInput(why) => return Err(why),
        };
        match layout.scan(self.frame(py, start, total)) {
            Ok(header) => Ok(Some((header, start, total))),
            Err(malformed) => Err(BadInput::Invalid(malformed.0.to_owned())),
        }
    }

    /// The payload of a frame that [`ConnectionState::next`] found.
    #[inline]
    pub fn frame<'a>(&'a self, py: Python<'a>, header: usize, end: usize) -> &'a [u8] {
        self.incoming.frame(py, header, end)
    }

    /// The same, taken out of memory that may change before it is decoded.
    #[inline]
    pub fn payload<'py>(
        &self,
        codec: &WireCodec,
        py: Python<'py>,
        header: usize,
        end: usize,
    ) -> Payload<'py> {
        self.incoming.payload(codec, py, header, end)
    }

    /// Forgets a message that was handled.
    #[inline]
    pub fn consume(&mut self, total: usize) {
        self.incoming.consume(total);
        self.counts.messages_received += 1;
    }

    /// What the peer speaks, if its very first bytes are another protocol's.
    #[inline]
    pub fn foreign(&self) -> Option<&'static str> {
        self.incoming.foreign()
    }

    /// Messages that may still be handled before the event loop reads again.
    #[inline]
    pub fn budget(&self) -> usize {
        self.limits.read_messages.saturating_sub(self.flow.spent)
    }

    /// Whether the send queue has room for another message.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.outgoing.messages < self.limits.send_messages && self.outgoing.bytes() < self.limits.send_bytes
    }

    /// Where the next message is appended.
    #[inline]
    pub fn output(&mut self) -> &mut Vec<u8> {
        self.outgoing.output()
    }

    /// Bytes in `output`.
    #[inline]
    pub fn unflushed(&self) -> usize {
        self.outgoing.unflushed()
    }

    /// Appends a long payload without copying it.
    pub fn append_whole(&mut self, py: Python<'_>, payload: &Bound<'_, PyBytes>) {
        self.outgoing.append_whole(py, payload);
    }

    /// Appends a message with a header in it, framed; nothing if it cannot have one.
    #[inline]
    pub fn append(
        &mut self,
        py: Python<'_>,
        layout: &Layout,
        framing: Framing,
        message: &[u8],
        header: Header,
    ) -> Result<(), Malformed> {
        if message.len() >= LONG {
            return self.append_long(py, layout, framing, message, header);
        }
        layout.frame(framing, message, header.id, header.control, self.output())
    }

    #[cold]
    fn append_long(
        &mut self,
        py: Python<'_>,
        layout: &Layout,
        framing: Framing,
        message: &[u8],
        header: Header,
    ) -> Result<(), Malformed> {
        let mut after = Vec::new();
        let left = layout.frame_around(framing, message, header, self.output(), &mut after)?;
        if !left.is_empty() {
            self.append_whole(py, &PyBytes::new(py, &message[left]));
            self.output().extend_from_slice(&after);
        }
        Ok(())
    }

    /// Takes note of a message appended to `output`; true if it is time to flush. It always is when the
    /// queue is full: nobody has to wait for room while the transport takes bytes.
    #[inline]
    pub fn wrote(&mut self) -> bool {
        self.outgoing.messages += 1;
        let Outgoing {
            messages, is_stalled, ..
        } = self.outgoing;
        !is_stalled && (self.policy.is_due(messages, self.outgoing.bytes()) || !self.has_room())
    }

    /// Forgets what waits to be handed to the transport. It is for the caller to drop, when this is borrowed no more.
    #[cold]
    #[must_use]
    pub fn take_queued(&mut self) -> (Vec<u8>, Vec<Held<PyBytes>>) {
        self.outgoing.take_all()
    }
}

/// The native half of every connection's protocol object: what a transport talks to (an `asyncio.BufferedProtocol`).
/// The classes that derive from it say what a message is for.
#[pyclass(subclass, frozen, weakref, module = "protosocket._core")]
pub struct Connection {
    pub(super) state: Guarded<ConnectionState>,
}

impl Connection {
    pub fn create(framing: Framing, protobuf: bool, limits: Limits) -> Self {
        Connection {
            state: Guarded::new(ConnectionState {
                incoming: Incoming::new(framing, protobuf),
                outgoing: Outgoing::default(),
                flow: Flow::default(),
                policy: FlushPolicy::default(),
                limits,
                counts: Counts::default(),
                attached: None,
                closed: false,
                in_batch: false,
            }),
        }
    }

    #[inline]
    pub fn state<'a>(&'a self, py: Python<'a>) -> Borrowed<'a, ConnectionState> {
        self.state.borrow(py)
    }

    /// Whether anything can still be sent.
    pub fn is_open(&self, py: Python<'_>) -> bool {
        !self.state(py).closed
    }

    /// Raises EventLoopError if its event loop does not run here.
    #[inline]
    pub fn require_home(&self, py: Python<'_>) -> PyResult<()> {
        let near = match &self.state(py).attached {
            Some(attached) => attached.home.near(py),
            None => return Ok(()),
        };
        match near {
            Some(event_loop) if is_running(&event_loop)? => Ok(()),
            _ => self.come_here(py),
        }
    }

    /// The connection is used in another thread than before, or in no task of its event loop.
    #[cold]
    pub fn come_here(&self, py: Python<'_>) -> PyResult<()> {
        self.call_owner(py, "_came", ())?;
        if let Some(attached) = &self.state(py).attached {
            attached.home.follow();
        }
        Ok(())
    }

    /// Calls a method of the Python class.
    #[cold]
    pub fn call_owner<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) -> PyResult<()> {
        let owner = match &self.state(py).attached {
            Some(attached) => attached.owner.clone_ref(py),
            None => return Ok(()),
        };
        owner.bind(py).call_method1(name, arguments).map(drop)
    }

    /// Whether the event loop was closed before the connection was.
    #[cold]
    pub fn has_closed_loop(&self, py: Python<'_>) -> bool {
        let event_loop = match &self.state(py).attached {
            Some(attached) => attached.home.event_loop.clone_ref(py),
            None => return false,
        };
        Home::is_closed(event_loop.bind(py)).unwrap_or(false)
    }
}
