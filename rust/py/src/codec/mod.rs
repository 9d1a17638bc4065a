//! How messages become bytes and bytes become messages: the user's codec as connections use it.

mod header_layout;
pub mod next_frame;

use protosocket_core::wire::framing::Framing;
use protosocket_core::wire::light;
use protosocket_core::wire::messagepack_keys::floods_a_dict;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyTuple, PyType};

use crate::errors;
use crate::guarded::Guarded;
use crate::native::{NativeDecoder, NativeSchema, Written};

pub use header_layout::{HeaderLayout, Side};

/// Framing, header layout and the two functions between message objects and their bytes.
///
/// `send_layout` and `receive_layout` say where messages of either direction carry their id and
/// control code; a plain message stream has none.
#[pyclass(frozen, module = "protosocket._core")]
pub struct WireCodec {
    pub framing: Framing,
    /// A codec that does its own framing: `unpack(unread)` gives (what, count, message).
    pub unpack: Option<Py<PyAny>>,
    encode: Encode,
    decode: Decode,
    is_decoded_natively: bool,
    /// What is received is protobuf, as far as that is known here.
    is_protobuf: bool,
    /// How many messages are worth decoding before the first of them is used. The code of the decoder and the code of
    /// who uses them push each other out of the processor's nearest memory; the messages of others than the native
    /// codec take too much of that themselves (docs/decisions/0018).
    pub ahead: usize,
    /// The class of what is sent, where `encode` would take another one's messages.
    message: Option<Py<PyType>>,
    pub send: Option<Side>,
    pub receive: Option<Side>,
    light: Option<LightMessages>,
}

/// Light messages are exchanged for plain objects: `bytes` and `(method, bytes)` are sent as such; one that is
/// received is its payload, or `(id, method, payload)` at a server.
struct LightMessages {
    fields: light::Fields,
    is_server: bool,
}

/// Bytes that a message may have beside its payload where light ones are exchanged, which is metadata mostly: as objects
/// small entries take thirty times their bytes.
const MOST_BESIDE: usize = 1024 * 1024;

/// What makes bytes of messages.
enum Encode {
    /// Messages are their encoded bytes already.
    Bytes,
    /// A Python function that gives bytes.
    Function(Py<PyAny>),
    Native(Py<NativeSchema>),
}

/// What makes messages of bytes.
enum Decode {
    /// The bytes are the message.
    Bytes,
    /// A Python function of bytes.
    Function(Py<PyAny>),
    Native {
        decoder: Py<NativeDecoder>,
        /// Memory for the next payload; taken out while it is used.
        scratch: Guarded<Vec<u8>>,
    },
}

/// The scratch memory keeps at most this many bytes between payloads.
const KEPT: usize = 64 * 1024;

/// A payload taken off the receive buffer, as the codec's decoder wants it.
pub enum Payload<'py> {
    Bytes(Bound<'py, PyBytes>),
    Scratch(Vec<u8>),
    /// A light message: id, method and its payload.
    Light(u64, u64, Bound<'py, PyBytes>),
}

/// A payload that waits.
pub enum Kept {
    Bytes(Py<PyBytes>),
    Light(u64, u64, Py<PyBytes>),
}

impl<'py> Payload<'py> {
    pub fn length(&self) -> usize {
        match self {
            Payload::Bytes(bytes) | Payload::Light(_, _, bytes) => bytes.as_bytes().len(),
            Payload::Scratch(bytes) => bytes.len(),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Payload::Bytes(bytes) | Payload::Light(_, _, bytes) => bytes.as_bytes(),
            Payload::Scratch(bytes) => bytes,
        }
    }

    /// Gives the memory back that a payload was copied to.
    pub fn give_back(self, codec: &WireCodec, py: Python<'py>) {
        if let (Decode::Native { scratch, .. }, Payload::Scratch(memory)) = (&codec.decode, self) {
            if memory.capacity() <= KEPT {
                *scratch.borrow(py) = memory;
            }
        }
    }

    /// The payload in memory of its own.
    pub fn keep(self, py: Python<'py>) -> Kept {
        match self {
            Payload::Bytes(bytes) => Kept::Bytes(bytes.unbind()),
            Payload::Scratch(bytes) => Kept::Bytes(PyBytes::new(py, &bytes).unbind()),
            Payload::Light(id, method, bytes) => Kept::Light(id, method, bytes.unbind()),
        }
    }
}

impl Kept {
    pub fn length(&self, py: Python<'_>) -> usize {
        match self {
            Kept::Bytes(bytes) | Kept::Light(_, _, bytes) => bytes.as_bytes(py).len(),
        }
    }

    pub fn payload(self, py: Python<'_>) -> Payload<'_> {
        match self {
            Kept::Bytes(bytes) => Payload::Bytes(bytes.into_bound(py)),
            Kept::Light(id, method, bytes) => Payload::Light(id, method, bytes.into_bound(py)),
        }
    }
}

/// An encoded message.
pub enum Encoded<'a, 'py> {
    Bytes(Bound<'py, PyBytes>),
    Native(Written<'a, 'py>),
}

impl Encoded<'_, '_> {
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Encoded::Bytes(bytes) => bytes.as_bytes(),
            Encoded::Native(written) => written.as_bytes(),
        }
    }
}

/// Whether a function is `FromString` of a protobuf message, which is C code. MessagePack's may call the
/// constructors of the user's classes.
fn is_native(function: &Bound<'_, PyAny>) -> bool {
    if !function.is_instance_of::<PyCFunction>() {
        return false;
    }
    let look = || -> PyResult<bool> {
        let py = function.py();
        let message = py.import("google.protobuf.message")?.getattr("Message")?;
        let class = function.getattr("__self__")?;
        Ok(class.cast::<PyType>()?.is_subclass(&message)?
            && function.getattr("__name__")?.extract::<String>()? == "FromString")
    };
    look().unwrap_or(false)
}

/// The framing with this name: "varint", "messagepack" or "lines".
pub fn framing(name: &str) -> PyResult<Framing> {
    match name {
        "varint" => Ok(Framing::Varint),
        "messagepack" => Ok(Framing::MessagePack),
        "lines" => Ok(Framing::Lines),
        other => Err(PyValueError::new_err(format!("no such framing: {other}"))),
    }
}

#[pymethods]
impl WireCodec {
    /// `encode` and `decode` are functions, or a `NativeSchema` and a `NativeDecoder`, or None where messages are
    /// bytes already.
    #[new]
    #[pyo3(signature = (framing, encode, decode, send=None, receive=None, message=None, light=None))]
    fn new(
        framing: &str,
        encode: &Bound<'_, PyAny>,
        decode: &Bound<'_, PyAny>,
        send: Option<&Bound<'_, HeaderLayout>>,
        receive: Option<&Bound<'_, HeaderLayout>>,
        message: Option<Py<PyType>>,
        light: Option<(u32, u32, u32, bool)>,
    ) -> PyResult<Self> {
        Ok(WireCodec {
            framing: self::framing(framing)?,
            unpack: None,
            encode: match encode.cast::<NativeSchema>() {
                Ok(schema) => Encode::Native(schema.clone().unbind()),
                Err(_) if encode.is_none() => Encode::Bytes,
                Err(_) => Encode::Function(encode.clone().unbind()),
            },
            decode: match decode.cast::<NativeDecoder>() {
                Ok(decoder) => Decode::Native {
                    decoder: decoder.clone().unbind(),
                    scratch: Guarded::new(Vec::new()),
                },
                Err(_) if decode.is_none() => Decode::Bytes,
                Err(_) => Decode::Function(decode.clone().unbind()),
            },
            is_protobuf: framing == "varint"
                && (decode.cast::<NativeDecoder>().is_ok()
                    || is_native(decode)
                    || receive.is_some_and(|side| side.get().0.layout.is_protobuf())),
            is_decoded_natively: decode.is_none()
                || decode.cast::<NativeDecoder>().is_ok()
                || is_native(decode),
            ahead: if decode.cast::<NativeDecoder>().is_ok() {
                32
            } else {
                1
            },
            message,
            send: send.map(|layout| layout.get().0.clone()),
            receive: receive.map(|layout| layout.get().0.clone()),
            light: light.map(|(id, payload, method, is_server)| LightMessages {
                fields: light::Fields { id, payload, method },
                is_server,
            }),
        })
    }

    /// A codec that frames its messages itself. `encode(message)` gives all bytes of a message;
    /// `unpack(unread)` gets a memoryview of what has arrived and gives `(what, count, message)`:
    /// 0, bytes used and the message; 1 and the bytes needed in all; 2 and the bytes to skip.
    #[staticmethod]
    fn custom(py: Python<'_>, encode: Py<PyAny>, unpack: Py<PyAny>) -> Self {
        let decode = unpack.clone_ref(py);
        WireCodec {
            framing: Framing::Varint,
            unpack: Some(unpack),
            encode: Encode::Function(encode),
            decode: Decode::Function(decode),
            is_decoded_natively: false,
            is_protobuf: false,
            ahead: 1,
            message: None,
            send: None,
            receive: None,
            light: None,
        }
    }
}

impl WireCodec {
    /// Where messages carry their header: those that are sent, and those that are received. ValueError if nothing
    /// says so, which `who` has to know.
    pub fn sides(&self, who: &str) -> PyResult<(&Side, &Side)> {
        match (&self.send, &self.receive) {
            (Some(send), Some(receive)) => Ok((send, receive)),
            _ => Err(PyValueError::new_err(format!(
                "{who} needs to know where messages carry their id"
            ))),
        }
    }

    /// Appends an encoded message to `output`, framed.
    #[inline]
    pub fn put(&self, payload: &[u8], output: &mut Vec<u8>) {
        self.put_prefix(payload.len(), output);
        output.extend_from_slice(payload);
        output.extend_from_slice(self.suffix());
    }

    /// Appends what comes before a payload of `length` bytes.
    #[inline]
    pub fn put_prefix(&self, length: usize, output: &mut Vec<u8>) {
        if self.unpack.is_none() {
            self.framing.prefix(length, output);
        }
    }

    /// What comes after a payload.
    #[inline]
    pub fn suffix(&self) -> &'static [u8] {
        if self.unpack.is_none() {
            self.framing.suffix()
        } else {
            b""
        }
    }

    /// The bytes of a message; whatever goes wrong is an `EncodeError`.
    #[inline]
    pub fn encode<'a, 'py>(&'a self, message: &Bound<'py, PyAny>) -> PyResult<Encoded<'a, 'py>> {
        let py = message.py();
        if let Some(light) = &self.light {
            if let Some(encoded) = self.encode_light(&light.fields, message) {
                return Ok(encoded);
            }
        }
        if let Some(kind) = &self.message {
            let kind = kind.bind(py);
            if !message.is_exact_instance(kind) && !message.is_instance(kind)? {
                let text = format!(
                    "a {} is expected here, not a {}",
                    kind.name()?,
                    message.get_type().name()?
                );
                return Err(errors::encode(py, message, PyTypeError::new_err(text)));
            }
        }
        let encoded = match &self.encode {
            Encode::Bytes => message
                .cast::<PyBytes>()
                .map(|bytes| Encoded::Bytes(bytes.clone()))
                .map_err(PyErr::from),
            Encode::Native(schema) => schema.get().write(message).map(Encoded::Native),
            Encode::Function(encode) => encode.bind(py).call1((message,)).and_then(|encoded| {
                let encoded = encoded.cast_into::<PyBytes>()?;
                Ok(Encoded::Bytes(encoded))
            }),
        };
        let encoded = encoded.map_err(|cause| errors::encode(py, message, cause))?;
        if encoded.as_bytes().len() > self.framing.longest() {
            let cause = PyValueError::new_err("it is longer than its length prefix can say");
            return Err(errors::encode(py, message, cause));
        }
        Ok(encoded)
    }

    /// The bytes of a light message, if `message` stands for one.
    #[inline]
    fn encode_light<'a, 'py>(
        &'a self,
        fields: &light::Fields,
        message: &Bound<'py, PyAny>,
    ) -> Option<Encoded<'a, 'py>> {
        let Encode::Native(schema) = &self.encode else {
            return None;
        };
        let (method, payload) = match message.cast::<PyBytes>() {
            Ok(payload) => (None, payload.clone()),
            Err(_) => {
                let pair = message.cast_exact::<PyTuple>().ok()?;
                let (method, payload): (u64, Bound<'_, PyBytes>) = pair.extract().ok()?;
                (Some(method), payload)
            }
        };
        let mut written = schema.get().blank(message.py());
        if let Some(method) = method {
            written.varint_field(fields.method, method);
        }
        written.bytes_field(fields.payload, payload.as_bytes());
        Some(Encoded::Native(written))
    }

    /// Takes a payload out of memory that may change before it is decoded.
    #[inline]
    pub fn payload<'py>(&self, py: Python<'py>, bytes: &[u8]) -> Payload<'py> {
        if let Some(light) = &self.light {
            if let Some(found) = light.fields.read(bytes) {
                return Payload::Light(found.id, found.method, PyBytes::new(py, found.payload));
            }
        }
        match &self.decode {
            Decode::Native { scratch, .. } => {
                let mut memory = std::mem::take(&mut *scratch.borrow(py));
                memory.clear();
                memory.extend_from_slice(bytes);
                Payload::Scratch(memory)
            }
            Decode::Function(_) | Decode::Bytes => Payload::Bytes(PyBytes::new(py, bytes)),
        }
    }

    /// Whether what is received is known to be protobuf.
    pub fn is_protobuf(&self) -> bool {
        self.is_protobuf
    }

    /// Whether decoding runs no Python code.
    #[inline]
    pub fn decodes_natively(&self) -> bool {
        self.is_decoded_natively
    }

    #[inline]
    fn read<'py>(
        &self,
        py: Python<'py>,
        decoder: &Py<NativeDecoder>,
        bytes: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let is_over = |light: &LightMessages| !light.fields.fits(bytes, MOST_BESIDE);
        if bytes.len() > MOST_BESIDE && self.light.as_ref().is_some_and(is_over) {
            let text = format!("a message has more than {MOST_BESIDE} bytes beside its payload");
            return Err(errors::invalid(py, text));
        }
        decoder.get().read(py, bytes)
    }

    /// The message in `payload`.
    #[inline]
    pub fn decode<'py>(&self, py: Python<'py>, payload: Payload<'py>) -> PyResult<Bound<'py, PyAny>> {
        match (&self.decode, payload) {
            (_, Payload::Light(id, method, payload)) => {
                if self.light.as_ref().is_some_and(|light| light.is_server) {
                    (id, method, payload).into_pyobject(py).map(Bound::into_any)
                } else {
                    Ok(payload.into_any())
                }
            }
            (Decode::Bytes, Payload::Bytes(bytes)) => Ok(bytes.into_any()),
            (Decode::Bytes, Payload::Scratch(bytes)) => Ok(PyBytes::new(py, &bytes).into_any()),
            (Decode::Function(decode), Payload::Bytes(bytes)) => {
                if self.framing == Framing::MessagePack && floods_a_dict(bytes.as_bytes()) {
                    let text = "the keys of a map were chosen to meet in a dict".to_owned();
                    return Err(errors::invalid(py, text));
                }
                decode.bind(py).call1((bytes,))
            }
            (Decode::Function(decode), Payload::Scratch(bytes)) => {
                decode.bind(py).call1((PyBytes::new(py, &bytes),))
            }
            (Decode::Native { decoder, .. }, Payload::Bytes(bytes)) => {
                self.read(py, decoder, bytes.as_bytes())
            }
            (Decode::Native { decoder, scratch }, Payload::Scratch(memory)) => {
                let message = self.read(py, decoder, &memory);
                if memory.capacity() <= KEPT {
                    *scratch.borrow(py) = memory;
                }
                message
            }
        }
    }
}
