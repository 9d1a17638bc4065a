"""Back-pressure and budgets: what waits is bounded, whoever is slow, and nobody starves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.places import Place, Raw, echo, turns, until

from protosocket import Connection, codecs
from protosocket.errors import ConnectionClosed

pytestmark = pytest.mark.every_loop

KiB = 1024


async def fill(connection: Connection[bytes, bytes], message: bytes) -> int:
    """Send until sending has to wait; how many were sent."""
    count = 0
    while True:
        sending = asyncio.create_task(connection.send(message))
        await turns()
        if not sending.done():
            sending.cancel()
            await asyncio.wait([sending])
            if connection.statistics().send_queue_messages > 0:
                return count
        count += not sending.cancelled()


async def test_a_peer_that_does_not_read_makes_senders_wait(place: Place) -> None:
    message = b"m" * 16 * KiB
    limits: dict[str, Any] = {
        "send_queue_messages": 20,
        "send_queue_bytes": 1024 * KiB,
        "receive_limit": 64 * KiB,
    }
    async with place.pair(codecs.Bytes(), **limits) as (client, served):
        # The peer's program takes nothing: its inbox, the kernel and the send queue fill up.
        sent = await fill(client, message)
        numbers = client.statistics()
        assert numbers.send_queue_messages == 20
        assert numbers.write_stalls >= 1
        assert served.statistics().read_pauses >= 1

        waiting = [asyncio.create_task(client.send(b"%d" % number)) for number in range(5)]
        await turns(50)
        assert not any(task.done() for task in waiting)
        waiting[2].cancel()
        for _ in range(sent):
            assert await served.receive() == message
        assert [await served.receive() for _ in range(4)] == [b"0", b"1", b"3", b"4"]
        assert waiting[2].cancelled()
        assert client.statistics().send_queue_messages == 0


async def test_the_send_budget_in_bytes(some_place: Place) -> None:
    message = b"m" * 16 * KiB
    limits: dict[str, Any] = {"send_queue_bytes": 100 * KiB, "receive_limit": 64 * KiB}
    async with some_place.pair(codecs.Bytes(), **limits) as (client, served):
        sent = await fill(client, message)
        assert 100 * KiB <= client.statistics().send_queue_bytes <= 117 * KiB
        for _ in range(sent):
            await served.receive()
        await client.send(b"room again")
        assert await served.receive() == b"room again"


@pytest.mark.parametrize("limits", [{"send_queue_messages": 1}, {"send_queue_bytes": 1}])
async def test_the_smallest_send_budget_moves_on(some_place: Place, limits: dict[str, Any]) -> None:
    async with some_place.pair(codecs.Bytes(), **limits) as (client, served):

        async def send() -> None:
            for number in range(300):
                await client.send(b"%d" % number)

        sending = asyncio.gather(send(), send(), send())
        received = [int(await served.receive()) for _ in range(900)]
        await sending
    assert sorted(received) == sorted(list(range(300)) * 3)


async def test_cancelled_senders_leave_nothing_behind(some_place: Place) -> None:
    async with some_place.pair(codecs.Bytes(), receive_limit=64 * KiB) as (client, _):
        await fill(client, b"m" * 16 * KiB)
        before = client.statistics()
        for _ in range(100):
            sending = asyncio.create_task(client.send(b"never"))
            await turns(2)
            sending.cancel()
            await asyncio.wait([sending])
        assert client.statistics().send_queue_messages == before.send_queue_messages
        client.abort()


async def test_senders_that_wait_learn_that_the_connection_ended(some_place: Place) -> None:
    for end in ("abort", "close", "peer"):
        async with some_place.pair(codecs.Bytes(), receive_limit=64 * KiB, close_timeout=0.1) as (a, b):
            await fill(a, b"m" * 16 * KiB)
            waiting = asyncio.create_task(a.send(b"never"))
            await turns()
            closing: asyncio.Task[None] | None = None
            if end == "abort":
                a.abort()
            elif end == "close":
                closing = asyncio.create_task(a.close())
            else:
                b.abort()
            with pytest.raises(ConnectionClosed):
                await waiting
            if closing is not None:
                await closing


async def test_what_is_not_received_is_bounded(place: Place) -> None:
    """Reading stops once the inbox is full, and goes on when half of it was taken."""
    async with place.pair(codecs.Bytes(), send_queue_messages=64, receive_limit=256 * KiB) as (
        client,
        served,
    ):

        async def send() -> None:
            for number in range(20_000):
                await client.send(b"%06d" % number)

        sending = asyncio.create_task(send())
        await until(lambda: served.statistics().read_pauses > 0)
        await turns(100)
        assert served.statistics().messages_received <= 64
        for number in range(20_000):
            assert int(await served.receive()) == number
            assert served.statistics().messages_received <= number + 1 + 64
        await sending


async def test_a_flooding_peer_starves_nobody() -> None:
    place = Place("tcp", "tcp://127.0.0.1:0")
    received = 0

    async def served(connection: Connection[bytes, bytes]) -> None:
        nonlocal received
        async for message in connection:
            received += 1
            if message:
                await connection.send(message)

    async with (
        place.listen(codecs.Bytes(), served, read_budget_messages=50) as server,
        place.connect(server, codecs.Bytes()) as polite,
        await Raw().connect(server) as flood,
    ):
        flooding = asyncio.create_task(flood.send(bytes(3_000_000)))  # as many empty messages
        await turns(20)
        for _ in range(20):
            before = received
            await polite.send(b"ping")
            assert await polite.receive() == b"ping"
            # Several turns of the loop pass; in each the other has its budget, or an inbox of 256.
            assert received - before < 20_000
        assert received < 3_000_000
        flooding.cancel()
        await asyncio.wait([flooding])


async def test_an_idle_connection_is_small(some_place: Place) -> None:
    async with (
        some_place.listen(codecs.Bytes(), echo) as server,
        some_place.connect(server, codecs.Bytes()) as client,
    ):
        await client.send(b"hello")
        assert await client.receive() == b"hello"
        (served,) = server.protocols
        assert served._memory <= 16 * KiB  # noqa: SLF001
        # And a large message does not stay in memory once small ones follow.
        await client.send(b"x" * 4 * KiB * KiB)
        await client.receive()
        for _ in range(5):
            await client.send(b"hello")
            await client.receive()
        assert served._memory <= 1200 * KiB  # noqa: SLF001


async def test_statistics_of_a_connection_with_nothing_on_it(some_place: Place) -> None:
    async with some_place.pair(codecs.Bytes()) as (client, _):
        numbers: Any = client.statistics()
        assert all(getattr(numbers, name) == 0 for name in numbers.__slots__)
