"""Message streams: both ends, and a codec of one's own."""

from __future__ import annotations

import asyncio
from typing import assert_type

import protosocket
from protosocket import codecs
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse


class Shout:
    """Messages are texts, each after its length in one byte."""

    def encode(self, message: str, /) -> bytes:
        return bytes([len(message)]) + message.encode()

    def decode(self, unread: memoryview, /) -> codecs.Decoded[str] | codecs.Incomplete | codecs.Invalid:
        size = unread[0]
        if len(unread) <= size:
            return codecs.Incomplete(size + 1)
        return codecs.Decoded(str(unread[1 : size + 1], "ascii"), size + 1)


async def serve_one(connection: protosocket.Connection[CacheResponse, CacheCommand]) -> None:
    async for command in connection:
        assert_type(command, CacheCommand)
        await connection.send(CacheResponse(message_id=command.message_id))


def opening(url: str) -> protosocket.Opening[protosocket.Connection[str, str]]:
    return protosocket.connect(url, Shout())


async def main() -> None:
    asking = codecs.Protobuf(send=CacheCommand, receive=CacheResponse)
    answering = codecs.Protobuf(send=CacheResponse, receive=CacheCommand)
    async with protosocket.listen("tcp://127.0.0.1:0", answering, serve_one) as server:
        async with protosocket.connect(server.addresses[0], asking) as connection:
            assert_type(connection, protosocket.Connection[CacheCommand, CacheResponse])
            await connection.send(CacheCommand(message_id=1))
            assert_type(await connection.receive(), CacheResponse)
        options = protosocket.ConnectionOptions(connect_timeout=1.0, receive_limit=1 << 20)
        tls = protosocket.TLS(ca="ca.pem")
        secure = protosocket.connect("tls://127.0.0.1:1", codecs.Bytes(), options=options, tls=tls)
        assert_type(secure, protosocket.Opening[protosocket.Connection[bytes, bytes]])
        lines = await protosocket.connect(server.addresses[0], codecs.Lines())
        assert_type(await lines.receive(), str)
        async with opening(server.addresses[0]) as shouting:
            await shouting.send("hey")


if __name__ == "__main__":
    asyncio.run(main())
