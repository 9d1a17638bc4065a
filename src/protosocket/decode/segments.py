"""From a captured packet to its TCP segment, through whatever link, IP version and tunnel it came."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dpkt import ethernet, ip, ip6, loopback, sll, sll2, tcp  # type: ignore[import-untyped]
from dpkt.dpkt import Error as UnpackError  # type: ignore[import-untyped]

from protosocket.decode.capture import Packet

__all__ = ["Endpoint", "Segment", "UnknownLink", "segment_of"]


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """An IP address and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment.

    ``size`` counts the bytes it carried, of which ``payload`` has those that were captured; ``acknowledged``
    is the next sequence number its sender expects, None before it expects one.
    """

    time: float
    source: Endpoint
    target: Endpoint
    sequence: int
    acknowledged: int | None
    syn: bool
    payload: bytes
    size: int


class UnknownLink(Exception):
    """A link type that nothing here reads; the argument is its number."""


# dpkt makes its attributes when it is imported, so type checkers do not know them.
_IP: Any = ip.IP
_IP6: Any = ip6.IP6
_TCP: Any = tcp.TCP


def _raw_ip(data: bytes) -> Any:
    return ip6.IP6(data) if data[:1] and data[0] >> 4 == 6 else ip.IP(data)


# https://www.tcpdump.org/linktypes.html; 12 and 14 are what systems wrote for raw IP before it had a number.
_LINKS: dict[int, Callable[[bytes], Any]] = {
    0: loopback.Loopback,
    1: ethernet.Ethernet,
    12: _raw_ip,
    14: _raw_ip,
    101: _raw_ip,
    108: loopback.Loopback,
    113: sll.SLL,
    228: _raw_ip,
    229: _raw_ip,
    276: sll2.SLL2,
}


def segment_of(packet: Packet) -> Segment | None:
    """The TCP segment in ``packet``, None if there is none or its headers were not captured whole.

    Raises ``UnknownLink`` if nothing is known about packets of that link. IP fragments are not put together:
    the first one has the segment's beginning, the others have none.
    """
    parse = _LINKS.get(packet.link)
    if parse is None:
        raise UnknownLink(packet.link)
    try:
        layer = parse(packet.data)
        carrier = None
        while not isinstance(layer, _TCP):
            if isinstance(layer, bytes | bytearray | memoryview):
                return None
            if isinstance(layer, _IP | _IP6):
                carrier = layer
            layer = layer.data
    except (UnpackError, struct.error, LookupError, AttributeError, TypeError, ValueError):
        return None  # what such bytes make dpkt raise
    if carrier is None:
        return None
    family = socket.AF_INET if isinstance(carrier, _IP) else socket.AF_INET6
    payload = bytes(layer.data)
    return Segment(
        time=packet.time,
        source=Endpoint(socket.inet_ntop(family, carrier.src), layer.sport),
        target=Endpoint(socket.inet_ntop(family, carrier.dst), layer.dport),
        sequence=layer.seq,
        acknowledged=layer.ack if layer.flags & tcp.TH_ACK else None,
        syn=bool(layer.flags & tcp.TH_SYN),
        payload=payload,
        size=max(_declared(carrier) - layer.off * 4, len(payload)),
    )


def _declared(carrier: Any) -> int:
    """Bytes of TCP header and payload as the IP header has it; 0 where segmentation offload left it out."""
    if isinstance(carrier, _IP):
        return int(carrier.len) - int(carrier.hl) * 4
    return int(carrier.plen) - sum(int(header.length) for header in carrier.all_extension_headers)
