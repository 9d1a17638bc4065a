"""Messages and byte strings for property tests: well-formed, nearly well-formed, and anything."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from tests.oracle import varint
from tests.oracle.framing import Framing, frame
from tests.oracle.header import Control, Header
from tests.oracle.implementation import Layout
from tests.oracle.messagepack import ArrayLayout, MapLayout
from tests.oracle.protobuf import Field, Wire
from tests.oracle.protobuf import Layout as ProtobufLayout

U32 = 2**32 - 1
U64 = 2**64 - 1


def numbers(most: int) -> st.SearchStrategy[int]:
    """Numbers up to ``most``, as often short as long on the wire."""
    return st.one_of(
        st.integers(0, most),
        st.integers(0, most.bit_length()).map(lambda bits: min(most, (1 << bits) - 1)),
        st.integers(0, 300),
    )


ids = numbers(U64)
headers = st.builds(Header, ids, st.sampled_from(Control))


@st.composite
def protobuf_parts(draw: st.DrawFn, depth: int = 3) -> tuple[int, Wire, bytes]:
    """A protobuf field: its number, its wire type and its encoding, whose key may be longer than needed."""
    number = draw(st.one_of(st.integers(1, 20), st.integers(1, 2**29 - 1)))
    wires = [Wire.VARINT, Wire.FIXED64, Wire.BYTES, Wire.FIXED32]
    wire = draw(st.sampled_from([*wires, Wire.START_GROUP] if depth else wires))
    key = padded(number << 3 | wire, draw(st.integers(0, 1)), most=5)
    match wire:
        case Wire.VARINT:
            return number, wire, key + padded(draw(ids), draw(st.integers(0, 2)))
        case Wire.FIXED64:
            return number, wire, key + draw(st.binary(min_size=8, max_size=8))
        case Wire.FIXED32:
            return number, wire, key + draw(st.binary(min_size=4, max_size=4))
        case Wire.BYTES:
            payload = draw(st.binary(max_size=20))
            return number, wire, key + varint.write(len(payload)) + payload
        case _:
            inner = draw(st.lists(protobuf_parts(depth - 1), max_size=3))
            end = varint.write(number << 3 | Wire.END_GROUP)
            return number, wire, key + b"".join(encoded for _, _, encoded in inner) + end


def padded(value: int, more: int, most: int = varint.LONGEST) -> bytes:
    """``value`` as a varint that is up to ``more`` bytes longer than it needs, ``most`` in all."""
    encoded = varint.write(value)
    more = min(more, most - len(encoded))
    if more <= 0:
        return encoded
    return encoded[:-1] + bytes([encoded[-1] | 0x80]) + b"\x80" * (more - 1) + b"\x00"


@st.composite
def protobuf_layouts(draw: st.DrawFn) -> ProtobufLayout:
    """Id and control code at any field numbers, in any of the kinds that hold them."""
    number, other = draw(st.lists(st.integers(1, 20), min_size=2, max_size=2, unique=True))
    id_wire = draw(st.sampled_from([Wire.VARINT, Wire.FIXED64]))
    control_wire = draw(st.sampled_from([Wire.VARINT, Wire.FIXED64, Wire.FIXED32]))
    return ProtobufLayout(Field(number, id_wire), Field(other, control_wire))


@st.composite
def protobuf_messages(draw: st.DrawFn, layout: ProtobufLayout) -> bytes:
    """A message of ``layout``: any fields, among them header fields any number of times and anywhere."""
    mine = {layout.id.number, layout.control.number}
    others = protobuf_parts().filter(lambda part: part[0] not in mine).map(lambda part: part[2])
    id = st.builds(layout.id.encode, ids)
    control = st.builds(layout.control.encode, st.integers(0, 300))
    return b"".join(draw(st.lists(st.one_of(others, others, id, control), max_size=8)))


_leaves: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.integers(-(2**63), U64),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=20)),
)
_containers: st.SearchStrategy[Any] = st.one_of(
    st.lists(_leaves, max_size=3),
    st.dictionaries(st.text(max_size=5) | st.integers(0, 9), _leaves, max_size=3),
    st.integers(0, 40).map(lambda count: [False] * count),
    st.integers(0, 40).map(lambda count: dict.fromkeys(range(count), True)),
)
messagepack_values: st.SearchStrategy[Any] = st.one_of(
    _leaves, _containers, st.lists(_containers, max_size=2), st.just([[[[[{}]]]]])
)


@st.composite
def integers_of_any_form(draw: st.DrawFn) -> tuple[int, bytes]:
    """A number that is not negative, in any MessagePack form that holds it: value and encoding."""
    value = draw(ids)
    forms = [b"\xcf" + value.to_bytes(8, "big")]
    for marker, length in ((0xCC, 1), (0xCD, 2), (0xCE, 4)):
        if value < 1 << (8 * length):
            forms.append(bytes([marker]) + value.to_bytes(length, "big"))
    for marker, length in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)):
        if value < 1 << (8 * length - 1):
            forms.append(bytes([marker]) + value.to_bytes(length, "big"))
    if value < 0x80:
        forms.append(bytes([value]))
    return value, draw(st.sampled_from(forms))


array_layouts = st.lists(st.integers(0, 5), min_size=2, max_size=2, unique=True).map(
    lambda pair: ArrayLayout(pair[0], pair[1])
)
_keys = st.text(max_size=3) | st.sampled_from(["id", "code", "k" * 40, "k" * 300])
map_layouts = st.lists(_keys, min_size=2, max_size=2, unique=True).map(
    lambda pair: MapLayout(pair[0], pair[1])
)


@st.composite
def anything_nearly(draw: st.DrawFn) -> tuple[Layout, bytes]:
    """A layout, and a message of it that may have been damaged, or that is no message at all."""
    layout: Layout = draw(st.one_of(protobuf_layouts(), array_layouts, map_layouts))
    match layout:
        case ProtobufLayout():
            message = draw(protobuf_messages(layout))
        case ArrayLayout():
            message = msgspec.msgpack.encode(
                draw(st.lists(st.integers(0, 300) | messagepack_values, max_size=8))
            )
        case MapLayout():
            keys = st.sampled_from([layout.id, layout.control]) | st.text(max_size=3)
            pairs = st.dictionaries(keys, st.integers(0, 300) | messagepack_values, max_size=6)
            message = msgspec.msgpack.encode(draw(pairs))
    return layout, draw(damaged(message))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """``data``, or it cut off, with other bytes in it, with bytes behind it, or other bytes altogether."""
    at = draw(st.integers(0, len(data)))
    match draw(st.sampled_from(["whole", "cut", "changed", "inserted", "longer", "other"])):
        case "cut":
            return data[:at]
        case "changed":
            return data[:at] + draw(st.binary(min_size=1, max_size=2)) + data[at + 1 :]
        case "inserted":
            return data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[at:]
        case "longer":
            return data + draw(st.binary(max_size=4))
        case "other":
            return draw(st.binary(max_size=30))
        case _:
            return data


@st.composite
def streams(draw: st.DrawFn) -> tuple[Framing, bytes, int]:
    """A framing, a stream of framed messages that may be damaged, and a limit some of them may exceed."""
    kind = draw(st.sampled_from(Framing))
    payloads = draw(st.lists(st.binary(max_size=200), max_size=5))
    data = b"".join(frame(kind, payload) for payload in payloads)
    return kind, draw(damaged(data)), draw(st.integers(0, 250))


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """``data`` in pieces, as a socket may give it."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
