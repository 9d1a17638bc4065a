"""The life of a connection: made, closed gracefully or cut off, lost; what every protocol object shares."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import types
from typing import TYPE_CHECKING, Any, cast

from protosocket._core import SocketTransport
from protosocket.connection.asyncio_tls import AsyncioTLS
from protosocket.connection.endpoint import configure_socket, peer_name
from protosocket.connection.fast_tls import FastTLS
from protosocket.connection.polling import busy_poller
from protosocket.errors import ConnectionClosed, InvalidMessage, MessageTooLarge
from protosocket.event_loops import require_loop, stops_with_the_interpreter
from protosocket.limited_log import limited_log
from protosocket.options import ConnectionOptions
from protosocket.telemetry import ConnectionStatistics

if TYPE_CHECKING:
    from protosocket._core import Connection

    _Native = Connection
else:
    _Native = object

__all__ = ["ConnectionProtocol", "native_limits"]


def native_limits(options: ConnectionOptions) -> tuple[int, int, int, int]:
    """The limits of ``options`` in the order in which the native connections take them."""
    return (
        options.receive_limit,
        options.send_queue_messages,
        options.send_queue_bytes,
        options.read_budget_messages,
    )


class ConnectionProtocol(asyncio.BufferedProtocol, _Native):
    """The Python half of a protocol object; the other half is a native connection.

    A class derives from a native connection first and from this second. The native half reads, queues and
    flushes; this half knows the transport's life. ``_ended`` is the hook for what happens when it is over.
    """

    def _setup(self, options: ConnectionOptions) -> None:
        self._options = options
        self._transport: asyncio.Transport | FastTLS | AsyncioTLS | None = None
        self._loop = asyncio.get_running_loop()
        stops_with_the_interpreter(self._loop)
        self._closed = self._loop.create_future()
        self.error: ConnectionClosed | None = None
        """What ended the connection; ``None`` if it lives, or was closed or cut off on purpose."""
        self._closing = False
        self._cut_off: asyncio.TimerHandle | None = None
        self._doubt: asyncio.TimerHandle | None = None
        self._room_waiters: list[asyncio.Future[None]] = []
        self._is_tls = False
        self._socket: socket.socket | None = None
        self.peer = "unknown peer"

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.peer = peer_name(transport)
        configure_socket(transport, self._options)
        self._socket = transport.get_extra_info("socket")
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        is_fast = FastTLS.suits(transport)
        if is_fast:
            self._transport = FastTLS(transport, self._loop)
        else:
            # Ours have the methods of asyncio.Transport, not its type.
            self._transport = AsyncioTLS.of(transport) or cast("asyncio.Transport", transport)
        seconds = self._options.busy_poll
        poller = None if seconds == 0 else busy_poller(self._loop)
        polling = None if poller is None else (poller, seconds)
        direct = is_fast or isinstance(transport, SocketTransport)
        self._attach(self._transport, self._loop, direct, polling)

    def eof_received(self) -> None:
        """The peer sends no more, which ends the connection."""
        # The transport closes itself next, which it may not in another thread than before.
        self._follow()
        if not self._closing:
            carried = self._transport
            self._judge_end(None, is_cut=isinstance(carried, AsyncioTLS) and not carried.peer_closed())
            # The transport closes itself now; a peer that does not read either must not keep it for ever.
            self._begin_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, because of ``exc`` or as it should."""
        if self._closed.done():
            return
        if not self._closing:
            # Without an EOF before: a reset, or TLS cut off underneath.
            self._judge_end(exc, is_cut=self._is_tls and (exc is None or isinstance(exc, ssl.SSLEOFError)))
            self._closing = True
        if self._cut_off is not None:
            self._cut_off.cancel()
            self._cut_off = None
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None
        self._detach()
        self._transport = self._socket = None
        self._closed.set_result(None)
        self._room()
        self._ended()

    def _judge_end(self, exc: Exception | None, *, is_cut: bool) -> None:
        """Nothing more arrives, and not by our doing: it is an error unless the peer closed properly.

        ``is_cut``: TLS ended without close_notify. Anybody in between can do that (RFC 8446, 6.1).
        """
        if is_cut:
            where = " in the middle of a message" if self._unread else ""
            self.error = ConnectionClosed(
                f"the TLS connection to {self.peer} was cut off{where}: it ended without close_notify, "
                "so more may have been sent than has arrived",
                peer=self.peer,
            )
            self.error.__cause__ = exc
        elif exc is not None:
            self.error = ConnectionClosed(f"the connection to {self.peer} was lost: {exc}", peer=self.peer)
            self.error.__cause__ = exc
        elif self._unread:
            self.error = ConnectionClosed(
                f"{self.peer} closed the connection in the middle of a message", peer=self.peer
            )

    def _begin_closing(self) -> None:
        """Nothing more is sent but what is queued, for which there is ``close_timeout``."""
        # First what raises in another thread, in asyncio's debug mode: then nothing has changed.
        self._cut_off = self._loop.call_later(self._options.close_timeout, self.abort)
        self._closing = True
        self._finish()
        self._room()

    # What the native half calls.

    def _came(self) -> None:
        """Somebody uses the connection in another thread than before, or in no task of its event loop."""
        require_loop(self._loop, f"the connection to {self.peer}")
        if isinstance(self._transport, FastTLS):
            try:
                self._transport.come_here(self, self._is_halted)
            except Exception as failure:
                self._transport_failed(failure)

    def _transport_failed(self, failure: Exception) -> None:
        """Nothing can be expected of the transport any more: end the connection without it, if it must be."""
        if self._closing:
            return
        self._judge_end(failure, is_cut=False)
        self._closing = True
        assert self._transport is not None
        try:
            if isinstance(self._transport, FastTLS):
                self._transport.force_close(failure)
            else:
                self._transport.abort()
        except Exception:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            self._loop.call_soon(self.connection_lost, failure)

    def _too_large(self, size: int) -> None:
        """The peer announced a message of ``size`` bytes."""
        limit = self._options.receive_limit
        error = MessageTooLarge(
            f"{self.peer} sent a message of {size} bytes, over the receive limit of {limit}; "
            f"raise receive_limit if that is intended",
            peer=self.peer,
            size=size,
            limit=limit,
        )
        limited_log.warning("connection ended: %s", error)
        self._fail(error)

    def _invalid(self, detail: str, cause: BaseException | None) -> None:
        """The peer sent what is no message."""
        error = InvalidMessage(f"{self.peer} sent bytes that are no message: {detail}", peer=self.peer)
        error.__cause__ = cause
        limited_log.warning("connection ended: %s", error)
        self._fail(error)

    def _doubtful(self, what: str) -> None:
        """What has come of the first message begins like another protocol, and may be one all the same."""

        def judge() -> None:
            self._doubt = None
            if not self._closing and not self._counts()["messages_received"]:
                self._invalid(what, None)

        # As long as a peer has for its TLS handshake: who sends one message waits for nothing in between.
        self._doubt = self._loop.call_later(self._options.connect_timeout, judge)

    def _room(self) -> None:
        waiters, self._room_waiters = self._room_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # What the layers above use.

    def _ended(self) -> None:
        """The connection is over; overridden by what has calls or receivers waiting."""

    def _fail(self, error: ConnectionClosed) -> None:
        """Cut the connection off because of ``error``."""
        if self.error is None:
            self.error = error
        self.abort()

    def _closed_error(self) -> ConnectionClosed:
        """What to raise for an attempt to use the connection after its end."""
        if self.error is not None:
            # A fresh one each time: tracebacks would pile up on a shared object.
            error = type(self.error)(str(self.error), peer=self.peer)
            if isinstance(error, MessageTooLarge) and isinstance(self.error, MessageTooLarge):
                error.size, error.limit = self.error.size, self.error.limit
            error.__cause__ = self.error.__cause__
            return error
        return ConnectionClosed(f"the connection to {self.peer} is closed", peer=self.peer)

    async def _until_room(self) -> None:
        """Wait until the send queue has room; ``ConnectionClosed`` if the connection ends first."""
        while not self._has_room():
            require_loop(self._loop, f"the connection to {self.peer}")
            waiter = self._loop.create_future()
            self._room_waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._room_waiters:
                    self._room_waiters.remove(waiter)
                raise
        if self._closing:
            raise self._closed_error()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended or is being closed: nothing more can be sent."""
        return self._closing

    async def close(self) -> None:
        """Send what is queued, then close; cut off after ``close_timeout`` seconds. May be repeated.

        Cancelling it cuts the connection off at once.
        """
        if self._transport is None:
            return
        self._require_home()
        if not self._closing:
            self._begin_closing()
            self._transport.close()
        try:
            await asyncio.shield(self._closed)
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """Cut the connection off: what is queued is lost. May be repeated."""
        # It tells of the loss in a later turn, and raises in another thread in asyncio's debug mode.
        if self._transport is not None:
            self._require_home()
            self._transport.abort()
        self._closing = True

    async def wait_closed(self) -> None:
        """Wait until the connection has ended. Cancelling it changes nothing."""
        self._require_home()
        await asyncio.shield(self._closed)

    def statistics(self) -> ConnectionStatistics:
        """The connection's counters now."""
        messages, size = self._queue
        return ConnectionStatistics(
            **self._counts(),
            send_queue_messages=messages,
            send_queue_bytes=size,
            in_flight=getattr(self, "_in_flight", 0),
        )

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        await self.close()
