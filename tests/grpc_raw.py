"""The envelope by hand, with google's protobuf on plain sockets: what the tests of gRPC's wire look at."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
from tests.oracle import varint
from tests.patience import HANG

from protosocket.grpc import envelope_pb2

Envelope = envelope_pb2.Envelope
Hello = envelope_pb2.Hello
Metadatum = envelope_pb2.Metadatum
Status = envelope_pb2.Status


def service(**handlers: Any) -> grpc.GenericRpcHandler:
    """The service ``raw.Test``, whose messages are bytes: ``name=(kind, handler)``."""
    made = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(each) for name, (kind, each) in handlers.items()
    }
    return grpc.method_handlers_generic_handler("raw.Test", made)


class RawPeer:
    """One end of a connection that does nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.sizes: list[int] = []
        """Of each message received, its length prefix included."""

    def send(self, **fields: Any) -> None:
        """Send an envelope."""
        encoded = Envelope(**fields).SerializeToString()
        self.writer.write(varint.write(len(encoded)) + encoded)

    async def receive(self) -> envelope_pb2.Envelope:
        """The next envelope; raises ``IncompleteReadError`` at the end of the connection."""
        prefix = b""
        while not prefix or prefix[-1] & 0x80:
            prefix += await self.reader.readexactly(1)
        length, _ = varint.read(prefix)
        self.sizes.append(len(prefix) + length)
        return Envelope.FromString(await self.reader.readexactly(length))

    async def greet(self, window: int = 1 << 20) -> envelope_pb2.Envelope:
        """Say hello; the other end's."""
        self.send(hello=Hello(version=1, window=window))
        return await self.receive()

    async def is_over(self) -> bool:
        """Whether the other end closes the connection, whatever it says before."""
        try:
            async with asyncio.timeout(HANG):
                await self.reader.read()
        except (TimeoutError, ConnectionError) as error:
            return isinstance(error, ConnectionError)
        return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def connect(port: int) -> RawPeer:
    """A client that has not greeted."""
    return RawPeer(*await asyncio.open_connection("127.0.0.1", port))


async def listen(serve: Callable[[RawPeer], Any]) -> tuple[asyncio.Server, int]:
    """A server that runs ``serve`` with each connection, and its port."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(peer)
        await peer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]
