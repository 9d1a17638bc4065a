"""A message of the other direction is sent."""

from __future__ import annotations

import protosocket
from protosocket import codecs
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse


async def main() -> None:
    codec = codecs.Protobuf(send=CacheCommand, receive=CacheResponse)
    async with protosocket.connect("tcp://127.0.0.1:7300", codec) as connection:
        await connection.send(CacheResponse())  # error: arg-type, reportArgumentType
        message = await connection.receive()
        print(message.unary)  # error: attr-defined, reportAttributeAccessIssue
