"""One direction of a TCP connection: segments in any order become the bytes that were sent, and gaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from protosocket.decode.segments import Segment

__all__ = ["Gap", "OneWay", "Room"]

# Before it is known where a direction begins, that much of it is kept at most.
_MOST_BEFORE_START = 64 << 10
# What a waiting segment costs beside its bytes.
_EACH = 200


@dataclass(frozen=True, slots=True)
class Gap:
    """``size`` bytes that were sent and are not in the capture, or came too late if ``given_up``."""

    size: int
    given_up: bool = False


@dataclass(slots=True)
class Room:
    """How many bytes may wait for others to come: in one direction, and in all of a capture.

    The largest windows that systems give by themselves are smaller, so what waits longer waits for nothing.
    """

    each: int = 16 << 20
    all: int = 64 << 20
    used: int = 0


class OneWay:
    """Takes segments and the other side's acknowledgements; gives bytes in order, each once.

    What comes early waits until the bytes before it are there, or until the receiver acknowledged them: then
    they went by without being captured, and are a :class:`Gap`. A second acknowledgement has to say so, as
    captures on several processors may show one before what it acknowledges.

    Without the SYN nobody knows the number of the first byte. Then the first acknowledgement tells what is
    old: what is sent again, and the probes of an idle connection, which carry no byte or one that was sent
    before. Bytes that are missing at the very beginning were sent before the capture.
    """

    __slots__ = (
        "_acknowledged",
        "_acknowledged_before",
        "_begun",
        "_certain",
        "_claimed",
        "_count",
        "_end",
        "_first",
        "_next",
        "_placed",
        "_room",
        "_sent",
        "_single",
        "_used",
        "_waiting",
        "_zero",
        "time",
    )

    def __init__(self, room: Room) -> None:
        self._room = room
        self._zero: int | None = None
        """The sequence number of offset 0."""
        self._certain = False
        """A SYN said where the direction begins."""
        self._first: int | None = None
        """The sequence number that it said."""
        self._placed = False
        """It is known what comes next, or at least what is old."""
        self._begun = False
        """Bytes were given, or a gap."""
        self._next = 0
        self._end: int | None = None
        self._sent = 0
        """The furthest byte that was captured, if only its segment's header."""
        self._claimed = 0
        """What segments without content say they follow, of which one may be a FIN that was not captured."""
        self._acknowledged = 0
        self._acknowledged_before = 0
        self.time = 0.0
        """When the bytes that were given last, and all before them, had been captured."""
        self._waiting: list[tuple[int, int, bytes, float]] = []
        self._single: list[tuple[int, bytes, float]] = []
        """What may be a byte or a probe."""
        self._count = 0
        self._used = 0

    def begin(self, sequence: int) -> None:
        """The direction's first byte has that number: a SYN says so."""
        if self._begun or self._certain:
            return
        if self._zero is None:
            self._zero = sequence
        self._first = sequence
        self._next = self._offset(sequence)
        self._certain = self._placed = True

    @property
    def certain(self) -> bool:
        """A SYN said where the direction begins."""
        return self._certain

    @property
    def placed(self) -> bool:
        """It is known where in the direction a sequence number is."""
        return self._placed

    @property
    def begun(self) -> bool:
        """Something of it was given."""
        return self._begun

    @property
    def empty(self) -> bool:
        """No byte of it was captured."""
        return not self._sent

    @property
    def over(self) -> bool:
        """The sender's FIN was captured, and all before it."""
        return self._end is not None and self._next >= self._end

    def begins_at(self, sequence: int) -> bool:
        """A SYN says that the first byte has this number."""
        return self._first == sequence

    def distance(self, sequence: int) -> int:
        """How far a sequence number is from the next byte."""
        return 0 if self._zero is None else self._offset(sequence) - self._next

    def was_sent(self, sequence: int) -> bool:
        """All before that number was captured; so a receiver may have acknowledged it."""
        return self._zero is not None and 0 <= self._offset(sequence) <= max(self._sent, self._claimed) + 1

    def take(self, segment: Segment) -> Iterator[bytes | Gap]:
        """The bytes that a segment completes; nothing for what was there before."""
        if self._zero is None:
            if not segment.size:
                return
            self._zero = segment.sequence
        offset = self._offset(segment.sequence)
        end = offset + segment.size
        if segment.fin:
            self._end = end
        if not segment.size:
            self._claimed = max(self._claimed, offset)
            return
        if segment.size == 1 and not segment.push:
            if self._placed and end <= self._acknowledged:
                return  # nobody sends an acknowledged byte but to probe, and it need not be the right one
            if not self._placed:
                self._single.append((offset, segment.payload, segment.time))
                self._take_room(_EACH)
                yield from self._make_room()
                return
        self._sent = max(self._sent, end)
        self._wait(offset, segment.payload, segment.time)
        if self._placed:
            yield from self._ready()
        yield from self._make_room()

    def acknowledge(self, sequence: int) -> Iterator[bytes | Gap]:
        """What an acknowledgement by the receiver shows to be missing, and what comes after it."""
        if self._zero is None:
            self._zero = sequence
        offset = self._offset(sequence)
        if not self._placed:
            self._place(offset)
            self._acknowledged_before = self._acknowledged = offset
            yield from self._ready()
            return
        self._acknowledged_before = self._acknowledged
        self._acknowledged = max(self._acknowledged, offset)
        while self._waiting and self._waiting[0][0] <= self._acknowledged_before:
            yield from self._miss(self._waiting[0][0])
            yield from self._ready()

    def finish(self) -> Iterator[bytes | Gap]:
        """The capture is over: what is still waiting, and the gaps before it."""
        if self._zero is None:
            return
        if not self._placed:
            self._place(None)
        yield from self._ready()
        while self._waiting:
            yield from self._miss(self._waiting[0][0])
            yield from self._ready()
        claimed = max(self._acknowledged, self._claimed)
        if self._end is not None:
            claimed = min(claimed, self._end)
        elif claimed <= self._next + 1:
            claimed = 0  # the end of a connection is counted as if it were a byte, so that one proves nothing
        self._begun = True
        yield from self._miss(max(claimed, self._sent))

    def _offset(self, sequence: int) -> int:
        """How far into the direction a 32-bit sequence number is: the nearest place to the next byte."""
        distance = (sequence - (self._zero or 0) - self._next) & 0xFFFFFFFF
        return self._next + (distance - (1 << 32) if distance >= 1 << 31 else distance)

    def _place(self, acknowledged: int | None) -> None:
        """Find the beginning of a direction whose SYN was not captured."""
        for offset, payload, time in self._single:
            first = self._waiting[0][0] if self._waiting else offset + 1
            self._give_room(_EACH)
            if offset >= (first if acknowledged is None else acknowledged):  # else it was a probe
                self._sent = max(self._sent, offset + 1)
                self._wait(offset, payload, time)
        self._single.clear()
        known = [offset for offset, *_ in self._waiting[:1]]
        if acknowledged is not None:
            known.append(acknowledged)
        self._next = min(known, default=0)
        self._placed = True

    def _wait(self, offset: int, payload: bytes, time: float) -> None:
        self._count += 1
        heappush(self._waiting, (offset, self._count, payload, time))
        self._take_room(len(payload) + _EACH)

    def _ready(self) -> Iterator[bytes]:
        while self._waiting and self._waiting[0][0] <= self._next:
            offset, _, payload, time = heappop(self._waiting)
            self._give_room(len(payload) + _EACH)
            self._begun |= offset == self._next  # also if the capture cut off all of it
            fresh = payload[self._next - offset :] if offset < self._next else payload
            if fresh:
                self._next += len(fresh)
                self._begun = True
                self.time = max(self.time, time)
                yield fresh

    def _miss(self, until: int, *, given_up: bool = False) -> Iterator[Gap]:
        if until > self._next:
            size, self._next = until - self._next, until
            if self._begun or self._certain:
                self._begun = True
                yield Gap(size, given_up)

    def _make_room(self) -> Iterator[bytes | Gap]:
        """Wait no longer for what comes before, if too much has come after it."""
        if not self._placed and self._used > _MOST_BEFORE_START:
            self._place(None)
            yield from self._ready()
        room = self._room
        while self._waiting and (self._used > room.each or room.used > room.all):
            yield from self._miss(self._waiting[0][0], given_up=True)
            yield from self._ready()

    def _take_room(self, size: int) -> None:
        self._used += size
        self._room.used += size

    def _give_room(self, size: int) -> None:
        self._used -= size
        self._room.used -= size
