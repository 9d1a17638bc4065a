"""What implementations of framing, header scan and splice offer the tests; the twins, the native core."""

from __future__ import annotations

import functools
from typing import Protocol, TypeAlias

from tests.oracle import framing, messagepack, protobuf
from tests.oracle.framing import Frame, Framing, Incomplete, Invalid, Step, TooLarge
from tests.oracle.header import Control, Header, Malformed

from protosocket._core import FrameStep, HeaderLayout, next_frame

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


class Native:
    """The native core, through its Python binding."""

    def next_frame(self, kind: Framing, unread: bytes, limit: int) -> Step:
        """See ``_core.next_frame``."""
        step, first, second = next_frame(kind.value, unread, limit)
        match step:
            case FrameStep.FRAME:
                return Frame(first, second)
            case FrameStep.INCOMPLETE:
                return Incomplete(first)
            case FrameStep.TOO_LARGE:
                return TooLarge(first)
        return Invalid()

    def scan(self, layout: Layout, message: bytes) -> Header:
        """See ``_core.HeaderLayout.scan``."""
        try:
            message_id, control = _native(layout).scan(message)
        except ValueError as error:
            raise Malformed(*error.args) from error
        return Header(message_id, Control(control))

    def splice(self, layout: Layout, message: bytes, header: Header) -> bytes:
        """See ``_core.HeaderLayout.splice``."""
        try:
            return _native(layout).splice(message, header.id, header.control)
        except ValueError as error:
            raise Malformed(*error.args) from error


# The type of a field that is written like this, with the largest ids.
_TYPES = {
    protobuf.Wire.VARINT: "uint64",
    protobuf.Wire.FIXED64: "fixed64",
    protobuf.Wire.FIXED32: "fixed32",
}


@functools.cache
def _native(layout: Layout) -> HeaderLayout:
    match layout:
        case protobuf.Layout():
            return HeaderLayout(
                "protobuf",
                id=layout.id.number,
                id_type=_TYPES[layout.id.wire],
                control=layout.control.number,
                control_type=_TYPES[layout.control.wire],
            )
        case messagepack.ArrayLayout() | messagepack.MapLayout():
            return HeaderLayout("messagepack", id=layout.id, control=layout.control)


IMPLEMENTATIONS: list[Implementation] = [Twins(), Native()]
"""Every golden vector is run against each of these."""
