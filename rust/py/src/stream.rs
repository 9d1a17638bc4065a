//! The reactor of a plain message stream: each message is decoded and waits in an inbox.

use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::codec::WireCodec;
use crate::guarded::Guarded;
use crate::link::{Broken, Limits, Link, Next, broken};

/// Both directions of a message stream.
#[pyclass(extends = Link, subclass, frozen, module = "protosocket._core")]
pub struct StreamReactor {
    codec: Py<WireCodec>,
    inbox: Guarded<Inbox>,
}

#[derive(Default)]
struct Inbox {
    messages: VecDeque<(Py<PyAny>, usize)>,
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
impl StreamReactor {
    #[new]
    fn new(
        codec: Py<WireCodec>,
        receive_limit: usize,
        send_messages: usize,
        send_bytes: usize,
        read_messages: usize,
    ) -> PyClassInitializer<Self> {
        let limits = Limits { receive: receive_limit, send_messages, send_bytes, read_messages };
        let link = Link::create(codec.get().framing, limits);
        PyClassInitializer::from(link)
            .add_subclass(StreamReactor { codec, inbox: Guarded::new(Inbox::default()) })
    }

    fn buffer_updated(slf: &Bound<'_, Self>, count: usize) -> PyResult<()> {
        if slf.as_super().get().received(slf.py(), count) { Self::handle(slf) } else { Ok(()) }
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let link = slf.as_super().get();
        if link.proceeds(slf.py()) {
            Self::handle(slf)?;
            link.resume_reading(slf.py())?;
        }
        Ok(())
    }

    /// Queues a message; the caller asks `_has_room()` before. Raises EncodeError.
    fn _send(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let codec = slf.get().codec.get();
        let encoded = codec.encode(message)?;
        let link = slf.as_super().get();
        {
            let mut state = link.state(py);
            if state.closed {
                return Ok(());
            }
            let payload = encoded.as_bytes();
            codec.framing.prefix(payload.len(), &mut state.output);
            state.output.extend_from_slice(payload);
            state.output.extend_from_slice(codec.framing.suffix());
        }
        link.appended(py)
    }

    /// The next message and true, or None and false: then `_arrived()` is called when one is there.
    fn _receive(slf: &Bound<'_, Self>) -> PyResult<(Option<Py<PyAny>>, bool)> {
        let py = slf.py();
        let link = slf.as_super().get();
        let (message, resume) = {
            let mut inbox = slf.get().inbox.borrow(py);
            match inbox.messages.pop_front() {
                Some((message, size)) => {
                    inbox.bytes -= size;
                    let room = inbox.messages.len() * 2 <= link.state(py).limits.send_messages
                        && inbox.bytes * 2 <= link.state(py).limits.receive;
                    (Some(message), room && link.is_paused(py))
                }
                None => {
                    inbox.awaited = true;
                    (None, false)
                }
            }
        };
        if resume {
            link.proceed_soon(py)?;
        }
        let found = message.is_some();
        Ok((message, found))
    }
}

impl StreamReactor {
    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let link = slf.as_super().get();
        let this = slf.get();
        let budget = link.state(py).limits.read_messages;
        let mut handled = 0;
        let result = loop {
            if this.inbox.borrow(py).is_full(&link.state(py).limits) {
                link.pause(py)?;
                break Ok(());
            }
            if handled == budget {
                link.pause(py)?;
                link.proceed_soon(py)?;
                break Ok(());
            }
            handled += 1;
            let payload = {
                let mut state = link.state(py);
                match state.next() {
                    Next::Frame { header, total } => {
                        let end = total - this.codec.get().framing.suffix().len();
                        let payload = PyBytes::new(py, &state.receive.unread()[header..end]);
                        state.consume(total);
                        payload
                    }
                    Next::Wait => break Ok(()),
                    Next::Broken(why) => break Err(why),
                }
            };
            let size = payload.as_bytes().len();
            match this.codec.get().decode(payload) {
                Ok(message) => {
                    let mut inbox = this.inbox.borrow(py);
                    inbox.messages.push_back((message.unbind(), size));
                    inbox.bytes += size;
                }
                Err(error) => break Err(Broken::Invalid(error.to_string())),
            }
            if link.state(py).closed {
                break Ok(());
            }
        };
        if std::mem::take(&mut this.inbox.borrow(py).awaited) {
            let arrived = !this.inbox.borrow(py).messages.is_empty();
            if arrived {
                slf.call_method0("_arrived")?;
            } else {
                this.inbox.borrow(py).awaited = true;
            }
        }
        match result {
            Ok(()) => Ok(()),
            Err(why) => broken(slf.as_any(), link, why),
        }
    }
}
