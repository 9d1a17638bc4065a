"""Where one message ends and the next begins in a stream of bytes."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tests.oracle import varint


class Framing(enum.Enum):
    """How messages are told apart."""

    VARINT = "varint"
    """A varint byte length before each message: protobuf's length-delimited form."""
    MESSAGEPACK = "messagepack"
    """``0xce`` and a four-byte big-endian length before each message."""
    LINES = "lines"
    """A line feed behind each message."""


@dataclass(frozen=True)
class Frame:
    """A whole message: ``unread[header:total]``; for lines, the line feed included."""

    header: int
    total: int


@dataclass(frozen=True)
class Incomplete:
    """Not a whole message yet; at least ``need`` bytes in all are wanted."""

    need: int


@dataclass(frozen=True)
class TooLarge:
    """The message is ``size`` bytes long, which is over the limit; a line, at least that long."""

    size: int


@dataclass(frozen=True)
class Invalid:
    """These bytes cannot begin a message."""


Step = Frame | Incomplete | TooLarge | Invalid


def next_frame(framing: Framing, unread: bytes, limit: int) -> Step:
    """Looks for a message of at most ``limit`` payload bytes at the start of ``unread``."""
    match framing:
        case Framing.VARINT:
            try:
                size, header = varint.read(unread)
            except varint.Incomplete:
                return Incomplete(need=len(unread) + 1)
            except varint.Overlong:
                return Invalid()
            return _sized(unread, header, size, limit)
        case Framing.MESSAGEPACK:
            if unread and unread[0] != 0xCE:
                return Invalid()
            if len(unread) < 5:
                return Incomplete(need=5)
            return _sized(unread, 5, int.from_bytes(unread[1:5], "big"), limit)
        case Framing.LINES:
            end = unread.find(b"\n")
            size = len(unread) if end < 0 else end
            if size > limit:
                return TooLarge(size)
            return Incomplete(need=size + 1) if end < 0 else Frame(header=0, total=size + 1)


def _sized(unread: bytes, header: int, size: int, limit: int) -> Step:
    if size > limit:
        return TooLarge(size)
    total = header + size
    return Incomplete(need=total) if len(unread) < total else Frame(header, total)


def frame(framing: Framing, payload: bytes) -> bytes:
    """``payload`` as a message on the wire; a line must not contain a line feed."""
    match framing:
        case Framing.VARINT:
            return varint.write(len(payload)) + payload
        case Framing.MESSAGEPACK:
            return b"\xce" + len(payload).to_bytes(4, "big") + payload
        case Framing.LINES:
            return payload + b"\n"


class Decoder:
    """Takes a stream in pieces of any length and gives its messages' payloads, as a connection does."""

    def __init__(self, framing: Framing, limit: int) -> None:
        self._framing = framing
        self._limit = limit
        self._unread = b""
        self.broken: Invalid | TooLarge | None = None
        """Why the stream cannot be read further, once it cannot."""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that ``data`` completes; none any more when the stream is broken."""
        self._unread += data
        messages = []
        while self.broken is None:
            match next_frame(self._framing, self._unread, self._limit):
                case Frame(header, total):
                    end = total - 1 if self._framing is Framing.LINES else total
                    messages.append(self._unread[header:end])
                    self._unread = self._unread[total:]
                case Incomplete():
                    break
                case Invalid() | TooLarge() as broken:
                    self.broken = broken
        return messages
