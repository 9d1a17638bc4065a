"""What a capture file holds, and why a part of it was left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

__all__ = ["LeftOut", "Packet", "Unread"]


@dataclass(frozen=True, slots=True)
class Packet:
    """``data`` as captured on a link of the type ``link`` (a LINKTYPE number) at ``time`` (Unix, seconds).

    On the wire it had ``size`` bytes; the capture's snapshot length may have cut it.
    """

    time: float
    link: int
    data: bytes
    size: int


class Unread(Exception):
    """There is no TCP segment to be had from a packet; the argument says what the packet is."""


class LeftOut:
    """Counts the packets of a capture, and those of them that were left out, by what they are.

    Those that ``lost`` may have carried messages.
    """

    def __init__(self) -> None:
        self.packets = 0
        """All that were read."""
        self.quiet = 0
        """Segments of TCP that carried nothing."""
        self.idle: Counter[str] = Counter()
        """Packets that belong to nothing that is decoded."""
        self.lost: Counter[str] = Counter()
        """Packets that should have been read, and could not be."""
        self.forgotten = 0
        """Connections that were given up because there were too many."""
        self.interrupted = False
        """The user ended the reading: there may be more packets."""

    def summary(self) -> str | None:
        """One sentence, None if nothing was left out."""
        what = self.lost + self.idle
        parts = []
        if what:
            parts.append(f"{_packets(what.total())} of {self.packets} left out: {_listed(what)}")
        if self.forgotten:
            parts.append(f"{self.forgotten} connections given up: too many were open at a time")
        return "; ".join(parts) or None

    def nothing(self) -> str:
        """Why there is no message in any of the packets."""
        what = self.lost + self.idle
        if self.quiet:
            what["segments of TCP without content"] = self.quiet
        return f"no message in {_packets(self.packets)}: {_listed(what) or 'nothing but probes'}"

    def losses(self) -> str:
        """What could not be read."""
        return f"{_packets(self.lost.total())} left out: {_listed(self.lost)}"


def _packets(count: int) -> str:
    return f"{count} packet{'s' * (count != 1)}"


def _listed(what: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in what.most_common())
