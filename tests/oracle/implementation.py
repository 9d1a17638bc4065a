"""What every implementation of framing, header scan and splice offers the tests, and the twins as one."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from tests.oracle import framing, messagepack, protobuf
from tests.oracle.framing import Framing, Step
from tests.oracle.header import Header

Layout: TypeAlias = protobuf.Layout | messagepack.ArrayLayout | messagepack.MapLayout


class Implementation(Protocol):
    """The three things the native core does to the bytes of a connection."""

    def next_frame(self, kind: Framing, unread: bytes, limit: int) -> Step:
        """The message at the start of ``unread``, of at most ``limit`` payload bytes."""
        ...

    def scan(self, layout: Layout, message: bytes) -> Header:
        """The header of an encoded message; raises ``Malformed``."""
        ...

    def splice(self, layout: Layout, message: bytes, header: Header) -> bytes:
        """The encoded message with this header; raises ``Malformed``."""
        ...


class Twins:
    """The readable Python twins."""

    def next_frame(self, kind: Framing, unread: bytes, limit: int) -> Step:
        """See :func:`tests.oracle.framing.next_frame`."""
        return framing.next_frame(kind, unread, limit)

    def scan(self, layout: Layout, message: bytes) -> Header:
        """See the layouts' ``scan``."""
        return layout.scan(message)

    def splice(self, layout: Layout, message: bytes, header: Header) -> bytes:
        """See the layouts' ``splice``."""
        return layout.splice(message, header)


IMPLEMENTATIONS: list[Implementation] = [Twins()]
"""Every golden vector is run against each of these: the native core joins the list here."""
