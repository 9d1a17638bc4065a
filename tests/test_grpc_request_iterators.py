"""The iterator that a call takes its requests from: whatever ends the call ends that, too."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from tests.grpc_parity.world import generic_handler, method
from tests.patience import HANG

import protosocket.grpc

pytestmark = pytest.mark.every_loop

KINDS = ["stream_unary", "stream_stream"]


async def early_unary(requests: AsyncIterator[bytes], context: Any) -> bytes:
    """Answers the first request with what it says, and reads no further."""
    return await anext(requests)


async def early_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    yield await anext(requests)


async def failing_unary(requests: AsyncIterator[bytes], context: Any) -> bytes:
    await anext(requests)
    await context.abort(grpc.StatusCode.DATA_LOSS, "no more")
    raise AssertionError


async def failing_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    await anext(requests)
    await context.abort(grpc.StatusCode.DATA_LOSS, "no more")
    yield b""


async def deaf_unary(requests: AsyncIterator[bytes], context: Any) -> bytes:
    await asyncio.Event().wait()
    return b""


async def deaf_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@contextlib.asynccontextmanager
async def joined(kind: str, handler: Callable[..., Any]) -> AsyncIterator[tuple[Any, Any]]:
    """A method and the channel to it."""
    server: Any = protosocket.grpc.server()
    server.add_generic_rpc_handlers((generic_handler(**{kind: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield getattr(channel, kind)(method(kind)), channel
    await server.stop(0)


class Source:
    """Requests that come to a halt after the first, and note when they are closed."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.closed = asyncio.Event()
        self.errors: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.errors.append(context))

    async def requests(self, *, payload: bytes = b"1") -> AsyncIterator[bytes]:
        try:
            yield payload
            self.waits.set()
            await asyncio.Event().wait()
        finally:
            # A clean-up that takes its time is not cut short.
            await asyncio.sleep(0.001)
            self.closed.set()

    async def endless(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
                self.waits.set()
        finally:
            await asyncio.sleep(0.001)
            self.closed.set()

    def blocking(self) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
                self.waits.set()
        finally:
            self.closed.set()

    async def is_over(self, tasks: set[asyncio.Task[Any]]) -> None:
        """The iterator was closed, and no task is there that was not before."""
        async with asyncio.timeout(HANG):
            await self.closed.wait()
            while asyncio.all_tasks() - tasks:  # noqa: ASYNC110 - what it waits for is no event
                await asyncio.sleep(0)
        gc.collect()
        assert self.errors == []


async def outcome(call: Any) -> Any:
    """The response, or the status that is none."""
    try:
        async with asyncio.timeout(HANG):
            if hasattr(call, "__await__"):
                return await call
            answers = [each async for each in call]
            return answers[0]
    except grpc.aio.AioRpcError as error:
        return error.code()
    except asyncio.CancelledError:
        return "cancelled"


CASES: dict[str, tuple[Any, Any, Any]] = {
    "answered": (early_unary, early_stream, b"1"),
    "failed": (failing_unary, failing_stream, grpc.StatusCode.DATA_LOSS),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_servers_end_of_the_call_closes_an_iterator_that_waits(kind: str, case: str) -> None:
    unary, stream, expected = CASES[case]
    async with joined(kind, unary if kind == "stream_unary" else stream) as (call, _):
        source, tasks = Source(), asyncio.all_tasks()
        assert await outcome(call(source.requests())) == expected
        await source.is_over(tasks)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deadline_closes_it(kind: str) -> None:
    async with joined(kind, deaf_unary if kind == "stream_unary" else deaf_stream) as (call, _):
        source, tasks = Source(), asyncio.all_tasks()
        assert await outcome(call(source.requests(), timeout=0.05)) is grpc.StatusCode.DEADLINE_EXCEEDED
        await source.is_over(tasks)


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_the_call_closes_it(kind: str) -> None:
    async with joined(kind, deaf_unary if kind == "stream_unary" else deaf_stream) as (call, _):
        source, tasks = Source(), asyncio.all_tasks()
        running = call(source.requests())
        await source.waits.wait()
        assert running.cancel()
        assert await outcome(running) == "cancelled"
        await source.is_over(tasks)


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_the_channel_closes_it(kind: str) -> None:
    async with joined(kind, deaf_unary if kind == "stream_unary" else deaf_stream) as (call, channel):
        source, tasks = Source(), asyncio.all_tasks()
        running = call(source.requests())
        await source.waits.wait()
        await channel.close()
        await source.is_over(tasks)
        del running


@pytest.mark.parametrize("which", ["endless", "blocking"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_generator_that_waits_for_room_is_closed(kind: str, which: str) -> None:
    async with joined(kind, deaf_unary if kind == "stream_unary" else deaf_stream) as (call, _):
        source, tasks = Source(), asyncio.all_tasks()
        running = call(getattr(source, which)())
        await source.waits.wait()
        await asyncio.sleep(0.01)
        assert not source.closed.is_set()
        running.cancel()
        await source.is_over(tasks)


async def test_forgetting_the_call_closes_it() -> None:
    async with joined("stream_stream", deaf_stream) as (call, _):
        source, tasks = Source(), asyncio.all_tasks()
        running = call(source.requests())
        await source.waits.wait()
        del running
        gc.collect()
        await source.is_over(tasks)


async def test_responses_that_were_not_read_yet_outlive_the_iterator() -> None:
    async def several(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number

    async with joined("stream_stream", several) as (call, _):
        source, tasks = Source(), asyncio.all_tasks()
        running = call(source.requests())
        assert await running.code() is grpc.StatusCode.OK
        await source.is_over(tasks)
        assert [each async for each in running] == [b"0", b"1", b"2"]


async def test_an_iterator_that_is_no_generator_is_left_to_its_owner() -> None:
    class Own:
        closed = 0

        def __aiter__(self) -> Own:
            return self

        async def __anext__(self) -> bytes:
            return b"1"

        async def aclose(self) -> None:
            self.closed += 1

    async with joined("stream_unary", early_unary) as (call, _):
        own = Own()
        assert await outcome(call(own)) == b"1"
        assert await anext(own) == b"1"
        assert own.closed == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_an_iterator_that_raises_a_status_cancels_the_call(kind: str) -> None:
    """As when it goes on with another call, which failed."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"1"
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata(), details="another's"
        )

    async with joined(kind, deaf_unary if kind == "stream_unary" else deaf_stream) as (call, _):
        assert await outcome(call(failing())) == "cancelled"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_blocking_channel_closes_it(kind: str) -> None:
    async with joined(kind, early_unary if kind == "stream_unary" else early_stream) as (_, channel):
        source = Source()
        loop = asyncio.get_running_loop()
        kept: list[Iterator[bytes]] = []

        def requests() -> Iterator[bytes]:
            try:
                while True:
                    yield b"1"
            finally:
                loop.call_soon_threadsafe(source.closed.set)

        def use() -> Any:
            kept.append(requests())
            with protosocket.grpc.sync_insecure_channel(channel.target) as blocking:
                call = getattr(blocking, kind)(method(kind))(kept[0])
                return call if kind == "stream_unary" else next(call)

        assert await asyncio.to_thread(use) == b"1"
        async with asyncio.timeout(HANG):
            await source.closed.wait()
