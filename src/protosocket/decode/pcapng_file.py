"""The packets of a pcapng file: any number of sections and interfaces, each with its order, link and clock.

The format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html. Only what packets need is read:
python-pcapng stops at a name or a comment that is no UTF-8, and at options that it takes for wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from protosocket.decode.packets import Packet
from protosocket.decode.pcap_file import Source

__all__ = ["PCAPNG_MAGIC", "pcapng_packets"]

PCAPNG_MAGIC = bytes.fromhex("0a0d0d0a")
_ORDERS = {bytes.fromhex("1a2b3c4d"): ">", bytes.fromhex("4d3c2b1a"): "<"}
_INTERFACE, _OBSOLETE_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 1, 2, 3, 6
_RESOLUTION, _OFFSET = 9, 14


@dataclass(frozen=True, slots=True)
class _Interface:
    """Its times count ``units`` to the second, from ``offset`` seconds on."""

    link: int
    snap: int
    units: int
    offset: int


def pcapng_packets(source: Source) -> Iterator[Packet]:
    """The packets; raises ``ValueError`` or ``struct.error`` where the file is damaged or cut off."""
    interfaces: list[_Interface] = []
    time = 0.0
    for kind, order, body in _blocks(source):
        if kind == PCAPNG_MAGIC:
            interfaces = []
            continue
        (number,) = struct.unpack(f"{order}I", kind)
        if number == _INTERFACE:
            interfaces.append(_interface(order, body))
        elif number == _SIMPLE_PACKET:  # of the first interface, without a time
            interface = _of(interfaces, 0)
            (size,) = struct.unpack_from(f"{order}I", body)
            yield Packet(time, interface.link, body[4:][: min(size, interface.snap or size)], size)
        elif number in (_ENHANCED_PACKET, _OBSOLETE_PACKET):
            head = struct.Struct(f"{order}{'IIIII' if number == _ENHANCED_PACKET else 'HxxIIII'}")
            place, high, low, captured, size = head.unpack_from(body)
            interface = _of(interfaces, place)
            data = body[head.size : head.size + captured]
            if len(data) < captured:
                raise ValueError("a packet is longer than its block")
            time = (high << 32 | low) / interface.units + interface.offset
            yield Packet(time, interface.link, data, max(size, captured))


def _blocks(source: Source) -> Iterator[tuple[bytes, str, bytes]]:
    """The kind of each block, the order of bytes in its section, and what it says."""
    order = ""
    while head := source.read(8):
        kind, size = head[:4], head[4:]
        first = b""
        if kind == PCAPNG_MAGIC:
            first = source.read(4)
            order = _ORDERS.get(first, "")
        if len(head) < 8 or (kind == PCAPNG_MAGIC and len(first) < 4):
            raise ValueError("it ends within a block")
        if not order:
            raise ValueError("a section does not say its order of bytes")
        (length,) = struct.unpack(f"{order}I", size)
        left = length + -length % 4 - len(head) - len(first)
        if left < 4:
            raise ValueError(f"a block has {length} bytes")
        rest = source.read(left)
        if len(rest) < left:
            raise ValueError("it ends within a block")
        if rest[-4:] != size:
            raise ValueError("a block does not end with its length")
        yield kind, order, first + rest[:-4]


def _of(interfaces: list[_Interface], place: int) -> _Interface:
    if place >= len(interfaces):
        raise ValueError(f"a packet is of interface {place}, and there are {len(interfaces)}")
    return interfaces[place]


def _interface(order: str, body: bytes) -> _Interface:
    link, snap = struct.unpack_from(f"{order}HxxI", body)
    units, offset = 10**6, 0
    at = 8
    while at + 4 <= len(body):
        option, size = struct.unpack_from(f"{order}HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if option == _RESOLUTION and len(value) == 1:
            units = 2 ** (value[0] & 127) if value[0] & 128 else 10 ** value[0]
        elif option == _OFFSET and len(value) == 8:
            (offset,) = struct.unpack(f"{order}q", value)
        at += 4 + size + -size % 4
    return _Interface(link, snap, units, offset)
