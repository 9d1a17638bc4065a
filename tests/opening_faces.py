"""The public faces that open and close connections, each as a server and a client that are used alike."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.grpc_raw import service
from tests.rpc_support import PROTOBUF

import protosocket
import protosocket.grpc
from protosocket import TLS, ConnectionOptions, codecs, rpc
from protosocket.cache import StorageHandler, TokenPolicy, create_engine
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.cache.protosocket_storage import serve_storage
from protosocket.connection import TLSOption, parse_address

__all__ = ["FACES", "Face", "Place"]


@dataclass
class Place:
    """Where a face listens, and with which options."""

    scheme: str
    folder: Path
    options: ConnectionOptions
    _count: int = field(default=0, init=False)

    callbacks: bool = False
    """The contexts call back into Python, which takes other ways through TLS."""

    @property
    def server_tls(self) -> TLSOption | None:
        if self.scheme != "tls":
            return None
        tls = TLS(certificate=self.folder / "server.pem")
        if not self.callbacks:
            return tls
        context = tls.server_context()
        context.sni_callback = lambda *_: None
        return context

    @property
    def client_tls(self) -> TLSOption | None:
        if self.scheme != "tls":
            return None
        tls = TLS(ca=self.folder / "ca.pem")
        if not self.callbacks:
            return tls
        context = tls.client_context()
        context._msg_callback = lambda *_: None  # type: ignore[attr-defined]  # noqa: SLF001
        return context

    def url(self) -> str:
        """Somewhere nobody listens yet."""
        self._count += 1
        if self.scheme == "unix":
            return f"unix://{self.folder}/s{self._count}"
        return f"{self.scheme}://127.0.0.1:0"


class Face:
    """Streams; other faces override what is different."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.listening = ""
        """The URL of the server that was started last."""

    async def serve(self, *, refuse: bool = False) -> Any:
        """A server; one that is to ``refuse`` has no use for any connection."""
        handler = _refuse if refuse else _echo
        server = await protosocket.listen(
            self.place.url(), codecs.Lines(), handler, options=self.place.options, tls=self.place.server_tls
        )
        self.listening = server.addresses[0]
        return server

    async def stop(self, server: Any) -> None:
        await server.close()

    def client(self) -> Any:
        """What is there before anything is connected."""
        return None

    async def open(self, client: Any) -> Any:
        """Connect; what ``use`` and ``close`` take."""
        return await protosocket.connect(
            self.listening, codecs.Lines(), options=self.place.options, tls=self.place.client_tls
        )

    async def use(self, client: Any) -> None:
        """A message there and back."""
        await client.send("hello")
        assert await client.receive() == "hello"

    async def close(self, client: Any) -> None:
        if client is not None:
            await client.close()


async def _refuse(connection: Any) -> None:
    connection.abort()


async def _echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


class RpcFace(Face):
    """A client with a pool of two connections."""

    class Echo(rpc.Service):
        async def unary(self, request: Any) -> Any:
            return request

    class Refusing(Echo):
        def connected(self) -> None:
            raise rpc.Rejected

    async def serve(self, *, refuse: bool = False) -> Any:
        place = self.place
        server = await rpc.serve(
            place.url(),
            self.Refusing if refuse else self.Echo,
            PROTOBUF.codec,
            options=place.options,
            tls=place.server_tls,
        )
        self.listening = server.addresses[0]
        return server

    def client(self) -> Any:
        place = self.place
        return rpc.Client(
            parse_address(self.listening),
            PROTOBUF.codec,
            2,
            place.options,
            place.client_tls,
        )

    async def open(self, client: Any) -> Any:
        await client.ready()
        return client

    async def use(self, client: Any) -> None:
        assert (await client.unary(PROTOBUF.make(b"hello"))).body == b"hello"


class CacheFace(Face):
    """A client of a storage, with a token, so that each connection begins with a call."""

    async def serve(self, *, refuse: bool = False) -> Any:
        handler = StorageHandler(create_engine(1 << 20))
        place = self.place
        server = await serve_storage(
            place.url(),
            handler,
            tokens=TokenPolicy(["other" if refuse else "t"]),
            options=place.options,
            tls=place.server_tls,
        )
        self.listening = server.url
        return server

    def client(self) -> Any:
        place = self.place
        return ProtosocketCacheClient(self.listening, token="t", options=place.options, tls=place.client_tls)

    async def open(self, client: Any) -> Any:
        await self.use(client)
        return client

    async def use(self, client: Any) -> None:
        await client.get("namespace", b"key")


class GrpcFace(Face):
    """A channel of ``protosocket.grpc``."""

    async def serve(self, *, refuse: bool = False) -> Any:
        async def echo(request: bytes, context: Any) -> bytes:
            return request

        server = protosocket.grpc.server(handlers=(service(echo=("unary_unary", echo)),))
        url = self.place.url()
        target = url.removeprefix("tls://").removeprefix("tcp://")
        if self.place.scheme == "tls":
            pem = (self.place.folder / "server.pem").read_bytes()
            port = server.add_secure_port(target, protosocket.grpc.ssl_server_credentials(((pem, pem),)))
        else:
            port = server.add_insecure_port(target)
        self.listening = url if self.place.scheme == "unix" else f"127.0.0.1:{port}"
        try:
            await server.start()
        except BaseException:
            await server.stop(None)
            raise
        return server

    async def stop(self, server: Any) -> None:
        await server.stop(None)

    def client(self) -> Any:
        if self.place.scheme != "tls":
            return protosocket.grpc.insecure_channel(self.listening)
        ca = (self.place.folder / "ca.pem").read_bytes()
        return protosocket.grpc.secure_channel(self.listening, protosocket.grpc.ssl_channel_credentials(ca))

    async def open(self, client: Any) -> Any:
        await client.channel_ready()
        return client

    async def use(self, client: Any) -> None:
        assert await client.unary_unary("/raw.Test/echo")(b"hello", wait_for_ready=True) == b"hello"


FACES: dict[str, type[Face]] = {"streams": Face, "rpc": RpcFace, "cache": CacheFace, "grpc": GrpcFace}


def descriptors() -> set[tuple[int, str]]:
    """What this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except OSError:  # the listing's own
            continue
    return found


def watched(loop: asyncio.AbstractEventLoop) -> int:
    """How many descriptors asyncio's own loop watches; uvloop does not tell."""
    selector = getattr(loop, "_selector", None)
    return 0 if selector is None else len(selector.get_map())
