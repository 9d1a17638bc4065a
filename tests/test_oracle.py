"""The twins of framing, header scan and splice, against google.protobuf and msgspec."""

from __future__ import annotations

import io
import re
from typing import Any

import msgspec
import pytest
from google.protobuf import proto
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle import messagepack, protobuf, samples, strategies
from tests.oracle.framing import Decoder, Frame, Framing, Incomplete, frame
from tests.oracle.header import Control, Header, Malformed
from tests.oracle.implementation import IMPLEMENTATIONS, Implementation, Layout, Twins
from tests.oracle.messagepack import ArrayLayout, MapLayout
from tests.oracle.protobuf import Wire

TWINS = Twins()

# The same examples every time, and none too slow for a busy machine.
repeatable = settings(deadline=None, derandomize=True)
implementations = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS, ids=lambda each: type(each).__name__
)


def scanned(implementation: Implementation, layout: Layout, message: bytes) -> Header | None:
    """What a scan gives, or nothing for a malformed message."""
    try:
        return implementation.scan(layout, message)
    except Malformed:
        return None


# Every implementation does what the twins do, on any bytes. For the twins themselves this says little; it
# is here for the native core, which joins IMPLEMENTATIONS.


@implementations
@repeatable
@given(strategies.streams())
def test_framing_is_the_twins(implementation: Implementation, stream: tuple[Framing, bytes, int]) -> None:
    kind, data, limit = stream
    for cut in range(len(data) + 1):
        assert implementation.next_frame(kind, data[:cut], limit) == TWINS.next_frame(kind, data[:cut], limit)


@implementations
@repeatable
@given(strategies.anything_nearly(), strategies.headers)
def test_header_is_the_twins(
    implementation: Implementation, case: tuple[Layout, bytes], header: Header
) -> None:
    layout, message = case
    expected = scanned(TWINS, layout, message)
    assert scanned(implementation, layout, message) == expected
    if expected is not None:
        assert implementation.splice(layout, message, header) == TWINS.splice(layout, message, header)
    else:
        with pytest.raises(Malformed):
            implementation.splice(layout, message, header)


# Framing.


@repeatable
@given(strategies.streams(), st.data())
def test_pieces_do_not_matter(stream: tuple[Framing, bytes, int], data: st.DataObject) -> None:
    kind, received, limit = stream
    whole = Decoder(kind, limit)
    expected = whole.feed(received)
    assert all(len(message) <= limit for message in expected)
    for pieces in (data.draw(strategies.cuts(received)), [bytes([byte]) for byte in received]):
        decoder = Decoder(kind, limit)
        assert [message for piece in pieces for message in decoder.feed(piece)] == expected
        assert type(decoder.broken) is type(whole.broken)


@repeatable
@given(st.sampled_from(Framing), st.lists(st.binary(max_size=300), max_size=5))
def test_what_is_framed_is_found(kind: Framing, payloads: list[bytes]) -> None:
    payloads = [payload for payload in payloads if kind is not Framing.LINES or b"\n" not in payload]
    assert Decoder(kind, 300).feed(b"".join(frame(kind, payload) for payload in payloads)) == payloads


@repeatable
@given(st.binary(max_size=40_000))
def test_varint_framing_is_protobufs_delimited_form(body: bytes) -> None:
    message = samples.PROTOBUF["samples.Simple"](body=body)
    output = io.BytesIO()
    proto.serialize_length_prefixed(message, output)
    assert frame(Framing.VARINT, message.SerializeToString()) == output.getvalue()
    step = TWINS.next_frame(Framing.VARINT, output.getvalue(), 1 << 20)
    assert isinstance(step, Frame)
    assert step.total == len(output.getvalue())


@repeatable
@given(st.binary(max_size=20))
def test_incomplete_asks_for_what_helps(data: bytes) -> None:
    for kind in Framing:
        step = TWINS.next_frame(kind, data, 1 << 20)
        if isinstance(step, Incomplete):
            assert step.need > len(data)


# Protobuf.


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, Message]:
    """A sample message of any type with any content, and its type's name."""
    kind = draw(st.sampled_from([name for name in samples.PROTOBUF if name.startswith("samples.")]))
    message = samples.PROTOBUF[kind]()
    values: dict[str, st.SearchStrategy[Any]] = {
        "before": st.text(max_size=10),
        "middle": st.floats(allow_nan=False),
        "body": st.binary(max_size=200),
        "name": st.text(max_size=10),
        "numbers": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
        "count": st.integers(0, strategies.U32),
        "low": st.text(max_size=3),
        "above": st.text(max_size=3),
    }
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        if field.name == "after":
            message.after.SetInParent()  # type: ignore[attr-defined]
        elif field.name == "numbers":
            message.numbers.extend(draw(values["numbers"]))  # type: ignore[attr-defined]
        elif field.name in values:
            setattr(message, field.name, draw(values[field.name]))
    return kind, message


def with_header(message: Message, header: Header) -> bytes:
    """The message as google's library encodes it with this header."""
    changed = type(message)()
    changed.CopyFrom(message)
    changed.id, changed.code = header.id, int(header.control)  # type: ignore[attr-defined]
    return changed.SerializeToString(deterministic=True)


@repeatable
@given(messages(), st.lists(strategies.headers, min_size=2, max_size=2))
def test_protobuf_splice_is_what_the_library_writes(case: tuple[str, Message], both: list[Header]) -> None:
    kind, message = case
    layout = samples.protobuf_layout(kind)
    for before in (Header(), both[0]):
        encoded = with_header(message, before)
        assert layout.scan(encoded) == before
        assert layout.splice(encoded, both[1]) == with_header(message, both[1])


@repeatable
@given(st.lists(strategies.protobuf_parts(), max_size=8), strategies.headers)
def test_protobuf_reads_any_fields_as_the_library(
    parts: list[tuple[int, Wire, bytes]], header: Header
) -> None:
    simple, layout = samples.PROTOBUF["samples.Simple"], samples.protobuf_layout("samples.Simple")
    # A header field of another wire type is malformed here; google's library takes it for an unknown field.
    parts = [part for part in parts if part[0] not in (1, 2) or part[1] is Wire.VARINT]
    message = b"".join(encoded for _, _, encoded in parts)
    theirs: Any = simple.FromString(message)
    ours = layout.scan(message)
    assert ours.id == theirs.id
    codes = [part.value for part in protobuf.parts(message) if part.number == 2]
    # The library keeps the low 32 bits of a longer number.
    assert theirs.code == (codes[-1] if codes else 0) & strategies.U32
    assert ours.control is Control.from_wire(codes[-1] if codes else 0)

    theirs.id, theirs.code = header.id, int(header.control)
    assert simple.FromString(layout.splice(message, header)) == theirs


@repeatable
@given(st.data(), strategies.headers)
def test_protobuf_splice_leaves_the_rest_alone(data: st.DataObject, header: Header) -> None:
    layout = data.draw(strategies.protobuf_layouts())
    message = data.draw(strategies.protobuf_messages(layout))

    def others(encoded: bytes) -> list[protobuf.Part]:
        mine = (layout.id.number, layout.control.number)
        return [part for part in protobuf.parts(encoded) if part.number not in mine]

    changed = layout.splice(message, header)
    assert layout.scan(changed) == header
    assert others(changed) == others(message)
    assert layout.splice(changed, header) == changed


@repeatable
@given(st.binary(max_size=40))
def test_protobuf_accepts_nothing_the_library_refuses(data: bytes) -> None:
    layout = samples.protobuf_layout("samples.Simple")
    for message in (data, b"\x08\x05" + data, data + b"\x10\x02"):
        if scanned(TWINS, layout, message) is not None and not overlong_key(message):
            samples.PROTOBUF["samples.Simple"].FromString(message)


def overlong_key(message: bytes) -> bool:
    """Whether a key may take more than five bytes: prost reads up to ten of them, google's library five."""
    return re.search(rb"[\x80-\xff]{5}", message) is not None


# MessagePack.


@st.composite
def arrays(draw: st.DrawFn) -> tuple[ArrayLayout, list[Any], Header]:
    """An array that holds a header, with its layout."""
    layout = draw(strategies.array_layouts)
    header = draw(strategies.headers)
    least = max(layout.id, layout.control) + 1
    items = draw(st.lists(strategies.messagepack_values, min_size=least, max_size=least + 3)) + [None] * draw(
        st.integers(0, 15)
    )
    items[layout.id], items[layout.control] = header.id, int(header.control)
    return layout, items, header


@repeatable
@given(arrays(), strategies.headers)
def test_messagepack_array_is_what_the_library_writes(
    case: tuple[ArrayLayout, list[Any], Header], header: Header
) -> None:
    layout, items, before = case
    encoded = msgspec.msgpack.encode(items)
    assert layout.scan(encoded) == before
    items[layout.id], items[layout.control] = header.id, int(header.control)
    assert layout.splice(encoded, header) == msgspec.msgpack.encode(items)


@repeatable
@given(strategies.integers_of_any_form(), strategies.headers)
def test_messagepack_reads_a_number_in_any_form(number: tuple[int, bytes], header: Header) -> None:
    value, encoded = number
    message = b"\x93\xc0" + encoded + encoded
    layout = ArrayLayout(id=1, control=2)
    assert layout.scan(message) == Header(value, Control.from_wire(value))
    assert layout.splice(message, header) == msgspec.msgpack.encode([None, header.id, int(header.control)])


@repeatable
@given(
    strategies.map_layouts,
    st.dictionaries(st.text(max_size=5), strategies.messagepack_values, max_size=5),
    st.lists(strategies.headers, min_size=2, max_size=2),
    st.sets(st.sampled_from(["id", "control"])),
    st.randoms(use_true_random=False),
)
def test_messagepack_map_is_what_the_library_reads(
    layout: MapLayout, others: dict[str, Any], both: list[Header], present: set[str], random: Any
) -> None:
    before, after = both
    fields = {key: value for key, value in others.items() if key not in (layout.id, layout.control)}
    if "id" in present:
        fields[layout.id] = before.id
    if "control" in present:
        fields[layout.control] = int(before.control)
    pairs = list(fields.items())
    random.shuffle(pairs)
    encoded = msgspec.msgpack.encode(dict(pairs))
    assert layout.scan(encoded) == Header(
        before.id if "id" in present else 0, before.control if "control" in present else Control.NORMAL
    )
    changed = layout.splice(encoded, after)
    header = {layout.id: after.id, layout.control: int(after.control)}
    if len(present) == 2:
        # In the same place.
        assert changed == msgspec.msgpack.encode(dict(pairs) | header)
    else:
        # In front.
        rest = {key: value for key, value in pairs if key not in header}
        assert changed == msgspec.msgpack.encode(header | rest)


@repeatable
@given(strategies.messagepack_values, st.binary(max_size=3))
def test_messagepack_skips_any_value(value: Any, rest: bytes) -> None:
    encoded = msgspec.msgpack.encode(value)
    reader = messagepack.Reader(encoded + rest)
    reader.skip()
    assert reader.at == len(encoded)


@repeatable
@given(st.binary(max_size=12))
def test_messagepack_skips_what_the_library_reads(data: bytes) -> None:
    try:
        msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    reader = messagepack.Reader(data)
    reader.skip()
    assert reader.at == len(data)


def test_messagepack_depth_is_no_danger() -> None:
    depth = 200_000
    deep = b"\x91" * depth + b"\xc0"
    layout = ArrayLayout(id=1, control=2)
    assert layout.scan(b"\x93" + deep + b"\x05\x02") == Header(5, Control.END)
    with pytest.raises(Malformed):
        layout.scan(b"\x93" + b"\x91" * depth)


def test_a_map_that_grows_gets_a_longer_header() -> None:
    layout = MapLayout(id="id", control="code")
    for count in (13, 14, 15, 65_533, 65_534):
        items: dict[int | str, int | None] = dict.fromkeys(range(count))
        changed = layout.splice(msgspec.msgpack.encode(items), Header(7, Control.END))
        assert msgspec.msgpack.decode(changed) == {"id": 7, "code": 2, **items}


def test_an_id_is_a_number_that_is_not_negative() -> None:
    values: list[object] = [-1, -128, -(2**63), 5.0, None, True, "5", [5], {5: 5}, b"5"]
    for value in values:
        with pytest.raises(Malformed):
            ArrayLayout(id=0, control=1).scan(msgspec.msgpack.encode([value, 0]))
        with pytest.raises(Malformed):
            MapLayout(id="id", control="code").scan(msgspec.msgpack.encode({"id": value}))
