"""aiofastnet's transports under the event loop's own method names, faults of aiofastnet 1.2 kept out."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar, cast

import aiofastnet

from protosocket.limited_log import limited_log

__all__ = ["FastNet", "ListeningSocket", "ResumingTLS", "come_to_thread"]

P = TypeVar("P", bound=asyncio.BaseProtocol)


class FastNet:
    """The four methods of an event loop that make connections and servers, with aiofastnet's transports.

    Sockets are handed in, connected or bound; what the arguments mean is in the documentation of the
    ``asyncio.AbstractEventLoop`` method of the same name.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def create_connection(
        self,
        protocol_factory: Callable[[], P],
        *,
        sock: socket.socket,
        ssl: ssl.SSLContext | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, P]:
        """A transport on a connected TCP socket, its protocol, and with ``ssl`` the handshake done."""
        loop = self._loop if ssl is None else _prepare_tls(self._loop, ssl)
        return await aiofastnet.create_connection(loop, protocol_factory, sock=sock, ssl=ssl, **options)

    async def create_unix_connection(
        self, protocol_factory: Callable[[], P], *, sock: socket.socket
    ) -> tuple[asyncio.Transport, P]:
        """A transport on a connected Unix socket, and its protocol."""
        return await aiofastnet.create_unix_connection(self._loop, protocol_factory, sock=sock)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *,
        sock: socket.socket,
        ssl: ssl.SSLContext | None = None,
        **options: Any,
    ) -> asyncio.AbstractServer:
        """A server that accepts on a bound TCP socket."""
        loop = self._loop if ssl is None else _prepare_tls(self._loop, ssl)
        return await aiofastnet.create_server(loop, protocol_factory, sock=sock, ssl=ssl, **options)

    async def create_unix_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *, sock: socket.socket, **options: Any
    ) -> asyncio.AbstractServer:
        """A server that accepts on a bound Unix socket; its file is the caller's to remove."""
        return await aiofastnet.create_unix_server(
            self._loop, protocol_factory, sock=sock, cleanup_socket=False, **options
        )


class ListeningSocket(socket.socket):
    """A socket whose accepting aiofastnet can suspend when file descriptors run out.

    aiofastnet 1.2 calls ``remove_reader`` on the socket instead of on the loop, which on a plain socket is an
    AttributeError in every turn of the loop. It also goes on to accept in the same turn, as often as the
    backlog is long, and each failure is reported and schedules another resumption.
    """

    _suspended = False

    def remove_reader(self, descriptor: int) -> None:
        """Stop watching ``descriptor``, this socket's own, and accept nothing more in this turn."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(descriptor)
        self._suspended = True
        loop.call_soon(self._resume)

    def accept(self) -> tuple[socket.socket, Any]:
        """A connection and its peer's address; ``BlockingIOError`` if none is waiting."""
        if self._suspended:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return super().accept()

    def _resume(self) -> None:
        self._suspended = False


class ResumingTLS:
    """What a connection uses of a TLS transport, two faults of aiofastnet 1.2 with paused reading kept out.

    When reading is resumed it looks on the socket only: what it had taken off the socket before the pause,
    and not given out, stays where it is until the peer sends more. When it is closed while reading is
    paused, it does not see the peer's answer to that, and waits for it until its time is up.
    """

    __slots__ = (
        "_call_soon", "_is_on_socket", "_transport", "abort", "is_closing", "pause_reading", "write",
    )  # fmt: skip

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._is_on_socket = type(transport).__name__ == "SSLTransport_Socket"
        self._call_soon = loop.call_soon
        self.abort = transport.abort
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.write = transport.write

    def resume_reading(self) -> None:
        """Read again, beginning with what is there already."""
        self._resume()
        self._call_soon(self._transport._retry_ssl_read)  # noqa: SLF001 - there is no other way

    def close(self) -> None:
        """Flush, shake hands with the peer, and close."""
        self._resume()
        self._transport.close()

    def _resume(self) -> None:
        # One on top of another transport fails when that was lost, which it tells only in the next turn.
        if self._is_on_socket or self._transport.get_extra_info("socket") is not None:
            self._transport.resume_reading()

    @staticmethod
    def suits(transport: object) -> bool:
        """Whether ``transport`` has that fault."""
        return hasattr(transport, "_retry_ssl_read")


class _LoopForTLS:
    """The loop, but deaf to the report of a peer that hangs up during the TLS handshake.

    That is everyday life for a listener (port scans, health checks), and the connecting side gets it as an
    exception anyway. aiofastnet 1.2 reports it as an error, and with an exception class where an exception
    belongs, which makes the loop's own error report fail.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if context.get("exception") is ConnectionResetError:
            limited_log.debug(
                "%r: the peer closed the connection during the TLS handshake", context["transport"]
            )
        else:
            self._loop.call_exception_handler(context)


def _prepare_tls(loop: asyncio.AbstractEventLoop, context: ssl.SSLContext) -> asyncio.AbstractEventLoop:
    """The loop for TLS with ``context``.

    What of a context calls back into Python finds Python's own object behind each connection. aiofastnet 1.2
    makes its connections without one, and the process crashes; it has a slower way that makes one.
    """
    callbacks = (context.sni_callback, context.keylog_filename, getattr(context, "_msg_callback", None))
    if any(callback is not None for callback in callbacks):
        context._aiofastnet_force_fallback_ssl = True  # type: ignore[attr-defined]  # noqa: SLF001
    return cast(asyncio.AbstractEventLoop, _LoopForTLS(loop))


def come_to_thread(
    transport: Any, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, is_paused: bool
) -> None:
    """Let ``transport`` be used in this thread, into which its event loop has moved.

    aiofastnet 1.2 takes the thread in which a transport was made for the event loop's own for ever. Only
    making its innermost part again changes that, which forgets its protocol and whether it reads.
    """
    made_again: Any = aiofastnet.Transport.__init__
    made_again(transport, loop)
    transport.set_protocol(asyncio.BaseProtocol())
    transport._call_protocol_connection_made()  # noqa: SLF001 - there is no other way
    transport.set_protocol(protocol)
    if is_paused:
        transport.pause_reading()
