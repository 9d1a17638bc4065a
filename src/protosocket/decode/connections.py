"""TCP connections of a capture: which end is the server, and each direction's messages in time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from protosocket.decode.events import Frame, Problem
from protosocket.decode.foreign import foreign
from protosocket.decode.framing import Framer
from protosocket.decode.reassembly import Gap, OneWay
from protosocket.decode.segments import Endpoint, Segment

__all__ = ["Connection", "Connections", "Direction", "Event"]

Direction = Literal["request", "response"]


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
    bytes: OneWay | None = None
    begun: bool = False


@dataclass(slots=True)
class _Open:
    connection: Connection
    sides: dict[Direction, _Side]
    started: int | None
    """The sequence number of the client's SYN."""
    foreign: bool = False
    last: float = field(default=0.0)


class Connections:
    """Takes segments in the order of the capture.

    ``ports`` are those of servers; connections to others are left out. Without any, all are taken, and the
    server is who was sent the SYN, or, if that was not captured, who has the lower port. With ``sniff``
    connections that surely carry another protocol are left out after a problem that names it.
    """

    def __init__(
        self, framer: Callable[[], Framer], ports: Collection[int] = (), *, sniff: bool = True
    ) -> None:
        self._framer = framer
        self._ports = ports
        self._sniff = sniff
        self._open: dict[frozenset[Endpoint], _Open] = {}
        self._count = 0

    def take(self, segment: Segment) -> Iterator[Event]:
        """What the segment completes."""
        key = frozenset((segment.source, segment.target))
        known = self._open.get(key)
        if segment.syn and segment.acknowledged is None and known and known.started != segment.sequence:
            yield from self._finish(known)  # the port is used again
            known = None
        if known is None:
            known = self._begin(segment)
            if known is None:
                return
            self._open[key] = known
        known.last = segment.time
        towards: Direction = "request" if segment.target == known.connection.server else "response"
        side, other = known.sides[towards], known.sides["response" if towards == "request" else "request"]
        if side.bytes is None:
            side.bytes = OneWay((segment.sequence + segment.syn) & 0xFFFFFFFF)
        if segment.acknowledged is not None:
            if other.bytes is None:
                other.bytes = OneWay(segment.acknowledged)
            acknowledged = other.bytes.acknowledge(segment.acknowledged)
            yield from self._events(known, "response" if towards == "request" else "request", acknowledged)
        sequence = (segment.sequence + segment.syn) & 0xFFFFFFFF
        yield from self._events(known, towards, side.bytes.take(sequence, segment.payload))

    def finish(self) -> Iterator[Event]:
        """The capture is over: what is left of every connection."""
        for connection in self._open.values():
            yield from self._finish(connection)
        self._open.clear()

    def _begin(self, segment: Segment) -> _Open | None:
        server = self._server(segment)
        if server is None:
            return None
        client = segment.source if server == segment.target else segment.target
        self._count += 1
        started = segment.sequence if segment.syn and server == segment.target else None
        connection = Connection(self._count, client, server, joined=not segment.syn)
        sides: dict[Direction, _Side] = {
            "request": _Side(self._framer()),
            "response": _Side(self._framer()),
        }
        return _Open(connection, sides, started)

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
            if isinstance(piece, Gap):
                found: Iterator[Frame | Problem] = side.framer.gap(piece.size)
            else:
                protocol = foreign(piece) if self._sniff and not side.begun else None
                if protocol is not None:
                    known.foreign = True
                    reason = f"this is {protocol}; the connection is left out"
                    found = iter([Problem("invalid", 0, len(piece), reason)])
                else:
                    found = side.framer.feed(piece)
            side.begun = True
            for what in found:
                yield Event(known.last, known.connection, direction, what)

    def _finish(self, known: _Open) -> Iterator[Event]:
        for direction, side in known.sides.items():
            if side.bytes is not None:
                yield from self._events(known, direction, side.bytes.finish())
            if not known.foreign:
                for problem in side.framer.finish():
                    yield Event(known.last, known.connection, direction, problem)
