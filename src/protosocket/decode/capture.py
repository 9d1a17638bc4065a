"""The packets of a capture file: pcap or pcapng, from a file or, while it is written, from a pipe.

dpkt reads pcap. It takes every interface of a pcapng file for the first one, with that one's link type and
clock, so those files are read by python-pcapng.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

from dpkt import pcap  # type: ignore[import-untyped]
from dpkt.dpkt import Error as UnpackError  # type: ignore[import-untyped]
from pcapng import FileScanner, strictness  # type: ignore[import-untyped]
from pcapng.blocks import EnhancedPacket, ObsoletePacket, SimplePacket  # type: ignore[import-untyped]
from pcapng.exceptions import PcapngException  # type: ignore[import-untyped]

from protosocket.decode.events import Problem

__all__ = ["Packet", "is_capture", "packets"]

# An option that is repeated and may not be is no reason to stop. python-pcapng would warn of it, but its
# check whether to do so raises TypeError.
strictness.set_strictness(strictness.Strictness.NONE)
strictness.warn = lambda _: None

_PCAPNG = bytes.fromhex("0a0d0d0a")
_PCAP = {bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1")}


@dataclass(frozen=True, slots=True)
class Packet:
    """``data`` as captured on a link of the type ``link`` (a LINKTYPE number) at ``time`` (Unix, seconds)."""

    time: float
    link: int
    data: bytes


def is_capture(stream: BufferedReader) -> bool:
    """Whether ``stream`` begins as a capture file does; nothing is taken from it."""
    magic = stream.peek(4)[:4]
    return magic == _PCAPNG or magic in _PCAP


def packets(stream: BufferedReader) -> Iterator[Packet | Problem]:
    """The packets of the capture in ``stream``; where the file is damaged, a problem and nothing more."""
    return _pcapng(stream) if stream.peek(4)[:4] == _PCAPNG else _pcap(stream)


def _pcap(stream: BufferedReader) -> Iterator[Packet | Problem]:
    count = 0
    try:
        whole = _Whole(stream)
        reader = pcap.Reader(whole)
        link = reader.datalink() & 0xFFFF
        for time, data in reader:
            if whole.cut:
                raise ValueError("it ends within a packet")
            yield Packet(float(time), link, data)
            count += 1
    except (UnpackError, ValueError) as error:
        yield _damaged(count, error)


class _Whole:
    """A stream that knows how it was read: the libraries take some ends within a packet for ordinary ones."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream
        self.taken = 0
        """Bytes read so far."""
        self.cut = False
        """The last read got less than it asked for."""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        data = self._stream.read(size)
        self.taken += len(data)
        self.cut = len(data) < size
        return data

    def tell(self) -> int:
        """Bytes read so far, which a pipe would not say."""
        return self.taken


def _pcapng(stream: BufferedReader) -> Iterator[Packet | Problem]:
    count = 0
    time = 0.0
    try:
        for block in _blocks(stream):
            if not isinstance(block, EnhancedPacket | ObsoletePacket | SimplePacket):
                continue
            if not isinstance(block, SimplePacket):  # which has no time
                time = block.timestamp + block.interface.options.get("if_tsoffset", 0)
            yield Packet(time, block.interface.link_type, block.packet_data)
            count += 1
    except (PcapngException, ValueError, LookupError, OverflowError, TypeError, struct.error) as error:
        yield _damaged(count, error)
    except OSError as error:
        if error.errno is not None:
            raise  # the file cannot be read; the others are about addresses of a wrong length
        yield _damaged(count, error)


def _blocks(stream: BufferedReader) -> Iterator[object]:
    """The blocks of a pcapng file, without the warnings of python-pcapng about its own table of options."""
    whole = _Whole(stream)
    scanner = iter(FileScanner(whole))
    while True:
        before = whole.taken
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            block = next(scanner, None)
        if block is None:
            if whole.taken > before:
                raise ValueError("it ends within a block")
            return
        yield block


def _damaged(count: int, error: Exception) -> Problem:
    text = str(error) or type(error).__name__
    return Problem("capture", 0, 0, f"the capture file is damaged after {count} packets: {text}")
