"""TLS by aiofastnet under the event loop's own method names, faults of aiofastnet 1.2 kept out."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from typing import Any, cast

import aiofastnet

from protosocket.connection.watching import watching
from protosocket.limited_log import limited_log

__all__ = ["FastNet", "FastTLS"]


class FastNet:
    """What makes TLS connections of connected sockets, with aiofastnet's transports.

    What the arguments mean is in the documentation of the ``asyncio.AbstractEventLoop`` method of that name.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def create_connection(
        self, protocol_factory: Any, *, sock: socket.socket, ssl: ssl.SSLContext, **options: Any
    ) -> tuple[Any, Any]:
        """The transport of a client, and its protocol, with the handshake done."""
        loop = _prepare(self._loop, ssl)
        return await aiofastnet.create_connection(loop, protocol_factory, sock=sock, ssl=ssl, **options)

    async def connect_accepted_socket(
        self, protocol_factory: Any, sock: socket.socket, *, ssl: ssl.SSLContext, **options: Any
    ) -> tuple[Any, Any]:
        """The transport of a server, and its protocol, with the handshake done."""
        loop = _prepare(self._loop, ssl)
        return await aiofastnet.connect_accepted_socket(loop, protocol_factory, sock, ssl=ssl, **options)


class FastTLS:
    """What a connection uses of an aiofastnet transport with TLS, three faults of aiofastnet 1.2 kept out.

    When reading is resumed it looks on the socket only: what it had taken off the socket before the pause,
    and not given out, stays where it is until the peer sends more. When it is closed while reading is
    paused, it does not see the peer's answer to that, and waits for it until its time is up. And it takes the
    thread in which it was made for the event loop's own for ever.
    """

    __slots__ = (
        "_is_on_socket", "_loop", "_thread", "_transport", "abort", "force_close", "is_closing",
        "pause_reading", "write",
    )  # fmt: skip

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._is_on_socket = type(transport).__name__ == "SSLTransport_Socket"
        self._loop = loop
        self._thread = threading.get_ident()
        self.abort = transport.abort
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.write = transport.write
        # What closes it itself does not ask which thread this is.
        self.force_close = transport._force_close  # noqa: SLF001 - there is no other way

    def resume_reading(self) -> None:
        """Read again, beginning with what is there already."""
        self._resume()
        self._loop.call_soon(self._transport._retry_ssl_read)  # noqa: SLF001 - there is no other way

    def close(self) -> None:
        """Flush, shake hands with the peer, and close."""
        self._resume()
        self._transport.close()

    def _resume(self) -> None:
        # One on top of another transport fails when that was lost, which it tells only in the next turn.
        if self._is_on_socket or self._transport.get_extra_info("socket") is not None:
            self._transport.resume_reading()

    def come_here(self, protocol: asyncio.BaseProtocol, is_paused: bool) -> None:
        """Be used in this thread, into which the event loop has moved.

        Only making its innermost part again changes what it takes for the event loop's thread, which forgets
        its protocol and whether it reads.
        """
        thread = threading.get_ident()
        if self._thread == thread:
            return
        self._thread = thread
        transport = self._transport
        made_again: Any = aiofastnet.Transport.__init__
        made_again(transport, _LoopForTLS(self._loop))
        transport.set_protocol(asyncio.BaseProtocol())
        transport._call_protocol_connection_made()  # noqa: SLF001 - there is no other way
        transport.set_protocol(protocol)
        if is_paused:
            transport.pause_reading()

    @staticmethod
    def suits(transport: object) -> bool:
        """Whether ``transport`` is one of these."""
        return hasattr(transport, "_retry_ssl_read")


class _LoopForTLS:
    """The loop, but deaf to the report of a peer that hangs up during the TLS handshake.

    That is everyday life for a listener (port scans, health checks), and the connecting side gets it as an
    exception anyway. aiofastnet 1.2 reports it as an error, and with an exception class where an exception
    belongs, which makes the loop's own error report fail.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = watching(loop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if context.get("exception") is ConnectionResetError:
            limited_log.debug(
                "%r: the peer closed the connection during the TLS handshake", context["transport"]
            )
        else:
            self._loop.call_exception_handler(context)


def _prepare(loop: asyncio.AbstractEventLoop, context: ssl.SSLContext) -> asyncio.AbstractEventLoop:
    """The loop for TLS with ``context``.

    What of a context calls back into Python finds Python's own object behind each connection. aiofastnet 1.2
    makes its connections without one, and the process crashes; it has a slower way that makes one.
    """
    callbacks = (context.sni_callback, context.keylog_filename, getattr(context, "_msg_callback", None))
    if any(callback is not None for callback in callbacks):
        context._aiofastnet_force_fallback_ssl = True  # type: ignore[attr-defined]  # noqa: SLF001
    return cast(asyncio.AbstractEventLoop, _LoopForTLS(loop))
