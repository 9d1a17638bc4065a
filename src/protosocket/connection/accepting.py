"""Accepting connections: each becomes a transport with a protocol of its own."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

from protosocket.connection.fast_tls import FastNet
from protosocket.connection.handover import start_plain
from protosocket.event_loops import background_task
from protosocket.limited_log import limited_log
from protosocket.options import ConnectionOptions

__all__ = ["Acceptor"]

ProtocolFactory = Callable[[], asyncio.BufferedProtocol]

_RETRY_SECONDS = 1.0
"""For which nobody is accepted once there are no descriptors: asyncio's ``ACCEPT_RETRY_DELAY``."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts on ``sock``, which it closes, until ``close``; with ``context`` for TLS."""

    __slots__ = ("_backlog", "_context", "_factory", "_handshakes", "_loop", "_options", "_retry", "_sock")

    def __init__(
        self,
        sock: socket.socket,
        factory: ProtocolFactory,
        options: ConnectionOptions,
        context: ssl.SSLContext | None,
        backlog: int,
    ) -> None:
        self._sock = sock
        self._factory = factory
        self._options = options
        self._context = context
        self._backlog = backlog
        self._handshakes: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._watch()

    def close(self) -> None:
        """Accept nobody any more. Handshakes that are under way go on. May be repeated."""
        if self._retry is not None:
            self._retry.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _watch(self) -> None:
        self._retry = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(self._backlog):
            # A protocol may have closed this.
            if self._sock.fileno() < 0:
                return
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                    return
                # Linux tells here what has become of the connection meanwhile (accept(2)).
                limited_log.debug("a connection ended before it was accepted: %s", error)
                continue
            sock.setblocking(False)
            self._accepted(sock)

    def _rest(self, error: OSError) -> None:
        """Say so, and accept nobody for a while: who connects waits in the backlog."""
        self._loop.remove_reader(self._sock.fileno())
        self._retry = self._loop.call_later(_RETRY_SECONDS, self._watch)
        text = f"no connection is accepted for {_RETRY_SECONDS:g} s: too few descriptors or memory"
        self._loop.call_exception_handler({"message": text, "exception": error, "socket": self._sock})

    def _accepted(self, sock: socket.socket) -> None:
        try:
            protocol = self._factory()
        except BaseException:
            sock.close()
            raise
        if self._context is None:
            start_plain(sock, protocol)
            return
        handshake = self._shake_hands(sock, protocol, self._context)
        task = background_task(self._loop, handshake, "protosocket handshake")
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(
        self, sock: socket.socket, protocol: asyncio.BufferedProtocol, context: ssl.SSLContext
    ) -> None:
        try:
            await FastNet(self._loop).connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=context,
                ssl_handshake_timeout=self._options.connect_timeout,
                ssl_shutdown_timeout=self._options.close_timeout,
            )
        except OSError as error:
            # TLS errors are such; the protocol never hears of it.
            limited_log.debug("an accepted connection ended in its TLS handshake: %s", error)
