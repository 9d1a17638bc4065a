"""Records in print: one line each for people, or one JSON object each for machines."""

from __future__ import annotations

import json
from typing import Any

from protosocket.decode.events import Problem
from protosocket.decode.reading import Record

__all__ = ["json_line", "text_lines"]

# A summary is cut there; --verbose and --json show everything.
_WIDEST = 160


def text_lines(record: Record, began: float, *, verbose: bool) -> str:
    """The record for people, times counted from ``began``; with ``verbose`` the whole message under it."""
    event = record.event
    what = event.what
    line = []
    if event.connection is not None:
        ends = [str(event.connection.client), str(event.connection.server)]
        if event.direction == "response":
            ends.reverse()
        line += [f"{event.time - began:.6f}", " > ".join(ends)]
    if isinstance(what, Problem):
        place = f" in the {event.direction}s" if event.direction else ""
        line.append(f"! {what.kind}{place} at byte {what.offset}")
        if what.size:
            line.append(f"{what.size} B")
        return _printable("  ".join([*line, what.reason]))
    line.append(str(event.direction))
    if event.connection is None:
        line.append(f"at byte {what.offset}")
    if record.id is not None:
        line += [f"id {record.id}", f"{record.control}"]
    line.append(f"{what.size} B")
    if record.elapsed is not None:
        line.append(f"+{record.elapsed * 1000:.3f} ms")
    if record.shown is not None and not verbose:
        summary = record.shown.line()
        line.append(summary if len(summary) <= _WIDEST else f"{summary[:_WIDEST]}...")
    lines = ["  ".join(line).rstrip()]
    if record.shown is not None and verbose:
        lines += [f"    {inner}" for inner in record.shown.lines().splitlines()]
    return "\n".join(map(_printable, lines))


def json_line(record: Record) -> str:
    """The record as a JSON object in one line."""
    event = record.event
    data: dict[str, Any] = {"direction": event.direction}
    if event.connection is not None:
        data["time"] = round(event.time, 6)
        data["connection"] = event.connection.number
        data["client"] = str(event.connection.client)
        data["server"] = str(event.connection.server)
        data["joined"] = event.connection.joined
    data["offset"] = event.what.offset
    data["size"] = event.what.size
    if isinstance(event.what, Problem):
        data |= {"problem": event.what.kind, "reason": event.what.reason}
        return json.dumps(data)
    if record.id is not None:
        data |= {"id": record.id, "control": record.control}
    if record.elapsed is not None:
        data["elapsed_ms"] = round(record.elapsed * 1000, 6)
    data |= record.shown.data() if record.shown is not None else {"hex": event.what.payload.hex()}
    return json.dumps(data)


def _printable(text: str) -> str:
    """What was sent must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
