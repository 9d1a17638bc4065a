"""Events from what there is to read: a capture, or a hex dump of one direction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from io import BufferedReader

from protosocket.decode.capture import is_capture, packets
from protosocket.decode.connections import Connections, Direction, Event
from protosocket.decode.events import Problem
from protosocket.decode.framing import Framer
from protosocket.decode.hex_dump import read_hex
from protosocket.decode.segments import UnknownLink, segment_of
from protosocket.errors import OptionError

__all__ = ["capture_events", "dump_events", "is_capture"]


def capture_events(
    stream: BufferedReader, framer: Callable[[], Framer], ports: Collection[int], *, sniff: bool
) -> Iterator[Event]:
    """What the TCP connections of a capture carried, in the order in which it was complete.

    ``ports`` and ``sniff`` are those of :class:`Connections`.
    """
    connections = Connections(framer, ports, sniff=sniff)
    unknown: set[int] = set()
    time = 0.0
    for packet in packets(stream):
        if isinstance(packet, Problem):
            yield Event(time, None, None, packet)
            continue
        time = packet.time
        try:
            segment = segment_of(packet)
        except UnknownLink:
            if packet.link not in unknown:
                unknown.add(packet.link)
                reason = f"packets of link type {packet.link} are not understood and left out"
                yield Event(time, None, None, Problem("capture", 0, 0, reason))
            continue
        if segment is not None:
            yield from connections.take(segment)
    yield from connections.finish()


def dump_events(stream: BufferedReader, framer: Framer, direction: Direction) -> Iterator[Event]:
    """What the bytes of a hex dump are, all of one ``direction``; raises ``OptionError`` if it is no dump."""
    try:
        content = read_hex(stream.read().decode("ascii"))
    except UnicodeDecodeError as error:
        raise OptionError("the input is neither a pcap or pcapng capture nor a hex dump") from error
    for what in (*framer.feed(content), *framer.finish()):
        yield Event(0.0, None, direction, what)
