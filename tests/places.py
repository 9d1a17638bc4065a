"""Every kind of connection there is, for tests that have to hold on all of them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

import protosocket
from protosocket import TLS, Connection, ConnectionOptions, Server

if TYPE_CHECKING:
    from tests.conftest import Certificates

Handler = Callable[[Connection[Any, Any]], Awaitable[None]]

KINDS = ["memory", "tcp-aiofastnet", "tcp-loop", "unix-aiofastnet", "unix-loop", "tls-aiofastnet", "tls-loop"]


@dataclass(frozen=True)
class Place:
    """Somewhere to listen and to connect to."""

    kind: str
    url: str
    transport: Literal["aiofastnet", "loop"] = "aiofastnet"
    server_tls: TLS | None = None
    client_tls: TLS | None = None

    def listen(self, codec: Any, handler: Handler, **options: Any) -> Any:
        settings = ConnectionOptions(transport=self.transport, **options)
        return protosocket.listen(self.url, codec, handler, options=settings, tls=self.server_tls)

    def connect(self, server: Server[Any], codec: Any, **options: Any) -> Any:
        return self.connect_to(server.addresses[0], codec, **options)

    def connect_to(self, url: str, codec: Any, **options: Any) -> Any:
        settings = ConnectionOptions(transport=self.transport, **options)
        return protosocket.connect(url, codec, options=settings, tls=self.client_tls)

    @asynccontextmanager
    async def pair(
        self, codec: Any, *, served: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[tuple[Connection[Any, Any], Connection[Any, Any]]]:
        """Both ends of a connection; ``served`` are options of the listening one."""
        accepted: asyncio.Future[Connection[Any, Any]] = asyncio.get_running_loop().create_future()

        async def keep(connection: Connection[Any, Any]) -> None:
            accepted.set_result(connection)
            await connection.wait_closed()

        async with (
            self.listen(codec, keep, **(options if served is None else served)) as server,
            self.connect(server, codec, **options) as connection,
        ):
            yield connection, await accepted


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, certificates: Certificates, unix_path: str) -> Place:
    """The test runs once for each kind of connection."""
    return make_place(request.param, certificates, unix_path)


@pytest.fixture(params=["memory", "tcp-aiofastnet", "tls-aiofastnet"])
def some_place(request: pytest.FixtureRequest, certificates: Certificates, unix_path: str) -> Place:
    """The test runs once for a kind of each layer beneath."""
    return make_place(request.param, certificates, unix_path)


def make_place(kind: str, certificates: Certificates, unix_path: str) -> Place:
    scheme, _, transport = kind.partition("-")
    if scheme == "memory":
        return Place(kind, "memory://place")
    via: Literal["aiofastnet", "loop"] = "loop" if transport == "loop" else "aiofastnet"
    if scheme == "unix":
        return Place(kind, f"unix://{unix_path}", via)
    if scheme == "tcp":
        return Place(kind, "tcp://127.0.0.1:0", via)
    server_tls = TLS(certificate=certificates.server_certificate, key=certificates.server_key)
    return Place(kind, "tls://127.0.0.1:0", via, server_tls, TLS(ca=certificates.ca))


async def echo(connection: Connection[Any, Any]) -> None:
    """Sends back what it gets."""
    async for message in connection:
        await connection.send(message)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until ``condition`` holds; for what sets no event."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def write_raw(connection: Connection[Any, Any], data: bytes) -> None:
    """Put ``data`` on the wire as it is, from this end of a connection."""
    transport = connection._protocol._transport  # noqa: SLF001 - no public way to send what is no message
    assert transport is not None
    transport.write(data)


async def turns(count: int = 10) -> None:
    """Let the event loop do what it has to do."""
    for _ in range(count):
        await asyncio.sleep(0)


def reset_on_close(end: socket.socket) -> None:
    """Have the peer of ``end`` get a reset in place of the end of the stream when it is closed."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Raw:
    """A plain socket on the running loop: a peer that does what it likes."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Raw:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()

    async def connect(self, server: Server[Any]) -> Raw:
        host, _, port = server.addresses[0].removeprefix("tcp://").rpartition(":")
        await self._loop.sock_connect(self.socket, (host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def receive(self, size: int) -> bytes:
        """Exactly ``size`` bytes, or fewer if the peer ends the connection before."""
        received = b""
        while len(received) < size:
            try:
                more = await self._loop.sock_recv(self.socket, size - len(received))
            except ConnectionResetError:
                break
            if not more:
                break
            received += more
        return received

    async def ended(self) -> None:
        """Wait until the peer ends the connection."""
        try:
            while await self._loop.sock_recv(self.socket, 65536):
                pass
        except ConnectionResetError:
            pass
