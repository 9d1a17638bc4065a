"""Id and control code in an encoded MessagePack array or map: the scan and the splice."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.header import Control, Header, Malformed


@dataclass(frozen=True)
class ArrayLayout:
    """The indexes of id and control code in a message that is an array."""

    id: int
    control: int

    def scan(self, message: bytes) -> Header:
        """The header of ``message``; what stands behind its last element is not looked at.

        Raises :class:`Malformed` for anything that is not an array, for one too short to hold both, and for
        an element that is not an unsigned integer (or a signed one that is not negative).
        """
        (_, _, id), (_, _, control) = self._locate(message)
        return Header(id, Control.from_wire(control))

    def splice(self, message: bytes, header: Header) -> bytes:
        """``message`` with ``header`` in place of its own, shortest form; raises as :meth:`scan` does."""
        id, control = self._locate(message)
        return _replace(message, [(id, header.id), (control, header.control)])

    def _locate(self, message: bytes) -> tuple[Element, Element]:
        reader = Reader(message)
        count = reader.array()
        if max(self.id, self.control) >= count:
            raise Malformed("the array is too short to hold the id and the control code")
        found: dict[int, Element] = {}
        for index in range(max(self.id, self.control) + 1):
            if index in (self.id, self.control):
                found[index] = reader.element()
            else:
                reader.skip()
        return found[self.id], found[self.control]


@dataclass(frozen=True)
class MapLayout:
    """The keys of id and control code in a message that is a map."""

    id: str
    control: str

    def scan(self, message: bytes) -> Header:
        """The header of ``message``: of several the last one counts, an absent one is zero.

        Keys that are not text are skipped with their values; what stands behind the map is not looked at.
        Raises :class:`Malformed` for anything that is not a whole map, and for a header value that is not an
        unsigned integer (or a signed one that is not negative).
        """
        found = {self.id: 0, self.control: 0}
        for key, _, element in self._pairs(message)[0]:
            if element is not None:
                assert key is not None
                found[key] = element[2]
        return Header(found[self.id], Control.from_wire(found[self.control]))

    def splice(self, message: bytes, header: Header) -> bytes:
        """``message`` with ``header`` in place of its own; raises as :meth:`scan` does.

        Where both keys stand in the map once, their values are replaced in their places. Otherwise the map
        is written anew: id and control code first, then the other pairs as they were.
        """
        pairs, end = self._pairs(message)
        elements = {key: element for key, _, element in pairs if element is not None}
        if sum(element is not None for _, _, element in pairs) == len(elements) == 2:
            replacements = [(elements[self.id], header.id), (elements[self.control], header.control)]
            return _replace(message, replacements)
        rest = [encoded for _, encoded, element in pairs if element is None]
        first = [text(self.id) + unsigned(header.id), text(self.control) + unsigned(header.control)]
        return map_header(2 + len(rest)) + b"".join(first + rest) + message[end:]

    def _pairs(self, message: bytes) -> tuple[list[tuple[str | None, bytes, Element | None]], int]:
        """Each pair: its key if text, its encoding, and its value if of the header; and the end."""
        reader = Reader(message)
        pairs: list[tuple[str | None, bytes, Element | None]] = []
        for _ in range(reader.map()):
            start = reader.at
            key = reader.key()
            if key in (self.id, self.control):
                element = reader.element()
            else:
                element = None
                reader.skip()
            pairs.append((key, message[start : reader.at], element))
        return pairs, reader.at


Element = tuple[int, int, int]
"""An integer in a message: where it starts, where it ends, and its value."""


def _replace(message: bytes, replacements: list[tuple[Element, int]]) -> bytes:
    output, at = b"", 0
    for (start, end, _), value in sorted(replacements):
        output += message[at:start] + unsigned(value)
        at = end
    return output + message[at:]


def unsigned(value: int) -> bytes:
    """An unsigned integer in its shortest form."""
    if value < 0x80:
        return bytes([value])
    for marker, length in ((0xCC, 1), (0xCD, 2), (0xCE, 4)):
        if value < 1 << (8 * length):
            return bytes([marker]) + value.to_bytes(length, "big")
    return b"\xcf" + value.to_bytes(8, "big")


def text(value: str) -> bytes:
    """A text of up to 65,535 bytes in its shortest form."""
    encoded = value.encode()
    if len(encoded) < 32:
        return bytes([0xA0 | len(encoded)]) + encoded
    if len(encoded) < 1 << 8:
        return bytes([0xD9, len(encoded)]) + encoded
    return b"\xda" + len(encoded).to_bytes(2, "big") + encoded


def map_header(count: int) -> bytes:
    """What a map of ``count`` pairs begins with, in its shortest form."""
    if count < 16:
        return bytes([0x80 | count])
    if count < 1 << 16:
        return b"\xde" + count.to_bytes(2, "big")
    return b"\xdf" + count.to_bytes(4, "big")


class Reader:
    """Walks encoded values; every method raises :class:`Malformed` where the bytes are something else."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def array(self) -> int:
        """The number of elements of the array that begins here."""
        return self._container(small=0x90, wide=0xDC, kind="array")

    def map(self) -> int:
        """The number of pairs of the map that begins here."""
        return self._container(small=0x80, wide=0xDE, kind="map")

    def key(self) -> str | None:
        """The text here, or nothing, and the value skipped, if it is something else."""
        start = self.at
        marker = self._number(1)
        if 0xA0 <= marker <= 0xBF:
            length = marker & 0x1F
        elif marker in (0xD9, 0xDA, 0xDB):
            length = self._number(1 << (marker - 0xD9))
        else:
            self.at = start
            self.skip()
            return None
        # Bytes that are not UTF-8 stay different from every key a layout can have.
        return self._take(length).decode(errors="surrogateescape")

    def element(self) -> Element:
        """The integer here, which must not be negative."""
        start = self.at
        marker = self._number(1)
        if marker < 0x80:
            value = marker
        elif 0xCC <= marker <= 0xCF:
            value = self._number(1 << (marker - 0xCC))
        elif 0xD0 <= marker <= 0xD3:
            length = 1 << (marker - 0xD0)
            value = self._number(length)
            if value >= 1 << (8 * length - 1):
                raise Malformed("the id or the control code is negative")
        else:
            raise Malformed("the id or the control code is not an integer")
        return start, self.at, value

    def skip(self) -> None:
        """Goes behind the value here, however deep it is: it counts the values still to come."""
        waiting = 1
        while waiting:
            waiting -= 1
            marker = self._number(1)
            match marker:
                case _ if marker < 0x80 or marker >= 0xE0 or marker in (0xC0, 0xC2, 0xC3):
                    pass  # a small integer, nil, false or true: nothing follows
                case _ if marker < 0x90:
                    waiting += 2 * (marker & 0x0F)
                case _ if marker < 0xA0:
                    waiting += marker & 0x0F
                case _ if marker < 0xC0:
                    self._take(marker & 0x1F)
                case 0xC4 | 0xC5 | 0xC6:  # binary
                    self._take(self._number(1 << (marker - 0xC4)))
                case 0xC7 | 0xC8 | 0xC9:  # extension: a length, a type, the bytes
                    self._take(self._number(1 << (marker - 0xC7)) + 1)
                case 0xCA | 0xCB:  # float, double
                    self._take(4 << (marker - 0xCA))
                case 0xCC | 0xCD | 0xCE | 0xCF:
                    self._take(1 << (marker - 0xCC))
                case 0xD0 | 0xD1 | 0xD2 | 0xD3:
                    self._take(1 << (marker - 0xD0))
                case 0xD4 | 0xD5 | 0xD6 | 0xD7 | 0xD8:  # extension of fixed length: a type, the bytes
                    self._take(1 + (1 << (marker - 0xD4)))
                case 0xD9 | 0xDA | 0xDB:  # text
                    self._take(self._number(1 << (marker - 0xD9)))
                case 0xDC | 0xDD:  # array
                    waiting += self._number(2 << (marker - 0xDC))
                case 0xDE | 0xDF:  # map
                    waiting += 2 * self._number(2 << (marker - 0xDE))
                case _:
                    raise Malformed("0xc1 is no MessagePack value")

    def _container(self, small: int, wide: int, kind: str) -> int:
        marker = self._number(1)
        if small <= marker < small + 16:
            return marker - small
        if marker in (wide, wide + 1):
            return self._number(2 << (marker - wide))
        raise Malformed(f"the message is not a MessagePack {kind}")

    def _number(self, length: int) -> int:
        return int.from_bytes(self._take(length), "big")

    def _take(self, length: int) -> bytes:
        if self.at + length > len(self.data):
            raise Malformed("the message ends too early")
        self.at += length
        return self.data[self.at - length : self.at]
