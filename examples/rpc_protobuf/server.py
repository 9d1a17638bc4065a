"""The greeter's server: protobuf messages, one reply or a stream of them.

    python examples/rpc_protobuf/server.py [URL]

URL is where to listen (default: tcp://127.0.0.1:9000). It prints where that is and serves until Ctrl-C or
SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

from greeter_pb2 import HelloReply, HelloRequest

from protosocket import rpc
from protosocket.rpc.service import Handler

CODEC = rpc.ProtobufCodec(send=HelloRequest, receive=HelloReply, id="id", control="control")


class Greeter(rpc.Service):
    """One connection; what belongs to it is a plain attribute."""

    def connected(self) -> None:
        self.greeted = 0

    def select(self, request: HelloRequest) -> Handler:
        return self.stream if request.times else self.unary

    async def unary(self, request: HelloRequest) -> HelloReply:
        if not request.name:
            raise rpc.Rejected("nobody to greet")
        self.greeted += 1
        return HelloReply(text=f"Hello, {request.name}! You are number {self.greeted} on this connection.")

    async def stream(self, request: HelloRequest) -> AsyncIterator[HelloReply]:
        for number in range(1, request.times + 1):
            yield HelloReply(text=f"Hello {number}, {request.name}!")


async def main(url: str = "tcp://127.0.0.1:9000") -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with rpc.serve(url, Greeter, CODEC) as server:
        print(f"listening on {server.addresses[0]}", flush=True)
        await stopped.wait()


asyncio.run(main(*sys.argv[1:]))
