"""The packets of a pcap file, in either byte order, with clocks of micro- or nanoseconds.

The format is https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html. dpkt, which knows it, keeps the
packets' sizes on the wire to itself, and these are needed where offloading leaves a size out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

from protosocket.decode.packets import Packet

__all__ = ["PCAP_MAGICS", "Source", "pcap_packets"]

# The magic number: byte order, units of a second, and what every packet's header has beside the usual
# (Kuznetzov's format: the interface, the protocol and the packet's type).
PCAP_MAGICS = {
    bytes.fromhex(magic): (order, units, more)
    for magic, order, units, more in (
        ("a1b2c3d4", ">", 10**6, 0),
        ("d4c3b2a1", "<", 10**6, 0),
        ("a1b23c4d", ">", 10**9, 0),
        ("4d3cb2a1", "<", 10**9, 0),
        ("a1b2cd34", ">", 10**6, 8),
        ("34cdb2a1", "<", 10**6, 8),
    )
}


class Source(Protocol):
    """Where a file is read."""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, fewer only at the end."""
        ...


def pcap_packets(source: Source) -> Iterator[Packet]:
    """The packets; raises ``ValueError`` where the file is damaged or cut off."""
    head = source.read(24)
    if len(head) < 24:
        raise ValueError("it ends within its header")
    order, units, more = PCAP_MAGICS[head[:4]]
    link = struct.unpack_from(f"{order}I", head, 20)[0] & 0xFFFF  # above it: whether frames have checksums
    header = struct.Struct(f"{order}IIII")
    while record := source.read(header.size + more):
        if len(record) < header.size + more:
            raise ValueError("it ends within a packet's header")
        seconds, fraction, captured, size = header.unpack_from(record)
        data = source.read(captured)
        if len(data) < captured:
            raise ValueError("it ends within a packet")
        yield Packet(seconds + fraction / units, link, data, max(size, captured))
