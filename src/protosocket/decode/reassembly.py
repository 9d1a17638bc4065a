"""One direction of a TCP connection: segments in any order become the bytes that were sent, and gaps."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Gap", "OneWay"]


@dataclass(frozen=True, slots=True)
class Gap:
    """``size`` bytes that were sent and are not in the capture."""

    size: int


class OneWay:
    """Takes segments and the other side's acknowledgements; gives bytes in order, each once.

    ``first`` is the sequence number of the first byte. What comes early waits until the bytes before it are
    there, or until the receiver acknowledged them: then they went by without being captured, and are a
    :class:`Gap`.
    """

    def __init__(self, first: int) -> None:
        self._next = 0
        self._first = first
        self._waiting: list[tuple[int, bytes]] = []
        self._acknowledged = 0

    def take(self, sequence: int, payload: bytes) -> Iterator[bytes | Gap]:
        """The bytes that ``payload`` completes; nothing for what was there before."""
        if payload:
            insort(self._waiting, (self._offset(sequence), payload))
            yield from self._ready()

    def acknowledge(self, sequence: int) -> Iterator[bytes | Gap]:
        """What an acknowledgement by the receiver shows to be missing, and what comes after it."""
        self._acknowledged = max(self._acknowledged, self._offset(sequence))
        while self._waiting and self._waiting[0][0] <= self._acknowledged:
            yield from self._miss(self._waiting[0][0])
            yield from self._ready()

    def finish(self) -> Iterator[bytes | Gap]:
        """The capture is over: what is still waiting, and the gaps before it."""
        while self._waiting:
            yield from self._miss(self._waiting[0][0])
            yield from self._ready()
        # The end of a connection is acknowledged as if it were a byte, so that one byte proves nothing.
        if self._acknowledged > self._next + 1:
            yield from self._miss(self._acknowledged)

    def _offset(self, sequence: int) -> int:
        """How far into the direction a 32-bit sequence number is: the nearest place to the next byte."""
        distance = (sequence - self._first - self._next) & 0xFFFFFFFF
        return self._next + (distance - (1 << 32) if distance >= 1 << 31 else distance)

    def _ready(self) -> Iterator[bytes]:
        while self._waiting and self._waiting[0][0] <= self._next:
            offset, payload = self._waiting.pop(0)
            fresh = payload[self._next - offset :]
            if fresh:
                self._next += len(fresh)
                yield fresh

    def _miss(self, until: int) -> Iterator[Gap]:
        if until > self._next:
            size, self._next = until - self._next, until
            yield Gap(size)
