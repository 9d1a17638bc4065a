"""Messages of one direction: the native framing over bytes as they come, and what survives a gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from protosocket._core import FrameStep, next_frame
from protosocket.decode.events import Frame, Problem

__all__ = ["Framer", "Framing"]

Framing = Literal["varint", "messagepack", "lines"]

# Most messages are smaller, so they are looked at once; of a longer one the first look tells its size.
_FIRST_LOOK = 512


class Framer:
    """Cuts bytes into messages of at most ``limit`` bytes.

    After invalid bytes nothing tells where the next message begins, so the rest is undecoded. After a gap
    the next message is found where that is certain: the gap lies within a message whose length is known, or
    messages are lines.
    """

    def __init__(self, framing: Framing, limit: int) -> None:
        self._framing: Framing = framing
        self._limit = limit
        self._unread = bytearray()
        self._offset = 0
        self._skip = 0
        """Bytes still to come of a message that a gap has broken."""
        self._to_line_end = False
        self._lost: int | None = None
        """Where decoding ended for good."""

    def feed(self, data: bytes) -> Iterator[Frame | Problem]:
        """The messages that ``data`` completes, or the problem that ends decoding."""
        self._unread += data
        if self._skip:
            self._pass_over(min(self._skip, len(self._unread)))
        if self._to_line_end:
            end = self._unread.find(b"\n") + 1
            self._to_line_end = not end
            self._pass_over(end or len(self._unread))
        if self._lost is not None:
            self._drop(len(self._unread))
            return
        if self._framing == "lines" and b"\n" not in data and len(self._unread) <= self._limit:
            return  # a long line is not searched again with each of its segments
        at = 0
        while at < len(self._unread):
            step, first, second = self._look(at)
            if step == FrameStep.FRAME:
                yield Frame(self._offset + at, first, bytes(self._unread[at + first : at + second]))
                at += second
                continue
            if step == FrameStep.INCOMPLETE:
                break
            self._drop(at)
            self._lost = self._offset
            if step == FrameStep.TOO_LARGE:
                reason = f"a message of {first} bytes, over the limit of {self._limit}"
                yield Problem("too large", self._offset, len(self._unread), reason)
            else:
                reason = f"no message begins with {bytes(self._unread[:10]).hex(' ')}"
                yield Problem("invalid", self._offset, len(self._unread), reason)
            at = len(self._unread)
        self._drop(at)

    def gap(self, size: int, *, given_up: bool = False) -> Iterator[Problem]:
        """Go on after ``size`` bytes that nobody has, or that came too late (``given_up``)."""
        start = self._offset + len(self._unread)
        where = "had not come when too much came after them" if given_up else "are not in the capture"
        if self._lost is None and size <= self._skip:
            self._skip -= size
            yield Problem("gap", start, size, f"more bytes of that message {where}")
        elif self._lost is None:
            broken = self._declared()
            reason = f"bytes {where}"
            if self._framing == "lines":
                self._to_line_end = True
                reason += "; decoding goes on after the next line end"
            elif broken is not None and size <= broken - len(self._unread):
                self._skip = broken - len(self._unread) - size
                reason += f"; they belong to a message of {broken} bytes at {self._offset}"
            else:
                self._lost = start + size
                reason += ", so where the next message begins is unknown"
            yield Problem("gap", start, size, reason)
            self._unread.clear()
        self._offset = start + size

    def finish(self) -> Iterator[Problem]:
        """The direction is over: what is incomplete, and what could not be decoded."""
        if self._lost is not None:
            if self._offset > self._lost:
                text = "no message boundary is known in them"
                yield Problem("undecoded", self._lost, self._offset - self._lost, text)
        elif self._skip:
            text = f"the end came {self._skip} bytes before that of the message"
            yield Problem("truncated", self._offset, 0, text)
        elif self._unread:
            needed = self._declared()
            have = f"the end came {len(self._unread)} bytes into a message"
            text = have if needed is None else f"{have} of {needed} bytes"
            yield Problem("truncated", self._offset, len(self._unread), text)

    def _look(self, at: int) -> tuple[FrameStep, int, int]:
        """The next step at ``at``, copying no more than the message it is about."""
        length = _FIRST_LOOK
        while True:
            step = next_frame(self._framing, bytes(self._unread[at : at + length]), self._limit)
            if step[0] != FrameStep.INCOMPLETE or at + length >= len(self._unread):
                return step
            length = 2 * length if self._framing == "lines" else step[1]
            if at + length > len(self._unread) and self._framing != "lines":
                return step

    def _declared(self) -> int | None:
        """The size of the message that has begun, if what is there of it says so.

        It does when bytes that might follow cannot change it.
        """
        if not self._unread or self._framing == "lines":
            return None
        head = bytes(self._unread[:_FIRST_LOOK])
        totals = set()
        for filling in (b"\0", b"\xff"):
            step, first, second = next_frame(self._framing, head + filling * _FIRST_LOOK, self._limit)
            totals.add(first if step == FrameStep.INCOMPLETE else second if step == FrameStep.FRAME else None)
        return totals.pop() if len(totals) == 1 else None

    def _pass_over(self, count: int) -> None:
        self._skip = max(self._skip - count, 0)
        self._drop(count)

    def _drop(self, count: int) -> None:
        del self._unread[:count]
        self._offset += count
