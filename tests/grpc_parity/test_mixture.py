"""Many calls at once on one channel: some are cancelled, expire or fail, the others do not notice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from tests.grpc_parity.handlers import Context
from tests.grpc_parity.world import Joined, World

CALLS = 300


class Service:
    """Echoes with a mark; ``fail`` aborts, ``wait`` waits until it is cancelled."""

    def __init__(self) -> None:
        self._running = 0
        self.idle = asyncio.Event()

    async def _answer(self, request: bytes, context: Context) -> bytes:
        if request == b"fail":
            await context.abort(StatusCode.DATA_LOSS, "as asked")
        if request == b"wait":
            await asyncio.Event().wait()
        return request + b"!"

    async def unary(self, request: bytes, context: Context) -> bytes:
        self._enter()
        try:
            return await self._answer(request, context)
        finally:
            self._leave()

    async def stream(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        self._enter()
        try:
            async for request in requests:
                yield await self._answer(request, context)
        finally:
            self._leave()

    def _enter(self) -> None:
        self._running += 1
        self.idle.clear()

    def _leave(self) -> None:
        self._running -= 1
        if not self._running:
            self.idle.set()


async def one_call(joined: Joined, chance: random.Random, number: int) -> str:
    """One call with a random fate; what became of it."""
    fate = chance.choice(["fine", "fine", "fine", "fail", "cancel", "expire"])
    last = {"fine": b"last", "fail": b"fail", "cancel": b"wait", "expire": b"wait"}[fate]
    options = {"timeout": chance.uniform(0.01, 0.1)} if fate == "expire" else {}
    if chance.random() < 0.5:
        call = joined.unary_unary(last, **options)
        if fate == "cancel":
            await asyncio.sleep(chance.uniform(0, 0.02))
            call.cancel()
        answer: Any = await call
        assert answer == b"last!"
        return fate
    call = joined.stream_stream(**options)
    for turn in range(chance.randrange(1, 8)):
        message = b"%d/%d" % (number, turn) + bytes(chance.randrange(3000))
        await call.write(message)
        assert await call.read() == message + b"!"
    await call.write(last)
    if fate == "cancel":
        await asyncio.sleep(chance.uniform(0, 0.02))
        call.cancel()
    assert await call.read() == b"last!"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    return fate


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_mixture(world: World, seed: int) -> None:
    service = Service()
    joined = await world.join(unary_unary=service.unary, stream_stream=service.stream)
    chance = random.Random(seed)
    meaning = {StatusCode.DATA_LOSS: "fail", StatusCode.DEADLINE_EXCEEDED: "expire"}
    if world.name == "grpc.aio":
        # So it calls a deadline that passes while it writes.
        meaning[StatusCode.INTERNAL] = "expire"

    async def judged(number: int) -> str:
        own = random.Random(chance.random())
        try:
            return await one_call(joined, own, number)
        except asyncio.CancelledError:
            return "cancel"
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            if isinstance(error, asyncio.InvalidStateError):
                return "expire"  # noticed while writing
            return meaning[error.code()]

    fates = await asyncio.gather(*(judged(number) for number in range(CALLS)))
    for fate in ("fine", "fail", "cancel", "expire"):
        assert fates.count(fate) > CALLS // 20
    await service.idle.wait()
    assert await joined.unary_unary(b"after") == b"after!"
