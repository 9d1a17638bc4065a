"""``connect``: a message stream to an address."""

from __future__ import annotations

from typing import TypeVar

from protosocket.connection.address import parse_address
from protosocket.connection.codec import AnyCodec, wire_codec
from protosocket.connection.endpoint import open_transport
from protosocket.connection.opening import Opening
from protosocket.connection.stream import Connection, StreamProtocol
from protosocket.connection.tls import TLSOption
from protosocket.options import ConnectionOptions

__all__ = ["connect"]

S = TypeVar("S")
R = TypeVar("R")


def connect(
    url: str,
    codec: AnyCodec[S, R],
    *,
    options: ConnectionOptions | None = None,
    tls: TLSOption | None = None,
) -> Opening[Connection[S, R]]:
    """Connect to ``url`` (``tcp://``, ``tls://`` or ``unix://``): ``async with connect(...) as connection``.

    It may also be awaited; then closing the connection is yours. ``codec`` turns messages into bytes and
    back. ``tls`` (an ``ssl.SSLContext`` or ``protosocket.TLS``) is for ``tls://``; without it the server is
    checked against the system's roots. Raises ``AddressError`` and ``OptionError`` for what cannot be used,
    and ``ConnectError`` when there is no connection within ``options.connect_timeout`` seconds.
    """
    address = parse_address(url)
    settings = options or ConnectionOptions()

    async def open_connection() -> Connection[S, R]:
        wire = wire_codec(codec)
        _, protocol = await open_transport(address, lambda: StreamProtocol(wire, settings), settings, tls)
        return Connection(protocol)

    return Opening(open_connection)
