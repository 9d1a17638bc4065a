//! What a connection has received and not handled: from bytes to frames.

use protosocket_core::connection::receive_buffer::{ReceiveBuffer, SHARED};
use protosocket_core::wire::framing::{Framing, Step};
use protosocket_core::wire::sniff::{foreign, is_no_protobuf};
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;

use crate::codec::{Payload, WireCodec};
use crate::connection::assembly::{Assembly, LONG};
use crate::connection::next::{BadInput, Next};
use crate::connection::shared_memory;

/// The first bytes of another protocol, taken for a length of one byte, say that there are so many at most.
const MAX_FOREIGN: usize = 0x80;

/// The receive buffer of one connection, and how far it was looked at.
pub struct Incoming {
    buffer: ReceiveBuffer,
    framing: Framing,
    /// Messages are protobuf's, behind a varint.
    protobuf: bool,
    /// It was said that the first message begins like another protocol.
    doubted: bool,
    /// No message has come yet.
    is_new: bool,
    /// Unread bytes that are needed before looking for a message again.
    need: usize,
    /// Unread bytes already searched for a line's end.
    searched: usize,
    /// A long message is on its way, whose prefix has this many bytes.
    long: Option<usize>,
    /// The long message as far as it has arrived; then the buffer is empty.
    assembly: Option<Assembly>,
    /// What the last reader was given to read into.
    room: Room,
    /// Views of the buffer that are alive: its memory must not move.
    exports: usize,
    /// Who reads takes any buffer object, and lets go of it before it asks for the next one.
    direct: bool,
}

/// What memory is read into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Own,
    Shared,
    Assembly,
}

impl Incoming {
    pub fn new(framing: Framing, protobuf: bool) -> Self {
        Incoming {
            buffer: ReceiveBuffer::new(),
            framing,
            protobuf,
            doubted: false,
            is_new: true,
            need: 0,
            searched: 0,
            long: None,
            assembly: None,
            room: Room::Own,
            exports: 0,
            direct: false,
        }
    }

    /// Who reads now; see `direct` of `Connection::_attach`.
    pub fn read_by(&mut self, direct: bool) {
        self.direct = direct;
    }

    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Looks for the next message, of `limit` bytes at most.
    #[inline]
    pub fn next(&mut self, limit: usize) -> Next {
        if let Some(assembly) = &self.assembly {
            return match assembly.whole() {
                Some((_, header)) => Next::Frame {
                    header,
                    total: assembly.arrived(),
                },
                None => Next::Wait,
            };
        }
        let unread = self.buffer.unread();
        if unread.len() < self.need {
            self.settle();
            return Next::Wait;
        }
        match self.framing.resume(unread, limit, self.searched) {
            Step::Frame { header, total } => match self.is_new.then(|| self.look_at_first()).flatten() {
                Some(why) => Next::BadInput(why),
                None => Next::Frame { header, total },
            },
            Step::Incomplete { need } => {
                self.need = need;
                self.searched = unread.len();
                if need >= LONG {
                    self.long = self.framing.header(unread);
                } else if need <= MAX_FOREIGN && self.is_new {
                    if let Some(why) = self.look_at_beginning() {
                        return Next::BadInput(why);
                    }
                }
                self.settle();
                Next::Wait
            }
            Step::TooLarge { size } => Next::BadInput(BadInput::TooLarge(size)),
            Step::Invalid(why) => {
                let what = self.foreign().unwrap_or(why);
                Next::BadInput(BadInput::Invalid(what.to_owned()))
            }
        }
    }

    /// What the peer speaks, if what looks like the first message is none: its codec could not say as much.
    #[cold]
    fn look_at_first(&self) -> Option<BadInput> {
        let unread = self.buffer.unread();
        foreign(unread)
            .filter(|_| self.protobuf && is_no_protobuf(unread))
            .map(|what| BadInput::Invalid(what.to_owned()))
    }

    /// Looks whether the first message, which has not arrived as a whole, is one at all. Text of other protocols is
    /// mostly shorter than its first letter says, and its sender waits for an answer.
    #[cold]
    fn look_at_beginning(&mut self) -> Option<BadInput> {
        let unread = self.buffer.unread();
        let what = foreign(unread);
        if self.protobuf {
            // Who decodes ahead looks, and looks again for what it found.
            self.need = 0;
            if is_no_protobuf(unread) {
                let what = what.unwrap_or("no protobuf message begins like this");
                return Some(BadInput::Invalid(what.to_owned()));
            }
            if let Some(what) = what.filter(|_| !self.doubted) {
                return Some(BadInput::Doubtful(what));
            }
            // What comes next may tell.
            self.need = unread.len() + 1;
        }
        None
    }

    /// What the peer speaks, if its very first bytes are another protocol's.
    #[inline]
    pub fn foreign(&self) -> Option<&'static str> {
        if self.is_new { foreign(self.unread()) } else { None }
    }

    /// It was said that the first message begins like another protocol: more has to come before it is said again.
    pub fn doubt(&mut self) {
        self.doubted = true;
        self.need = self.buffer.unread().len() + 1;
        self.settle();
    }

    /// What has arrived and was not handled, unless a long message is being assembled.
    #[inline]
    pub fn unread(&self) -> &[u8] {
        self.buffer.unread()
    }

    /// Bytes that have arrived and were not handled.
    pub fn arrived(&self) -> usize {
        self.buffer.unread().len() + self.assembly.as_ref().map_or(0, Assembly::arrived)
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity() + self.assembly.as_ref().map_or(0, Assembly::capacity)
    }

    /// Whether more has arrived than the last look found wanting.
    pub fn is_worth_a_look(&self) -> bool {
        let unread = self.buffer.unread().len();
        unread > 0 && unread >= self.need
    }

    /// Looks again when `need` unread bytes are there.
    pub fn wait_for(&mut self, need: usize) {
        self.need = need;
    }

    /// The payload of a frame that [`Incoming::next`] found.
    #[inline]
    pub fn frame<'a>(&'a self, py: Python<'a>, header: usize, end: usize) -> &'a [u8] {
        match &self.assembly {
            Some(assembly) => assembly.whole().map_or(&[], |(payload, _)| payload.as_bytes(py)),
            None => &self.buffer.unread()[header..end],
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
            None => codec.payload(py, &self.buffer.unread()[header..end]),
        }
    }

    /// Forgets a message that was handled.
    #[inline]
    pub fn consume(&mut self, total: usize) {
        if self.assembly.take().is_none() {
            self.buffer.consume(total);
        }
        self.long = None;
        self.need = 0;
        self.searched = 0;
        self.is_new = false;
    }

    /// Passes over bytes that belong to no message.
    pub fn skip(&mut self, count: usize) {
        self.buffer.consume(count);
        self.need = 0;
    }

    /// Keeps no more memory than unread bytes need: nothing is handled until more has arrived.
    pub fn settle(&mut self) {
        if let Some(buffer) = self.buffer.give_back() {
            shared_memory::give_read(buffer);
        } else if self.direct && self.buffer.unread().is_empty() {
            self.buffer.clear();
        }
    }

    /// Drops what was received; memory that a transport looks at stays where it is.
    pub fn drop_all(&mut self) {
        self.assembly = None;
        self.settle();
        let unread = self.buffer.unread().len();
        self.buffer.consume(unread);
        if self.exports == 0 {
            self.buffer.clear();
        }
    }

    /// Whether a long message is on its way.
    pub fn is_in_long(&self) -> bool {
        self.long.is_some() || self.assembly.is_some()
    }

    /// Has `fill` look at the memory for the next read. It stays where it is until [`Incoming::filled`].
    pub fn with_room<R>(&mut self, py: Python<'_>, fill: impl FnOnce(&mut [u8]) -> R) -> PyResult<R> {
        if let Some(header) = self.long.filter(|_| self.direct && self.assembly.is_none()) {
            self.assembly = Assembly::begin(py, self.buffer.unread(), header, self.need);
            if self.assembly.is_some() {
                self.buffer.clear();
            }
        }
        if let Some(assembly) = self.assembly.as_mut().filter(|it| it.whole().is_none()) {
            self.room = Room::Assembly;
            return Ok(fill(assembly.free()));
        }
        // Who reads directly reads at once, and says so before anything else runs in this thread.
        if self.direct && self.need <= SHARED {
            if let Some(from) = self.buffer.shared_from() {
                self.room = Room::Shared;
                return Ok(shared_memory::with_read(from, fill));
            }
        }
        self.room = Room::Own;
        // asyncio's TLS asks once more before it has let go of its last view, to see the end.
        let room = if self.exports == 0 {
            self.buffer.writable()
        } else {
            self.buffer.tail()
        };
        if room.is_empty() {
            let text = "the receive buffer is full and being read into";
            return Err(PyBufferError::new_err(text));
        }
        Ok(fill(room))
    }

    /// Takes note of `count` bytes read; false if they are a part of a long message that is not whole yet.
    #[inline]
    pub fn filled(&mut self, count: usize) -> bool {
        match self.room {
            Room::Own => self.buffer.filled(count),
            Room::Shared => self.buffer.adopt(shared_memory::take_read(), count),
            Room::Assembly => {
                if let Some(assembly) = &mut self.assembly {
                    assembly.filled(count);
                    return assembly.whole().is_some();
                }
            }
        }
        true
    }

    /// A view of the room was given out.
    pub fn exported(&mut self) {
        self.exports += 1;
    }

    /// It was given back.
    pub fn released(&mut self) {
        self.exports -= 1;
    }
}
