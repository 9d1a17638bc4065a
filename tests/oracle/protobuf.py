"""Id and control code as top-level fields of an encoded protobuf message: the scan and the splice."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from tests.oracle import varint
from tests.oracle.header import Control, Header, Malformed

DEPTH = 100
"""Groups may nest this deep, as in protobuf's own parsers."""


class Wire(enum.IntEnum):
    """The wire types: how a field's value is written, the low three bits of its key."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    START_GROUP = 3
    END_GROUP = 4
    FIXED32 = 5


@dataclass(frozen=True)
class Field:
    """A header field: its number (1 to 2^29 - 1) and how it is written (varint, fixed64 or fixed32)."""

    number: int
    wire: Wire = Wire.VARINT

    def encode(self, value: int) -> bytes:
        """The field on the wire; nothing for zero, as proto3 has it. A fixed32 keeps the low 32 bits."""
        if value == 0:
            return b""
        key = varint.write(self.number << 3 | self.wire)
        match self.wire:
            case Wire.FIXED64:
                return key + value.to_bytes(8, "little")
            case Wire.FIXED32:
                return key + (value & 0xFFFF_FFFF).to_bytes(4, "little")
            case _:
                return key + varint.write(value)


@dataclass(frozen=True)
class Layout:
    """Which fields of a message are its id and its control code."""

    id: Field
    control: Field

    def scan(self, message: bytes) -> Header:
        """The header of ``message``: of several the last one counts, an absent one is zero.

        Raises :class:`Malformed` for a message whose fields cannot be walked to its end, or whose header
        fields have another wire type than the layout's.
        """
        found = {self.id.number: 0, self.control.number: 0}
        for part in self._parts(message):
            if part.number in found:
                found[part.number] = part.value
        return Header(found[self.id.number], Control.from_wire(found[self.control.number]))

    def splice(self, message: bytes, header: Header) -> bytes:
        """``message`` with ``header`` in place of its own.

        Each header field stands in front of the first other field with a higher number, or else at the end:
        in a message written in the order of field numbers, where an encoder puts it. The other fields stay
        as they are. Raises :class:`Malformed` where :meth:`scan` does.
        """
        id, control = self.id, self.control
        waiting = [(id.number, id.encode(header.id)), (control.number, control.encode(header.control))]
        waiting.sort()
        output = b""
        for part in self._parts(message):
            if part.number in (id.number, control.number):
                continue
            while waiting and waiting[0][0] < part.number:
                output += waiting.pop(0)[1]
            output += part.encoded
        return output + b"".join(encoded for _, encoded in waiting)

    def _parts(self, message: bytes) -> Iterator[Part]:
        wires = {self.id.number: self.id.wire, self.control.number: self.control.wire}
        for part in parts(message):
            if wires.get(part.number, part.wire) != part.wire:
                raise Malformed(f"field {part.number} has wire type {part.wire}")
            yield part


@dataclass(frozen=True)
class Part:
    """A top-level field as it is encoded; ``value`` is its number if it is one, otherwise 0."""

    number: int
    wire: Wire
    value: int
    encoded: bytes


def parts(message: bytes) -> Iterator[Part]:
    """The top-level fields of ``message`` in order, groups whole; raises :class:`Malformed`."""
    at = 0
    while at < len(message):
        start = at
        number, wire, at = _key(message, at)
        if wire is Wire.START_GROUP:
            value, at = 0, _group_end(message, at, number)
        else:
            value, at = _value(message, at, wire)
        yield Part(number, wire, value, message[start:at])


def _key(message: bytes, at: int) -> tuple[int, Wire, int]:
    key, at = _number(message, at)
    if key >> 3 == 0 or key >= 1 << 32:
        raise Malformed("a field number is zero or over 2^29 - 1")
    try:
        return key >> 3, Wire(key & 7), at
    except ValueError:
        raise Malformed("a field has a wire type that does not exist") from None


def _value(message: bytes, at: int, wire: Wire) -> tuple[int, int]:
    match wire:
        case Wire.VARINT:
            return _number(message, at)
        case Wire.FIXED64:
            return _fixed(message, at, 8)
        case Wire.FIXED32:
            return _fixed(message, at, 4)
        case Wire.BYTES:
            length, at = _number(message, at)
            if at + length > len(message):
                raise Malformed("a field is longer than its message")
            return 0, at + length
        case Wire.START_GROUP | Wire.END_GROUP:
            raise Malformed("a group ends that never began")


def _group_end(message: bytes, at: int, number: int) -> int:
    """The index behind the group ``number`` whose content starts at ``at``; every group needs its own end."""
    open_groups = [number]
    while open_groups:
        number, wire, at = _key(message, at)
        if wire is Wire.START_GROUP:
            open_groups.append(number)
            if len(open_groups) > DEPTH:
                raise Malformed(f"groups are nested deeper than {DEPTH}")
        elif wire is Wire.END_GROUP:
            if open_groups.pop() != number:
                raise Malformed("a group ends that never began")
        else:
            _, at = _value(message, at, wire)
    return at


def _fixed(message: bytes, at: int, length: int) -> tuple[int, int]:
    if at + length > len(message):
        raise Malformed("the message ends within a number")
    return int.from_bytes(message[at : at + length], "little"), at + length


def _number(message: bytes, at: int) -> tuple[int, int]:
    try:
        return varint.read(message, at)
    except (varint.Incomplete, varint.Overlong):
        raise Malformed("a varint is cut off or longer than ten bytes") from None
