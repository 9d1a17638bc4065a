"""A client of rmemstore's protocol: stores strings, bytes and maps of maps, and reads them back.

    python examples/rmemstore/client.py [URL]

URL is where the server listens (default: tcp://127.0.0.1:9466): the one beside this file, or rmemstored.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import TypeAlias

from rmemstore_pb2 import Get, Map, Put, Response, Rpc
from rmemstore_pb2 import Value as Message

from protosocket import ConnectionOptions, rpc

CODEC = rpc.ProtobufCodec(send=Rpc, receive=Response, id="id", control="code")
OPTIONS = ConnectionOptions(receive_limit=8 * 1024 * 1024)

Value: TypeAlias = "bytes | str | Mapping[str, Value]"


class Rmemstore:
    """Values by key over an open RPC client, which many tasks may use at once."""

    def __init__(self, client: rpc.Client[Rpc, Response]) -> None:
        self._client = client

    async def put(self, key: bytes, value: Value) -> None:
        response = await self._client.unary(Rpc(put=Put(key=key, value=to_message(value))), timeout=5)
        if not response.ok:
            raise ValueError(f"the server did not take the value of {key!r}")

    async def get(self, key: bytes) -> Value | None:
        """The value, or ``None`` if there is none."""
        response = await self._client.unary(Rpc(get=Get(key=key)), timeout=5)
        return from_message(response.value) if response.HasField("value") else None


def to_message(value: Value) -> Message:
    if isinstance(value, bytes):
        return Message(blob=value)
    if isinstance(value, str):
        return Message(string=value)
    return Message(map=Map(map={name: to_message(inner) for name, inner in value.items()}))


def from_message(message: Message) -> Value:
    kind = message.WhichOneof("kind")
    if kind == "blob":
        return message.blob
    if kind == "string":
        return message.string
    if kind == "map":
        # Their order on the wire means nothing, and a dict would show it.
        return {name: from_message(inner) for name, inner in sorted(message.map.map.items())}
    raise ValueError("the server sent a value of no kind")


async def main(url: str = "tcp://127.0.0.1:9466") -> None:
    async with rpc.connect(url, CODEC, options=OPTIONS) as client:
        store = Rmemstore(client)
        await store.put(b"greeting", "hello")
        await store.put(b"bytes", b"\x00\x01\x02")
        await store.put(b"nested", {"outer": {"inner": {"text": "deep down"}, "blob": b"\xff"}})
        for key in (b"greeting", b"bytes", b"nested", b"nothing"):
            print(f"{key.decode()}: {await store.get(key)!r}")

        keys = [b"key %d" % number for number in range(1000)]
        await asyncio.gather(*(store.put(key, key.decode()) for key in keys))
        values = await asyncio.gather(*(store.get(key) for key in keys))
        assert values == [key.decode() for key in keys]
        print(f"{len(values)} values at once")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
