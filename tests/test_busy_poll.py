"""``ConnectionOptions(busy_poll=...)``: the event loop does not sleep for a while after a read or write."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import resource
import time
import weakref
from typing import Any

import pytest
from tests.rpc_support import CODEC, message, served, until

import protosocket
from protosocket import rpc
from protosocket.codecs import Lines
from protosocket.options import ConnectionOptions

pytestmark = pytest.mark.every_loop

NAPS = 20


async def sleeps() -> int:
    """How many times this thread was put to sleep while the event loop waited for twenty timers."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    for _ in range(NAPS):
        await asyncio.sleep(0.003)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before


async def test_by_default_the_event_loop_sleeps() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.unary(message(b"echo"))
        assert await sleeps() >= NAPS * 3 / 4


@pytest.mark.parametrize("tasks", [1, 32])
async def test_by_default_it_sleeps_when_the_calls_are_over(tasks: int) -> None:
    async with served() as (url, _), rpc.connect(url, CODEC, connections=2) as client:

        async def work() -> None:
            for _ in range(1000 // tasks):
                await client.unary(message(b"echo"))

        for _ in range(3):
            await asyncio.gather(*(work() for _ in range(tasks)))
            assert await sleeps() >= NAPS * 3 / 4


async def test_zero_sleeps_beside_connections_that_do_not() -> None:
    never = ConnectionOptions(busy_poll=0)
    async with served(options=never) as (url, _), rpc.connect(url, CODEC, options=never) as client:
        await client.unary(message(b"echo"))
        brief = ConnectionOptions(busy_poll=0.01)
        async with rpc.connect(url, CODEC, options=brief) as other:
            await other.unary(message(b"echo"))
            await asyncio.sleep(0.02)
            for _ in range(100):
                await client.unary(message(b"echo"))
            assert await sleeps() >= NAPS * 3 / 4


@pytest.mark.parametrize("busy", ["client", "server", "both"])
async def test_it_stays_awake_after_a_call_and_serves_timers(busy: str) -> None:
    options = ConnectionOptions(busy_poll=1.0)
    served_with: dict[str, Any] = {} if busy == "client" else {"options": options}
    called_with: dict[str, Any] = {} if busy == "server" else {"options": options}
    async with served(**served_with) as (url, _), rpc.connect(url, CODEC, **called_with) as client:
        await client.unary(message(b"echo"))
        began = time.monotonic()
        slept = await sleeps()
        # A slow machine may have used up the second.
        assert slept <= NAPS / 4 or time.monotonic() - began > 0.9
        assert (await client.unary(message(b"echo on"))).body == b"echo on"


async def test_it_sleeps_again_when_the_time_has_passed() -> None:
    options = ConnectionOptions(busy_poll=0.01)
    async with served(options=options) as (url, _), rpc.connect(url, CODEC, options=options) as client:
        for _ in range(3):
            await client.unary(message(b"echo"))
            await asyncio.sleep(0.02)
            assert await sleeps() >= NAPS * 3 / 4


async def test_a_connection_that_is_closed_lets_it_sleep_when_the_time_has_passed() -> None:
    options = ConnectionOptions(busy_poll=0.02)
    async with served() as (url, _):
        async with rpc.connect(url, CODEC, options=options) as client:
            await client.unary(message(b"echo"))
        await asyncio.sleep(0.03)
        assert await sleeps() >= NAPS * 3 / 4


async def test_message_streams_have_it_too() -> None:
    options = ConnectionOptions(busy_poll=1.0)

    async def shout(connection: Any) -> None:
        async for line in connection:
            await connection.send(line.upper())

    async with (
        protosocket.listen("tcp://127.0.0.1:0", Lines(), shout) as server,
        protosocket.connect(server.addresses[0], Lines(), options=options) as connection,
    ):
        await connection.send("a")
        assert await anext(aiter(connection)) == "A"
        began = time.monotonic()
        assert await sleeps() <= NAPS / 4 or time.monotonic() - began > 0.9


async def test_connections_with_different_times_share_one_event_loop() -> None:
    async with served() as (url, _):
        clients = [
            await rpc.connect(url, CODEC, options=ConnectionOptions(busy_poll=seconds), connections=5)
            for seconds in (0.001, 0.5, 0.002)
        ]
        for client in clients:
            await asyncio.gather(*(client.unary(message(b"echo")) for _ in range(10)))
        began = time.monotonic()
        slept = await sleeps()
        assert slept <= NAPS / 4 or time.monotonic() - began > 0.4
        for client in clients:
            await client.close()


class Held:
    """Something that a context holds."""


async def test_polling_does_not_keep_the_context_it_began_in() -> None:
    held: contextvars.ContextVar[Held] = contextvars.ContextVar("held")
    options = ConnectionOptions(busy_poll=1.0)
    async with served() as (url, _), rpc.connect(url, CODEC, options=options) as client:
        await client.ready()

        async def first() -> weakref.ref[Held]:
            held.set(Held())
            await client.unary(message(b"echo"))
            return weakref.ref(held.get())

        left = await asyncio.create_task(first())
        await asyncio.sleep(0.01)
        gc.collect()
        assert left() is None


def test_an_event_loop_that_polled_is_collected() -> None:
    async def call() -> None:
        options = ConnectionOptions(busy_poll=1.0)
        async with served(options=options) as (url, _), rpc.connect(url, CODEC, options=options) as client:
            await client.unary(message(b"echo"))
            await until(lambda: client.connections == 1)

    event_loop = asyncio.new_event_loop()
    left = weakref.ref(event_loop)
    event_loop.run_until_complete(call())
    event_loop.close()
    del event_loop
    gc.collect()
    gc.collect()
    assert left() is None
