"""What a gRPC server does with calls where ``grpc.aio`` says nothing, or leaves its clients waiting."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tests.grpc_raw import service

import protosocket.grpc
from protosocket.grpc import Server

Run = Callable[..., Awaitable[grpc.aio.Channel]]


@pytest_asyncio.fixture
async def run() -> AsyncIterator[Run]:
    """Starts a server with these methods; a channel to it."""
    servers: list[Server] = []
    channels: list[grpc.aio.Channel] = []

    async def start(options: Any = (), **handlers: Any) -> grpc.aio.Channel:
        server = protosocket.grpc.server(handlers=[service(**handlers)], options=options)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        channel = protosocket.grpc.insecure_channel(f"127.0.0.1:{port}")
        channels.append(channel)
        return channel

    yield start
    for channel in channels:
        await channel.close()
    for server in servers:
        await server.stop(None)


def unary(channel: grpc.aio.Channel, name: str) -> Any:
    return channel.unary_unary(f"/raw.Test/{name}")


async def failure(call: Any) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_a_handler_that_cancels_itself_ends_its_call(run: Run) -> None:
    async def give_up(request: bytes, context: Any) -> bytes:
        raise asyncio.CancelledError

    channel = await run(give_up=("unary_unary", give_up))
    call = unary(channel, "give_up")(b"")
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
        await call
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_an_exception_of_any_kind_ends_its_call(run: Run) -> None:
    class Unusual(BaseException):
        pass

    async def fail(request: bytes, context: Any) -> bytes:
        raise Unusual("really")

    channel = await run(fail=("unary_unary", fail))
    code, details = await failure(unary(channel, "fail")(b""))
    assert code is grpc.StatusCode.UNKNOWN
    assert str(details).endswith("Unusual'>: really")


async def test_abort_with_ok_is_an_error(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def abort(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.OK, "fine")
        return b""

    channel = await run(abort=("unary_unary", abort))
    assert await failure(unary(channel, "abort")(b"")) == (grpc.StatusCode.UNKNOWN, "")
    assert "abort was called with StatusCode.OK" in caplog.text


async def test_a_deadline_holds_for_handlers_that_do_not_care(run: Run) -> None:
    ended: asyncio.Queue[Any] = asyncio.Queue()

    async def stubborn(request: bytes, context: Any) -> bytes:
        context.add_done_callback(lambda each: ended.put_nowait(each.done()))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.put_nowait(context.time_remaining())
        return b"too late"

    channel = await run(stubborn=("unary_unary", stubborn))
    code, _ = await failure(unary(channel, "stubborn")(b"", timeout=0.05))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    # The client's own timer may be a little ahead of the server's: then it is the cancellation that arrives.
    assert [await ended.get(), await ended.get()] == [pytest.approx(0, abs=0.05), True]


async def test_write_belongs_to_streams(run: Run) -> None:
    async def write(request: bytes, context: Any) -> bytes:
        await context.write(b"")
        return b""

    channel = await run(write=("unary_unary", write))
    code, details = await failure(unary(channel, "write")(b""))
    assert code is grpc.StatusCode.UNKNOWN
    assert "has one response" in str(details)


async def test_a_response_that_is_no_bytes(run: Run) -> None:
    async def five(request: bytes, context: Any) -> Any:
        return 5

    channel = await run(five=("unary_unary", five))
    code, details = await failure(unary(channel, "five")(b""))
    assert (code, details) == (
        grpc.StatusCode.UNKNOWN,
        "Unexpected <class 'TypeError'>: Expected bytes, got int",
    )


async def test_handlers_that_do_not_look_async(run: Run) -> None:
    class Callable:
        async def __call__(self, request: bytes, context: Any) -> bytes:
            return b"object"

    async def items(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"1"
        yield b"2"

    def plain(request: bytes, context: Any) -> AsyncIterator[bytes]:
        return items(request, context)

    channel = await run(
        object=("unary_unary", Callable()),
        behind=("unary_stream", plain),
    )
    assert await unary(channel, "object")(b"") == b"object"
    stream: Any = channel.unary_stream("/raw.Test/behind")
    assert [each async for each in stream(b"")] == [b"1", b"2"]


async def test_a_context_is_not_kept_after_its_call(run: Run) -> None:
    contexts: list[weakref.ref[Any]] = []

    async def look(request: bytes, context: Any) -> bytes:
        contexts.append(weakref.ref(context))
        return b""

    async def talk(requests: Any, context: Any) -> AsyncIterator[bytes]:
        contexts.append(weakref.ref(context))
        async for request in requests:
            yield request

    async def abort(request: bytes, context: Any) -> bytes:
        contexts.append(weakref.ref(context))
        await context.abort(grpc.StatusCode.NOT_FOUND)
        return b""

    channel = await run(
        look=("unary_unary", look), abort=("unary_unary", abort), talk=("stream_stream", talk)
    )
    stream: Any = channel.stream_stream("/raw.Test/talk")
    # Nothing is left to the garbage collector, which would have to look at all calls for it.
    gc.disable()
    try:
        await unary(channel, "look")(b"")
        await unary(channel, "look")(b"", timeout=100)
        await failure(unary(channel, "abort")(b""))
        assert [each async for each in stream(iter([b"1", b"2"]))] == [b"1", b"2"]
        assert [each() for each in contexts] == [None] * 4
    finally:
        gc.enable()


async def test_a_stream_that_is_not_read_does_not_hold_up_others(run: Run) -> None:
    sent = 0

    async def flood(request: bytes, context: Any) -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(10_000)

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    channel = await run(flood=("unary_stream", flood), echo=("unary_unary", echo))
    method: Any = channel.unary_stream("/raw.Test/flood")
    stream = method(b"")
    await stream.read()
    await _until_still(lambda: sent)
    for number in range(300):
        assert await unary(channel, "echo")(b"%d" % number) == b"%d" % number
    assert sent * 10_000 < 2 * 256 * 1024
    stream.cancel()


async def test_requests_that_nobody_reads_wait_at_the_client(run: Run) -> None:
    release = asyncio.Event()
    taken = 0

    async def sleep(requests: Any, context: Any) -> bytes:
        await release.wait()
        return b"%d" % len([each async for each in requests])

    async def requests() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(1000)

    channel = await run([("grpc.http2.lookahead_bytes", 5000)], sleep=("stream_unary", sleep))
    method: Any = channel.stream_unary("/raw.Test/sleep")
    call = method(requests())
    await _until_still(lambda: taken)
    assert 4 <= taken <= 7
    release.set()
    assert await call == b"100"


# Servicers that are not async.


async def test_a_blocking_generator_is_closed_when_its_caller_goes_away(run: Run) -> None:
    closed = threading.Event()

    def numbers(request: bytes, context: Any) -> Iterator[bytes]:
        try:
            while True:
                yield b"1"
        finally:
            closed.set()

    channel = await run(numbers=("unary_stream", numbers))
    method: Any = channel.unary_stream("/raw.Test/numbers")
    call = method(b"")
    await call.read()
    call.cancel()
    await asyncio.get_running_loop().run_in_executor(None, closed.wait, 5)
    assert closed.is_set()


async def test_a_blocking_servicer_uses_its_context(run: Run) -> None:
    seen: list[Any] = []

    def serve(request: bytes, context: Any) -> bytes:
        context.send_initial_metadata((("early", "1"),))
        seen.append(context.add_callback(lambda: seen.append("ended")))
        seen.append((context.is_active(), context.peer().partition(":")[0], context.time_remaining()))
        context.set_trailing_metadata((("late", "1"),))
        return b"served"

    channel = await run(serve=("unary_unary", serve))
    call = unary(channel, "serve")(b"")
    assert await call == b"served"
    assert tuple(await call.initial_metadata()) == (("early", "1"),)
    assert tuple(await call.trailing_metadata()) == (("late", "1"),)
    assert seen == [True, (True, "ipv4", None), "ended"]


async def test_a_blocking_servicer_ends_its_call(run: Run) -> None:
    def abort(request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "not here")
        return b""

    def cancel(requests: Any, context: Any) -> bytes:
        assert context.cancel()
        # It hears of that where it waits for the client.
        assert list(requests) == []
        return b""

    channel = await run(abort=("unary_unary", abort), cancel=("stream_unary", cancel))
    assert await failure(unary(channel, "abort")(b"")) == (grpc.StatusCode.NOT_FOUND, "not here")
    method: Any = channel.stream_unary("/raw.Test/cancel")
    call = method()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_what_a_servicer_does_wrong_is_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: bytes, context: Any) -> bytes:
        context.add_done_callback(lambda _: 1 / 0)
        raise ValueError("its fault")

    channel = await run(fail=("unary_unary", fail))
    await failure(unary(channel, "fail")(b""))
    assert "unexpected ValueError in /raw.Test/fail" in caplog.text
    assert "a done callback of a call" in caplog.text
    assert {record.levelno for record in caplog.records if record.name == "protosocket"} == {logging.ERROR}


async def _until_still(value: Callable[[], int]) -> None:
    """Wait until a number does not change any more."""
    before = -1
    while before != value():
        before = value()
        await asyncio.sleep(0.05)
