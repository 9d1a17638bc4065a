"""Packets for tests, byte by byte: TCP in IP, with fragments and extension headers, on every link."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "ACK",
    "FIN",
    "LINKS",
    "PSH",
    "RST",
    "SYN",
    "Ends",
    "Host",
    "fragments",
    "ip",
    "options",
    "pcap",
    "pcapng",
]

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
Host = Literal["client", "server"]


def ip(
    version: int,
    payload: bytes,
    *,
    to: Host = "server",
    protocol: int = 6,
    identification: int = 1,
    place: int = 0,
    extra: bytes = b"",
) -> bytes:
    """An IP packet; ``place`` is the word of flags and fragment offset, ``extra`` are options or headers."""
    if version == 4:
        hosts = [socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2")]
        start = 20 + len(extra)
        head = struct.pack(
            "!BBHHHBBH", 0x40 | start // 4, 0, start + len(payload), identification, place, 64, protocol, 0
        )
    else:
        hosts = [socket.inet_pton(socket.AF_INET6, host) for host in ("fd00::1", "fd00::2")]
        head = struct.pack("!IHBB", 6 << 28, len(extra) + len(payload), protocol, 64)
    if to == "client":
        hosts.reverse()
    return head + b"".join(hosts) + extra + payload


def options(following: int, size: int = 8) -> bytes:
    """An IPv6 extension header of ``size`` bytes, all of it padding."""
    return bytes([following, size // 8 - 1, 1, size - 4]) + bytes(size - 4)


def fragments(
    version: int, segment: bytes, cuts: Sequence[int], to: Host, identification: int
) -> list[bytes]:
    """The IP packets of a segment that was cut at these places, which are multiples of 8."""
    made = []
    for start, end in itertools.pairwise([0, *cuts, len(segment)]):
        more = end < len(segment)
        part = segment[start:end]
        if version == 4:
            place = more << 13 | start // 8
            made.append(ip(4, part, to=to, identification=identification, place=place))
        else:
            header = struct.pack("!BBHI", 6, 0, start | more, identification)
            # Behind another header, as a router may have put one there.
            made.append(ip(6, part, to=to, protocol=60, extra=options(44) + header))
    return made


@dataclass
class Ends:
    """A connection's two ends: makes its segments; offsets count from the first byte of a direction."""

    client: int = 1000
    """The sequence number of the client's first byte."""
    server: int = 5000
    version: int = 4
    ports: tuple[int, int] = (50000, 7300)
    reached: dict[Host, int] = field(default_factory=lambda: {"client": 0, "server": 0})
    """How far each host's bytes got to the other, which acknowledges them."""

    def segment(
        self,
        to: Host,
        offset: int,
        payload: bytes = b"",
        flags: int = ACK,
        extra: bytes = b"",
        acknowledge: int | None = None,
    ) -> bytes:
        """A TCP segment, which acknowledges all that reached its sender, or up to that offset."""
        own, other = (self.client, self.server) if to == "server" else (self.server, self.client)
        got = self.reached["server" if to == "server" else "client"] if acknowledge is None else acknowledge
        ports = self.ports if to == "server" else self.ports[::-1]
        head = struct.pack(
            "!HHIIBBHHH",
            *ports,
            (own + offset) & 0xFFFFFFFF,
            (other + got) & 0xFFFFFFFF if flags & ACK else 0,
            (20 + len(extra)) // 4 << 4,
            flags,
            65535,
            0,
            0,
        )
        return head + extra + payload

    def packet(
        self, to: Host, offset: int, payload: bytes = b"", flags: int = ACK, acknowledge: int | None = None
    ) -> bytes:
        """The same as an IP packet."""
        return ip(self.version, self.segment(to, offset, payload, flags, acknowledge=acknowledge), to=to)

    def open(self) -> list[bytes]:
        """The three packets that begin it."""
        return [
            self.packet("server", -1, flags=SYN),
            self.packet("client", -1, flags=SYN | ACK),
            self.packet("server", 0),
        ]


def _kind(packet: bytes) -> bytes:
    return b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd"


def _family(packet: bytes) -> int:
    return 2 if packet[0] >> 4 == 4 else 30


def _ethernet(packet: bytes, *tags: int) -> bytes:
    return bytes(12) + b"".join(struct.pack("!HH", tag, 5) for tag in tags) + _kind(packet) + packet


def _cooked(kind: bytes, packet: bytes) -> bytes:
    return bytes(14) + kind + packet


def _cooked2(kind: bytes, packet: bytes) -> bytes:
    return kind + bytes(18) + packet


def _ppp(packet: bytes) -> bytes:
    return (b"\0\x21" if packet[0] >> 4 == 4 else b"\0\x57") + packet


def _nflog(packet: bytes) -> bytes:
    family = b"\x02" if packet[0] >> 4 == 4 else b"\x0a"
    prefix = struct.pack("<HH", 5, 10) + b"\0" + bytes(3)  # the log's prefix, an empty text
    return family + bytes(3) + prefix + struct.pack("<HH", 4 + len(packet), 9) + packet


def _gre(packet: bytes) -> bytes:
    return ip(4, b"\x20\0" + _kind(packet) + bytes(4) + packet, protocol=47)


LINKS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "null": (0, lambda packet: struct.pack("<I", _family(packet)) + packet),
    "null, big-endian": (0, lambda packet: struct.pack(">I", _family(packet)) + packet),
    "null of Linux": (0, lambda packet: struct.pack("<I", 2 if packet[0] >> 4 == 4 else 10) + packet),
    "loop": (108, lambda packet: struct.pack(">I", _family(packet)) + packet),
    "ethernet": (1, lambda packet: _ethernet(packet) + bytes(20)),  # with padding
    "ethernet, checksums": (1 | 0x44000000, lambda packet: _ethernet(packet) + bytes(4)),
    "vlan": (1, lambda packet: _ethernet(packet, 0x8100)),
    "qinq": (1, lambda packet: _ethernet(packet, 0x88A8, 0x8100)),
    "old qinq": (1, lambda packet: _ethernet(packet, 0x9100, 0x8100)),
    "three tags": (1, lambda packet: _ethernet(packet, 0x88A8, 0x88A8, 0x8100)),
    "snap": (1, lambda packet: bytes(13) + b"\x08" + bytes.fromhex("aaaa03000000") + _kind(packet) + packet),
    "mpls": (1, lambda packet: bytes(12) + b"\x88\x47" + bytes(4) + b"\0\0\1\x40" + packet),
    "wire over mpls": (
        1,
        lambda packet: bytes(12) + b"\x88\x47" + b"\0\0\1\x40" + bytes(4) + _ethernet(packet),
    ),
    "pppoe": (1, lambda packet: bytes(12) + b"\x88\x64\x11\0\0\1\0\0" + _ppp(packet)),
    "cooked": (113, lambda packet: _cooked(_kind(packet), packet)),
    "vlan, cooked": (113, lambda packet: _cooked(b"\x81\0", b"\0\5" + _kind(packet) + packet)),
    "qinq, cooked": (
        113,
        lambda packet: _cooked(b"\x88\xa8", b"\0\5\x81\0\0\6" + _kind(packet) + packet),
    ),
    "cooked 2": (276, lambda packet: _cooked2(_kind(packet), packet)),
    "vlan, cooked 2": (276, lambda packet: _cooked2(b"\x81\0", b"\0\5" + _kind(packet) + packet)),
    "qinq, cooked 2": (
        276,
        lambda packet: _cooked2(b"\x88\xa8", b"\0\5\x81\0\0\6" + _kind(packet) + packet),
    ),
    "ppp": (9, lambda packet: b"\xff\x03" + _ppp(packet)),
    "ppp, compressed": (9, lambda packet: _ppp(packet)[1:]),
    "ppp in hdlc": (50, lambda packet: b"\xff\x03" + _ppp(packet)),
    "pppoe itself": (51, lambda packet: b"\x11\0\0\1\0\0" + _ppp(packet)),
    "pppd": (166, lambda packet: b"\1\x03" + _ppp(packet)),
    "cisco hdlc": (104, lambda packet: b"\x0f\0" + _kind(packet) + packet),
    "raw": (101, lambda packet: packet),
    "raw of OpenBSD": (14, lambda packet: packet),
    "nflog": (239, _nflog),
    "ip in ip": (101, lambda packet: ip(4, packet, protocol=4 if packet[0] >> 4 == 4 else 41)),
    "gre": (101, _gre),
}
"""Frames of IP packets: the LINKTYPE, and what makes the frame."""


def pcap(
    frames: Sequence[bytes],
    link: int = 101,
    *,
    order: str = "<",
    nano: bool = False,
    snap: int = 1 << 18,
    modified: bool = False,
) -> bytes:
    """A pcap file, a millisecond between any two packets, of each only ``snap`` bytes."""
    magic = 0xA1B23C4D if nano else 0xA1B2CD34 if modified else 0xA1B2C3D4
    made = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for number, frame in enumerate(frames):
        units = number * (10**6 if nano else 10**3)
        captured = frame[:snap]
        made.append(struct.pack(order + "IIII", 1_700_000_000, units, len(captured), len(frame)))
        made += [bytes(8 * modified), captured]
    return b"".join(made)


def pcapng(frames: Sequence[tuple[str, bytes]], *, order: str = "<") -> bytes:
    """A pcapng file with an interface for each of the links named beside the IP packets."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return (
            struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)
        )

    names = list(dict.fromkeys(name for name, _ in frames))
    made = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    made += [block(1, struct.pack(order + "HHI", LINKS[name][0] & 0xFFFF, 0, 0)) for name in names]
    for number, (name, packet) in enumerate(frames):
        frame = LINKS[name][1](packet)
        at = 1_700_000_000_000_000 + number * 1000
        head = struct.pack(
            order + "IIIII", names.index(name), at >> 32, at & 0xFFFFFFFF, len(frame), len(frame)
        )
        made.append(block(6, head + frame))
    return b"".join(made)
