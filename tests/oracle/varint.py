"""Base-128 varints, as protobuf writes them: seven bits a byte, the lowest first."""

from __future__ import annotations

LONGEST = 10
"""A varint of 64 bits takes at most this many bytes."""


class Incomplete(Exception):
    """The bytes end before the number does."""


class Overlong(Exception):
    """More than ten bytes, or more than 64 bits."""


def read(data: bytes, at: int = 0) -> tuple[int, int]:
    """The number that starts at ``data[at]``, and the index behind it.

    A number may be written with more bytes than it needs, up to ten. Raises :class:`Incomplete` and
    :class:`Overlong`.
    """
    value = 0
    for index in range(LONGEST):
        if at + index >= len(data):
            raise Incomplete
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if value >= 1 << 64:
            raise Overlong
        if byte < 0x80:
            return value, at + index + 1
    raise Overlong


def write(value: int) -> bytes:
    """``value`` (0 to 2^64 - 1) in as few bytes as it needs."""
    output = bytearray()
    while value >= 0x80:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value)
    return bytes(output)
