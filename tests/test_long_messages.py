"""Long messages: not copied on their way out, nor gathered before they become what they are."""

from __future__ import annotations

import asyncio
import functools
import random
from typing import Any

import msgspec
import pytest
from tests.places import Place, Raw, echo, until

import protosocket
from protosocket import codecs, errors, rpc

KIB = 1024
LONG = 64 * KIB
SIZES = [0, 1, 5000, LONG - 1, LONG, LONG + 1, 256 * KIB - 3, 256 * KIB, 300 * KIB, 1024 * KIB, 5000 * KIB]
LIMIT = 9 * KIB * KIB
OPTIONS = protosocket.ConnectionOptions(receive_limit=LIMIT)

pytestmark = pytest.mark.every_loop


@functools.cache
def content(size: int) -> bytes:
    """Bytes of which every part is different, without ends of lines."""
    return random.Random(size).randbytes(size).replace(b"\n", b"x").replace(b"\r", b"y")


@pytest.mark.parametrize("codec", [codecs.Bytes(), codecs.Lines()], ids=["prefixed", "lines"])
async def test_a_stream_of_all_sizes(place: Place, codec: Any) -> None:
    texts: list[Any] = [content(size) for size in random.Random(1).sample(SIZES, len(SIZES))]
    if isinstance(codec, codecs.Lines):
        texts = [text[: 1024 * KIB].decode("latin1") for text in texts]
    texts += texts[::-1]
    async with (
        place.listen(codec, echo, receive_limit=LIMIT) as server,
        place.connect(server, codec, receive_limit=LIMIT) as connection,
    ):

        async def send() -> None:
            for text in texts:
                await connection.send(text)

        sending = asyncio.create_task(send())
        for text in texts:
            assert await connection.receive() == text
        await sending


class Blob(msgspec.Struct, array_like=True):
    """Its header fields stand in the middle, between two values of any length."""

    first: bytes = b""
    id: int = 0
    control: int = 0
    second: bytes = b""


BLOBS = rpc.MessagePackCodec(send=Blob, receive=Blob, id="id", control="control")


class Echo(rpc.Service):
    """Sends back what it gets."""

    async def unary(self, request: Blob) -> Blob:
        return Blob(request.first, second=request.second)


async def test_calls_of_all_sizes_at_once() -> None:
    async with (
        rpc.serve("tcp://127.0.0.1:0", Echo, BLOBS, options=OPTIONS) as server,
        rpc.connect(server.addresses[0], BLOBS, options=OPTIONS) as client,
    ):
        blobs = [Blob(content(size), second=content(other)) for size in SIZES[:-1] for other in SIZES[:-1]]
        answers = await asyncio.gather(*(client.unary(blob) for blob in blobs))
        for blob, answer in zip(blobs, answers, strict=True):
            assert (answer.first, answer.second) == (blob.first, blob.second)


async def test_a_long_message_in_pieces() -> None:
    payload, pieces = content(700 * KIB), random.Random(2)
    wire = b"\x80\xe0\x2b" + payload + b"\x02ok"
    received: list[bytes] = []

    async def collect(connection: protosocket.Connection[bytes, bytes]) -> None:
        async for message in connection:
            received.append(message)  # noqa: PERF401 - it is looked at meanwhile

    async with (
        protosocket.listen("tcp://127.0.0.1:0", codecs.Bytes(), collect) as server,
        await Raw().connect(server) as peer,
    ):
        for _ in range(3):
            at = 0
            while at < len(wire):
                count = pieces.choice([1, 2, 100, 5000, 70_000, 300_000])
                await peer.send(wire[at : at + count])
                at += count
            await until(lambda: len(received) == 2)
            assert received == [payload, b"ok"]
            received.clear()


async def test_memory_follows_what_arrives() -> None:
    async with (
        protosocket.listen("tcp://127.0.0.1:0", codecs.Bytes(), echo, options=OPTIONS) as server,
        await Raw().connect(server) as peer,
    ):
        await peer.send(b"\x80\x80\x80\x04" + bytes(200 * KIB))  # of 8 MiB
        await until(lambda: len(server.protocols) == 1)
        (served,) = server.protocols
        await until(lambda: served._unread >= 200 * KIB)  # noqa: SLF001
        assert served._memory <= 8 * 200 * KIB  # noqa: SLF001
        await peer.send(bytes(1024 * KIB))
        await until(lambda: served._unread >= 1224 * KIB)  # noqa: SLF001
        assert served._memory <= 8 * 1224 * KIB  # noqa: SLF001


async def test_the_peer_goes_in_the_middle() -> None:
    ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def receive(connection: protosocket.Connection[bytes, bytes]) -> None:
        try:
            await connection.receive()
        except errors.ConnectionClosed as error:
            ended.set_result(error)

    async with protosocket.listen("tcp://127.0.0.1:0", codecs.Bytes(), receive) as server:
        async with await Raw().connect(server) as peer:
            await peer.send(b"\x80\x80\x40" + bytes(900 * KIB))  # of 1 MiB
        assert "in the middle of a message" in str(await ended)


async def test_an_idle_connection_holds_nothing() -> None:
    async with (
        protosocket.listen("tcp://127.0.0.1:0", codecs.Bytes(), echo, options=OPTIONS) as server,
        protosocket.connect(server.addresses[0], codecs.Bytes(), options=OPTIONS) as connection,
    ):
        for size in (10, 5000 * KIB, 10):
            message = content(size)
            sending = asyncio.gather(*(connection.send(message) for _ in range(10)))
            for _ in range(10):
                assert await connection.receive() == message
            await sending
        (served,) = server.protocols
        assert served._memory <= 1 * KIB  # noqa: SLF001


@pytest.mark.parametrize("connections", [1, 2], ids=["same connection", "another connection"])
async def test_small_calls_among_long_ones(connections: int) -> None:
    longs, small, over = 0, Blob(b"small"), False

    async with (
        rpc.serve("tcp://127.0.0.1:0", Echo, BLOBS, options=OPTIONS) as server,
        rpc.connect(server.addresses[0], BLOBS, options=OPTIONS) as client,
        rpc.connect(server.addresses[0], BLOBS, options=OPTIONS) as other,
    ):

        async def call_long() -> None:
            nonlocal longs
            long = Blob(content(2048 * KIB))
            while not over:
                assert (await client.unary(long)).first == long.first
                longs += 1

        calling = [asyncio.create_task(call_long()) for _ in range(4)]
        await until(lambda: longs >= 4)
        before = longs
        for _ in range(20):
            assert (await (client if connections == 1 else other).unary(small)).first == b"small"
        # Those that are under way, here and there, go first; no others overtake.
        assert longs - before <= 20 * 2 * len(calling)
        over = True
        await asyncio.gather(*calling)
