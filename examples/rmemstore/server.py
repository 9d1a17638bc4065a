"""A server of rmemstore's protocol: values, and maps of maps of them, under keys, in bounded memory.

    python examples/rmemstore/server.py [URL]

URL is where to listen (default: tcp://127.0.0.1:9466). It prints where that is and serves until Ctrl-C or
SIGTERM. rmemstore's own clients can use it: https://github.com/kvc0/rmemstore
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import OrderedDict

from rmemstore_pb2 import Response, Rpc, Value

from protosocket import ConnectionOptions, rpc

CODEC = rpc.ProtobufCodec(send=Rpc, receive=Response, id="id", control="code")

# The published client takes answers of up to 8 MiB.
OPTIONS = ConnectionOptions(receive_limit=8 * 1024 * 1024)

MAX_BYTES = 256 * 1024 * 1024


class Store:
    """Values under keys; when they are more than ``max_bytes``, those not used for longest go."""

    def __init__(self, max_bytes: int) -> None:
        self._values: OrderedDict[bytes, Value] = OrderedDict()
        self._free = max_bytes

    def put(self, key: bytes, value: Value) -> None:
        self._remove(self._values.pop(key, None), key)
        self._values[key] = value
        self._free -= len(key) + value.ByteSize()
        while self._free < 0:
            oldest, dropped = self._values.popitem(last=False)
            self._remove(dropped, oldest)

    def get(self, key: bytes) -> Value | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def _remove(self, value: Value | None, key: bytes) -> None:
        if value is not None:
            self._free += len(key) + value.ByteSize()


class Rmemstore(rpc.Service):
    """One connection to the one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def unary(self, request: Rpc) -> Response:
        command = request.WhichOneof("command")
        if command == "put":
            if not is_whole(request.put.value):
                return Response()
            self._store.put(request.put.key, request.put.value)
            return Response(ok=True)
        if command == "get":
            return Response(value=self._store.get(request.get.key))
        raise rpc.Rejected("neither put nor get")


def is_whole(value: Value) -> bool:
    """Whether ``value``, and every value in it, is of some kind."""
    if value.WhichOneof("kind") == "map":
        return all(is_whole(inner) for inner in value.map.map.values())
    return value.WhichOneof("kind") is not None


async def main(url: str = "tcp://127.0.0.1:9466") -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    store = Store(MAX_BYTES)
    async with rpc.serve(url, lambda: Rmemstore(store), CODEC, options=OPTIONS) as server:
        print(f"listening on {server.addresses[0]}", flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
