"""Bytes on the wire, as the kernel counts them: TCP payload of every connection to an address, both
directions.

Linux's ``sock_diag`` netlink interface lists the TCP sockets of the network namespace with their
``tcp_info``; no privilege is needed for it. The client's end of a connection is read: ``tcpi_bytes_acked`` is
what it sent and the peer has acknowledged, ``tcpi_bytes_received`` what it received. Neither holds TCP/IP
headers or retransmissions.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["WireBytes", "WireMeter"]

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR = 2
NLMSG_DONE = 3
REQUEST_AND_DUMP = 0x301
INET_DIAG_INFO = 2
ALL_STATES_BUT_LISTEN = 0xFFF & ~(1 << 10)

HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBBI48x")
# struct inet_diag_msg: family .. ports and addresses .. cookie, and what follows up to the attributes.
SOCKET = struct.Struct("=B3xHH16s16sI8s20x")
ATTRIBUTE = struct.Struct("=HH")
# struct tcp_info: 8 bytes, 24 words, two pacing rates, then the two counters.
COUNTERS_AT = 120
COUNTERS = struct.Struct("=QQ")

Address = tuple[bytes, int]


class WireBytes(msgspec.Struct, frozen=True, kw_only=True):
    """TCP payload bytes: ``sent`` by the connecting side and acknowledged, ``received`` by it."""

    sent: int = 0
    received: int = 0

    def __sub__(self, earlier: WireBytes) -> WireBytes:
        """What came since ``earlier``."""
        return WireBytes(sent=self.sent - earlier.sent, received=self.received - earlier.received)

    def __add__(self, other: WireBytes) -> WireBytes:
        """Both together."""
        return WireBytes(sent=self.sent + other.sent, received=self.received + other.received)

    @property
    def total(self) -> int:
        """Both directions."""
        return self.sent + self.received


class WireMeter:
    """Counts the bytes on connections *to* some addresses: ``hops`` maps a name to the URL of a listener.

    Connections that end between two readings take their bytes with them, so read while they are open. Raises
    OSError if an address does not resolve or the kernel has no ``sock_diag``.
    """

    def __init__(self, hops: Mapping[str, str]) -> None:
        self._addresses = {name: set(_resolve(url)) for name, url in hops.items()}

    def read(self) -> dict[str, WireBytes]:
        """The bytes so far on each hop's connections that are open now."""
        counts = dict.fromkeys(self._addresses, WireBytes())
        if not counts:
            return counts
        for address, count in _tcp_sockets():
            for name, addresses in self._addresses.items():
                if address in addresses:
                    counts[name] += count
        return counts


def _resolve(url: str) -> Iterator[Address]:
    parts = urlsplit(url)
    for family, _, _, _, place in socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM):
        host, port = str(place[0]), int(place[1])
        yield socket.inet_pton(family, host), port
        if family == socket.AF_INET:
            # A client may reach an IPv4 address through an IPv6 socket.
            yield bytes(10) + b"\xff\xff" + socket.inet_aton(host), port


def _tcp_sockets() -> Iterator[tuple[Address, WireBytes]]:
    """The remote address and the counters of every TCP socket in this network namespace."""
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG
    ) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            body = REQUEST.pack(
                family, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0, ALL_STATES_BUT_LISTEN
            )
            size = HEADER.size + len(body)
            netlink.send(HEADER.pack(size, SOCK_DIAG_BY_FAMILY, REQUEST_AND_DUMP, 0, 0) + body)
            yield from _answers(netlink, 4 if family == socket.AF_INET else 16)


def _answers(netlink: socket.socket, address_size: int) -> Iterator[tuple[Address, WireBytes]]:
    while True:
        data = netlink.recv(1 << 17)
        at = 0
        while at < len(data):
            size, kind, _, _, _ = HEADER.unpack_from(data, at)
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                (code,) = struct.unpack_from("=i", data, at + HEADER.size)
                raise OSError(-code or errno.EPROTO, f"sock_diag: {os.strerror(-code)}")
            yield from _socket(data[at + HEADER.size : at + size], address_size)
            at += (size + 3) & ~3


def _socket(message: bytes, address_size: int) -> Iterator[tuple[Address, WireBytes]]:
    _, _, port, _, remote, _, _ = SOCKET.unpack_from(message)
    address = remote[:address_size], socket.ntohs(port)
    at = SOCKET.size
    while at + ATTRIBUTE.size <= len(message):
        size, kind = ATTRIBUTE.unpack_from(message, at)
        if kind == INET_DIAG_INFO:
            sent, received = COUNTERS.unpack_from(message, at + ATTRIBUTE.size + COUNTERS_AT)
            yield address, WireBytes(sent=sent, received=received)
        at += max((size + 3) & ~3, ATTRIBUTE.size)
