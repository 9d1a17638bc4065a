"""Client interceptors of all kinds: they change, watch, replace and refuse calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from tests.grpc_parity.handlers import Context, Endless, count_up, echo_all, exclaim, join_all
from tests.grpc_parity.world import KINDS, World

Around = Callable[[Any, Any, Any], Awaitable[Any]]
"""Takes the continuation, the call's details and the request or an iterator of them."""


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, around: Around) -> None:
        self._around = around

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._around(continuation, client_call_details, request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, around: Around) -> None:
        self._around = around

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._around(continuation, client_call_details, request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, around: Around) -> None:
        self._around = around

    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._around(continuation, client_call_details, request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, around: Around) -> None:
        self._around = around

    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._around(continuation, client_call_details, request_iterator)


CLASSES: dict[str, Callable[[Around], Any]] = {
    "unary_unary": _UnaryUnary,
    "unary_stream": _UnaryStream,
    "stream_unary": _StreamUnary,
    "stream_stream": _StreamStream,
}

PLAIN: dict[str, Any] = {
    "unary_unary": exclaim,
    "unary_stream": count_up,
    "stream_unary": join_all,
    "stream_stream": echo_all,
}
ANSWERS = {
    "unary_unary": [b"2!"],
    "unary_stream": [b"0", b"1"],
    "stream_unary": [b"2"],
    "stream_stream": [b"2"],
}


async def _two() -> AsyncIterator[bytes]:
    yield b"2"


async def run(make: Any, kind: str, **options: Any) -> list[bytes]:
    """What a call with the request 2 answers."""
    call = make(_two() if kind.startswith("stream") else b"2", **options)
    return [each async for each in call] if kind.endswith("stream") else [await call]


@pytest.mark.parametrize("kind", KINDS)
async def test_details_and_order(world: World, kind: str) -> None:
    seen: list[Any] = []

    def watch(name: str) -> Around:
        async def around(continuation: Any, details: Any, request: Any) -> Any:
            method = details.method.decode() if isinstance(details.method, bytes) else details.method
            seen.append((name, method, details.timeout, dict(details.metadata)["a"], details.wait_for_ready))
            return await continuation(details, request)

        return around

    make = CLASSES[kind]
    joined = await world.join(**PLAIN, interceptors=[make(watch("outer")), make(watch("inner"))])
    options = {"timeout": 9.0, "metadata": (("a", "1"),), "wait_for_ready": True}
    assert await run(getattr(joined, kind), kind, **options) == ANSWERS[kind]
    assert seen == [(name, f"/parity.Test/{kind}", 9.0, "1", True) for name in ("outer", "inner")]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_has_its_own_interceptors(world: World, kind: str) -> None:
    seen: list[str] = []

    def watch(of: str) -> Around:
        async def around(continuation: Any, details: Any, request: Any) -> Any:
            seen.append(of)
            return await continuation(details, request)

        return around

    joined = await world.join(**PLAIN, interceptors=[make(watch(of)) for of, make in CLASSES.items()])
    assert await run(getattr(joined, kind), kind) == ANSWERS[kind]
    assert seen == [kind]


@pytest.mark.parametrize("kind", KINDS)
async def test_metadata_can_be_added(world: World, kind: str) -> None:
    got: list[dict[str, Any]] = []

    async def unary(request: Any, context: Context) -> bytes:
        got.append(dict(context.invocation_metadata()))
        return b""

    async def stream(request: Any, context: Context) -> AsyncIterator[bytes]:
        got.append(dict(context.invocation_metadata()))
        yield b""

    async def add(continuation: Any, details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("added", "yes"), ("added-bin", b"\x00"))
        changed = grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )
        return await continuation(changed, request)

    handlers: dict[str, Any] = {kind: stream if kind.endswith("stream") else unary}
    joined = await world.join(**handlers, interceptors=[CLASSES[kind](add)])
    assert await run(getattr(joined, kind), kind, metadata=(("own", "1"),)) == [b""]
    assert {"own": "1", "added": "yes", "added-bin": b"\x00"}.items() <= got[0].items()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deadline_can_be_set(world: World, kind: str) -> None:
    async def hurry(continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details._replace(timeout=0.1), request)

    joined = await world.join(**Endless().all(), interceptors=[CLASSES[kind](hurry)])
    call = getattr(joined, kind)(*() if kind.startswith("stream") else (b"",))
    with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012
        if kind.endswith("stream"):
            async for _ in call:
                pass
        else:
            await call
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("kind", KINDS)
async def test_requests_can_be_changed(world: World, kind: str) -> None:
    async def change(continuation: Any, details: Any, request: Any) -> Any:
        if isinstance(request, bytes):
            return await continuation(details, b"3")

        async def others() -> AsyncIterator[bytes]:
            async for each in request:
                yield each + b"x"

        return await continuation(details, others())

    joined = await world.join(**PLAIN, interceptors=[CLASSES[kind](change)])
    assert (
        await run(getattr(joined, kind), kind)
        == {
            "unary_unary": [b"3!"],
            "unary_stream": [b"0", b"1", b"2"],
            "stream_unary": [b"2x"],
            "stream_stream": [b"2x"],
        }[kind]
    )


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
async def test_answers_can_be_another_iterator(world: World, kind: str) -> None:
    async def twice(continuation: Any, details: Any, request: Any) -> Any:
        call = await continuation(details, request)

        async def doubled() -> AsyncIterator[bytes]:
            async for each in call:
                yield each + each

        return doubled()

    joined = await world.join(**PLAIN, interceptors=[CLASSES[kind](twice)])
    assert await run(getattr(joined, kind), kind) == [each + each for each in ANSWERS[kind]]


async def test_an_answer_can_be_given_without_a_call(world: World) -> None:
    asked: list[bytes] = []

    async def handle(request: bytes, context: Context) -> bytes:
        asked.append(request)
        return request

    async def remember(continuation: Any, details: Any, request: Any) -> Any:
        return b"remembered" if request == b"known" else await continuation(details, request)

    joined = await world.join(unary_unary=handle, interceptors=[_UnaryUnary(remember)])
    call = joined.unary_unary(b"known")
    assert await call == b"remembered"
    assert call.done()
    assert not call.cancelled()
    assert not call.cancel()
    assert await call.code() is StatusCode.OK
    assert await call.details() == ""
    assert await joined.unary_unary(b"unknown") == b"unknown"
    assert asked == [b"unknown"]


async def test_an_answer_can_be_changed(world: World) -> None:
    async def shout(continuation: Any, details: Any, request: Any) -> Any:
        answer: bytes = await (await continuation(details, request))
        return answer.upper()

    joined = await world.join(unary_unary=exclaim, interceptors=[_UnaryUnary(shout)])
    assert await joined.unary_unary(b"hey") == b"HEY!"


async def test_a_call_can_be_made_again(world: World) -> None:
    attempts = 0

    async def handle(request: bytes, context: Context) -> bytes:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            await context.abort(StatusCode.UNAVAILABLE, "not yet")
        return b"now"

    async def retry(continuation: Any, details: Any, request: Any) -> Any:
        while True:
            call = await continuation(details, request)
            if await call.code() is not StatusCode.UNAVAILABLE:
                return call

    joined = await world.join(unary_unary=handle, interceptors=[_UnaryUnary(retry)])
    assert await joined.unary_unary(b"") == b"now"
    assert attempts == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_of_the_server_passes_through(world: World, kind: str) -> None:
    async def fail(request: Any, context: Context) -> bytes:
        context.set_trailing_metadata((("t", "1"),))
        if not isinstance(request, bytes):
            async for _ in request:
                pass
        await context.abort(StatusCode.NOT_FOUND, "no")
        return b""

    async def through(continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details, request)

    handlers: dict[str, Any] = {kind: fail}
    joined = await world.join(**handlers, interceptors=[CLASSES[kind](through)])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run(getattr(joined, kind), kind)
    assert caught.value.code() is StatusCode.NOT_FOUND
    assert (caught.value.trailing_metadata() or {})["t"] == "1"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_exception_of_an_interceptor_is_the_callers(world: World, kind: str) -> None:
    async def refuse(continuation: Any, details: Any, request: Any) -> Any:
        raise ValueError("not today")

    joined = await world.join(**PLAIN, interceptors=[CLASSES[kind](refuse)])
    with pytest.raises(ValueError, match="not today"):
        await run(getattr(joined, kind), kind)


async def test_an_rpc_error_of_an_interceptor(world: World) -> None:
    async def refuse(continuation: Any, details: Any, request: Any) -> Any:
        raise grpc.aio.AioRpcError(
            StatusCode.PERMISSION_DENIED, grpc.aio.Metadata(), grpc.aio.Metadata(("why", "so")), "no"
        )

    joined = await world.join(unary_unary=exclaim, interceptors=[_UnaryUnary(refuse)])
    call = joined.unary_unary(b"")
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert call.done()
    assert await call.code() is StatusCode.PERMISSION_DENIED
    assert await call.details() == "no"
    assert tuple(await call.trailing_metadata()) == (("why", "so"),)


async def test_metadata_and_status_of_an_intercepted_call(world: World) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        await context.send_initial_metadata((("i", "1"),))
        context.set_trailing_metadata((("t", "2"),))
        return request

    async def through(continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details, request)

    joined = await world.join(unary_unary=handle, interceptors=[_UnaryUnary(through), _UnaryUnary(through)])
    finished: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    call = joined.unary_unary(b"a")
    call.add_done_callback(finished.set_result)
    await call.wait_for_connection()
    assert await call == b"a"
    assert (await call.initial_metadata())["i"] == "1"
    assert (await call.trailing_metadata())["t"] == "2"
    assert await call.code() is StatusCode.OK
    assert await call.details() == ""
    assert call.done()
    assert await finished is call


@pytest.mark.parametrize("end", ["code", "end of the stream"])
async def test_done_callbacks_of_an_intercepted_stream(world: World, end: str) -> None:
    """Those of its caller and those of the interceptor."""
    loop = asyncio.get_running_loop()
    inner: asyncio.Future[Any] = loop.create_future()
    outer: asyncio.Future[Any] = loop.create_future()

    async def answer_one(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        yield await anext(requests)

    async def watch(continuation: Any, details: Any, request: Any) -> Any:
        call = await continuation(details, request)
        call.add_done_callback(inner.set_result)
        return call

    joined = await world.join(stream_stream=answer_one, interceptors=[_StreamStream(watch)])
    call = joined.stream_stream()
    call.add_done_callback(outer.set_result)
    await call.write(b"a")
    assert await call.read() == b"a"
    await call.done_writing()
    if end == "code":
        assert await call.code() is StatusCode.OK
    else:
        assert await call.read() is grpc.aio.EOF
    assert await outer is call
    await inner


@pytest.mark.parametrize("kind", KINDS)
async def test_cancel_while_an_interceptor_is_busy(world: World, kind: str) -> None:
    busy = asyncio.Event()
    stopped = asyncio.Event()

    async def dawdle(continuation: Any, details: Any, request: Any) -> Any:
        busy.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    joined = await world.join(**PLAIN, interceptors=[CLASSES[kind](dawdle)])
    call = getattr(joined, kind)(*() if kind.startswith("stream") else (b"",))
    await busy.wait()
    assert not call.done()
    assert call.cancel()
    await stopped.wait()
    with pytest.raises(asyncio.CancelledError):
        await (anext(aiter(call)) if kind.endswith("stream") else call)
    assert call.cancelled()
    assert call.done()
    assert await call.code() is StatusCode.CANCELLED


@pytest.mark.parametrize("kind", KINDS)
async def test_cancel_of_an_intercepted_call_reaches_the_handler(world: World, kind: str) -> None:
    async def through(continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details, request)

    endless = Endless()
    joined = await world.join(**endless.all(), interceptors=[CLASSES[kind](through)])
    call = getattr(joined, kind)(*() if kind.startswith("stream") else (b"",))
    await endless.started.wait()
    assert call.cancel()
    await endless.cancelled.wait()
    assert call.cancelled()


async def test_writing_to_an_intercepted_call(world: World) -> None:
    async def through(continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details, request)

    joined = await world.join(**PLAIN, interceptors=[_StreamUnary(through), _StreamStream(through)])
    call = joined.stream_stream()
    for each in (b"a", b"b"):
        await call.write(each)
        assert await call.read() == each
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is StatusCode.OK
    call = joined.stream_unary()
    await call.write(b"a")
    await call.write(b"b")
    await call.done_writing()
    assert await call == b"a+b"


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
async def test_reading_from_an_intercepted_call(world: World, kind: str) -> None:
    async def through(continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details, request)

    joined = await world.join(**PLAIN, interceptors=[CLASSES[kind](through)])
    call = getattr(joined, kind)(iter([b"2"]) if kind.startswith("stream") else b"2")
    assert [await call.read() for _ in ANSWERS[kind]] == ANSWERS[kind]
    assert await call.read() is grpc.aio.EOF


async def test_what_is_no_interceptor_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="nterceptor"):
        world.channel("127.0.0.1:1", interceptors=[object()])
