"""The packets of a capture file: pcap or pcapng, from a file or, while it is written, from a pipe."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from io import BufferedReader
from typing import Any

from pcapng import FileScanner, strictness  # type: ignore[import-untyped]
from pcapng.blocks import EnhancedPacket, ObsoletePacket, SimplePacket  # type: ignore[import-untyped]
from pcapng.exceptions import PcapngException  # type: ignore[import-untyped]

from protosocket.decode.events import Problem
from protosocket.decode.packets import Packet
from protosocket.decode.pcap_file import PCAP_MAGICS, pcap_packets

__all__ = ["is_capture", "packets"]

# An option that is repeated and may not be is no reason to stop. python-pcapng would warn of it, but its
# check whether to do so raises TypeError.
strictness.set_strictness(strictness.Strictness.NONE)
strictness.warn = lambda _: None

_PCAPNG = bytes.fromhex("0a0d0d0a")

# No packet and no block is longer, so a damaged length does not take the machine's memory; Wireshark's limit.
_LONGEST = 16 << 20


def is_capture(stream: BufferedReader) -> bool:
    """Whether ``stream`` begins as a capture file does; nothing is taken from it."""
    magic = stream.peek(4)[:4]
    return magic == _PCAPNG or magic in PCAP_MAGICS


def packets(stream: BufferedReader) -> Iterator[Packet | Problem]:
    """The packets of the capture in ``stream``; where the file is damaged, a problem and nothing more."""
    ng = stream.peek(4)[:4] == _PCAPNG
    source = _Source(stream)
    count = 0
    try:
        for packet in _pcapng(source) if ng else pcap_packets(source):
            yield packet
            count += 1
    except (PcapngException, ValueError, LookupError, OverflowError, TypeError, struct.error) as error:
        yield _damaged(count, error)
    except OSError as error:
        if error.errno is not None:
            raise  # the file cannot be read; the others are about addresses of a wrong length
        yield _damaged(count, error)


class _Source:
    """A stream that knows how it was read: python-pcapng takes some ends within a block for ordinary ones."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream
        self.taken = 0
        """Bytes read so far."""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        if not 0 <= size <= _LONGEST:
            raise ValueError(f"it says that {size & 0xFFFFFFFF} bytes belong together")
        data = self._stream.read(size)
        self.taken += len(data)
        return data

    def tell(self) -> int:
        """Bytes read so far, which a pipe would not say."""
        return self.taken


def _pcapng(source: _Source) -> Iterator[Packet]:
    time = 0.0
    for block in _blocks(source):
        if not isinstance(block, EnhancedPacket | ObsoletePacket | SimplePacket):
            continue
        interface = block.interface
        if not isinstance(block, SimplePacket):  # which has no time
            time = block.timestamp + interface.options.get("if_tsoffset", 0)
        data = block.packet_data
        yield Packet(time, interface.link_type, data, max(block.packet_len, len(data)))


def _blocks(source: _Source) -> Iterator[Any]:
    """The blocks of a pcapng file, without the warnings of python-pcapng about its own table of options."""
    scanner = iter(FileScanner(source))
    while True:
        before = source.taken
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            block = next(scanner, None)
        if block is None:
            if source.taken > before:
                raise ValueError("it ends within a block")
            return
        yield block


def _damaged(count: int, error: Exception) -> Problem:
    text = str(error) or type(error).__name__
    return Problem("capture", 0, 0, f"the capture file is damaged after {count} packets: {text}")
