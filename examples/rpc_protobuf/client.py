"""The greeter's client: a call, a stream, a refused call.

    python examples/rpc_protobuf/client.py [URL]

URL is where the server listens (default: tcp://127.0.0.1:9000).
"""

from __future__ import annotations

import asyncio
import sys

from greeter_pb2 import HelloReply, HelloRequest

from protosocket import rpc

CODEC = rpc.ProtobufCodec(send=HelloRequest, receive=HelloReply, id="id", control="control")


async def main(url: str = "tcp://127.0.0.1:9000") -> None:
    async with rpc.connect(url, CODEC) as client:
        reply = await client.unary(HelloRequest(name="Ada"), timeout=5)
        print(reply.text)

        async for reply in client.stream(HelloRequest(name="Grace", times=3), timeout=5):
            print(reply.text)

        try:
            await client.unary(HelloRequest(), timeout=5)
        except rpc.CancelledRemotely:
            print("The server did not want to greet nobody.")


asyncio.run(main(*sys.argv[1:]))
