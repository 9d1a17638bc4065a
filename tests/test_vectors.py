"""The golden vectors of the published Rust crates: what they write we read, and what they expect we write."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from tests.oracle import samples, varint, vectors
from tests.oracle.framing import Frame, Framing, Incomplete, Invalid, TooLarge, frame
from tests.oracle.header import Control, Header, Malformed
from tests.oracle.implementation import IMPLEMENTATIONS, Implementation, Layout
from tests.oracle.vectors import Vector

FRAMINGS = {"protobuf": Framing.VARINT, "messagepack": Framing.MESSAGEPACK}
LIMIT = 4 * 1024 * 1024

FRAMED = vectors.load("framing", "protobuf", "messagepack", "momento", "rmemstore")
PROTOBUF = vectors.load("protobuf", "momento", "rmemstore")
MESSAGEPACK = vectors.load("messagepack")
DECODING = vectors.load("decoding")


@dataclass(frozen=True)
class Whole:
    """A message of ``total`` bytes on the wire with this header."""

    total: int
    header: Header


Outcome = Whole | Incomplete | TooLarge | Invalid

# Where the core answers in another way than the crates, by message type and vector: its answer, and why.
DIFFERENT: dict[str, tuple[Outcome, str]] = {}


def _differs(why: str, outcomes: dict[str, Outcome]) -> None:
    DIFFERENT.update({f"decoding {name}": (outcome, why) for name, outcome in outcomes.items()})


_differs(
    "the published messages read their code by its low byte; here every unknown code is a Cancel",
    {
        "samples.Simple message: code 256": Whole(4, Header(0, Control.CANCEL)),
        "samples.Simple message: code 258": Whole(4, Header(0, Control.CANCEL)),
        "samples.Simple message: code 2^32": Whole(7, Header(0, Control.CANCEL)),
        "samples.Fixed fixed: code 256": Whole(6, Header(0, Control.CANCEL)),
        "First array: code 256": Whole(11, Header(5, Control.CANCEL)),
        "Lenient map: code 256": Whole(18, Header(5, Control.CANCEL)),
    },
)
_differs(
    "the crate asks for ten bytes until it has a prefix it can read; here each byte may complete it",
    {
        "samples.Simple prefix: nothing yet": Incomplete(1),
        "samples.Simple prefix: half a prefix": Incomplete(2),
    },
)
_differs(
    "the crate waits for more of a prefix that no more bytes can make whole",
    {
        "samples.Simple prefix: a length beyond 64 bits": Invalid(),
        "samples.Simple prefix: a length of eleven bytes": Invalid(),
        "samples.Simple prefix: ten continuation bytes": Invalid(),
    },
)
_differs(
    "the crate looks at the first byte only when the prefix is whole",
    {"First prefix: one wrong byte": Invalid()},
)
_differs(
    "the crate takes the bytes of the value, whatever length was declared; here the declared length counts",
    {
        "First prefix: bytes behind the value": Whole(11, Header(5, Control.END)),
        "First prefix: a value longer than declared": Whole(8, Header(5, Control.END)),
        "Lenient map: bytes behind the map": Whole(11, Header(5)),
    },
)
_differs(
    "the scan ends behind the header: the codec refuses what follows",
    {
        "First array: too short for the body": Whole(8, Header(5, Control.END)),
        "First array: one element more": Whole(10, Header(5, Control.END)),
        "First array: fewer elements than declared": Whole(8, Header(5, Control.END)),
        "First array: truncated body": Whole(10, Header(5, Control.END)),
    },
)
_differs(
    "the header of a map has text keys, as rmp-serde writes them; other keys are skipped",
    {
        "Lenient map: keys are binary": Whole(18, Header()),
        "Lenient map: keys are field indexes": Whole(10, Header()),
        "Lenient map: a nil key": Whole(12, Header(5)),
        "Lenient map: a key that is an array": Whole(12, Header(5)),
    },
)
_differs("the last one wins, as in protobuf", {"Lenient map: id twice": Whole(14, Header(6))})
_differs("a codec says whether its messages are arrays or maps", {"Lenient map: an array": Invalid()})


def layout_of(vector: Vector) -> Layout:
    """Where the vector's message carries its header."""
    kind = vector["message"]
    if vector["encoding"] == "protobuf":
        return samples.protobuf_layout(kind)
    form = vector.get("form", "map" if kind == "Lenient" else "array")
    return samples.messagepack_layout(kind, form)


def header_of(answer: Vector) -> Header:
    """The header as the crate's ``Message`` trait gave it."""
    return Header(answer["id"], Control[answer["control"].upper()])


def payload_of(vector: Vector) -> bytes:
    """The encoded message of a vector without its prefix."""
    framed = vectors.to_bytes(vector["framed"])
    return framed[5:] if vector["encoding"] == "messagepack" else framed[len(framed) - _size(framed) :]


def _size(framed: bytes) -> int:
    step = IMPLEMENTATIONS[0].next_frame(Framing.VARINT, framed, LIMIT)
    assert isinstance(step, Frame)
    return step.total - step.header


def build(kind: str, fields: Any) -> Message:
    """A protobuf message from a vector's fields."""

    def as_json(value: Any) -> Any:
        match value:
            case bytes():
                return base64.b64encode(value).decode()
            case dict():
                return {key: as_json(item) for key, item in value.items()}
            case list():
                return [as_json(item) for item in value]
            case _:
                return value

    return json_format.ParseDict(as_json(vectors.fields(fields)), samples.PROTOBUF[kind]())


implementations = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS, ids=lambda each: type(each).__name__
)


@implementations
@pytest.mark.parametrize("vector", FRAMED.values(), ids=FRAMED.keys())
def test_framing(implementation: Implementation, vector: Vector) -> None:
    framed = vectors.to_bytes(vector["framed"])
    kind = FRAMINGS[vector["encoding"]]
    step = implementation.next_frame(kind, framed + b"\xce", LIMIT)
    assert isinstance(step, Frame)
    assert step.total == len(framed)
    payload = framed[step.header :]
    if "payload" in vector:
        assert payload == vectors.to_bytes(vector["payload"])
    assert frame(kind, payload) == framed

    for cut in {0, 1, step.header - 1, step.header, len(framed) // 2, len(framed) - 1} - {len(framed), -1}:
        part = implementation.next_frame(kind, framed[:cut], LIMIT)
        assert isinstance(part, Incomplete)
        assert cut < part.need <= max(len(framed), 5)
    size = len(payload)
    if size:
        assert implementation.next_frame(kind, framed[: step.header], size - 1) == TooLarge(size)


@implementations
@pytest.mark.parametrize("vector", [*PROTOBUF.values(), *MESSAGEPACK.values()], ids=[*PROTOBUF, *MESSAGEPACK])
def test_header(implementation: Implementation, vector: Vector) -> None:
    layout, header, payload = layout_of(vector), header_of(vector), payload_of(vector)
    assert implementation.scan(layout, payload) == header
    for other in (Header(), Header(1, Control.END), Header(2**64 - 1, Control.CANCEL)):
        changed = implementation.splice(layout, payload, other)
        assert implementation.scan(layout, changed) == other
        # Back again: what the crate wrote, unless it wrote an unknown code, or a oneof out of order.
        if vector["fields"].get("code") != 7 and vector["message"] != "samples.Spanning":
            assert implementation.splice(layout, changed, header) == payload


@pytest.mark.parametrize("vector", PROTOBUF.values(), ids=PROTOBUF.keys())
def test_google_protobuf_writes_the_same(vector: Vector) -> None:
    message = build(vector["message"], vector["fields"])
    payload = payload_of(vector)
    assert type(message).FromString(payload) == message
    if vector["message"] != "samples.Spanning":
        assert message.SerializeToString(deterministic=True) == payload


@pytest.mark.parametrize("vector", MESSAGEPACK.values(), ids=MESSAGEPACK.keys())
def test_msgspec_writes_the_same(vector: Vector) -> None:
    fields = vectors.fields(vector["fields"])
    payload = payload_of(vector)
    if vector["form"] == "map":
        message = msgspec.convert(fields, samples.MESSAGEPACK[vector["message"]])
        assert msgspec.msgpack.decode(payload, type=type(message)) == message
        assert msgspec.msgpack.encode(message) == payload
    else:
        assert msgspec.msgpack.decode(payload) == _as_arrays(fields)
        assert msgspec.msgpack.encode(_as_arrays(fields)) == payload


def _as_arrays(value: Any) -> Any:
    """A struct in rmp-serde's array form: its values in the order of its fields."""
    return [_as_arrays(item) for item in value.values()] if isinstance(value, dict) else value


def outcome_of(implementation: Implementation, vector: Vector) -> Outcome:
    """What the core makes of a decoder vector's bytes: framing first, then the header."""
    data = vectors.to_bytes(vector["bytes"])
    step = implementation.next_frame(FRAMINGS[vector["encoding"]], data, LIMIT)
    if not isinstance(step, Frame):
        return step
    try:
        return Whole(step.total, implementation.scan(layout_of(vector), data[step.header : step.total]))
    except Malformed:
        return Invalid()


@implementations
@pytest.mark.parametrize("name", DECODING)
def test_decoding(implementation: Implementation, name: str) -> None:
    vector = DECODING[name]
    theirs: Outcome
    match vector["answer"]:
        case {"message": total}:
            theirs = Whole(total, header_of(vector["answer"]))
        case {"incomplete": need} if need > LIMIT:
            # Over the limit, the crate's connection ends; its size includes the prefix.
            prefix = 5 if vector["encoding"] == "messagepack" else len(varint.write(need))
            theirs = TooLarge(need - prefix)
        case {"incomplete": need}:
            theirs = Incomplete(need)
        case answer:
            assert answer == "invalid"
            theirs = Invalid()
    ours = outcome_of(implementation, vector)
    if name in DIFFERENT:
        assert ours != theirs, "no difference any more"
        assert ours == DIFFERENT[name][0], DIFFERENT[name][1]
    else:
        assert ours == theirs


def test_every_difference_has_its_vector() -> None:
    assert DIFFERENT.keys() <= DECODING.keys()
