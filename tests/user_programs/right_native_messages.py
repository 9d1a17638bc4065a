"""Native messages, of classes made at run time that type checkers take for anything."""

from __future__ import annotations

import asyncio

import protosocket
from protosocket import codecs, rpc
from protosocket.cache import protosocket_cache_pb2

MESSAGES = codecs.NativeMessages(protosocket_cache_pb2)
CODEC = rpc.NativeCodec(
    send=MESSAGES.CacheCommand, receive=MESSAGES.CacheResponse, id="message_id", control="control_code"
)


class Upper(rpc.Service):
    def unary(self, request: codecs.NativeMessage) -> codecs.NativeMessage:
        response: codecs.NativeMessage = MESSAGES.CacheResponse()
        if codecs.which_oneof(request, "kind") == "unary":
            response = MESSAGES.CacheResponse(get=MESSAGES.GetResponse(value=b"KEY"))
        return response


async def main() -> None:
    async with (
        rpc.serve("tcp://127.0.0.1:0", Upper, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        response = await client.unary(MESSAGES.CacheCommand())
        print(response.get.value)
        encoded: bytes = MESSAGES.encode(response)
        again: codecs.NativeMessage = MESSAGES.decode(MESSAGES.CacheResponse, encoded)
        print(again, MESSAGES.from_protobuf(protosocket_cache_pb2.CacheCommand()))
    codec = codecs.Native(send=MESSAGES.CacheCommand, receive=MESSAGES.CacheResponse)
    async with protosocket.connect("tcp://127.0.0.1:1", codec) as connection:
        await connection.send(MESSAGES.CacheCommand())
        print(await connection.receive())


if __name__ == "__main__":
    asyncio.run(main())
