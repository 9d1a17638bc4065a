"""Messages over connections of every kind: order, sizes, batches, both directions at once, counters."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from tests.places import Place, Raw, echo, turns, until

import protosocket
from protosocket import Connection, codecs, errors
from protosocket.errors import ConnectionClosed, EncodeError

pytestmark = pytest.mark.every_loop

MiB = 1024 * 1024


async def test_every_size_comes_back_in_order(place: Place) -> None:
    sizes = [0, 1, 127, 128, 16383, 16384, 65535, 65536, 300_000, 4 * MiB, 3, 0]
    async with place.listen(codecs.Bytes(), echo) as server, place.connect(server, codecs.Bytes()) as client:
        for number, size in enumerate(sizes):
            await client.send(bytes([number]) * size)
        assert [await client.receive() == bytes([n]) * size for n, size in enumerate(sizes)] == [True] * len(
            sizes
        )


async def test_order_with_many_messages_in_both_directions_at_once(place: Place) -> None:
    count = 3000

    async def send(connection: Connection[bytes, bytes]) -> None:
        for number in range(count):
            await connection.send(b"%d" % number)

    async def receive(connection: Connection[bytes, bytes]) -> list[int]:
        return [int(await connection.receive()) for _ in range(count)]

    async with place.pair(codecs.Bytes()) as (client, served):
        _, _, there, back = await asyncio.gather(send(client), send(served), receive(served), receive(client))
    assert there == back == list(range(count))


async def test_large_messages_in_both_directions_at_once(some_place: Place) -> None:
    """Neither end reads before it has sent; the bytes in between cannot hold it all."""
    message = b"x" * MiB

    async def exchange(connection: Connection[bytes, bytes]) -> None:
        async def receive() -> None:
            for _ in range(8):
                assert await connection.receive() == message

        receiving = asyncio.create_task(receive())
        for _ in range(8):
            await connection.send(message)
        await receiving

    async with some_place.pair(codecs.Bytes()) as (client, served):
        await asyncio.gather(exchange(client), exchange(served))


async def test_async_for_ends_when_the_peer_closes(place: Place) -> None:
    async with place.pair(codecs.Bytes()) as (client, served):
        for number in range(1000):
            await client.send(b"%d" % number)
        closing = asyncio.create_task(client.close())
        assert [int(message) async for message in served] == list(range(1000))
        await closing
        with pytest.raises(ConnectionClosed, match="is closed") as caught:
            await served.receive()
        assert type(caught.value) is ConnectionClosed
        assert caught.value.peer == served.peer
        with pytest.raises(ConnectionClosed):
            await served.send(b"")
        with pytest.raises(ConnectionClosed):
            await client.send(b"")
        assert served.closed
        assert client.closed


async def test_a_peer_that_closes_is_seen_at_once_by_who_sends(place: Place) -> None:
    async with place.pair(codecs.Bytes()) as (client, served):
        await client.close()
        await served.wait_closed()
        with pytest.raises(ConnectionClosed):
            await served.send(b"x")


async def test_sends_of_one_turn_share_few_writes(place: Place) -> None:
    async with place.pair(codecs.Bytes()) as (client, served):
        for _ in range(3):
            await client.send(b"abc")
        assert client.statistics().send_queue_messages == 3
        assert client.statistics().send_queue_bytes == 12
        assert client.statistics().writes == 0
        for _ in range(3):
            await served.receive()
        assert client.statistics().writes == 1
        assert client.statistics().messages_sent == 3
        for _ in range(200):
            await client.send(b"abc")
        for _ in range(200):
            await served.receive()
        sent, received = client.statistics(), served.statistics()
    assert sent.writes <= 1 + 200 / 8
    assert sent.messages_sent == received.messages_received == 203
    assert sent.bytes_sent == received.bytes_received == 4 * 203
    assert 1 <= received.reads <= 203
    assert (sent.send_queue_messages, sent.send_queue_bytes, sent.in_flight) == (0, 0, 0)
    assert sent.messages_per_write >= 7


async def test_a_message_that_cannot_be_encoded_is_not_sent_and_harms_nothing(some_place: Place) -> None:
    async with some_place.pair(codecs.Bytes()) as (client, served):
        await client.send(b"before")
        with pytest.raises(EncodeError, match=r"type str cannot be encoded: .* nothing was sent") as caught:
            await client.send("text")
        assert isinstance(caught.value.__cause__, TypeError)
        await client.send(b"after")
        assert [await served.receive() for _ in range(2)] == [b"before", b"after"]


async def test_two_receivers_are_refused(some_place: Place) -> None:
    async with some_place.pair(codecs.Bytes()) as (client, served):
        first = asyncio.create_task(served.receive())
        await turns()
        with pytest.raises(RuntimeError, match="two tasks receive"):
            await served.receive()
        await client.send(b"for the first")
        assert await first == b"for the first"


async def test_a_cancelled_receive_loses_nothing(some_place: Place) -> None:
    async with some_place.pair(codecs.Bytes()) as (client, served):
        for number in range(50):
            receiving = asyncio.create_task(served.receive())
            await turns(2)
            await client.send(b"%d" % number)
            # Cancelled before, while, or after the message arrives.
            await turns(number % 10)
            if receiving.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await receiving
                assert int(await served.receive()) == number
            else:
                assert int(receiving.result()) == number


async def test_a_receiver_woken_and_cancelled_does_not_take_the_place_of_the_next() -> None:
    """The first receiver leaves only after the second has come."""
    async with Place("memory", "memory://x").pair(codecs.Bytes()) as (client, served):
        first = asyncio.create_task(served.receive())
        await turns()

        async def second() -> list[bytes]:
            return [await served.receive(), await served.receive()]

        woken = asyncio.Event()
        asyncio.get_running_loop().call_soon(woken.set)
        await client.send(b"one")
        await until(lambda: served.statistics().messages_received > 0)
        first.cancel()
        taking = asyncio.create_task(second())
        await asyncio.wait([first])
        await turns()
        await client.send(b"two")
        if first.cancelled():
            assert await taking == [b"one", b"two"]
        else:
            assert first.result() == b"one"
            await client.send(b"three")
            assert await taking == [b"two", b"three"]


async def test_garbage_ends_only_its_own_connection(caplog: pytest.LogCaptureFixture) -> None:
    place = Place("tcp", "tcp://127.0.0.1:0")
    ended: asyncio.Queue[Any] = asyncio.Queue()

    async def served(connection: Connection[bytes, bytes]) -> None:
        try:
            await echo(connection)
        except errors.ConnectionClosed as error:
            ended.put_nowait(error)
            raise
        ended.put_nowait(None)

    async with (
        place.listen(codecs.Bytes(), served, receive_limit=1000) as server,
        place.connect(server, codecs.Bytes()) as good,
    ):
        for bytes_sent, kind, text in (
            (b"\x80" * 10, errors.InvalidMessage, "no message"),
            (b"\xe9\x07", errors.MessageTooLarge, "a message of 1001 bytes, over the receive limit of 1000"),
            (b"\xff" * 9 + b"\x01", errors.MessageTooLarge, "receive_limit"),
            (b"\x02ok\x05tru", errors.ConnectionClosed, "in the middle of a message"),
            (b"\x02ok", None, ""),
        ):
            caplog.clear()
            async with await Raw().connect(server) as raw:
                await raw.send(b"\x05hello")
                assert await raw.receive(6) == b"\x05hello"
                await raw.send(bytes_sent)
                raw.socket.shutdown(1)
                error = await ended.get()
                assert kind is None if error is None else type(error) is kind
                assert re.search(text, str(error) if error else "")
                if error:
                    assert error.peer.startswith("tcp://127.0.0.1:")
                await raw.ended()
            if kind in (errors.InvalidMessage, errors.MessageTooLarge):
                assert [record.levelname for record in caplog.records] == ["WARNING"]
                assert str(error) in caplog.text
            else:
                assert caplog.records == []
            await good.send(b"still here")
            assert await good.receive() == b"still here"


async def test_the_receive_limit(some_place: Place) -> None:
    codec = codecs.Bytes()
    async with some_place.pair(codec, receive_limit=5000) as (client, served):
        await client.send(b"x" * 5000)
        assert len(await served.receive()) == 5000
        await client.send(b"fine")
        await client.send(b"x" * 5001)
        assert await served.receive() == b"fine"
        for _ in range(2):
            with pytest.raises(errors.MessageTooLarge) as caught:
                await served.receive()
            assert (caught.value.size, caught.value.limit) == (5001, 5000)
        with pytest.raises(errors.MessageTooLarge):
            async for _ in served:
                pass
        with pytest.raises(errors.MessageTooLarge):
            await served.send(b"")
        assert served.closed
        await client.wait_closed()


async def test_a_declared_length_takes_no_memory() -> None:
    """A peer says 4 MiB and sends a few bytes."""
    place = Place("tcp", "tcp://127.0.0.1:0")
    async with place.listen(codecs.Bytes(), echo) as server, await Raw().connect(server) as raw:
        await raw.send(b"\x80\x80\x80\x02" + b"x" * 100)
        await until(
            lambda: (
                not (
                    server.connections == 0 or next(iter(server.protocols)).statistics().bytes_received < 104
                )
            )
        )
        assert next(iter(server.protocols))._memory <= 8192  # noqa: SLF001


async def test_addresses_and_names(place: Place) -> None:
    async with place.pair(codecs.Bytes()) as (client, served):
        scheme = place.kind.partition("-")[0]
        assert client.peer.startswith(f"{scheme}://")
        assert served.peer.startswith(f"{scheme}://")
        assert repr(client) == f"<Connection to {client.peer}>"
    assert repr(client) == f"<Connection to {client.peer}, closed>"


async def test_an_opening_may_be_awaited(some_place: Place) -> None:
    server = await some_place.listen(codecs.Bytes(), echo)
    client = await some_place.connect(server, codecs.Bytes())
    await client.send(b"hello")
    assert await client.receive() == b"hello"
    await client.close()
    await server.close()
    assert server.connections == 0


async def test_what_is_no_codec_is_refused() -> None:
    for thing in (None, object(), protosocket):
        with pytest.raises(errors.OptionError, match="is no codec"):
            await protosocket.listen("memory://x", thing, echo)  # type: ignore[arg-type]
        with pytest.raises(errors.OptionError, match="is no codec"):
            await protosocket.connect("memory://x", thing)  # type: ignore[arg-type]
