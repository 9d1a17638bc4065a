//! A plain message stream's connection: each message is decoded and waits in an inbox.

use std::collections::VecDeque;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};

use crate::codec::{Encoded, WireCodec};
use crate::connection::{BadInput, Connection, LONG, Limits, Next, end_for_bad_input};
use crate::guarded::{Guarded, Held};

/// Both directions of a message stream.
#[pyclass(extends = Connection, subclass, frozen, module = "protosocket._core")]
pub struct MessageConnection {
    codec: Py<WireCodec>,
    inbox: Guarded<Inbox>,
}

/// An empty inbox keeps room for this many messages.
const KEPT: usize = 16;

#[derive(Default)]
struct Inbox {
    messages: VecDeque<(Held<PyAny>, usize)>,
    bytes: usize,
    /// `receive` found nothing: `_arrived()` is called when a message is there.
    awaited: bool,
}

impl Inbox {
    fn is_full(&self, limits: &Limits) -> bool {
        self.messages.len() >= limits.send_messages || self.bytes >= limits.receive
    }
}

#[pymethods]
impl MessageConnection {
    #[new]
    fn new(
        codec: Py<WireCodec>,
        receive_limit: usize,
        send_messages: usize,
        send_bytes: usize,
        read_messages: usize,
    ) -> PyClassInitializer<Self> {
        let limits = Limits {
            receive: receive_limit,
            send_messages,
            send_bytes,
            read_messages,
        };
        let connection = Connection::create(codec.get().framing, codec.get().is_protobuf(), limits);
        PyClassInitializer::from(connection).add_subclass(MessageConnection {
            codec,
            inbox: Guarded::new(Inbox::default()),
        })
    }

    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.read(slf.py(), nbytes, || Self::handle(slf))
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.proceed(slf.py(), || Self::handle(slf))
    }

    /// Queues a message; the caller asks `_has_room()` before. Raises EncodeError.
    fn _send(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        connection.require_home(py)?;
        let codec = slf.get().codec.get();
        let encoded = codec.encode(message)?;
        {
            let mut state = connection.state(py);
            if state.closed {
                return Ok(());
            }
            match &encoded {
                Encoded::Bytes(payload) if payload.as_bytes().len() >= LONG => {
                    codec.put_prefix(payload.as_bytes().len(), state.output());
                    state.append_whole(py, payload);
                    state.output().extend_from_slice(codec.suffix());
                }
                _ => codec.put(encoded.as_bytes(), state.output()),
            }
        }
        connection.appended(py)
    }

    /// The next message and true, or None and false: then `_arrived()` is called when one is there.
    fn _receive(slf: &Bound<'_, Self>) -> PyResult<(Option<Py<PyAny>>, bool)> {
        let py = slf.py();
        let connection = slf.as_super().get();
        connection.require_home(py)?;
        let (taken, resume) = {
            let mut inbox = slf.get().inbox.borrow(py);
            match inbox.messages.pop_front() {
                Some((message, size)) => {
                    inbox.bytes -= size;
                    let room = inbox.messages.len() * 2 <= connection.state(py).limits.send_messages
                        && inbox.bytes * 2 <= connection.state(py).limits.receive;
                    (Some((message, size)), room && connection.is_paused(py))
                }
                None => {
                    inbox.awaited = true;
                    if inbox.messages.capacity() > KEPT {
                        inbox.messages = VecDeque::new();
                    }
                    (None, false)
                }
            }
        };
        let found = taken.is_some();
        if resume {
            if let Err(error) = connection.proceed_soon(py) {
                // As from another thread in asyncio's debug mode: no message is lost by that.
                let mut inbox = slf.get().inbox.borrow(py);
                if let Some((message, size)) = taken {
                    inbox.bytes += size;
                    inbox.messages.push_front((message, size));
                }
                return Err(error);
            }
        }
        Ok((taken.map(|(message, _)| message.free()), found))
    }

    /// Decodes everything that has arrived, whatever the inbox may hold: no more will come.
    fn _take_rest(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.as_super().get().state(slf.py()).closed {
            return Ok(());
        }
        Self::decode(slf, false)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.codec)?;
        let Some(inbox) = self.inbox.peek() else {
            return Ok(());
        };
        for (message, _) in &inbox.messages {
            visit.call(message)?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let messages = std::mem::take(&mut *self.inbox.borrow(py));
        drop(messages);
    }
}

/// What a look at the received bytes gives.
enum Taken {
    /// A message, and the bytes it took.
    Message(Py<PyAny>, usize),
    /// Bytes that belong to no message.
    Skipped,
    /// No whole message.
    Nothing,
}

impl MessageConnection {
    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::decode(slf, true)
    }

    /// Moves messages from the receive buffer to the inbox, `bounded` by what that may hold and by the
    /// read budget.
    fn decode(slf: &Bound<'_, Self>, bounded: bool) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let this = slf.get();
        let budget = connection.state(py).limits.read_messages;
        let mut handled = 0;
        let mut custom = Unread::default();
        let result = loop {
            if bounded {
                if this.inbox.borrow(py).is_full(&connection.state(py).limits) {
                    connection.pause(py)?;
                    break Ok(());
                }
                if handled == budget {
                    connection.pause(py)?;
                    connection.proceed_soon(py)?;
                    break Ok(());
                }
                handled += 1;
            }
            let taken = match &this.codec.get().unpack {
                None => this.framed(connection, py),
                Some(unpack) => custom.take(connection, unpack.bind(py)),
            };
            match taken {
                Ok(Taken::Message(message, size)) => {
                    let mut inbox = this.inbox.borrow(py);
                    inbox.messages.push_back((message.into(), size));
                    inbox.bytes += size;
                }
                Ok(Taken::Skipped) => {}
                Ok(Taken::Nothing) => {
                    // A codec with framing of its own does not go through the state's own look.
                    connection.state(py).incoming.settle();
                    break Ok(());
                }
                Err(why) => break Err(why),
            }
            if connection.state(py).closed {
                break Ok(());
            }
        };
        let arrived = {
            let mut inbox = this.inbox.borrow(py);
            let arrived = inbox.awaited && !inbox.messages.is_empty();
            inbox.awaited &= !arrived;
            arrived
        };
        if arrived {
            slf.call_method0(intern!(py, "_arrived"))?;
        }
        match result {
            Ok(()) => Ok(()),
            Err(why) => end_for_bad_input(slf.as_any(), connection, why),
        }
    }

    /// The next message of a codec whose framing is native.
    #[inline]
    fn framed(&self, connection: &Connection, py: Python<'_>) -> Result<Taken, BadInput> {
        let codec = self.codec.get();
        let payload = {
            let mut state = connection.state(py);
            match state.next() {
                Next::Frame { header, total } => {
                    let end = total - codec.framing.suffix().len();
                    let payload = state.payload(codec, py, header, end);
                    state.consume(total);
                    payload
                }
                Next::Wait => return Ok(Taken::Nothing),
                Next::BadInput(why) => return Err(why),
            }
        };
        let size = payload.length();
        match codec.decode(py, payload) {
            Ok(message) => Ok(Taken::Message(message.unbind(), size)),
            Err(error) => Err(BadInput::Undecodable(error)),
        }
    }
}

/// What a codec with framing of its own looks at: one copy of the unread bytes a batch.
#[derive(Default)]
struct Unread<'py> {
    view: Option<Bound<'py, PyAny>>,
    offset: usize,
    length: usize,
}

impl<'py> Unread<'py> {
    /// Asks the codec once. `unpack(unread)` gives `(what, count, message)`: 0, the bytes used and the
    /// message; 1 and the bytes needed in all; 2 and the bytes to skip; 3, 0 and why they are invalid.
    fn take(&mut self, connection: &Connection, unpack: &Bound<'py, PyAny>) -> Result<Taken, BadInput> {
        let py = unpack.py();
        let (what, count, message) = match self.ask(connection, unpack) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(Taken::Nothing),
            Err(error) => return Err(BadInput::Undecodable(error)),
        };
        if what == 3 {
            return Err(BadInput::Invalid(message.bind(py).to_string()));
        }
        let left = self.length - self.offset;
        let mut state = connection.state(py);
        let limit = state.limits.receive;
        if what == 1 {
            let need = usize::try_from(count).unwrap_or(0).max(left + 1);
            if need > limit {
                return Err(BadInput::TooLarge(need as u64));
            }
            state.incoming.wait_for(need);
            return Ok(Taken::Nothing);
        }
        let Some(count) = usize::try_from(count)
            .ok()
            .filter(|count| (1..=left).contains(count))
        else {
            let why = format!("the codec says it took {count} of {left} unread bytes");
            return Err(BadInput::Invalid(why));
        };
        self.offset += count;
        if what == 2 {
            state.incoming.skip(count);
            return Ok(Taken::Skipped);
        }
        if count > limit {
            return Err(BadInput::TooLarge(count as u64));
        }
        state.consume(count);
        Ok(Taken::Message(message, count))
    }

    /// What the codec makes of the unread bytes; nothing if it need not be asked.
    fn ask(
        &mut self,
        connection: &Connection,
        unpack: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(u8, i64, Py<PyAny>)>> {
        let py = unpack.py();
        if self.view.is_none() {
            let copy = {
                let state = connection.state(py);
                if !state.incoming.is_worth_a_look() {
                    return Ok(None);
                }
                PyBytes::new(py, state.incoming.unread())
            };
            self.length = copy.as_bytes().len();
            self.view = Some(PyMemoryView::from(copy.as_any())?.into_any());
        }
        match &self.view {
            Some(view) if self.offset < self.length => {
                let slice = PySlice::new(py, self.offset as isize, self.length as isize, 1);
                unpack.call1((view.get_item(slice)?,))?.extract().map(Some)
            }
            _ => Ok(None),
        }
    }
}
