"""Connections: where they go, how they open and close, and the messages on them."""

# The codecs' names on two lines.
# ruff: noqa: I001

from __future__ import annotations

from protosocket.connection.address import Address, parse_address
from protosocket.connection.background import background_task, is_dropped
from protosocket.connection.codec import AnyCodec, Codec, Decoded, FramedCodec
from protosocket.connection.codec import Incomplete, Invalid, Skip, wire_codec
from protosocket.connection.connecting import connect
from protosocket.connection.endpoint import Listener, open_transport, peer_name
from protosocket.connection.event_loop import (
    OncePerLoop,
    hold_standard_descriptors,
    new_event_loop,
    require_loop,
)
from protosocket.connection.forkable import look_up
from protosocket.connection.host import shown_host
from protosocket.connection.interpreter_end import stops_with_the_interpreter
from protosocket.connection.opening import Opening
from protosocket.connection.protocol import ConnectionProtocol, native_limits
from protosocket.connection.server import Server, listen, open_server
from protosocket.connection.stream import Connection
from protosocket.connection.tls import TLS, TLSOption
from protosocket.connection.workers import Workers, run_workers, start_workers

# fmt: off
__all__ = [
    "TLS", "Address", "AnyCodec", "Codec", "Connection", "ConnectionProtocol", "Decoded", "FramedCodec",
    "Incomplete", "Invalid", "Listener", "OncePerLoop", "Opening", "Server", "Skip", "TLSOption", "Workers",
    "background_task", "connect", "hold_standard_descriptors", "is_dropped", "listen", "look_up",
    "native_limits", "new_event_loop", "open_server", "open_transport", "parse_address", "peer_name",
    "require_loop", "run_workers", "shown_host", "start_workers", "stops_with_the_interpreter", "wire_codec",
]
# fmt: on
