"""TCP connections of a capture: which end is the server, and each direction's messages in time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from protosocket.decode.events import Frame, Problem
from protosocket.decode.foreign import foreign
from protosocket.decode.framing import Framer
from protosocket.decode.packets import LeftOut
from protosocket.decode.reassembly import Gap, OneWay, Room
from protosocket.decode.segments import Endpoint, Segment

__all__ = ["Connection", "Connections", "Direction", "Event"]

Direction = Literal["request", "response"]

# More connections are not followed at a time: those that are over are forgotten first, then the quietest.
_MOST_OPEN = 16384
# No receiver offers a larger window, so nothing of a connection is further from its next byte; once it is
# over, only what is sent again comes.
_WINDOW = 1 << 30
_LATE = 16 << 20


@dataclass(frozen=True, slots=True)
class Connection:
    """Both ends of a connection; ``number`` counts them in the order of their first segments."""

    number: int
    client: Endpoint
    server: Endpoint
    joined: bool
    """It was open before the capture began: what was captured first is taken for a message's beginning."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something decoded, at ``time`` (Unix, seconds), going from the client (``request``) or to it."""

    time: float
    connection: Connection | None
    direction: Direction | None
    what: Frame | Problem


@dataclass(slots=True)
class _Side:
    """One direction of a connection."""

    framer: Framer
    bytes: OneWay
    begun: bool = False


@dataclass(slots=True)
class _Open:
    connection: Connection
    sides: dict[Direction, _Side]
    last: float
    foreign: bool = False
    reset: bool = False

    @property
    def over(self) -> bool:
        return self.reset or all(side.bytes.over for side in self.sides.values())


class Connections:
    """Takes segments in the order of the capture.

    ``ports`` are those of servers; connections to others are left out. Without any, all are taken, and the
    server is who was sent the SYN, or, if that was not captured, who has the lower port. With ``sniff``
    connections that surely carry another protocol are left out after a problem that names it. What is not
    taken is counted in ``left_out``.
    """

    def __init__(
        self,
        framer: Callable[[], Framer],
        left_out: LeftOut,
        ports: Collection[int] = (),
        *,
        sniff: bool = True,
    ) -> None:
        self._framer = framer
        self._left_out = left_out
        self._ports = ports
        self._sniff = sniff
        self._open: OrderedDict[frozenset[Endpoint], _Open] = OrderedDict()
        self._room = Room()
        self._count = 0

    def take(self, segment: Segment) -> Iterator[Event]:
        """What the segment completes."""
        key = frozenset((segment.source, segment.target))
        known = self._open.get(key)
        if segment.reset:
            # Its numbers may be anything, and what it carries is no part of the stream.
            self._left_out.quiet += 1
            if known is not None and known.sides["response"].bytes.placed:
                known.reset = True
                self._open.move_to_end(key, last=False)
            return
        if known is not None and _begins_anew(known, segment):
            yield from self._finish(self._open.pop(key))
            known = None
        if known is None:
            known = self._begin(segment)
            if known is None:
                self._left_out.idle["of other ports"] += 1
                return
            self._open[key] = known
            if len(self._open) > _MOST_OPEN:
                _, oldest = self._open.popitem(last=False)
                self._left_out.forgotten += not oldest.over
                yield from self._finish(oldest)
        elif _is_stray(known, segment):
            counts = self._left_out.lost if segment.size else self._left_out.idle
            counts["whose sequence numbers fit no connection"] += 1
            return
        self._left_out.quiet += not segment.size
        known.last = segment.time
        yield from self._take(known, segment)
        # Closed connections are kept, so that what is sent again is known as theirs, but they go first.
        self._open.move_to_end(key, last=not known.over)

    def finish(self) -> Iterator[Event]:
        """The capture is over: what is left of every connection."""
        for known in sorted(self._open.values(), key=lambda known: known.connection.number):
            yield from self._finish(known)
        self._open.clear()

    def _take(self, known: _Open, segment: Segment) -> Iterator[Event]:
        towards = _direction(known, segment)
        back = _back(towards)
        side, other = known.sides[towards], known.sides[back]
        if segment.syn:
            side.bytes.begin(segment.sequence)
        if segment.acknowledged is not None:
            if segment.syn:
                other.bytes.begin(segment.acknowledged)
            acknowledged = other.bytes.acknowledge(segment.acknowledged)
            yield from self._events(known, back, acknowledged)
        yield from self._events(known, towards, side.bytes.take(segment))

    def _begin(self, segment: Segment) -> _Open | None:
        server = self._server(segment)
        if server is None:
            return None
        client = segment.source if server == segment.target else segment.target
        self._count += 1
        connection = Connection(self._count, client, server, joined=not segment.syn)
        sides: dict[Direction, _Side] = {
            "request": _Side(self._framer(), OneWay(self._room)),
            "response": _Side(self._framer(), OneWay(self._room)),
        }
        return _Open(connection, sides, segment.time)

    def _server(self, segment: Segment) -> Endpoint | None:
        ends = [segment.target, segment.source]
        if self._ports:
            ends = [end for end in ends if end.port in self._ports]
            if len(ends) < 2:
                return ends[0] if ends else None
        if segment.syn:
            return segment.target if segment.acknowledged is None else segment.source
        return min(ends, key=lambda end: end.port)

    def _events(self, known: _Open, direction: Direction, pieces: Iterator[bytes | Gap]) -> Iterator[Event]:
        side = known.sides[direction]
        for piece in pieces:
            if known.foreign:
                continue
            time = known.last
            if isinstance(piece, Gap):
                found: Iterator[Frame | Problem] = side.framer.gap(piece.size, given_up=piece.given_up)
            else:
                # They may have waited to be known for what they are, as at the beginning of a capture.
                time = side.bytes.time
                protocol = foreign(piece) if self._sniff and not side.begun else None
                if protocol is not None:
                    known.foreign = True
                    reason = f"this is {protocol}; the connection is left out"
                    found = iter([Problem("invalid", 0, len(piece), reason)])
                else:
                    found = side.framer.feed(piece)
            side.begun = True
            for what in found:
                yield Event(time, known.connection, direction, what)

    def _finish(self, known: _Open) -> Iterator[Event]:
        for direction, side in known.sides.items():
            yield from self._events(known, direction, side.bytes.finish())
            if not known.foreign:
                for problem in side.framer.finish():
                    yield Event(known.last, known.connection, direction, problem)


def _direction(known: _Open, segment: Segment) -> Direction:
    return "request" if segment.target == known.connection.server else "response"


def _back(direction: Direction) -> Direction:
    return "response" if direction == "request" else "request"


def _begins_anew(known: _Open, segment: Segment) -> bool:
    """Whether the ports are used again: by a SYN of another number, or by bytes after the end."""
    direction = _direction(known, segment)
    side = known.sides[direction].bytes
    if not segment.syn:
        return known.over and bool(segment.size) and abs(side.distance(segment.sequence)) > _LATE
    if side.begins_at(segment.sequence):
        return False
    other = known.sides[_back(direction)].bytes
    if segment.acknowledged is not None:
        return not other.was_sent(segment.acknowledged)
    if known.connection.joined:  # unless the capture has the SYN after what follows it
        return side.begun or side.empty or side.distance(segment.sequence) != 0
    return side.certain or not (side.empty and other.empty)  # unless both ends sent one: a simultaneous open


def _is_stray(known: _Open, segment: Segment) -> bool:
    """Whether a segment belongs to an earlier connection between the same ports.

    While a SYN is unanswered, a server that still holds the earlier one, which its client has lost, answers
    with that one's numbers (RFC 9293, half-open connections), and the client resets it.
    """
    if segment.syn or segment.reset:
        return False
    direction = _direction(known, segment)
    side, other = known.sides[direction].bytes, known.sides[_back(direction)].bytes
    acknowledged = segment.acknowledged
    if direction == "response" and other.certain and not side.placed:
        return acknowledged is None or not other.was_sent(acknowledged)
    far = abs(side.distance(segment.sequence)) > _WINDOW
    return far or (acknowledged is not None and abs(other.distance(acknowledged)) > _WINDOW)
