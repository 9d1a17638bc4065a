"""Handing a connected socket over to a transport, which from then on is the only one to close it.

A descriptor that is closed while an event loop watches it aborts the process under uvloop, and under asyncio
the next socket with that number is taken for it. So there is one closer at each moment: we, until a transport
was made; then the transport, which first has the loop forget the descriptor. We can only make it end sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from asyncio.trsock import TransportSocket
from typing import Any, cast

from protosocket._core import SocketTransport
from protosocket.connection.fast_tls import FastNet
from protosocket.connection.watching import watching
from protosocket.options import ConnectionOptions

__all__ = ["hand_over", "start_plain"]


def start_plain(sock: socket.socket, protocol: asyncio.BufferedProtocol) -> asyncio.Transport:
    """Our own transport of ``protocol`` on ``sock``, which is connected, without TLS.

    ``connection_made`` has run.
    """
    extra: dict[str, Any] = {"socket": TransportSocket(sock)}
    # A peer that is gone has no name any more.
    with contextlib.suppress(OSError):
        extra["sockname"] = sock.getsockname()
        extra["peername"] = sock.getpeername()
    loop = watching(asyncio.get_running_loop())
    transport = SocketTransport(loop, sock, protocol, extra)
    transport._start()  # noqa: SLF001 - not before `connection_made` may be called
    # It has the methods of asyncio.Transport, not its type.
    return cast(asyncio.Transport, transport)


class _Handover(asyncio.BufferedProtocol):
    """Is told of the transport, and then gives way to ``protocol``."""

    def __init__(self, protocol: asyncio.BufferedProtocol) -> None:
        self._protocol = protocol
        self._transport: asyncio.Transport | None = None
        self._abandoned = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Before anything is read; with TLS once the handshake is done."""
        # aiofastnet's transports have the methods of asyncio.Transport, not its type.
        made = self._transport = cast("asyncio.Transport", transport)
        if self._abandoned:
            # Not at once: aiofastnet begins to read after this.
            asyncio.get_running_loop().call_soon(made.abort)
            return
        made.set_protocol(self._protocol)
        self._protocol.connection_made(transport)

    def abandon(self) -> None:
        """Nobody waits for the connection any more: it ends at once, without a farewell."""
        self._abandoned = True
        if self._transport is not None:
            self._transport.abort()


async def hand_over(
    sock: socket.socket,
    protocol: asyncio.BufferedProtocol,
    options: ConnectionOptions,
    context: ssl.SSLContext | None,
    hostname: str,
) -> asyncio.Transport:
    """The transport of ``protocol`` on ``sock``, with ``context`` once its TLS handshake is done.

    ``connection_made`` has run. Whatever this raises, the socket is closed, or will be within a turn or two
    of the event loop.
    """
    loop = asyncio.get_running_loop()
    network: Any = loop if options.transport == "loop" else FastNet(loop)
    if context is None and network is not loop:
        return start_plain(sock, protocol)
    handover = _Handover(protocol)
    turned: list[None] = []
    # What is raised before the next turn was raised before there was a transport.
    mark = loop.call_soon(turned.append, None)
    try:
        if sock.family == socket.AF_UNIX:
            transport, _ = await network.create_unix_connection(lambda: handover, sock=sock)
        elif context is None:
            transport, _ = await network.create_connection(lambda: handover, sock=sock)
        else:
            transport, _ = await network.create_connection(
                lambda: handover,
                sock=sock,
                ssl=context,
                server_hostname=hostname,
                ssl_handshake_timeout=options.connect_timeout,
                ssl_shutdown_timeout=options.close_timeout,
            )
    except BaseException:
        if not turned:
            mark.cancel()
            sock.close()
            raise
        # By itself it would shake hands with the peer first, for as long as that takes.
        handover.abandon()
        if not isinstance(network, FastNet) and not isinstance(loop, asyncio.BaseEventLoop):
            # uvloop's own transports close the descriptor itself, which must not be closed again with `sock`.
            sock.detach()
        raise
    return cast(asyncio.Transport, transport)
