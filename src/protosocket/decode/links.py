"""From a frame to the IP packet in it, whatever the link and whatever tags are between.

The numbers and the headers are those of https://www.tcpdump.org/linktypes.html. Frames are views, whose parts
are no copies: there may be as many headers as a frame has room for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from protosocket.decode.packets import Unread

__all__ = ["LINKS", "by_type", "ip_packet"]

_IP = {0x0800, 0x86DD}
_TAGS = {0x8100, 0x88A8, 0x9100, 0x9200, 0x9300}  # 802.1Q, 802.1ad, and what was used before it
_MPLS = {0x8847, 0x8848}
_PPPOE = 0x8864
_BRIDGED = 0x6558  # Ethernet within GRE
_LONGEST_LLC = 1500  # smaller numbers are lengths, and an LLC header follows
_SNAP = bytes.fromhex("aaaa03000000")
_NFLOG_PAYLOAD = 9


def ip_packet(link: int, frame: memoryview) -> memoryview:
    """The IP packet in a frame.

    Raises ``Unread`` for what is no IP and for links of an unknown type; ``struct.error`` or ``IndexError``
    if the frame ends within a header.
    """
    within = LINKS.get(link)
    if within is None:
        raise Unread(f"of link type {link}")
    return within(frame)


def by_type(kind: int, data: memoryview) -> memoryview:
    """What is in ``data`` after an EtherType, as of Ethernet or GRE; raises what ``ip_packet`` raises."""
    while kind not in _IP:
        if kind in _TAGS:
            kind, data = _type_at(data, 2), data[4:]
        elif kind in _MPLS:
            return _labelled(data)
        elif kind == _PPPOE:
            return _ppp(data[6:])
        elif kind == _BRIDGED:
            return _ethernet(data)
        elif kind <= _LONGEST_LLC and bytes(data[:6]) == _SNAP:
            kind, data = _type_at(data, 6), data[8:]
        else:
            raise Unread("that are not IP")
    return data


def _type_at(data: memoryview, at: int) -> int:
    (kind,) = struct.unpack_from("!H", data, at)
    return int(kind)


def _ethernet(data: memoryview) -> memoryview:
    return by_type(_type_at(data, 12), data[14:])


def _cooked(data: memoryview) -> memoryview:
    return by_type(_type_at(data, 14), data[16:])


def _cooked2(data: memoryview) -> memoryview:
    return by_type(_type_at(data, 0), data[20:])


def _labelled(data: memoryview) -> memoryview:
    """What is under a stack of MPLS labels, which does not say it itself: IP, or a wire of Ethernet."""
    while not data[2] & 1:
        data = data[4:]
    data = data[4:]
    if data[0] >> 4 in (4, 6):
        return data
    return _ethernet(data[4:] if data[0] >> 4 == 0 else data)  # after the control word


def _ppp(data: memoryview) -> memoryview:
    if bytes(data[:2]) == b"\xff\x03":
        data = data[2:]
    if data[0] & 1:
        protocol, data = data[0], data[1:]
    else:
        protocol, data = _type_at(data, 0), data[2:]
    if protocol in (0x21, 0x57):
        return data
    if protocol == 0x281:
        return _labelled(data)
    raise Unread("that are not IP")


def _hdlc(data: memoryview) -> memoryview:
    """PPP, or Cisco's own, which has an EtherType."""
    return _cisco(data) if data[0] in (0x0F, 0x8F) else _ppp(data)


def _cisco(data: memoryview) -> memoryview:
    return by_type(_type_at(data, 2), data[4:])


def _loopback(data: memoryview) -> memoryview:
    """Four bytes of address family, as the capturing system numbers and orders them; IP says its version."""
    families = struct.unpack_from("<I", data)[0], struct.unpack_from(">I", data)[0]
    # 2 is IPv4 everywhere; IPv6 is 10 on Linux, 23 on Windows, 24, 28 or 30 on the BSDs and macOS.
    if not {2, 10, 23, 24, 28, 30}.intersection(families):
        raise Unread("that are not IP")
    return data[4:]


def _nflog(data: memoryview) -> memoryview:
    """Attributes, one of which is the packet; their order of bytes is the capturing machine's."""
    if data[0] not in (2, 10):
        raise Unread("that are not IP")
    first = data[4:]
    order = "<" if struct.unpack_from("<H", first)[0] <= struct.unpack_from(">H", first)[0] else ">"
    at = 4
    while True:
        size, kind = struct.unpack_from(f"{order}HH", data, at)
        if kind & 0x7FFF == _NFLOG_PAYLOAD:
            return data[at + 4 :]
        at += max(size + 3 & ~3, 4)


def _itself(data: memoryview) -> memoryview:
    return data


# 12 and 14 are what systems wrote for raw IP before it had a number.
LINKS: dict[int, Callable[[memoryview], memoryview]] = {
    0: _loopback,
    1: _ethernet,
    9: _ppp,
    12: _itself,
    14: _itself,
    50: _hdlc,
    51: lambda data: _ppp(data[6:]),
    101: _itself,
    104: _cisco,
    108: _loopback,
    113: _cooked,
    166: lambda data: _ppp(data[2:]),
    228: _itself,
    229: _itself,
    239: _nflog,
    276: _cooked2,
}
