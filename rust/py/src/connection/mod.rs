//! One connection's protocol object: receive buffer, send queue, flush policy, back-pressure.
//!
//! `Connection` is what a transport talks to (an `asyncio.BufferedProtocol`); the classes that derive from it
//! say what a message is for.

mod assembly;
pub mod messages;
mod socket;

use std::cell::RefCell;
use std::ffi::c_int;
use std::io::ErrorKind;
use std::time::Duration;

use protosocket_core::flush::FlushPolicy;
use protosocket_core::foreign::{foreign, is_no_protobuf};
use protosocket_core::framing::{Framing, Step};
use protosocket_core::header::{Header, Layout, Malformed};
use protosocket_core::reading_on::ReadingOn;
use protosocket_core::receive::{ReceiveBuffer, SHARED};
use pyo3::exceptions::{PyBufferError, PyOSError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView};
use pyo3::{ffi, intern};

use crate::asyncio_glue::busy_poll::BusyPoller;
use crate::asyncio_glue::home::{Home, is_running};
use crate::codec::{Payload, WireCodec};
use crate::errors;
use crate::guarded::{Borrowed, Guarded, Held};
use assembly::Assembly;
use socket::Socket;

pub use assembly::LONG;

thread_local! {
    /// What this thread's connections read into in turns; empty while one of them handles what it read.
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Memory for the next connection that has something to send.
    static WRITE_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection without anything to send keeps at most this much memory for it.
const KEPT: usize = 512;
/// The largest memory that is kept for the next one.
const MOST_KEPT: usize = 256 * 1024;

/// The limits of a connection.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The largest message accepted, bytes.
    pub receive: usize,
    /// Messages queued for writing before senders wait.
    pub send_messages: usize,
    /// Bytes queued for writing before senders wait.
    pub send_bytes: usize,
    /// Messages handled in one go before other connections get a turn.
    pub read_messages: usize,
}

/// Counts of one connection.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub messages_sent: u64,
    pub messages_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub reads: u64,
    pub writes: u64,
    pub read_pauses: u64,
    pub write_stalls: u64,
}

pub struct ConnectionState {
    pub receive: ReceiveBuffer,
    output: Vec<u8>,
    /// What goes out before `output`: long payloads as they are, and what stands between them.
    segments: Vec<Held<PyBytes>>,
    segment_bytes: usize,
    /// Messages in `segments` and `output`.
    pub queued: usize,
    pub policy: FlushPolicy,
    pub limits: Limits,
    pub counts: Counts,
    framing: Framing,
    /// Messages are protobuf's, behind a varint.
    protobuf: bool,
    /// It was said that the first message begins like another protocol.
    doubted: bool,
    /// Unread bytes that are needed before looking for a message again.
    need: usize,
    /// A long message is on its way, whose prefix has this many bytes.
    long: Option<usize>,
    /// The long message as far as it has arrived; then the receive buffer is empty.
    assembly: Option<Assembly>,
    /// Unread bytes already searched for a line's end.
    searched: usize,
    /// Where it is used; there as long as the transport is.
    home: Option<Home>,
    transport: Option<Held<PyAny>>,
    write: Option<Held<PyAny>>,
    call_soon: Option<Held<PyAny>>,
    flush_callback: Option<Held<PyAny>>,
    proceed_callback: Option<Held<PyAny>>,
    came_callback: Option<Held<PyAny>>,
    /// What keeps the event loop awake, and for how long after each read and write.
    poller: Option<(Held<BusyPoller>, Option<Duration>)>,
    writable: bool,
    flush_scheduled: bool,
    proceed_scheduled: bool,
    /// Reading is stopped by us.
    paused: bool,
    /// Nothing more is read or written.
    pub closed: bool,
    /// Messages are being handled: what they write is flushed when the batch ends.
    pub in_batch: bool,
    /// A sender waits for room.
    wants_room: bool,
    /// The transport was told to stop reading.
    halted: bool,
    /// Views of the receive buffer that are alive: its memory must not move.
    exports: usize,
    /// The transport takes any buffer object, and lets go of it before it asks for the next one.
    direct: bool,
    /// Where the transport was last told to read to.
    reading: Reading,
    /// What the transport reads from and writes to, if others may do that, too.
    socket: Option<Socket>,
    /// The transport was given bytes that it may not have written yet.
    given: bool,
    /// Why the socket takes no more, for it says so only once.
    write_error: Option<std::io::Error>,
    reading_on: ReadingOn,
    /// Called at the first read after the connection was quiet.
    has_read: Option<Held<PyAny>>,
    /// A look for something to read is a read: under TLS what was read may give nothing.
    looks_count: bool,
    /// Somebody has the transport look.
    ignores_looks: bool,
    is_quiet: bool,
    /// Something was read since somebody asked.
    was_read: bool,
    /// The room that the last reader was given.
    offered: usize,
    /// Messages that were handled since the transport read.
    spent: usize,
}

/// What memory a transport reads into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Own,
    Shared,
    Assembly,
}

/// Who takes the bytes that are queued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WayOut {
    Socket,
    Transport,
    None,
}

/// The first bytes of another protocol, taken for a length of one byte, say that there are so many at most.
const FOREIGN: usize = 0x80;

/// Why a connection has to end.
pub enum Broken {
    Invalid(String),
    /// It has to end if the first message, which begins like another protocol, does not come.
    Doubtful(&'static str),
    /// The codec raised this of a message.
    Undecodable(PyErr),
    TooLarge(u64),
}

/// The next thing in the receive buffer.
pub enum Next {
    /// A payload at `unread()[header..total]`.
    Frame {
        header: usize,
        total: usize,
    },
    Wait,
    Broken(Broken),
}

impl ConnectionState {
    /// Looks for the next message.
    #[inline]
    pub fn next(&mut self) -> Next {
        if let Some(assembly) = &self.assembly {
            return match assembly.whole() {
                Some((_, header)) => Next::Frame {
                    header,
                    total: assembly.arrived(),
                },
                None => Next::Wait,
            };
        }
        let unread = self.receive.unread();
        if unread.len() < self.need {
            self.settle();
            return Next::Wait;
        }
        match self.framing.resume(unread, self.limits.receive, self.searched) {
            Step::Frame { header, total } => {
                if self.counts.messages_received == 0 {
                    if let Some(why) = self.look_at_first() {
                        return Next::Broken(why);
                    }
                }
                Next::Frame { header, total }
            }
            Step::Incomplete { need } => {
                self.need = need;
                self.searched = unread.len();
                if need >= LONG {
                    self.long = self.framing.header(unread);
                } else if need <= FOREIGN && self.counts.messages_received == 0 {
                    if let Some(why) = self.look_at_beginning() {
                        return Next::Broken(why);
                    }
                }
                self.settle();
                Next::Wait
            }
            Step::TooLarge { size } => Next::Broken(Broken::TooLarge(size)),
            Step::Invalid(why) => {
                let what = self.foreign().unwrap_or(why);
                Next::Broken(Broken::Invalid(what.to_owned()))
            }
        }
    }

    /// What the peer speaks, if what looks like the first message is none: its codec could not say as much.
    #[cold]
    fn look_at_first(&self) -> Option<Broken> {
        let unread = self.receive.unread();
        let what = foreign(unread).filter(|_| self.protobuf && is_no_protobuf(unread))?;
        Some(Broken::Invalid(what.to_owned()))
    }

    /// Looks whether the first message, which has not arrived as a whole, is one at all. Text of other protocols is
    /// mostly shorter than its first letter says, and its sender waits for an answer.
    #[cold]
    fn look_at_beginning(&mut self) -> Option<Broken> {
        let unread = self.receive.unread();
        let what = foreign(unread);
        if self.protobuf {
            // Who decodes ahead looks, and looks again for what it found.
            self.need = 0;
            if is_no_protobuf(unread) {
                let what = what.unwrap_or("no protobuf message begins like this");
                return Some(Broken::Invalid(what.to_owned()));
            }
            if let Some(what) = what.filter(|_| !self.doubted) {
                return Some(Broken::Doubtful(what));
            }
            // What comes next may tell.
            self.need = unread.len() + 1;
        }
        None
    }

    /// What the peer speaks, if its very first bytes are another protocol's.
    #[inline]
    pub fn foreign(&self) -> Option<&'static str> {
        if self.counts.messages_received == 0 {
            foreign(self.receive.unread())
        } else {
            None
        }
    }

    /// Whether more has arrived than the last look found wanting.
    pub fn is_worth_a_look(&self) -> bool {
        let unread = self.receive.unread().len();
        unread > 0 && unread >= self.need
    }

    /// Looks again when `need` unread bytes are there.
    pub fn wait_for(&mut self, need: usize) {
        self.need = need;
    }

    /// The payload of a frame that [`ConnectionState::next`] found.
    #[inline]
    pub fn frame<'a>(&'a self, py: Python<'a>, header: usize, end: usize) -> &'a [u8] {
        match &self.assembly {
            Some(assembly) => assembly.whole().map_or(&[], |(payload, _)| payload.as_bytes(py)),
            None => &self.receive.unread()[header..end],
        }
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
        match self.assembly.as_ref().and_then(Assembly::whole) {
            Some((payload, _)) => Payload::Bytes(payload.bind(py).clone()),
            None => codec.payload(py, &self.receive.unread()[header..end]),
        }
    }

    /// Forgets a message that was handled.
    #[inline]
    pub fn consume(&mut self, total: usize) {
        if self.assembly.take().is_none() {
            self.receive.consume(total);
        }
        self.long = None;
        self.need = 0;
        self.searched = 0;
        self.counts.messages_received += 1;
    }

    /// Keeps no more memory than unread bytes need: nothing is handled until more has arrived.
    pub fn settle(&mut self) {
        if let Some(buffer) = self.receive.give_back() {
            READ_BUFFER.set(buffer);
        } else if self.direct && self.receive.unread().is_empty() {
            self.receive.clear();
        }
    }

    /// Drops what was received; memory that a transport looks at stays where it is.
    fn drop_received(&mut self) {
        self.assembly = None;
        self.settle();
        let unread = self.receive.unread().len();
        self.receive.consume(unread);
        if self.exports == 0 {
            self.receive.clear();
        }
    }

    /// Whether the send queue has room for another message.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.queued < self.limits.send_messages && self.queued_bytes() < self.limits.send_bytes
    }

    /// Bytes that wait to be handed to the transport.
    #[inline]
    fn queued_bytes(&self) -> usize {
        self.segment_bytes + self.output.len()
    }

    /// Where the next message is appended.
    #[inline]
    pub fn output(&mut self) -> &mut Vec<u8> {
        if self.output.is_empty() && self.output.capacity() <= KEPT {
            self.output = WRITE_BUFFER.take();
        }
        &mut self.output
    }

    /// Bytes in `output`.
    #[inline]
    pub fn unflushed(&self) -> usize {
        self.output.len()
    }

    /// Appends a long payload without copying it.
    pub fn append_whole(&mut self, py: Python<'_>, payload: &Bound<'_, PyBytes>) {
        if !self.output.is_empty() {
            self.segments.push(PyBytes::new(py, &self.output).into());
            self.segment_bytes += self.output.len();
            self.output.clear();
        }
        self.segment_bytes += payload.as_bytes().len();
        self.segments.push(payload.clone().into());
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

    /// Forgets what waits to be handed to the transport. It is for the caller to drop, when this is borrowed no more.
    #[cold]
    #[must_use]
    pub fn take_queued(&mut self) -> (Vec<u8>, Vec<Held<PyBytes>>) {
        self.segment_bytes = 0;
        self.queued = 0;
        (
            std::mem::take(&mut self.output),
            std::mem::take(&mut self.segments),
        )
    }

    /// What keeps the event loop awake after a read or a write, if anything does.
    #[inline]
    fn polling(&self, py: Python<'_>) -> Option<(Py<BusyPoller>, Option<Duration>)> {
        self.poller
            .as_ref()
            .map(|(poller, time)| (poller.clone_ref(py), *time))
    }

    /// Where the next read goes: the free part of the receive buffer, or other memory.
    fn room(&mut self, py: Python<'_>) -> PyResult<(*mut u8, usize)> {
        let room = self.find_room(py)?;
        self.offered = room.1;
        Ok(room)
    }

    fn find_room(&mut self, py: Python<'_>) -> PyResult<(*mut u8, usize)> {
        // Such a transport reads at once, and says so before anything else runs in this thread.
        let direct = self.direct;
        if let Some(header) = self.long.filter(|_| direct && self.assembly.is_none()) {
            self.assembly = Assembly::begin(py, self.receive.unread(), header, self.need);
            if self.assembly.is_some() {
                self.receive.clear();
            }
        }
        let shared = if direct && self.need <= SHARED {
            self.receive.shared_from()
        } else {
            None
        };
        if let Some(assembly) = self
            .assembly
            .as_mut()
            .filter(|assembly| assembly.whole().is_none())
        {
            let free = assembly.free();
            self.reading = Reading::Assembly;
            Ok(free)
        } else if let Some(from) = shared {
            self.reading = Reading::Shared;
            Ok(READ_BUFFER.with_borrow_mut(|buffer| {
                if buffer.len() < SHARED {
                    *buffer = vec![0; SHARED];
                }
                let room = &mut buffer[from..];
                (room.as_mut_ptr(), room.len())
            }))
        } else {
            self.reading = Reading::Own;
            // asyncio's TLS asks once more before it has let go of its last view, to see the end.
            let room = if self.exports == 0 {
                self.receive.writable()
            } else {
                self.receive.tail()
            };
            if room.is_empty() {
                return Err(PyBufferError::new_err(
                    "the receive buffer is full and being read into",
                ));
            }
            Ok((room.as_mut_ptr(), room.len()))
        }
    }

    /// Takes note of a read; what is to be called for it.
    #[inline]
    fn note_read(&mut self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.was_read = true;
        if !std::mem::take(&mut self.is_quiet) {
            return None;
        }
        self.has_read.as_ref().map(|has_read| has_read.clone_ref(py))
    }

    /// Messages that may still be handled before the transport reads again.
    #[inline]
    pub fn budget(&self) -> usize {
        self.limits.read_messages.saturating_sub(self.spent)
    }

    /// Whether the socket may be read from without the transport: not while a long message is on its way, nor when
    /// much was handled already.
    fn may_read_on(&self) -> bool {
        self.socket.is_some()
            && !self.closed
            && !self.paused
            && !self.proceed_scheduled
            && self.long.is_none()
            && self.assembly.is_none()
            && self.spent * 2 < self.limits.read_messages
    }

    /// Writes what the socket takes of `output`; the bytes written. What is left is for the transport, which finds
    /// an error itself, though not always the same one.
    fn write_now(&mut self) -> usize {
        let socket = self.socket.as_ref();
        let written = socket.map_or(Ok(0), |socket| socket.write(&self.output));
        written.unwrap_or_else(|error| {
            if !is_in_vain(&error) {
                self.write_error.get_or_insert(error);
            }
            0
        })
    }

    /// Takes note of a message appended to `output`; true if it is time to flush. It always is when the
    /// queue is full: nobody has to wait for room while the transport takes bytes.
    #[inline]
    pub fn wrote(&mut self) -> bool {
        self.queued += 1;
        self.writable && (self.policy.is_due(self.queued, self.queued_bytes()) || !self.has_room())
    }
}

/// The native half of every connection's protocol object.
#[pyclass(subclass, frozen, weakref, module = "protosocket._core")]
pub struct Connection {
    state: Guarded<ConnectionState>,
}

impl Connection {
    pub fn create(framing: Framing, protobuf: bool, limits: Limits) -> Self {
        Connection {
            state: Guarded::new(ConnectionState {
                receive: ReceiveBuffer::new(),
                output: Vec::new(),
                segments: Vec::new(),
                segment_bytes: 0,
                queued: 0,
                policy: FlushPolicy::default(),
                limits,
                counts: Counts::default(),
                framing,
                protobuf,
                doubted: false,
                need: 0,
                long: None,
                assembly: None,
                searched: 0,
                home: None,
                transport: None,
                write: None,
                call_soon: None,
                flush_callback: None,
                proceed_callback: None,
                came_callback: None,
                poller: None,
                writable: true,
                flush_scheduled: false,
                proceed_scheduled: false,
                paused: false,
                closed: false,
                in_batch: false,
                wants_room: false,
                halted: false,
                exports: 0,
                direct: false,
                reading: Reading::Own,
                socket: None,
                given: true,
                write_error: None,
                reading_on: ReadingOn::default(),
                has_read: None,
                looks_count: false,
                ignores_looks: false,
                is_quiet: true,
                was_read: false,
                offered: 0,
                spent: 0,
            }),
        }
    }

    #[inline]
    pub fn state<'a>(&'a self, py: Python<'a>) -> Borrowed<'a, ConnectionState> {
        self.state.borrow(py)
    }

    /// The transport is about to be used: in another thread than before if its event loop has moved there.
    #[inline]
    pub fn follow(&self, py: Python<'_>) -> PyResult<()> {
        let is_same = self.state(py).home.as_ref().is_none_or(Home::is_same_thread);
        if is_same { Ok(()) } else { self.come_here(py) }
    }

    /// Raises EventLoopError if its event loop does not run here, and has the transport follow if it has moved.
    #[inline]
    pub fn require_home(&self, py: Python<'_>) -> PyResult<()> {
        let near = match &self.state(py).home {
            Some(home) => home.near(py),
            None => return Ok(()),
        };
        match near {
            Some(event_loop) if is_running(&event_loop)? => Ok(()),
            _ => self.come_here(py),
        }
    }

    #[cold]
    fn come_here(&self, py: Python<'_>) -> PyResult<()> {
        let came = self
            .state(py)
            .came_callback
            .as_ref()
            .map(|came| came.clone_ref(py));
        if let Some(came) = came {
            came.bind(py).call1((py.None(),))?;
        }
        if let Some(home) = &self.state(py).home {
            home.follow();
        }
        Ok(())
    }

    /// Whether anything can still be sent.
    pub fn is_open(&self, py: Python<'_>) -> bool {
        !self.state(py).closed
    }

    /// The transport has read `count` bytes: has `handle` handle them, and what comes meanwhile, if that is likely and
    /// for as long as others can wait. Raises what reading from the socket does, as a transport expects of that.
    pub fn read_on(&self, py: Python<'_>, count: usize, handle: impl Fn() -> PyResult<()>) -> PyResult<()> {
        {
            let mut state = self.state(py);
            // A transport whose read filled the room reads again itself.
            let bytes = if count < state.offered { count } else { usize::MAX };
            state.reading_on.begin(bytes);
        }
        let result = self.rounds(py, count, handle);
        self.state(py).spent = 0;
        result
    }

    fn rounds(&self, py: Python<'_>, mut count: usize, handle: impl Fn() -> PyResult<()>) -> PyResult<()> {
        let before = self.state(py).counts.messages_received;
        while self.received(py, count)? {
            handle()?;
            {
                let mut state = self.state(py);
                state.spent = (state.counts.messages_received - before) as usize;
            }
            count = self.read_more(py)?;
            if count == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Reads from the socket without the transport; the bytes read, 0 if that is for the transport to do.
    fn read_more(&self, py: Python<'_>) -> PyResult<usize> {
        let transport = {
            let mut state = self.state(py);
            if !state.may_read_on() || !state.reading_on.tries() {
                return Ok(0);
            }
            state
                .transport
                .as_ref()
                .map(|transport| transport.bind(py).clone())
        };
        self.follow(py)?;
        // It may have been closed or told to pause by anybody.
        match transport {
            Some(transport) if transport.call_method0(intern!(py, "is_reading"))?.is_truthy()? => {}
            _ => return Ok(0),
        }
        let mut state = self.state(py);
        let Ok((memory, length)) = state.room(py) else {
            return Ok(0);
        };
        // SAFETY: live, initialised memory that nobody else looks at before the read has ended.
        let memory = unsafe { std::slice::from_raw_parts_mut(memory, length) };
        let read = state.socket.as_ref().map_or(Ok(0), |socket| socket.read(memory));
        match read {
            // The transport reads the end once more.
            Ok(0) => Ok(0),
            Ok(count) => {
                state.reading_on.brought(count);
                Ok(count)
            }
            Err(error) if is_in_vain(&error) => {
                state.reading_on.in_vain();
                Ok(0)
            }
            Err(error) => {
                drop(state);
                Err(os_error(py, &error))
            }
        }
    }

    /// Takes note of bytes read; false if there is nothing to do with them.
    pub fn received(&self, py: Python<'_>, count: usize) -> PyResult<bool> {
        let mut state = self.state(py);
        if state.closed {
            // A transport may read on until the end of the tick in which it was aborted.
            return Ok(false);
        }
        state.counts.reads += 1;
        state.counts.bytes_received += count as u64;
        let handles = Self::take_in(&mut state, count);
        let poller = state.polling(py);
        let has_read = state.note_read(py);
        drop(state);
        if let Some(has_read) = has_read {
            has_read.bind(py).call0()?;
        }
        if let Some((poller, time)) = poller {
            BusyPoller::read(poller.bind(py), time)?;
        }
        Ok(handles)
    }

    /// Keeps bytes read; whether they are to be handled now.
    #[inline]
    fn take_in(state: &mut ConnectionState, count: usize) -> bool {
        match state.reading {
            Reading::Own => state.receive.filled(count),
            Reading::Shared => state.receive.adopt(READ_BUFFER.take(), count),
            Reading::Assembly => {
                if let Some(assembly) = &mut state.assembly {
                    assembly.filled(count);
                    if assembly.whole().is_none() {
                        return false;
                    }
                }
            }
        }
        // While reading is stopped, or the rest of a batch waits for its turn, bytes only gather.
        let handles = !state.paused && !state.proceed_scheduled;
        if !handles {
            state.settle();
        }
        handles
    }

    /// Hands everything queued to the transport, unless it has enough.
    pub fn flush(&self, py: Python<'_>) -> PyResult<()> {
        if self.state(py).writable {
            self.write_out(py)
        } else {
            Ok(())
        }
    }

    fn write_out(&self, py: Python<'_>) -> PyResult<()> {
        if self.state(py).queued_bytes() == 0 {
            return Ok(());
        }
        self.follow(py)?;
        match self.write_to_transport(py) {
            Err(error) if errors::is_ordinary(py, &error) => self.failed(py, error),
            written => written,
        }
    }

    /// The transport raised what it should not have: the connection ends, and who waits for it hears of that.
    #[cold]
    fn failed(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        let came = self
            .state(py)
            .came_callback
            .as_ref()
            .map(|came| came.clone_ref(py));
        match came {
            Some(came) => came.bind(py).call1((error.into_value(py),)).map(drop),
            None => Err(error),
        }
    }

    fn write_to_transport(&self, py: Python<'_>) -> PyResult<()> {
        let way = self.way_out(py)?;
        if way == WayOut::None {
            // The transport has lost its socket, or was told to close: nothing gets out any more.
            let dropped = self.state(py).take_queued();
            drop(dropped);
            return Ok(());
        }
        let (segments, last, write, poller) = {
            let mut state = self.state(py);
            let bytes = state.queued_bytes();
            if bytes == 0 || state.closed {
                return Ok(());
            }
            let Some(write) = state.write.as_ref().map(|write| write.clone_ref(py)) else {
                return Ok(());
            };
            let written = if way == WayOut::Socket {
                state.write_now()
            } else {
                0
            };
            let left = &state.output[written..];
            let last = (!left.is_empty()).then(|| PyBytes::new(py, left));
            state.given = last.is_some() || !state.segments.is_empty();
            state.counts.writes += 1;
            state.counts.messages_sent += state.queued as u64;
            state.counts.bytes_sent += bytes as u64;
            state.output.clear();
            if state.output.capacity() > KEPT {
                let mut memory = std::mem::take(&mut state.output);
                memory.shrink_to(MOST_KEPT);
                WRITE_BUFFER.set(memory);
            }
            state.queued = 0;
            state.segment_bytes = 0;
            let poller = state.polling(py);
            let segments = std::mem::take(&mut state.segments);
            (segments, last, write, poller)
        };
        self.hand_over(py, &write, segments, last)?;
        if self.state(py).write_error.is_some() {
            self.forget_passing_error(py)?;
        }
        match poller {
            Some((poller, time)) => BusyPoller::wrote(poller.bind(py), time),
            None => Ok(()),
        }
    }

    /// Gives the transport what the socket was not given. After a part that the socket refused for good no other
    /// follows, and those do not count as sent.
    fn hand_over(
        &self,
        py: Python<'_>,
        write: &Py<PyAny>,
        segments: Vec<Held<PyBytes>>,
        last: Option<Bound<'_, PyBytes>>,
    ) -> PyResult<()> {
        let mut parts = segments
            .into_iter()
            .map(|segment| segment.free().into_bound(py))
            .chain(last);
        if let Some(part) = parts.next() {
            write.bind(py).call1((part,))?;
        }
        while let Some(part) = parts.next() {
            if self.is_closing(py)? {
                let unsent = parts.fold(part.as_bytes().len(), |sum, part| sum + part.as_bytes().len());
                self.state(py).counts.bytes_sent -= unsent as u64;
                return Ok(());
            }
            write.bind(py).call1((part,))?;
        }
        Ok(())
    }

    /// The transport did not find the error that a write had.
    #[cold]
    fn forget_passing_error(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_closing(py)? {
            self.state(py).write_error = None;
        }
        Ok(())
    }

    /// Who takes bytes now. The socket does without the transport while nothing waits there and it is not closing.
    fn way_out(&self, py: Python<'_>) -> PyResult<WayOut> {
        let (transport, may_write, given) = {
            let state = self.state(py);
            let Some(transport) = &state.transport else {
                return Ok(WayOut::Transport);
            };
            let may_write = state.socket.is_some() && state.segments.is_empty();
            (transport.bind(py).clone(), may_write, state.given)
        };
        if transport.call_method0(intern!(py, "is_closing"))?.is_truthy()? {
            return Ok(WayOut::None);
        }
        let waits = !may_write
            || given
                && transport
                    .call_method0(intern!(py, "get_write_buffer_size"))?
                    .is_truthy()?;
        Ok(if waits { WayOut::Transport } else { WayOut::Socket })
    }

    /// Whether the transport takes nothing any more.
    fn is_closing(&self, py: Python<'_>) -> PyResult<bool> {
        let transport = self
            .state(py)
            .transport
            .as_ref()
            .map(|transport| transport.clone_ref(py));
        match transport {
            Some(transport) => transport
                .bind(py)
                .call_method0(intern!(py, "is_closing"))?
                .is_truthy(),
            None => Ok(true),
        }
    }

    /// Flushes, then tells senders that wait that there is room.
    fn flush_and_tell(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.get();
        connection.flush(py)?;
        let wanted = {
            let mut state = connection.state(py);
            let wanted = state.wants_room && state.writable && state.has_room();
            state.wants_room &= !wanted;
            wanted
        };
        if wanted {
            slf.call_method0(intern!(py, "_room"))?;
        }
        Ok(())
    }

    /// Whether the event loop was closed before the connection was.
    #[cold]
    pub fn has_closed_loop(&self, py: Python<'_>) -> bool {
        let call_soon = self.state(py).call_soon.as_ref().map(|held| held.clone_ref(py));
        let is_closed = |call_soon: Py<PyAny>| {
            let event_loop = call_soon.bind(py).getattr(intern!(py, "__self__"))?;
            event_loop.call_method0(intern!(py, "is_closed"))?.is_truthy()
        };
        call_soon.is_some_and(|call_soon| is_closed(call_soon).unwrap_or(false))
    }

    /// Flushes at the end of this loop tick.
    #[inline]
    pub fn flush_soon(&self, py: Python<'_>) -> PyResult<()> {
        let scheduled = {
            let mut state = self.state(py);
            if state.flush_scheduled || state.in_batch || !state.writable || state.closed {
                return Ok(());
            }
            let (Some(call_soon), Some(callback)) = (&state.call_soon, &state.flush_callback) else {
                return Ok(());
            };
            let scheduled = (call_soon.clone_ref(py), callback.clone_ref(py));
            state.flush_scheduled = true;
            scheduled
        };
        let (call_soon, callback) = scheduled;
        let scheduled = call_soon.bind(py).call1((callback,));
        if scheduled.is_err() {
            // As from another thread in asyncio's debug mode. What waits is only what was appended for this, as all
            // else has its flush: who hears the error is not to have it sent as well.
            let dropped = {
                let mut state = self.state(py);
                state.flush_scheduled = false;
                state.take_queued()
            };
            drop(dropped);
        }
        scheduled.map(drop)
    }

    /// After a message was appended: flush now if it is time, else at the end of the tick.
    #[inline]
    pub fn appended(&self, py: Python<'_>) -> PyResult<()> {
        if self.state(py).wrote() {
            self.flush(py)
        } else {
            self.flush_soon(py)
        }
    }

    /// Stops reading from the peer until [`Connection::proceed_soon`].
    pub fn pause(&self, py: Python<'_>) -> PyResult<()> {
        let transport = {
            let mut state = self.state(py);
            if state.paused || state.closed {
                return Ok(());
            }
            state.paused = true;
            state.settle();
            if state.halted {
                return Ok(());
            }
            state.halted = true;
            state.counts.read_pauses += 1;
            state.transport.as_ref().map(|transport| transport.clone_ref(py))
        };
        if let Some(transport) = transport {
            self.follow(py)?;
            let paused = transport.bind(py).call_method0(intern!(py, "pause_reading"));
            if paused.is_err() {
                let mut state = self.state(py);
                state.paused = false;
                state.halted = false;
                state.counts.read_pauses -= 1;
            }
            paused?;
        }
        Ok(())
    }

    pub fn is_paused(&self, py: Python<'_>) -> bool {
        self.state(py).paused
    }

    /// Handles the messages that wait in the receive buffer in a later turn of the loop.
    pub fn proceed_soon(&self, py: Python<'_>) -> PyResult<()> {
        let (call_soon, callback) = {
            let mut state = self.state(py);
            if state.proceed_scheduled || state.closed {
                return Ok(());
            }
            let (Some(call_soon), Some(callback)) = (&state.call_soon, &state.proceed_callback) else {
                return Ok(());
            };
            let found = (call_soon.clone_ref(py), callback.clone_ref(py));
            state.proceed_scheduled = true;
            found
        };
        let scheduled = call_soon.bind(py).call1((callback,));
        if scheduled.is_err() {
            self.state(py).proceed_scheduled = false;
        }
        scheduled.map(drop)
    }

    /// Begins the turn that [`Connection::proceed_soon`] asked for; false if the connection has ended.
    pub fn proceeds(&self, py: Python<'_>) -> bool {
        let mut state = self.state(py);
        state.proceed_scheduled = false;
        state.paused = false;
        !state.closed
    }

    /// Reads from the peer again, unless handling the waiting messages stopped it once more.
    pub fn resume_reading(&self, py: Python<'_>) -> PyResult<()> {
        let transport = {
            let mut state = self.state(py);
            if state.paused || state.closed || state.proceed_scheduled || !state.halted {
                return Ok(());
            }
            state.halted = false;
            state.transport.as_ref().map(|transport| transport.clone_ref(py))
        };
        if let Some(transport) = transport {
            self.follow(py)?;
            let resumed = transport.bind(py).call_method0(intern!(py, "resume_reading"));
            if resumed.is_err() {
                self.state(py).halted = true;
            }
            resumed?;
        }
        Ok(())
    }
}

/// Whether a read or a write has failed for now only.
fn is_in_vain(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// What a transport would raise of a read or a write that failed.
#[cold]
fn os_error(py: Python<'_>, error: &std::io::Error) -> PyErr {
    let Some(code) = error.raw_os_error() else {
        return PyOSError::new_err(error.to_string());
    };
    let text = py
        .import(intern!(py, "os"))
        .and_then(|os| os.call_method1(intern!(py, "strerror"), (code,)))
        .map(Bound::unbind);
    match text {
        Ok(text) => PyOSError::new_err((code, text)),
        Err(error) => error,
    }
}

/// Ends the connection because of what the peer sent: `_broken(kind, detail, size, cause)` of the Python class.
/// What the codec raised that is not about the message, as KeyboardInterrupt, cuts it off and is raised.
#[cold]
pub fn broken(connection: &Bound<'_, PyAny>, state: &Connection, why: Broken) -> PyResult<()> {
    let py = connection.py();
    if let Broken::Doubtful(what) = why {
        {
            let mut state = state.state(py);
            state.doubted = true;
            state.need = state.receive.unread().len() + 1;
            state.settle();
        }
        return connection
            .call_method1(intern!(py, "_doubtful"), (what,))
            .map(drop);
    }
    {
        let mut state = state.state(py);
        state.closed = true;
        state.drop_received();
    }
    let (kind, detail, size, cause) = match why {
        Broken::Invalid(detail) => ("invalid", detail, 0, None),
        Broken::Doubtful(what) => ("invalid", what.to_owned(), 0, None),
        Broken::Undecodable(error) if !errors::is_ordinary(py, &error) => {
            connection.call_method0(intern!(py, "abort"))?;
            return Err(error);
        }
        Broken::Undecodable(error) => ("invalid", error.to_string(), 0, Some(error.into_value(py))),
        Broken::TooLarge(size) => ("too large", String::new(), size, None),
    };
    connection.call_method1(intern!(py, "_broken"), (kind, detail, size, cause))?;
    Ok(())
}

#[pymethods]
impl Connection {
    /// Takes the transport; `loop` is the running event loop. `direct` says that the transport reads
    /// into any buffer object, not only into a memoryview. `socket` is the descriptor of the socket that
    /// the transport reads messages from as they are and closes after `_detach`. `polling` is what keeps the
    /// loop awake, and for how many seconds after each read and write.
    fn _attach(
        slf: &Bound<'_, Self>,
        transport: Bound<'_, PyAny>,
        r#loop: Bound<'_, PyAny>,
        direct: bool,
        socket: Option<i32>,
        polling: Option<(Py<BusyPoller>, Option<f64>)>,
    ) -> PyResult<()> {
        let py = slf.py();
        let write = transport.getattr(intern!(py, "write"))?.unbind();
        let call_soon = r#loop.getattr(intern!(py, "call_soon"))?.unbind();
        let flush = slf.getattr(intern!(py, "_flush"))?.unbind();
        let proceed = slf.getattr(intern!(py, "_proceed"))?.unbind();
        let came = slf.getattr(intern!(py, "_came"))?.unbind();
        let replaced = {
            let mut state = slf.get().state(py);
            let home = state.home.replace(Home::new(r#loop.unbind()));
            state.direct = direct;
            state.socket = socket.map(Socket::new);
            let polling =
                polling.map(|(poller, seconds)| (poller.into(), seconds.map(Duration::from_secs_f64)));
            (
                std::mem::replace(&mut state.poller, polling),
                state.transport.replace(transport.into()),
                state.write.replace(write.into()),
                state.call_soon.replace(call_soon.into()),
                state.flush_callback.replace(flush.into()),
                state.proceed_callback.replace(proceed.into()),
                (state.came_callback.replace(came.into()), home),
            )
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(replaced);
        // What was sent before the transport was there.
        Self::flush_and_tell(slf)
    }

    /// Has `has_read()` called at the next read, and at the first one after each time it was quiet. `looks` says
    /// that the transport may read what gives no bytes, so that each `get_buffer` counts.
    fn _tell_of_reads(&self, py: Python<'_>, has_read: Py<PyAny>, looks: bool) {
        let before = {
            let mut state = self.state(py);
            state.looks_count = looks;
            state.has_read.replace(has_read.into())
        };
        drop(before);
    }

    /// Whether looks do not count, as who is told of reads has the transport look.
    fn _ignore_looks(&self, py: Python<'_>, ignores: bool) {
        self.state(py).ignores_looks = ignores;
    }

    /// Whether nothing was read since this was asked last.
    fn _was_quiet(&self, py: Python<'_>) -> bool {
        let mut state = self.state(py);
        let was_quiet = !std::mem::take(&mut state.was_read);
        state.is_quiet |= was_quiet;
        was_quiet
    }

    /// Lets go of the transport; nothing is read or written any more.
    fn _detach(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state(py);
            state.closed = true;
            state.socket = None;
            state.drop_received();
            (
                state.take_queued(),
                state.transport.take(),
                state.write.take(),
                state.call_soon.take(),
                state.flush_callback.take(),
                state.proceed_callback.take(),
                (state.came_callback.take(), state.home.take()),
                state.poller.take(),
                state.has_read.take(),
            )
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(held);
    }

    /// Writes everything queued now.
    fn _flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state(slf.py()).flush_scheduled = false;
        Self::flush_and_tell(slf)
    }

    /// Hands over everything queued even if the transport has enough: nothing will follow.
    fn _finish(&self, py: Python<'_>) -> PyResult<()> {
        self.write_out(py)
    }

    /// Stops reading from the peer.
    fn _pause(&self, py: Python<'_>) -> PyResult<()> {
        self.pause(py)
    }

    /// Reads from the peer again, beginning with what waits in the receive buffer.
    fn _unpause(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_paused(py) {
            self.proceed_soon(py)
        } else {
            Ok(())
        }
    }

    /// Why the socket took no more bytes, if it said so to this object: an `OSError`. Asked for once.
    fn _take_write_error(&self, py: Python<'_>) -> Option<PyErr> {
        let error = self.state(py).write_error.take()?;
        Some(os_error(py, &error))
    }

    /// The transport is about to be used by somebody else.
    fn _follow(&self, py: Python<'_>) -> PyResult<()> {
        self.follow(py)
    }

    /// Raises EventLoopError if the connection's event loop does not run here, unless it runs nowhere.
    fn _require_home(&self, py: Python<'_>) -> PyResult<()> {
        self.require_home(py)
    }

    /// Whether the transport was told to stop reading.
    #[getter]
    fn _is_halted(&self, py: Python<'_>) -> bool {
        self.state(py).halted
    }

    /// Bytes received that are no whole message yet.
    #[getter]
    fn _unread(&self, py: Python<'_>) -> usize {
        let state = self.state(py);
        let assembled = state.assembly.as_ref().map_or(0, Assembly::arrived);
        state.receive.unread().len() + assembled
    }

    /// Derived classes override this: handles messages that wait.
    fn _proceed(&self) {}

    /// Where the transport reads to: this object itself, or a view of it for transports that slice it.
    fn get_buffer<'py>(slf: &Bound<'py, Self>, _sizehint: isize) -> PyResult<Bound<'py, PyAny>> {
        let (direct, has_read) = {
            let mut state = slf.get().state(slf.py());
            let counts = state.looks_count && !state.ignores_looks;
            (
                state.direct,
                if counts { state.note_read(slf.py()) } else { None },
            )
        };
        if let Some(has_read) = has_read {
            has_read.bind(slf.py()).call0()?;
        }
        if direct {
            return Ok(slf.clone().into_any());
        }
        PyMemoryView::from(slf.as_any()).map(Bound::into_any)
    }

    fn pause_writing(&self, py: Python<'_>) {
        let mut state = self.state(py);
        state.writable = false;
        state.counts.write_stalls += 1;
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state(slf.py()).writable = true;
        Self::flush_and_tell(slf)
    }

    /// Whether the send queue has room. If not, `_room()` is called when it has.
    fn _has_room(&self, py: Python<'_>) -> bool {
        let mut state = self.state(py);
        let room = state.has_room() || state.closed;
        state.wants_room |= !room;
        room
    }

    /// Messages and bytes queued for writing.
    #[getter]
    fn _queue(&self, py: Python<'_>) -> (usize, usize) {
        let state = self.state(py);
        (state.queued, state.queued_bytes())
    }

    /// Bytes of memory held by the two buffers.
    #[getter]
    fn _memory(&self, py: Python<'_>) -> usize {
        let state = self.state(py);
        let assembled = state.assembly.as_ref().map_or(0, Assembly::capacity);
        state.receive.capacity() + assembled + state.segment_bytes + state.output.capacity()
    }

    /// Counts since the connection was made, by the names of `ConnectionStatistics`.
    fn _counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.state(py).counts;
        let dict = PyDict::new(py);
        dict.set_item("messages_sent", counts.messages_sent)?;
        dict.set_item("messages_received", counts.messages_received)?;
        dict.set_item("bytes_sent", counts.bytes_sent)?;
        dict.set_item("bytes_received", counts.bytes_received)?;
        dict.set_item("reads", counts.reads)?;
        dict.set_item("writes", counts.writes)?;
        dict.set_item("read_pauses", counts.read_pauses)?;
        dict.set_item("write_stalls", counts.write_stalls)?;
        Ok(dict)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        for held in [
            &state.transport,
            &state.write,
            &state.call_soon,
            &state.flush_callback,
            &state.proceed_callback,
            &state.came_callback,
            &state.has_read,
        ] {
            visit.call(held.as_deref())?;
        }
        if let Some(home) = &state.home {
            visit.call(&home.event_loop)?;
        }
        if let Some((poller, _)) = &state.poller {
            visit.call(poller)?;
        }
        Ok(())
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        slf.get()._detach(slf.py());
    }

    /// The free part of the receive buffer, for the transport to read into.
    ///
    /// # Safety
    /// The memory stays where it is while it is exported: only this function moves it, and only
    /// while no export is alive. The shared buffer stays until the read into it was reported.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.get();
        let (data, length) = connection.state(py).room(py)?;
        // SAFETY: `view` is the caller's to fill; data and length describe live, initialised memory.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                data.cast(),
                length as ffi::Py_ssize_t,
                0,
                flags,
            )
        };
        if filled != 0 {
            return Err(PyErr::fetch(py));
        }
        connection.state(py).exports += 1;
        Ok(())
    }

    /// # Safety
    /// Called by Python once for each export.
    unsafe fn __releasebuffer__(&self, py: Python<'_>, _view: *mut ffi::Py_buffer) {
        self.state(py).exports -= 1;
    }
}
