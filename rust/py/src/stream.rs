//! The reactor of a plain message stream: each message is decoded and waits in an inbox.

use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};

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
            codec.put(encoded.as_bytes(), &mut state.output);
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
        let mut custom = Unread::default();
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
            let taken = match &this.codec.get().unpack {
                None => this.framed(link, py),
                Some(unpack) => custom.take(link, unpack.bind(py)),
            };
            match taken {
                Ok(Some((message, size))) => {
                    let mut inbox = this.inbox.borrow(py);
                    inbox.messages.push_back((message, size));
                    inbox.bytes += size;
                }
                Ok(None) => break Ok(()),
                Err(why) => break Err(why),
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
    /// The next message of a codec whose framing is native.
    fn framed(&self, link: &Link, py: Python<'_>) -> Result<Option<(Py<PyAny>, usize)>, Broken> {
        let codec = self.codec.get();
        let payload = {
            let mut state = link.state(py);
            match state.next() {
                Next::Frame { header, total } => {
                    let end = total - codec.framing.suffix().len();
                    let payload = PyBytes::new(py, &state.receive.unread()[header..end]);
                    state.consume(total);
                    payload
                }
                Next::Wait => return Ok(None),
                Next::Broken(why) => return Err(why),
            }
        };
        let size = payload.as_bytes().len();
        match codec.decode(payload) {
            Ok(message) => Ok(Some((message.unbind(), size))),
            Err(error) => Err(Broken::Invalid(error.to_string())),
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
    fn take(&mut self, link: &Link, unpack: &Bound<'py, PyAny>) -> Result<Option<(Py<PyAny>, usize)>, Broken> {
        self.try_take(link, unpack).unwrap_or_else(|error| Err(Broken::Invalid(error.to_string())))
    }

    #[allow(clippy::type_complexity)]
    fn try_take(
        &mut self,
        link: &Link,
        unpack: &Bound<'py, PyAny>,
    ) -> PyResult<Result<Option<(Py<PyAny>, usize)>, Broken>> {
        let py = unpack.py();
        loop {
            if self.view.is_none() {
                let copy = {
                    let state = link.state(py);
                    if !state.is_worth_a_look() {
                        return Ok(Ok(None));
                    }
                    PyBytes::new(py, state.receive.unread())
                };
                self.length = copy.as_bytes().len();
                self.view = Some(PyMemoryView::from(copy.as_any())?.into_any());
            }
            let left = self.length - self.offset;
            let (Some(view), true) = (&self.view, left > 0) else { return Ok(Ok(None)) };
            let slice = PySlice::new(py, self.offset as isize, self.length as isize, 1);
            let (what, count, message): (u8, usize, Py<PyAny>) = unpack.call1((view.get_item(slice)?,))?.extract()?;
            let mut state = link.state(py);
            match what {
                1 => {
                    let need = count.max(left + 1);
                    if need > state.limits.receive {
                        return Ok(Err(Broken::TooLarge(need as u64)));
                    }
                    state.wait_for(need);
                    return Ok(Ok(None));
                }
                _ if count == 0 || count > left => {
                    let why = format!("the codec used {count} of {left} unread bytes");
                    return Ok(Err(Broken::Invalid(why)));
                }
                2 => {
                    state.receive.consume(count);
                    self.offset += count;
                }
                _ => {
                    state.consume(count);
                    self.offset += count;
                    return Ok(Ok(Some((message, count))));
                }
            }
        }
    }
}
