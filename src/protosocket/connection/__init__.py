"""Connections: where they go, how they open and close, and the messages on them."""

# The codecs' names on two lines.
# ruff: noqa: I001

from __future__ import annotations

from protosocket.connection.address import Address, parse_address
from protosocket.connection.codec import AnyCodec, Codec, Decoded, FramedCodec
from protosocket.connection.codec import Incomplete, Invalid, Skip, wire_codec
from protosocket.connection.connecting import connect
from protosocket.connection.endpoint import Listener, open_transport, peer_name
from protosocket.connection.host import shown_host
from protosocket.connection.opening import Opening
from protosocket.connection.protocol import ConnectionProtocol, native_limits
from protosocket.connection.server import Server, listen, open_server
from protosocket.connection.stream import Connection
from protosocket.connection.tls import TLS, TLSOption
from protosocket.connection.workers import Workers, run_workers, start_workers

# fmt: off
__all__ = [
    "TLS", "Address", "AnyCodec", "Codec", "Connection", "ConnectionProtocol", "Decoded", "FramedCodec",
    "Incomplete", "Invalid", "Listener", "Opening", "Server", "Skip", "TLSOption", "Workers",
    "connect", "listen",
    "native_limits", "open_server", "open_transport", "parse_address", "peer_name",
    "run_workers", "shown_host", "start_workers", "wire_codec",
]
# fmt: on
