"""Calls without a task: started, awaited later, or told to a function."""

from __future__ import annotations

import asyncio
from typing import assert_type

from protosocket import rpc
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

CODEC = rpc.ProtobufCodec(send=CacheCommand, receive=CacheResponse, id="message_id", control="control_code")
Call = rpc.UnaryCall[CacheResponse]


class Answers:
    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.last: rpc.UnaryCall[CacheResponse] | None = None

    def answered(self, call: rpc.UnaryCall[CacheResponse]) -> None:
        self.last = call
        if not call.cancelled() and call.exception() is None:
            self.values.append(call.result().get.value)


async def main(url: str) -> None:
    answers = Answers()
    async with rpc.connect(url, CODEC) as client:
        calls = [client.unary(CacheCommand()).start() for _ in range(3)]
        assert_type(calls, list[rpc.UnaryCall[CacheResponse]])
        for call in calls:
            assert_type((await call).get.value, bytes)
        started: Call = client.unary(CacheCommand(), timeout=1).start(answers.answered)
        started.add_done_callback(print)
        await started
        assert_type(await asyncio.wait_for(asyncio.shield(started), 1), CacheResponse)
        assert_type(await asyncio.gather(*calls), list[CacheResponse])
        assert_type(started.result().message_id, int)


if __name__ == "__main__":
    asyncio.run(main("tcp://127.0.0.1:7300"))
