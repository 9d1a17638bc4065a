"""The packets of a capture file: pcap or pcapng, from a file or, while it is written, from a pipe."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedReader

from protosocket.decode.events import Problem
from protosocket.decode.packets import Packet
from protosocket.decode.pcap_file import PCAP_MAGICS, pcap_packets
from protosocket.decode.pcapng_file import PCAPNG_MAGIC, pcapng_packets

__all__ = ["is_capture", "packets"]

# No packet and no block is longer, so a damaged length does not take the machine's memory; Wireshark's limit.
_LONGEST = 16 << 20


def is_capture(stream: BufferedReader) -> bool:
    """Whether ``stream`` begins as a capture file does; nothing is taken from it."""
    magic = stream.peek(4)[:4]
    return magic == PCAPNG_MAGIC or magic in PCAP_MAGICS


def packets(stream: BufferedReader) -> Iterator[Packet | Problem]:
    """The packets of the capture in ``stream``; where the file is damaged, a problem and nothing more."""
    read = pcapng_packets if stream.peek(4)[:4] == PCAPNG_MAGIC else pcap_packets
    count = 0
    try:
        for packet in read(_Source(stream)):
            yield packet
            count += 1
    except (ValueError, struct.error) as error:
        yield Problem("capture", 0, 0, f"the capture file is damaged after {count} packets: {error}")


class _Source:
    """Where a file is read, of which nobody takes more at a time than belongs together."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        if size > _LONGEST:
            raise ValueError(f"it says that {size} bytes belong together")
        return self._stream.read(size)
