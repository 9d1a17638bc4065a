"""Streams as their caller sees them: read and write, iteration, half-closing, back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from tests.grpc_parity.handlers import Context, Endless, count_up, echo_all, exclaim, join_all
from tests.grpc_parity.world import World

MIXED = "may not be mixed"


async def test_read_until_the_end(world: World) -> None:
    joined = await world.join(unary_stream=count_up)
    call = joined.unary_stream(b"3")
    assert [await call.read() for _ in range(3)] == [b"0", b"1", b"2"]
    assert await call.read() is grpc.aio.EOF
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is StatusCode.OK


async def test_a_stream_without_messages(world: World) -> None:
    joined = await world.join(unary_stream=count_up, stream_unary=join_all, stream_stream=echo_all)
    assert await joined.unary_stream(b"0").read() is grpc.aio.EOF
    assert [each async for each in joined.unary_stream(b"0")] == []
    assert await joined.stream_unary(iter([])) == b""
    assert [each async for each in joined.stream_stream(iter([]))] == []
    call = joined.stream_stream()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_empty_messages_are_messages(world: World) -> None:
    joined = await world.join(stream_unary=join_all, stream_stream=echo_all)
    assert await joined.stream_unary(iter([b"", b"", b""])) == b"++"
    assert [each async for each in joined.stream_stream(iter([b"", b"x", b""]))] == [b"", b"x", b""]


async def test_iteration_can_stop_and_go_on(world: World) -> None:
    joined = await world.join(unary_stream=count_up)
    call = joined.unary_stream(b"5")
    async for each in call:
        if each == b"1":
            break
    assert [each async for each in call] == [b"2", b"3", b"4"]


async def test_reading_and_iterating_do_not_mix(world: World) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = joined.unary_stream(b"")
    assert await call.read() == b"first"
    with pytest.raises(grpc.aio.UsageError, match=MIXED):
        async for _ in call:
            pass
    call.cancel()
    call = joined.stream_stream()
    async for _ in call:
        break
    with pytest.raises(grpc.aio.UsageError, match=MIXED):
        await call.read()
    call.cancel()


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_an_iterator_and_writing_do_not_mix(world: World, kind: str) -> None:
    joined = await world.join(stream_unary=join_all, stream_stream=echo_all)
    call = getattr(joined, kind)(iter([b"a"]))
    with pytest.raises(grpc.aio.UsageError, match=MIXED):
        await call.write(b"b")
    with pytest.raises(grpc.aio.UsageError, match=MIXED):
        await call.done_writing()
    if kind == "stream_stream":
        assert [each async for each in call] == [b"a"]
    assert await call.code() is StatusCode.OK


async def test_requests_from_an_asynchronous_iterator(world: World) -> None:
    joined = await world.join(stream_unary=join_all, stream_stream=echo_all)

    async def letters() -> AsyncIterator[bytes]:
        for letter in (b"a", b"b", b"c"):
            yield letter

    assert await joined.stream_unary(letters()) == b"a+b+c"
    assert [each async for each in joined.stream_stream(letters())] == [b"a", b"b", b"c"]


async def test_write_and_read_in_turn(world: World) -> None:
    joined = await world.join(stream_stream=echo_all)
    call = joined.stream_stream()
    for number in range(10):
        await call.write(b"%d" % number)
        assert await call.read() == b"%d" % number
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is StatusCode.OK


async def test_writing_after_the_end(world: World) -> None:
    joined = await world.join(stream_unary=join_all)
    call = joined.stream_unary()
    await call.write(b"a")
    await call.done_writing()
    await call.done_writing()
    with pytest.raises(asyncio.InvalidStateError, match="half closed"):
        await call.write(b"b")
    assert await call == b"a"
    with pytest.raises(asyncio.InvalidStateError, match="finished"):
        await call.write(b"c")
    await call.done_writing()


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_an_iterator_that_raises_cancels_the_call(world: World, kind: str) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    raise_now = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        await raise_now.wait()
        raise ValueError("no more")

    call = getattr(joined, kind)(broken())
    await endless.started.wait()
    raise_now.set()
    assert await call.code() is StatusCode.CANCELLED
    assert call.cancelled()
    await endless.cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await (call if kind == "stream_unary" else anext(aiter(call)))


async def test_the_server_may_answer_before_the_client_has_written_all(world: World) -> None:
    async def first_only(requests: AsyncIterator[bytes], context: Context) -> bytes:
        return await anext(requests)

    joined = await world.join(stream_unary=first_only)
    call = joined.stream_unary()
    await call.write(b"one")
    assert await call == b"one"
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(b"two")


async def test_the_server_may_end_before_the_client(world: World) -> None:
    async def two(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        yield await anext(requests)
        yield await anext(requests)

    joined = await world.join(stream_stream=two)
    call = joined.stream_stream()
    await call.write(b"a")
    assert await call.read() == b"a"
    await call.write(b"b")
    assert await call.read() == b"b"
    assert await call.read() is grpc.aio.EOF
    assert call.done()
    assert await call.code() is StatusCode.OK


async def test_messages_before_an_error_arrive(world: World) -> None:
    async def three_then_fail(request: bytes, context: Context) -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number
        await context.abort(StatusCode.OUT_OF_RANGE, "no further")

    joined = await world.join(unary_stream=three_then_fail)
    call = joined.unary_stream(b"")
    received = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012
        async for each in call:
            received.append(each)  # noqa: PERF401 - what came before the error counts
    assert received == [b"0", b"1", b"2"]
    assert caught.value.code() is StatusCode.OUT_OF_RANGE
    with pytest.raises(grpc.aio.AioRpcError, match="no further"):
        await call.read()


async def test_cancel_between_messages(world: World) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = joined.stream_stream()
    assert await call.read() == b"first"
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    with pytest.raises((asyncio.CancelledError, asyncio.InvalidStateError)):
        await call.write(b"more")
    await endless.cancelled.wait()


async def test_order_is_kept_over_many_messages(world: World) -> None:
    joined = await world.join(stream_stream=echo_all, unary_stream=count_up)
    numbers = [str(number).encode() for number in range(1000)]
    assert [each async for each in joined.unary_stream(b"1000")] == numbers
    assert [each async for each in joined.stream_stream(iter(numbers))] == numbers


@pytest.mark.parametrize("size", [0, 1, 127, 128, 65535, 65536, 1_000_000, 4_000_000])
async def test_sizes(world: World, size: int) -> None:
    joined = await world.join(unary_unary=exclaim, stream_stream=echo_all)
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert await joined.unary_unary(message) == message + b"!"
    assert [each async for each in joined.stream_stream(iter([message, message]))] == [message, message]


CHUNK = bytes(64 * 1024)
CHUNKS = 1000
MANY = CHUNKS // 2
"""32 MiB: more than either side may keep for a stream that nobody reads."""


async def test_a_reader_that_pauses_stops_only_its_own_stream(world: World) -> None:
    written = 0

    async def flood(request: bytes, context: Context) -> AsyncIterator[bytes]:
        nonlocal written
        for _ in range(CHUNKS):
            yield CHUNK
            written += 1

    joined = await world.join(unary_stream=flood, unary_unary=exclaim)
    call = joined.unary_stream(b"")
    assert await call.read() == CHUNK
    for number in range(300):
        assert await joined.unary_unary(b"%d" % number) == b"%d!" % number
    assert written < MANY
    rest = 0
    while await call.read() is not grpc.aio.EOF:
        rest += 1
    assert rest == CHUNKS - 1


async def test_a_handler_that_does_not_read_stops_only_its_own_stream(world: World) -> None:
    read_on = asyncio.Event()
    written = 0

    def flood() -> Iterator[bytes]:
        nonlocal written
        for _ in range(CHUNKS):
            yield CHUNK
            written += 1

    async def count(requests: AsyncIterator[bytes], context: Context) -> bytes:
        await read_on.wait()
        return str(len([None async for _ in requests])).encode()

    joined = await world.join(stream_unary=count, unary_unary=exclaim)
    call = joined.stream_unary(flood())
    for number in range(300):
        assert await joined.unary_unary(b"%d" % number) == b"%d!" % number
    assert written < MANY
    read_on.set()
    assert await call == str(CHUNKS).encode()


async def test_a_stream_that_nobody_reads_can_be_cancelled(world: World) -> None:
    stopped = asyncio.Event()

    async def flood(request: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            while True:
                yield CHUNK
        finally:
            stopped.set()

    joined = await world.join(unary_stream=flood, unary_unary=exclaim)
    call: Any = joined.unary_stream(b"")
    assert await call.read() == CHUNK
    call.cancel()
    await stopped.wait()
    assert await joined.unary_unary(b"a") == b"a!"
