"""The worst that a peer, or a file, can give each parser behind the package's names.

For ``tools/measure_growth.py``, ``python -m tests.worst_inputs make FOLDER`` writes each in two sizes, and
``... read FOLDER`` reads them and prints their names.
"""

from __future__ import annotations

import gc
import io
import itertools
import os
import random
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from tests.oracle import varint

from protosocket import codecs, decode
from protosocket._core import MessageConnection
from protosocket.codecs import FramedCodec, NativeMessages
from protosocket.errors import InvalidMessage, OptionError
from protosocket.grpc import envelope_pb2

KiB: Final = 1024
_UNKNOWN: Final = b"\x78\x01"
"""A field that no schema here has."""


@dataclass(frozen=True)
class Case:
    """``make(size)`` gives an input of about so many bytes, which ``read`` reads."""

    name: str
    make: Callable[[int], bytes]
    read: Callable[[bytes], object]
    size: int = 32 * KiB
    memory: int = 60
    """Bytes that reading may take for each of the input's."""


def field(number: int, content: bytes) -> bytes:
    """A field with a length."""
    return varint.write(number << 3 | 2) + varint.write(len(content)) + content


def repeated(part: bytes, size: int) -> bytes:
    """``part`` again and again."""
    return part * (size // len(part))


def nested(number: int, depth: int, content: bytes) -> bytes:
    """``content`` in messages in messages."""
    for _ in range(depth):
        content = field(number, content)
    return content


def nested_maps(depth: int) -> bytes:
    """Entries of maps in entries of maps, of which the innermost has something unknown in it."""
    content = _UNKNOWN
    for _ in range(depth):
        content = field(8, field(1, b"k") + field(2, content) + _UNKNOWN)
    return content


def meeting(count: int) -> list[int]:
    """Numbers as keys of a dict, half of which are where the other half would go."""
    size, place, chain = 8, 1, []
    while size * 2 // 3 < count:
        size *= 2
    for _ in range(count // 2):
        chain.append(place)
        place = (place * 5 + 1) % size
    return chain + [1 + turn * size for turn in range(1, count // 2)]


def numbered(keys: Iterable[int]) -> bytes:
    """Entries of the map from numbers, without values."""
    return b"".join(field(9, b"\x08" + varint.write(key)) for key in keys)


def pairs(keys: Iterable[int | tuple[int, ...]]) -> bytes:
    """A MessagePack map of numbers, or arrays of them, to nil."""
    found = [msgspec.msgpack.encode(key) for key in keys]
    return messagepack(b"\xdf" + struct.pack(">I", len(found)) + b"".join(key + b"\xc0" for key in found))


def meeting_tuples(count: int) -> list[tuple[int, int]]:
    """Tuples as keys of a dict, all with one hash (CPython, ``Objects/tupleobject.c``)."""
    one, two, five = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x27D4EB2F165667C5
    size = 1 << 64
    found: list[tuple[int, int]] = []
    for first in itertools.count(1):
        mixed = (five + first * two) % size
        mixed = (mixed << 31 | mixed >> 33) * one % size
        second = (7 - mixed) * pow(two, -1, size) % size
        # Larger ones are not their own hash.
        if second < 1 << 60:
            found.append((first, second))
            if len(found) == count:
                break
    return found


def refused(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Reads what is no message."""

    def reads(data: bytes) -> None:
        try:
            read(data)
        except (InvalidMessage, OptionError):
            return
        raise AssertionError("it was taken for a message")

    return reads


def tree() -> Any:
    """Native messages that hold themselves in every way there is."""
    file = FileDescriptorProto(name="tree.proto", package="tree", syntax="proto2")
    file.enum_type.add(name="Kind").value.add(name="ONLY", number=0)
    message = file.message_type.add(name="Tree")
    message.oneof_decl.add(name="side")
    _add(message, "child", 1, ".tree.Tree")
    _add(message, "children", 2, ".tree.Tree", repeated=True)
    _add(message, "left", 3, ".tree.Tree").oneof_index = 0
    _add(message, "right", 4, ".tree.Tree").oneof_index = 0
    _add(message, "text", 5, FieldDescriptorProto.TYPE_STRING)
    _add(message, "numbers", 6, FieldDescriptorProto.TYPE_INT64, repeated=True)
    _add(message, "kinds", 7, FieldDescriptorProto.TYPE_ENUM, repeated=True).type_name = ".tree.Kind"
    for name, number, key in (("named", 8, 9), ("numbered", 9, 3)):
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, "key", 1, key)
        _add(entry, "value", 2, ".tree.Tree")
        _add(message, name, number, f".tree.Tree.{entry.name}", repeated=True)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return NativeMessages(GetMessageClass(pool.FindMessageTypeByName("tree.Tree")))


def _add(
    message: DescriptorProto, name: str, number: int, kind: Any, *, repeated: bool = False
) -> FieldDescriptorProto:
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    if isinstance(kind, str):
        return message.field.add(
            name=name, number=number, label=label, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=kind
        )
    return message.field.add(name=name, number=number, label=label, type=kind)


_TREES: Final = tree()


def read_tree(data: bytes) -> object:
    """The message, as ``NativeMessages.decode`` gives it."""
    return _TREES.decode(_TREES.Tree, data)


RAW_IP: Final = 101
_ENVELOPES: Final[Any] = NativeMessages(envelope_pb2)


def read_envelope(data: bytes) -> object:
    """An envelope of a gRPC call."""
    return _ENVELOPES.decode(_ENVELOPES.Envelope, data)


NATIVE: Final = [
    Case("native/merged", lambda size: repeated(field(1, _UNKNOWN), size), read_tree),
    Case("native/merged-in-merged", lambda size: repeated(nested(1, 20, _UNKNOWN), size), read_tree),
    Case(
        "native/merged-in-turns",
        lambda size: repeated(field(1, _UNKNOWN) + field(1, field(3, _UNKNOWN)), size),
        read_tree,
    ),
    Case("native/oneof-merged", lambda size: repeated(field(3, _UNKNOWN), size), read_tree),
    Case(
        "native/oneof-in-turns",
        lambda size: repeated(field(3, _UNKNOWN) * 2 + field(4, _UNKNOWN) * 2, size),
        read_tree,
    ),
    Case("native/map-value-merged", lambda size: field(8, repeated(field(2, _UNKNOWN), size)), read_tree),
    Case("native/map-keys", lambda size: field(8, repeated(field(1, b"key"), size)), read_tree),
    Case(
        "native/map-unknown-in-maps",
        lambda size: repeated(nested_maps(16), size),
        read_tree,
    ),
    Case("native/deep", lambda size: repeated(nested(2, 99, b""), size), read_tree, 16 * KiB, 240),
    Case("native/empty", lambda size: repeated(field(2, b""), size), read_tree, 16 * KiB, memory=240),
    Case("native/texts", lambda size: repeated(field(5, b"text"), size), read_tree),
    Case("native/unknown", lambda size: repeated(_UNKNOWN, size), read_tree),
    Case("native/unknown-groups", lambda size: repeated(b"\x7b" * 99 + b"\x7c" * 99, size), read_tree),
    Case("native/packed-one-by-one", lambda size: repeated(field(6, b"\x01"), size), read_tree),
    Case("native/packed", lambda size: field(6, repeated(b"\x80\x80\x01", size)), read_tree),
    Case("native/closed-enum", lambda size: field(7, repeated(b"\x05", size)), read_tree),
    Case("native/closed-enum-one-by-one", lambda size: repeated(b"\x38\x05", size), read_tree),
    Case("native/map-numbers", lambda size: numbered(range(size // 8)), read_tree, memory=120),
    Case(
        "native/map-numbers-that-meet",
        lambda size: numbered(meeting(size // 8)),
        refused(read_tree),
        128 * KiB,
    ),
    Case("native/no-end", lambda size: repeated(field(1, _UNKNOWN), size) + b"\x0a", refused(read_tree)),
]
"""The native decoder."""


class Stream(MessageConnection):
    """What a transport talks to, without one: reads come in pieces of ``piece`` bytes."""

    def __new__(cls, codec: FramedCodec[Any, Any], piece: int) -> Stream:
        stream = super().__new__(cls, codec.wire(), 1 << 30, 256, 1 << 20, 1 << 30)
        stream.piece = piece
        return stream

    piece: int

    def _arrived(self) -> None:
        pass

    def _invalid(self, detail: str, cause: BaseException | None) -> None:
        raise InvalidMessage(detail) from cause

    def read(self, data: bytes) -> None:
        """Every message in ``data``."""
        view = memoryview(data)
        while view:
            room = memoryview(self.get_buffer(-1))
            count = min(len(view), len(room), self.piece)
            room[:count] = view[:count]
            room.release()
            self.buffer_updated(count)
            view = view[count:]
            while self._receive()[1]:
                pass


def stream(codec: FramedCodec[Any, Any], piece: int = 1) -> Callable[[bytes], object]:
    """Messages on a connection."""
    return lambda data: Stream(codec, piece).read(data)


def delimited(content: bytes) -> bytes:
    """``content`` behind its length."""
    return varint.write(len(content)) + content


def messagepack(content: bytes) -> bytes:
    """``content`` as MessagePack frames it."""
    return b"\xce" + struct.pack(">I", len(content)) + content


_NATIVE: Final[Any] = codecs.Native(send=_ENVELOPES.Envelope, receive=_ENVELOPES.Envelope)
_PROTOBUF: Final = codecs.Protobuf(send=envelope_pb2.Envelope, receive=envelope_pb2.Envelope)
_MESSAGEPACK: Final[Any] = codecs.MessagePack()

STREAMS: Final = [
    Case("stream/bytes", lambda size: delimited(bytes(size)), stream(codecs.Bytes()), 4 * KiB),
    Case(
        "stream/bytes-assembled", lambda size: delimited(bytes(size)), stream(codecs.Bytes(), 64), 128 * KiB
    ),
    Case("stream/bytes-tiny", lambda size: repeated(b"\x01x", size), stream(codecs.Bytes()), 4 * KiB),
    Case("stream/bytes-empty", bytes, stream(codecs.Bytes(), 4096), 16 * KiB),
    Case("stream/line", lambda size: b"x" * size + b"\n", stream(codecs.Lines()), 4 * KiB),
    Case("stream/lines-empty", lambda size: b"\n" * size, stream(codecs.Lines(), 4096), 16 * KiB),
    Case("stream/protobuf", lambda size: delimited(field(3, bytes(size))), stream(_PROTOBUF), 4 * KiB),
    Case(
        "stream/protobuf-merged",
        lambda size: delimited(repeated(field(9, _UNKNOWN), size)),
        stream(_PROTOBUF, 4096),
    ),
    Case(
        "stream/native-merged",
        lambda size: delimited(repeated(field(9, _UNKNOWN), size)),
        stream(_NATIVE, 4096),
    ),
    Case(
        "stream/messagepack-bytes",
        lambda size: messagepack(b"\xc6" + struct.pack(">I", size) + bytes(size)),
        stream(_MESSAGEPACK),
        4 * KiB,
    ),
    Case(
        "stream/messagepack-empty",
        lambda size: messagepack(b"\xdd" + struct.pack(">I", size) + b"\xa0" * size),
        stream(_MESSAGEPACK, 4096),
    ),
    Case(
        "stream/messagepack-maps",
        lambda size: messagepack(b"\xdd" + struct.pack(">I", size) + b"\x80" * size),
        stream(_MESSAGEPACK, 4096),
        memory=100,
    ),
    Case(
        "stream/messagepack-numbers",
        lambda size: pairs(range(size // 9)),
        stream(_MESSAGEPACK, 4096),
        memory=60,
    ),
    Case(
        "stream/messagepack-numbers-that-meet",
        lambda size: pairs(meeting(size // 9)),
        refused(stream(_MESSAGEPACK, 4096)),
        128 * KiB,
    ),
    Case(
        "stream/messagepack-tuples-that-meet",
        lambda size: pairs(meeting_tuples(size // 16)),
        refused(stream(_MESSAGEPACK, 4096)),
        128 * KiB,
    ),
    Case(
        "stream/messagepack-deep",
        lambda size: messagepack(
            b"\xdd" + struct.pack(">I", size // 61) + repeated(b"\x91" * 60 + b"\x90", size)
        ),
        stream(_MESSAGEPACK, 4096),
        memory=100,
    ),
]
"""Messages on connections."""


def segment(offset: int, payload: bytes, port: int = 40_000, flags: int = 0x18) -> bytes:
    """A packet of raw IP with a segment to a server."""
    tcp = struct.pack(">HHIIBBHHH", port, 7300, 1000 + offset, 1, 5 << 4, flags, 1 << 15, 0, 0)
    length = 40 + len(payload)
    return struct.pack(">BBHHHBBHII", 0x45, 0, length, 0, 0, 64, 6, 0, 0x7F000001, 0x7F000001) + tcp + payload


def capture(packets: list[bytes], link: int = RAW_IP) -> bytes:
    """A capture file of such packets."""
    records = (struct.pack("<IIII", at, 0, len(each), len(each)) + each for at, each in enumerate(packets))
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, link) + b"".join(records)


# Bytes: from Python 3.14 on they would be 128 KiB, more than what is counted here.
BUFFER = 8 * KiB


def read_capture(framing: decode.Framing = "varint") -> Callable[[bytes], object]:
    """Every event of a capture."""

    def read(data: bytes) -> None:
        stream: Any = io.BufferedReader(io.BytesIO(data), BUFFER)
        for _ in decode.capture_events(
            stream, lambda: decode.Framer(framing, 1 << 30), (), decode.LeftOut(), sniff=False
        ):
            pass

    return read


def segments(payload: bytes, size: int, order: Callable[[list[int]], None] = lambda _: None) -> bytes:
    """One direction whose bytes come in segments of ``size`` bytes, in another ``order``."""
    offsets = list(range(0, len(payload), size))
    order(offsets)
    return capture([segment(-1, b"", flags=2), *(segment(at, payload[at : at + size]) for at in offsets)])


def shuffled(offsets: list[int]) -> None:
    random.Random(1).shuffle(offsets)


def on_ethernet(header: bytes, between: bytes) -> Callable[[int], bytes]:
    """A frame with as many headers before the packet as there is room for."""

    def make(size: int) -> bytes:
        frame = bytes(12) + header + repeated(between, size)
        return capture([frame], link=1)

    return make


def fragments(size: int) -> bytes:
    """Fragments of eight bytes, the last ones first."""

    def fragment(number: int, offset: int) -> bytes:
        addresses = (0x7F000001, 0x7F000001)
        return struct.pack(">BBHHHBBHII", 0x45, 0, 28, number, 0x2000 | offset, 64, 6, 0, *addresses) + bytes(
            8
        )

    return capture([fragment(each // 100, 100 - each % 100) for each in range(size // 8)])


def connections(size: int) -> bytes:
    """Connections that begin, and go no further."""
    return capture([segment(-1, b"", 10_000 + number, flags=2) for number in range(size // 40)])


def extension_headers(size: int) -> bytes:
    """A packet of IPv6 with as many headers before the segment as there is room for."""
    headers = repeated(b"\x3c" + bytes(7), size)
    return capture([b"\x60" + bytes(3) + struct.pack(">HBB", 0xFFFF, 60, 64) + bytes(32) + headers])


def tunnels(size: int) -> bytes:
    """A packet of IP in IP, and so on."""
    packet = b""
    while len(packet) < size:
        header = struct.pack(">BBHHHBBH", 0x45, 0, (len(packet) + 20) & 0xFFFF, 0, 0, 64, 4, 0)
        packet = header + bytes(8) + packet
    return capture([packet])


def dump(data: bytes, framing: decode.Framing = "varint") -> list[decode.Event]:
    """What is in a hex dump."""
    stream: Any = io.BufferedReader(io.BytesIO(data), BUFFER)
    return list(decode.dump_events(stream, decode.Framer(framing, 1 << 30), "request"))


def hex_of(content: bytes) -> bytes:
    """A hex dump of a message."""
    return delimited(content).hex().encode()


def show(reader: Callable[[], decode.Reader]) -> Callable[[bytes], object]:
    """Every line that is printed for messages, in all three ways."""

    def read(data: bytes) -> None:
        made = reader()
        for event in dump(data):
            for record in made.read(event):
                decode.text_lines(record, 0.0, verbose=False)
                decode.text_lines(record, 0.0, verbose=True)
                decode.json_line(record)

    return read


_RAW: Final = show(lambda: decode.reader_of("protobuf", None, None))
_CALLS: Final = show(
    lambda: decode.reader_of("protobuf", None, (decode.RpcFields("1", "2"), decode.RpcFields("1", "2")))
)
_CACHE: Final = show(decode.cache_reader)
_GRPC: Final = show(lambda: decode.grpc_reader(None))
_VALUES: Final = show(lambda: decode.reader_of("messagepack", None, None))

DECODE: Final = [
    Case("decode/segments-of-a-byte", lambda size: segments(bytes(size), 1), read_capture(), KiB // 8),
    Case(
        "decode/long-in-segments",
        lambda size: segments(varint.write(128 * size) + bytes(128 * size), 128),
        read_capture(),
        KiB // 8,
    ),
    Case(
        "decode/last-segment-first",
        lambda size: segments(bytes(size), 1, list.reverse),
        read_capture(),
        KiB // 8,
    ),
    Case(
        "decode/segments-shuffled", lambda size: segments(bytes(size), 1, shuffled), read_capture(), KiB // 8
    ),
    Case("decode/line", lambda size: segments(b"x" * size, 1), read_capture("lines"), KiB // 8),
    Case("decode/connections", connections, read_capture(), 2 * KiB),
    Case("decode/extension-headers", extension_headers, read_capture(), 8 * KiB, 100),
    Case("decode/tags", on_ethernet(b"\x81\x00", b"\0\0\x81\0"), read_capture(), 8 * KiB, 100),
    Case("decode/labels", on_ethernet(b"\x88\x47", bytes(4)), read_capture(), 8 * KiB, 100),
    Case("decode/fragments", fragments, read_capture(), 2 * KiB, 100),
    Case("decode/tunnels", tunnels, read_capture(), 4 * KiB, 100),
    Case("decode/xxd", lambda size: repeated(b"00000000: 00 00\n", 16) + b"00" * size, refused(dump)),
    Case("decode/hexdump", lambda size: b"00000000  " + b"00 " * size + b"|x|", dump, KiB, 100),
    Case("decode/bars", lambda size: b"00000000  00  |" + b"|" * size + b"x", refused(dump)),
    Case("decode/raw-fields", lambda size: hex_of(repeated(b"\x08\x01", size)), _RAW, KiB, memory=900),
    Case("decode/raw-deep", lambda size: hex_of(nested(1, size // 4, b"")), _RAW, 4 * KiB, memory=900),
    Case("decode/raw-deep-and-wrong", lambda size: hex_of(nested(1, size // 4, b"\x0a")), _RAW, 2 * KiB, 900),
    Case("decode/calls", lambda size: repeated(b"\x02\x08\x01", size).hex().encode(), _CALLS, KiB, 900),
    Case("decode/cache-deep", lambda size: hex_of(repeated(nested(15, 60, b""), size)), _CACHE, KiB, 900),
    Case("decode/grpc-deep", lambda size: hex_of(repeated(nested(15, 60, b""), size)), _GRPC, KiB, 900),
    Case(
        "decode/messagepack",
        lambda size: messagepack(pairs(range(size // 9))).hex().encode(),
        _VALUES,
        KiB,
        900,
    ),
]
"""What is in captures."""

CASES: Final = [*NATIVE, *STREAMS, *DECODE]


def main(what: str, folder: Path) -> None:
    """Write every input in two sizes, or read them."""
    gc.disable()  # it looks when objects are made, whose number the cases before have a part in
    for case in CASES:
        for factor in (1, 2):
            file = folder / f"{case.name.replace('/', ' ')} {factor}"
            if what == "make":
                file.write_bytes(case.make(factor * case.size))
                continue
            data = file.read_bytes()
            os.getppid()
            case.read(data)
            os.getppid()
        if what == "read":
            print(case.name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
