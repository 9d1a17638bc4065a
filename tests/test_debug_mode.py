"""Calls from a wrong thread in asyncio's debug mode: they raise and leave everything as it was."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from tests.patience import HANG
from tests.rpc_support import CODEC, message, served

import protosocket
from protosocket import ConnectionOptions, codecs, rpc

pytestmark = pytest.mark.every_loop


@pytest.fixture(autouse=True)
async def debug() -> None:
    """The event loop looks at which thread calls it."""
    asyncio.get_running_loop().set_debug(True)


async def refused(coroutine: Coroutine[Any, Any, Any]) -> None:
    """The coroutine raises when another thread takes its first step."""

    def step() -> None:
        try:
            with pytest.raises(RuntimeError, match=r"[Nn]on-thread-safe|thread|loop"):
                coroutine.send(None)
        finally:
            coroutine.close()

    await asyncio.to_thread(step)


async def receives(connection: protosocket.Connection[bytes, bytes]) -> bytes:
    async with asyncio.timeout(HANG):
        return await connection.receive()


@contextlib.asynccontextmanager
async def pair(
    transport: Any, **options: Any
) -> AsyncIterator[tuple[protosocket.Connection[bytes, bytes], protosocket.Connection[bytes, bytes]]]:
    """Both ends of a connection."""
    accepted: asyncio.Future[protosocket.Connection[bytes, bytes]] = asyncio.Future()
    settings = ConnectionOptions(transport=transport, **options)

    async def keep(connection: protosocket.Connection[bytes, bytes]) -> None:
        accepted.set_result(connection)
        await connection.wait_closed()

    async with (
        protosocket.listen("tcp://127.0.0.1:0", codecs.Bytes(), keep, options=settings) as server,
        protosocket.connect(server.addresses[0], codecs.Bytes(), options=settings) as connection,
    ):
        yield connection, await accepted


async def test_a_stream_sends_after_it(transport: Any) -> None:
    async with pair(transport) as (near, far):
        for number in range(3):
            await refused(near.send(b"from a wrong thread"))
            await near.send(b"%d" % number)
            assert await receives(far) == b"%d" % number


async def test_a_stream_reads_on_after_it(transport: Any) -> None:
    async with pair(transport, send_queue_messages=4) as (near, far):
        for number in range(40):
            await far.send(b"%d" % number)
        assert await receives(near) == b"0"
        received: list[bytes] = []

        def take() -> None:
            # Each has a message, or raises because the connection should read on.
            for _ in range(10):
                step = near.receive()
                try:
                    step.send(None)
                except StopIteration as taken:
                    received.append(taken.value)
                except RuntimeError:
                    received.append(b"raised")
                    return
                finally:
                    step.close()

        await asyncio.sleep(0.01)
        await asyncio.to_thread(take)
        assert received.pop() == b"raised"
        received += [await receives(near) for _ in range(39 - len(received))]
        assert received == [b"%d" % number for number in range(1, 40)]


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_connection_lives_on_and_can_be_closed(transport: Any, end: str) -> None:
    if transport == "loop" and end == "abort":
        pytest.skip("the loops' own transports do not look at who aborts them")
    async with pair(transport) as (near, far):

        async def abort() -> None:
            near.abort()

        await refused(near.close() if end == "close" else abort())
        assert not near.closed
        await near.send(b"x")
        assert await receives(far) == b"x"
        async with asyncio.timeout(HANG):
            await near.close()


async def test_calls_after_it(transport: Any) -> None:
    options = ConnectionOptions(transport=transport)
    async with served(options=options) as (address, service), rpc.connect(address, CODEC) as client:
        assert (await client.unary(message(b"echo a"))).body == b"echo a"
        waiting = asyncio.ensure_future(client.unary(message(b"wait gate")))
        await asyncio.sleep(0)
        async with asyncio.timeout(HANG):
            for _ in range(3):
                call: Any = client.unary(message(b"echo wrong"))
                await refused(call)
                assert (await client.unary(message(b"echo b"))).body == b"echo b"
                await refused(client.stream(message(b"count 3")).asend(None))
                items = [item.body async for item in client.stream(message(b"count 3"))]
                assert items == [b"0", b"1", b"2"]
            service.open("gate")
            assert (await waiting).body == b"wait gate"


async def test_a_pool_connects_after_it() -> None:
    async with served() as (address, _), rpc.connect(address, CODEC, connections=2) as client:
        await refused(client.stream(message(b"count 3")).asend(None))
        async with asyncio.timeout(HANG):
            await client.ready()
            assert (await client.unary(message(b"echo a"))).body == b"echo a"


async def test_what_raised_is_not_sent(transport: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        async with protosocket.connect(
            url, codecs.Lines(), options=ConnectionOptions(transport=transport)
        ) as connection:
            peer, _ = listener.accept()
            with peer:
                await refused(connection.send("wrong"))
                await connection.send("right")
                await connection.close()
                assert peer.makefile("rb").read() == b"right\n"
