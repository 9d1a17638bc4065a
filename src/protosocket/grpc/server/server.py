"""``server``: a gRPC server over protosocket, and with the same handlers over gRPC itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import grpc

from protosocket.connection import Server as Listening
from protosocket.connection import open_server
from protosocket.errors import ConnectError, OptionError
from protosocket.event_loops import require_loop
from protosocket.grpc.credentials import server_context
from protosocket.grpc.server.connection import ServerConnection, Start
from protosocket.grpc.server.dispatch import starter
from protosocket.grpc.server.interceptors import Handlers
from protosocket.grpc.server.listening import Port, reserve
from protosocket.grpc.server.method import CallLimit
from protosocket.grpc.server.settings import server_settings
from protosocket.grpc.wire.envelope import envelope_codec

__all__ = ["Server", "server"]

_Handlers = Sequence[grpc.GenericRpcHandler]


class Server(grpc.aio.Server):
    """Serves RPCs on protosocket and gRPC ports; made by ``protosocket.grpc.server``.

    The methods are those of ``grpc.aio.Server``, and the two that add ports for gRPC itself.
    """

    def __init__(
        self,
        thread_pool: Executor | None,
        handlers: _Handlers,
        interceptors: Sequence[Any],
        options: Sequence[tuple[str, Any]],
        maximum_concurrent_rpcs: int | None,
        compression: grpc.Compression | None,
    ) -> None:
        self._settings = server_settings(options)
        self._pool = thread_pool
        self._handlers = Handlers(interceptors)
        self._handlers.generic.extend(handlers)
        self._limit = None if maximum_concurrent_rpcs is None else CallLimit(maximum_concurrent_rpcs)
        self._for_grpc = (thread_pool, None, interceptors, options, maximum_concurrent_rpcs, compression)
        self._grpc: grpc.aio.Server | None = None
        self._ports: list[Port] = []
        self._listening: list[Listening[ServerConnection]] = []
        self._started = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline = math.inf
        self._hurry = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    # Before it starts.

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Serve what these handle; before ``start``."""
        self._handlers.generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Serve ``/service_name/method`` for each method, before any generic handler; before ``start``."""
        self._handlers.register(service_name, method_handlers)

    def add_insecure_port(self, address: str) -> int:
        """Listen for protosocket on ``address``; gives the port, chosen by the system for port 0.

        ``host:port``, ``unix:/path`` and the URLs of ``protosocket.listen``; 1 is given where there is no
        port. ``[::]`` means all addresses. Raises ``RuntimeError`` when the address cannot be had.
        """
        return self._add(reserve(address, self._settings.reuse_port))

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """The same with TLS. The credentials are those of ``protosocket.grpc.ssl_server_credentials``.

        Those of ``grpc.ssl_server_credentials`` will do; if they name root certificates, clients must have
        one of theirs. Raises ``ValueError`` for others.
        """
        context = server_context(server_credentials)
        return self._add(reserve(address, self._settings.reuse_port, context))

    def add_insecure_grpc_port(self, address: str) -> int:
        """Serve the same handlers over gRPC itself on ``address``; gives the port, as ``grpc.aio`` does."""
        return self._grpc_server().add_insecure_port(address)

    def add_secure_grpc_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """The same with TLS."""
        return self._grpc_server().add_secure_port(address, server_credentials)

    def _add(self, port: Port) -> int:
        if self._started:
            port.release()
            raise ValueError("ports are added before the server is started")
        self._ports.append(port)
        return port.number

    def _grpc_server(self) -> grpc.aio.Server:
        if self._grpc is None:
            self._grpc = grpc.aio.server(*self._for_grpc)
        return self._grpc

    # Its life.

    async def start(self) -> None:
        """Listen on every port; ``RuntimeError`` when one cannot be had, ``UsageError`` after ``stop``."""
        if self._stopping is not None:
            raise grpc.aio.UsageError("Server not in ready state")
        if self._started:
            return
        self._started = True
        self._loop = asyncio.get_running_loop()
        wire = envelope_codec().server_wire()
        starts: dict[tuple[str, bool], Start] = {}

        def start_of(path: str, streams: bool) -> Start:
            start = starts.get((path, streams))
            if start is None:
                start = starter(path, streams, self._handlers, self._settings, self._limit)
                # Paths that nobody serves come from outside, and may be any number.
                if self._handlers.knows(path):
                    starts[path, streams] = start
            return start

        try:
            for port in self._ports:
                for address in port.addresses:
                    await self._listen(str(address), wire, port, start_of)
                port.release()
        except (ConnectError, OptionError) as error:
            await self._close()
            raise RuntimeError(f"the server cannot start: {error}") from error
        except BaseException:
            # Cancelled: it listens nowhere.
            self._let_go()
            raise
        if self._grpc is not None:
            self._grpc.add_generic_rpc_handlers(tuple(self._handlers.generic))
            for service, methods in self._handlers.registered.items():
                self._grpc.add_registered_method_handlers(service, methods)
            await self._grpc.start()

    async def _listen(self, url: str, wire: Any, port: Port, start_of: Any) -> None:
        settings = self._settings
        listening: Listening[ServerConnection] = Listening(settings.connection)
        await open_server(
            listening,
            url,
            lambda: ServerConnection(wire, settings, self._pool, listening, start_of),
            settings.connection,
            port.context,
            reuse_port=settings.reuse_port and url.startswith(("tcp:", "tls:")),
            backlog=1024,
        )
        self._listening.append(listening)

    async def stop(self, grace: float | None) -> None:
        """Take no further call, let those that run end, and cancel them after ``grace`` seconds.

        ``None`` is 0. Returns when the last method has ended and every connection is closed; clients of calls
        that were cancelled see ``UNAVAILABLE``. May be repeated, with less grace. Cancelling it changes
        nothing.
        """
        self._require_loop()
        if not self._started:
            # There is nothing but ports to let go of, and it cannot be started any more.
            self._started = True
            self._grpc = None
        loop = asyncio.get_running_loop()
        self._deadline = min(self._deadline, loop.time() + (grace or 0.0))
        self._hurry.set()
        if self._stopping is None:
            self._stopping = loop.create_task(self._stop())
        ending: list[asyncio.Future[Any]] = [self._stopping]
        if self._grpc is not None:
            ending.append(asyncio.ensure_future(self._grpc.stop(grace)))
        everything = asyncio.gather(*ending)
        # Also when nobody waits for it any more.
        everything.add_done_callback(lambda _: self._stopped.set())
        await asyncio.shield(everything)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until the server is stopped; true if ``timeout`` seconds passed before that."""
        self._require_loop()
        try:
            async with asyncio.timeout(timeout):
                await self._stopped.wait()
        except TimeoutError:
            return True
        return False

    def _require_loop(self) -> None:
        if self._loop is not None and not self._stopped.is_set():
            require_loop(self._loop, "the gRPC server")

    async def _stop(self) -> None:
        for listening in self._listening:
            if listening.listener is not None:
                listening.listener.close()
        connections = [each for listening in self._listening for each in listening.protocols]
        drained: list[asyncio.Future[bool]] = []
        for connection in connections:
            connection.go_away()
            drained.append(asyncio.create_task(connection.drain()))
        if drained and not await self._within_grace(drained):
            for connection in connections:
                connection.cut_short()
            await asyncio.wait(drained)
        await self._close()

    async def _within_grace(self, drained: Sequence[asyncio.Future[Any]]) -> bool:
        """Whether all are done within the grace, which may become less meanwhile."""
        loop = asyncio.get_running_loop()
        everything: asyncio.Future[Any] = asyncio.gather(*drained)
        while not everything.done() and (left := self._deadline - loop.time()) > 0:
            self._hurry.clear()
            hurry: asyncio.Future[Any] = asyncio.ensure_future(self._hurry.wait())
            await asyncio.wait([everything, hurry], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
        return all(each.done() for each in drained)

    async def _close(self) -> None:
        await asyncio.gather(*(listening.close() for listening in self._listening))
        self._let_go()

    def _let_go(self) -> None:
        """Nobody listens on the ports any more."""
        for listening in self._listening:
            if listening.listener is not None:
                listening.listener.close()
        for port in self._ports:
            port.release()


def server(
    migration_thread_pool: Executor | None = None,
    handlers: _Handlers | None = None,
    interceptors: Sequence[Any] | None = None,
    options: Sequence[tuple[str, Any]] | None = None,
    maximum_concurrent_rpcs: int | None = None,
    compression: grpc.Compression | None = None,
) -> Server:
    """A server with the interface of ``grpc.aio.server``, for generated ``add_..._to_server`` functions.

    ``migration_thread_pool`` runs methods that are not async (default: the event loop's own threads).
    ``interceptors`` are ``grpc.aio.ServerInterceptor`` objects. Of gRPC's ``options`` these mean something on
    protosocket connections: ``grpc.max_receive_message_length`` (default 4 MiB),
    ``grpc.max_send_message_length``, ``grpc.so_reuseport`` (default 1), ``grpc.http2.lookahead_bytes`` (what
    may wait unread in each stream of requests, default 256 KiB), ``grpc.server_handshake_timeout_ms``,
    ``grpc.keepalive_time_ms`` and ``grpc.keepalive_timeout_ms``; ports for gRPC get all of them, and
    ``compression``.
    ``maximum_concurrent_rpcs`` is for all protosocket connections together, and as much again for those of
    gRPC: further calls end with ``RESOURCE_EXHAUSTED``.
    """
    return Server(
        migration_thread_pool,
        handlers or (),
        interceptors or (),
        options or (),
        maximum_concurrent_rpcs,
        compression,
    )
