"""From a captured packet to its TCP segment, through whatever link, IP version and tunnel it came."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from protosocket.decode.datagrams import Damaged, Datagram, Datagrams
from protosocket.decode.links import ip_packet
from protosocket.decode.packets import LeftOut, Packet, Unread

__all__ = ["Endpoint", "Segment", "Segments"]

_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16


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

    ``sequence`` is the number of its first byte. ``size`` counts the bytes it carried, of which ``payload``
    has those that were captured; ``acknowledged`` is the next sequence number its sender expects, None before
    it expects one.
    """

    time: float
    source: Endpoint
    target: Endpoint
    sequence: int
    acknowledged: int | None
    payload: bytes
    size: int
    syn: bool = False
    fin: bool = False
    reset: bool = False
    push: bool = False


class Segments:
    """Makes segments of packets, and counts in ``left_out`` those of which it cannot."""

    def __init__(self, left_out: LeftOut) -> None:
        self._left_out = left_out
        self._datagrams = Datagrams()

    def take(self, packet: Packet) -> Segment | None:
        """The segment in ``packet``, or that it completes if it is an IP fragment; None if there is none."""
        left_out = self._left_out
        left_out.packets += 1
        missing = packet.size - len(packet.data)
        try:
            datagram = self._datagrams.take(ip_packet(packet.link, memoryview(packet.data)), missing)
            if datagram is None:
                return None
            return _segment(packet.time, datagram)
        except Unread as error:
            kind = str(error)
            (left_out.lost if kind.startswith("of link type") else left_out.idle)[kind] += 1
            return None
        except (struct.error, IndexError):
            reason = "whose headers the capture cut off" if missing else "whose headers are not whole"
            left_out.lost[reason] += 1
            return None
        except (Damaged, RecursionError):  # or headers within headers without an end
            left_out.lost["whose headers are damaged"] += 1
            return None

    def finish(self) -> None:
        """No more packets will come: fragments that wait for others are left out."""
        self._datagrams.finish()
        if self._datagrams.given_up:
            self._left_out.lost["that are fragments without the others"] += self._datagrams.given_up


def _segment(time: float, datagram: Datagram) -> Segment:
    data = datagram.payload
    source, target, sequence, acknowledged, start, flags = struct.unpack_from("!HHIIBB", data)
    start = (start >> 4) * 4
    if start < 20 or start > datagram.size:
        raise Damaged
    family = socket.AF_INET if len(datagram.source) == 4 else socket.AF_INET6
    return Segment(
        time=time,
        source=Endpoint(socket.inet_ntop(family, datagram.source), source),
        target=Endpoint(socket.inet_ntop(family, datagram.target), target),
        sequence=(sequence + bool(flags & _SYN)) & 0xFFFFFFFF,
        acknowledged=acknowledged if flags & _ACK else None,
        payload=data[start:],
        size=datagram.size - start,
        syn=bool(flags & _SYN),
        fin=bool(flags & _FIN),
        reset=bool(flags & _RST),
        push=bool(flags & _PSH),
    )
