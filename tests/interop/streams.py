"""Random streams of messages for the decoders: sound ones, and ones that are damaged in many ways."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from tests.oracle import messagepack, varint

LIMIT = 1 << 16
"""The receive limit of the decoders: above every whole message, below what a damaged length may say."""


class Form(Enum):
    """How the messages of a stream are written."""

    PROTOBUF = "protobuf"
    ARRAY = "MessagePack arrays"
    MAP = "MessagePack maps"


@dataclass(frozen=True)
class Case:
    """A stream in the pieces in which it arrives."""

    form: Form
    pieces: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        """The whole stream."""
        return b"".join(self.pieces)


def case(chance: random.Random) -> Case:
    """A random stream."""
    form = chance.choice(list(Form))
    data = b"".join(_message(chance, form) for _ in range(chance.randrange(1, 5)))
    for _ in range(chance.choice([0, 0, 0, 0, 0, 1, 1, 3])):
        data = _damaged(chance, data)
    return Case(form, _pieces(chance, data))


def _pieces(chance: random.Random, data: bytes) -> tuple[bytes, ...]:
    cuts = {chance.randrange(len(data) + 1) for _ in range(chance.choice([0, 0, 1, 3, len(data)]))}
    edges = sorted({0, *cuts, len(data)})
    return tuple(data[start:end] for start, end in pairwise(edges))


def _message(chance: random.Random, form: Form) -> bytes:
    payload = {Form.PROTOBUF: _protobuf, Form.ARRAY: _array, Form.MAP: _map}[form](chance)
    if chance.random() < 0.2:
        payload = _damaged(chance, payload)
    length = len(payload)
    if chance.random() < 0.06:
        lengths = [LIMIT - 6, LIMIT - 5, LIMIT - 1, LIMIT, LIMIT + 1, 2**31, 2**32 - 6, 2**32 - 5, 2**32 - 1]
        length = chance.choice([length - 1, length + 1, *lengths]) % 2**32
    if form is not Form.PROTOBUF:
        return b"\xce" + length.to_bytes(4, "big") + payload
    if chance.random() < 0.02:
        length = chance.choice([2**63, 2**64 - 1, 2**64 - 9, 2**64 - 10])
    return _varint(chance, length) + payload


def _damaged(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(5):
        case 0:
            return data[:at] + chance.randbytes(1) + data[at + 1 :]
        case 1:
            return (
                data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
                if data[at:]
                else data
            )
        case 2:
            return data[:at] + chance.randbytes(chance.randrange(1, 4)) + data[at:]
        case 3:
            return data[:at] + data[at + chance.randrange(1, 4) :]
        case _:
            return data[:at]


def _number(chance: random.Random) -> int:
    edges = [0, 1, 127, 128, 255, 256, 2**16, 2**31 - 1, 2**32 - 1, 2**32, 2**53, 2**63, 2**64 - 1]
    return chance.choice([chance.choice(edges), chance.getrandbits(chance.randrange(1, 65))])


def _code(chance: random.Random) -> int:
    return chance.choice([0, 0, 0, 0, 1, 2, 3, _number(chance)])


def _text(chance: random.Random) -> bytes:
    return chance.choice(["", "echo", "grüß", "日本", "a" * 40]).encode()


def _body(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([0, 1, 5, 31, 32, 40, 300]))


def _varint(chance: random.Random, value: int) -> bytes:
    """Now and then in more bytes than it needs, up to eleven."""
    encoded = varint.write(value)
    if chance.random() < 0.05:
        encoded = encoded[:-1] + bytes([encoded[-1] | 0x80])
        encoded += b"\x80" * chance.randrange(0, 11 - len(encoded) + 1) + b"\x00"
    return encoded


# Protobuf.


def _field(chance: random.Random, number: int, wire: int, value: bytes) -> bytes:
    return _varint(chance, number << 3 | wire) + value


def _sized(chance: random.Random, value: bytes) -> bytes:
    return _varint(chance, len(value)) + value


def _any_field(chance: random.Random, number: int) -> bytes:
    wire = chance.choice([0, 1, 2, 5, 3, 6])
    value = {
        0: _varint(chance, _number(chance)),
        1: chance.randbytes(8),
        2: _sized(chance, _body(chance)),
        5: chance.randbytes(4),
        3: _field(chance, 3, 0, b"\x01") + _field(chance, number, 4, b""),
        6: b"",
    }[wire]
    return _field(chance, number, wire, value)


def _protobuf(chance: random.Random) -> bytes:
    fields = [
        _field(chance, 1, 0, _varint(chance, _number(chance))),
        _field(chance, 2, 0, _varint(chance, _code(chance))),
        _field(chance, 3, 2, _sized(chance, _text(chance))),
        _field(chance, 4, 0, _varint(chance, _number(chance))),
        _field(chance, 5, 2, _sized(chance, _body(chance))),
    ]
    fields = chance.choice([fields, chance.sample(fields, chance.randrange(len(fields) + 1))])
    if chance.random() < 0.2:
        number = chance.choice([1, 2, 3, 4, 5, 6, 15, 16, 2**29 - 1, 2**29, 0])
        fields.insert(chance.randrange(len(fields) + 1), _any_field(chance, number))
    return b"".join(fields)


# MessagePack.


def _integer(chance: random.Random, value: int) -> bytes:
    """Not always in the shortest form, and as a signed one where it fits."""
    forms = [messagepack.unsigned(value)]
    for marker, size in [(0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)]:
        if value < 1 << 8 * size:
            forms.append(bytes([marker]) + value.to_bytes(size, "big"))
        if value < 1 << 8 * size - 1:
            forms.append(bytes([marker + 4]) + value.to_bytes(size, "big"))
    return forms[0] if chance.random() < 0.8 else chance.choice(forms)


def _with_length(chance: random.Random, value: bytes, wide: Sequence[int]) -> bytes:
    """A text or binary value after one of the markers for a length of one, two or four bytes."""
    sizes = [place for place in range(3) if len(value) < 1 << 8 * 2**place]
    place = chance.choice([sizes[0], sizes[0], chance.choice(sizes)])
    return bytes([wide[place]]) + len(value).to_bytes(2**place, "big") + value


def _string(chance: random.Random, value: bytes) -> bytes:
    if len(value) < 32 and chance.random() < 0.9:
        return bytes([0xA0 | len(value)]) + value
    return _with_length(chance, value, (0xD9, 0xDA, 0xDB))


def _binary(chance: random.Random, value: bytes) -> bytes:
    return _with_length(chance, value, (0xC4, 0xC5, 0xC6))


def _anything(chance: random.Random, depth: int = 0) -> bytes:
    makers: list[Callable[[], bytes]] = [
        lambda: _integer(chance, _number(chance)),
        lambda: _string(chance, _text(chance)),
        lambda: _binary(chance, _body(chance)),
        lambda: chance.choice([b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xff", b"\xe0"]),
        lambda: b"\xca" + chance.randbytes(4),
        lambda: b"\xcb" + chance.randbytes(8),
        lambda: b"\xd4" + chance.randbytes(2),
        lambda: b"\xc7" + b"\x03" + chance.randbytes(4),
    ]
    if depth < 3:
        makers += [
            lambda: b"\x92" + _anything(chance, depth + 1) + _anything(chance, depth + 1),
            lambda: b"\x81" + _string(chance, b"k") + _anything(chance, depth + 1),
        ]
    return chance.choice(makers)()


def _values(chance: random.Random) -> dict[bytes, bytes]:
    values = {
        b"id": _integer(chance, _number(chance)),
        b"code": _integer(chance, _code(chance)),
        b"command": _string(chance, _text(chance)),
        b"number": _integer(chance, _number(chance)),
        b"body": _binary(chance, _body(chance)),
    }
    if chance.random() < 0.1:
        values[chance.choice(list(values))] = _anything(chance)
    return values


def _array(chance: random.Random) -> bytes:
    values = list(_values(chance).values())
    if chance.random() < 0.1:
        values = [*values, _anything(chance)][: chance.randrange(7)]
    return bytes([0x90 | len(values)]) + b"".join(values)


def _map(chance: random.Random) -> bytes:
    pairs = [_string(chance, key) + value for key, value in _values(chance).items()]
    pairs = chance.choice([pairs, chance.sample(pairs, chance.randrange(len(pairs) + 1))])
    if chance.random() < 0.15:
        key = chance.choice([_string(chance, b"more"), _string(chance, b"id"), _anything(chance)])
        pairs.insert(chance.randrange(len(pairs) + 1), key + _anything(chance))
    return bytes([0x80 | len(pairs)]) + b"".join(pairs)
