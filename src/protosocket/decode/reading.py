"""Events become records: each message with its id, control code, content, and the time since its request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from protosocket._core import HeaderLayout
from protosocket.decode.connections import Connection, Direction, Event
from protosocket.decode.events import Frame, Problem
from protosocket.decode.payloads import Call, Malformed, Payload, Shown

__all__ = ["Reader", "Record", "Side"]

# Requests whose answers are not in the capture are forgotten after that many others.
_MOST_WAITING = 65536


@dataclass(frozen=True, slots=True)
class Side:
    """How one direction's messages are read; without a ``header`` they have no id and no control code."""

    payload: Payload
    header: HeaderLayout | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A message or a problem; ``elapsed`` are seconds since the request with the same id."""

    event: Event
    id: int | None = None
    control: str | None = None
    elapsed: float | None = None
    shown: Shown | None = None


class Reader:
    """Reads the messages of both directions."""

    def __init__(self, request: Side, response: Side) -> None:
        self._sides: dict[Direction, Side] = {"request": request, "response": response}
        self._waiting: OrderedDict[tuple[Connection | None, int], float] = OrderedDict()

    def read(self, event: Event) -> Iterator[Record]:
        """The record of ``event``; for a message that does not read, a problem follows."""
        if isinstance(event.what, Problem):
            yield Record(event)
            return
        frame = event.what
        assert event.direction is not None  # only problems of a capture as a whole have none
        side = self._sides[event.direction]
        id: int | None = None
        control: str | None = None
        begins = False
        problem = None
        content = frame.payload
        if side.header is not None:
            content = side.header.content(content)
            try:
                id, control, begins = side.header.describe(frame.payload)
            except ValueError as error:
                problem = f"no id and control code: {error}"
        try:
            shown = side.payload.show(content, Call(event.connection, event.direction, id))
        except Malformed as error:
            shown = None
            problem = str(error)
        begins = begins and (shown is None or shown.begins)
        elapsed = None if id is None else self._elapsed(event, id, begins)
        yield Record(event, id, control, elapsed, shown)
        if problem is not None:
            yield Record(_malformed(event, frame, problem))

    def _elapsed(self, event: Event, id: int, begins: bool) -> float | None:
        waiting, call = self._waiting, (event.connection, id)
        if event.direction == "response":
            began = waiting.get(call)
            return None if began is None else event.time - began
        if begins:
            waiting[call] = event.time
            waiting.move_to_end(call)
            if len(waiting) > _MOST_WAITING:
                waiting.popitem(last=False)
        return None


def _malformed(event: Event, frame: Frame, reason: str) -> Event:
    problem = Problem("malformed", frame.offset, frame.size, reason)
    return Event(event.time, event.connection, event.direction, problem)
