"""Events from what there is to read: a capture, or a hex dump of one direction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from io import BufferedReader

from protosocket.decode.capture import is_capture, packets
from protosocket.decode.connections import Connections, Direction, Event
from protosocket.decode.events import Problem
from protosocket.decode.framing import Framer
from protosocket.decode.hex_dump import read_hex
from protosocket.decode.links import LINKS
from protosocket.decode.packets import LeftOut, Packet
from protosocket.decode.segments import Segments
from protosocket.errors import OptionError

__all__ = ["capture_events", "dump_events", "is_capture"]


def capture_events(
    stream: BufferedReader,
    framer: Callable[[], Framer],
    ports: Collection[int],
    left_out: LeftOut,
    *,
    sniff: bool,
) -> Iterator[Event]:
    """What the TCP connections of a capture carried, in the order in which it was complete.

    ``ports`` and ``sniff`` are those of :class:`Connections`; ``left_out`` counts what is not taken. What
    cannot be read is a problem at the end, and so is a capture that has packets and no message. Ctrl-C while
    it waits for more is an end as well.
    """
    segments, connections = Segments(left_out), Connections(framer, left_out, ports, sniff=sniff)
    unknown: set[int] = set()
    time = 0.0
    found = 0
    for packet in _until_interrupted(stream, left_out):
        if isinstance(packet, Problem):
            found += 1
            yield Event(time, None, None, packet)
            continue
        time = packet.time
        segment = segments.take(packet)
        if segment is None:
            if packet.link not in LINKS and packet.link not in unknown:
                unknown.add(packet.link)
                found += 1
                yield _problem(time, f"packets of link type {packet.link} are not understood and left out")
            continue
        for event in connections.take(segment):
            found += 1
            yield event
    segments.finish()
    for event in connections.finish():
        found += 1
        yield event
    if left_out.lost.total() > sum(left_out.lost[f"of link type {link}"] for link in unknown):
        yield _problem(time, left_out.losses())
    elif not found and left_out.packets:
        yield _problem(time, left_out.nothing())


def _until_interrupted(stream: BufferedReader, left_out: LeftOut) -> Iterator[Packet | Problem]:
    """The packets until the end; Ctrl-C is the end of a capture that is being made."""
    try:
        yield from packets(stream)
    except KeyboardInterrupt:
        left_out.interrupted = True


def _problem(time: float, reason: str) -> Event:
    return Event(time, None, None, Problem("capture", 0, 0, reason))


def dump_events(stream: BufferedReader, framer: Framer, direction: Direction) -> Iterator[Event]:
    """What the bytes of a hex dump are, all of one ``direction``; raises ``OptionError`` if it is no dump."""
    try:
        content = read_hex(stream.read().decode("ascii"))
    except UnicodeDecodeError as error:
        raise OptionError("the input is neither a pcap or pcapng capture nor a hex dump") from error
    for what in (*framer.feed(content), *framer.finish()):
        yield Event(0.0, None, direction, what)
