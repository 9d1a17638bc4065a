"""The servicer's context: status, metadata, reading and writing, peer, deadline, errors of handlers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc import StatusCode
from grpc_status import rpc_status
from tests.grpc_parity.handlers import Context, Endless, failure
from tests.grpc_parity.world import KINDS, World


async def test_set_code_and_details_of_an_answer_that_is_returned(world: World) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        context.set_code(StatusCode.RESOURCE_EXHAUSTED)
        context.set_details("come back later")
        return b"not seen"

    joined = await world.join(unary_unary=handle)
    error = await failure(joined.unary_unary(b""))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "come back later"


async def test_set_code_after_streamed_answers(world: World) -> None:
    async def handle(request: bytes, context: Context) -> AsyncIterator[bytes]:
        yield b"one"
        context.set_code(StatusCode.ABORTED)
        context.set_details("that was all")

    joined = await world.join(unary_stream=handle)
    call = joined.unary_stream(b"")
    assert await call.read() == b"one"
    error = await failure(call.read())
    assert error.code() is StatusCode.ABORTED
    assert error.details() == "that was all"


async def test_details_of_an_answer_that_is_fine(world: World) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        context.set_code(StatusCode.OK)
        context.set_details("all well")
        return b"yes"

    joined = await world.join(unary_unary=handle)
    call = joined.unary_unary(b"")
    assert await call == b"yes"
    assert await call.code() is StatusCode.OK


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
async def test_every_code(world: World, code: StatusCode) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        await context.abort(code, f"as {code.name}")
        return b""

    joined = await world.join(unary_unary=handle)
    call = joined.unary_unary(b"")
    error = await failure(call)
    assert (error.code(), error.details()) == (code, f"as {code.name}")


async def test_abort_wins_over_what_was_set(world: World) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        context.set_code(StatusCode.NOT_FOUND)
        context.set_details("first thought")
        context.set_trailing_metadata((("kept", "no"),))
        await context.abort(StatusCode.ABORTED, "second thought", (("kept", "yes"),))
        return b""

    joined = await world.join(unary_unary=handle)
    error = await failure(joined.unary_unary(b""))
    assert (error.code(), error.details()) == (StatusCode.ABORTED, "second thought")
    assert (error.trailing_metadata() or {})["kept"] == "yes"


async def test_abort_keeps_trailing_metadata_set_before(world: World) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        context.set_trailing_metadata((("set", "before"),))
        await context.abort(StatusCode.ABORTED)
        return b""

    joined = await world.join(unary_unary=handle)
    error = await failure(joined.unary_unary(b""))
    assert error.details() == ""
    assert (error.trailing_metadata() or {})["set"] == "before"


async def test_abort_raises_through_the_handler(world: World) -> None:
    cleaned = asyncio.Event()

    async def handle(request: bytes, context: Context) -> bytes:
        try:
            await context.abort(StatusCode.ABORTED)
        finally:
            cleaned.set()
        return b""

    joined = await world.join(unary_unary=handle)
    await failure(joined.unary_unary(b""))
    await cleaned.wait()


async def test_abort_cannot_be_swallowed(world: World) -> None:
    """Whoever catches it may not answer any more: the call ends as it was aborted."""

    async def handle(request: bytes, context: Context) -> bytes:
        with contextlib.suppress(Exception):
            await context.abort(StatusCode.ABORTED, "meant so")
        return b"never seen"

    joined = await world.join(unary_unary=handle)
    error = await failure(joined.unary_unary(b""))
    assert (error.code(), error.details()) == (StatusCode.ABORTED, "meant so")


async def test_abort_with_status(world: World) -> None:
    status = Status(code=StatusCode.PERMISSION_DENIED.value[0], message="not you")

    async def handle(request: bytes, context: Context) -> bytes:
        await context.abort_with_status(rpc_status.to_status(status))
        return b""

    joined = await world.join(unary_unary=handle)
    error = await failure(joined.unary_unary(b""))
    assert (error.code(), error.details()) == (StatusCode.PERMISSION_DENIED, "not you")
    assert (error.trailing_metadata() or {})["grpc-status-details-bin"] == status.SerializeToString()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_exception_of_a_handler(world: World, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def unary(request: Any, context: Context) -> bytes:
        raise ValueError("a secret? no")

    async def stream(request: Any, context: Context) -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("a secret? no")

    handlers: dict[str, Any] = {kind: stream if kind.endswith("stream") else unary}
    joined = await world.join(**handlers)
    call = getattr(joined, kind)(*() if kind.startswith("stream") else (b"",))
    with caplog.at_level(logging.ERROR):
        if kind.endswith("stream"):
            assert await call.read() == b"one"
        error = await failure(call.read() if kind.endswith("stream") else call)
    assert error.code() is StatusCode.UNKNOWN
    assert error.details() == "Unexpected <class 'ValueError'>: a secret? no"
    assert any(record.exc_info and record.exc_info[0] is ValueError for record in caplog.records)


async def test_an_error_does_not_hurt_other_calls(world: World) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        if request == b"bad":
            raise RuntimeError("bad")
        return request

    joined = await world.join(unary_unary=handle)
    calls = [joined.unary_unary(b"bad" if number % 3 == 0 else b"good") for number in range(30)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer == b"good" for answer in answers] == [number % 3 != 0 for number in range(30)]


async def test_read_and_write_instead_of_iterating_and_yielding(world: World) -> None:
    async def handle(requests: Any, context: Context) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)
            await context.write(request)

    joined = await world.join(stream_stream=handle)
    call = joined.stream_stream(iter([b"a", b"b"]))
    assert [each async for each in call] == [b"a", b"a", b"b", b"b"]
    assert await call.code() is StatusCode.OK


async def test_write_instead_of_yielding_to_one_request(world: World) -> None:
    async def handle(request: bytes, context: Context) -> None:
        for _ in range(int(request)):
            await context.write(b"x")
        context.set_trailing_metadata((("wrote", request.decode()),))

    joined = await world.join(unary_stream=handle)
    call = joined.unary_stream(b"3")
    assert [each async for each in call] == [b"x", b"x", b"x"]
    assert (await call.trailing_metadata())["wrote"] == "3"


async def test_read_instead_of_iterating_for_one_answer(world: World) -> None:
    async def handle(requests: Any, context: Context) -> bytes:
        total = 0
        while (request := await context.read()) is not grpc.aio.EOF:
            total += int(request)
        return str(total).encode()

    joined = await world.join(stream_unary=handle)
    assert await joined.stream_unary(iter([b"1", b"2", b"3"])) == b"6"


async def test_sending_initial_metadata_twice_is_an_error(world: World) -> None:
    raised: list[type[BaseException]] = []

    async def handle(request: bytes, context: Context) -> bytes:
        await context.send_initial_metadata((("n", "1"),))
        try:
            await context.send_initial_metadata((("n", "2"),))
        except Exception as error:
            raised.append(type(error))
        return b""

    joined = await world.join(unary_unary=handle)
    call = joined.unary_unary(b"")
    await call
    assert tuple(await call.initial_metadata()) == (("n", "1"),)
    assert len(raised) == 1


async def test_what_was_set_can_be_asked_for(world: World) -> None:
    seen: list[Any] = []

    async def handle(request: bytes, context: Context) -> bytes:
        context.set_code(StatusCode.DATA_LOSS)
        context.set_details("lost")
        context.set_trailing_metadata((("a", "b"),))
        seen.extend([context.details(), tuple(context.trailing_metadata())])
        seen.append(context.code())
        return b""

    joined = await world.join(unary_unary=handle)
    await failure(joined.unary_unary(b""))
    assert seen[:2] == ["lost", (("a", "b"),)]
    assert seen[2] in (StatusCode.DATA_LOSS, StatusCode.DATA_LOSS.value[0])


async def test_who_calls(world: World) -> None:
    seen: list[Any] = []

    async def handle(request: bytes, context: Context) -> bytes:
        seen.extend([context.peer(), dict(context.auth_context() or {})])
        seen.extend([context.peer_identity_key(), context.peer_identities()])
        return b""

    joined = await world.join(unary_unary=handle)
    await joined.unary_unary(b"")
    assert seen[0].startswith("ipv4:127.0.0.1:")
    assert seen[0] != f"ipv4:{joined.target}"
    assert seen[2:] == [None, None]


async def test_time_remaining(world: World) -> None:
    seen: list[float | None] = []

    async def handle(request: bytes, context: Context) -> bytes:
        seen.append(context.time_remaining())
        return b""

    joined = await world.join(unary_unary=handle)
    await joined.unary_unary(b"")
    await joined.unary_unary(b"", timeout=20)
    await joined.unary_unary(b"", timeout=0.75)
    assert seen[0] is None
    assert seen[1] is not None
    assert 15 < seen[1] <= 20.5  # gRPC rounds what it sends
    assert seen[2] is not None
    assert 0 < seen[2] <= 0.8


async def test_done_callback_of_a_call_that_is_cancelled(world: World) -> None:
    ended = asyncio.Event()
    endless = Endless()

    async def handle(request: bytes, context: Context) -> bytes:
        assert not context.cancelled()
        assert not context.done()
        context.add_done_callback(lambda _: ended.set())
        return await endless.unary(request, context)

    joined = await world.join(unary_unary=handle)
    call = joined.unary_unary(b"")
    await endless.started.wait()
    call.cancel()
    await endless.cancelled.wait()
    await ended.wait()


async def test_done_callbacks_of_a_call_that_ends_well(world: World) -> None:
    called: list[Any] = []
    contexts: list[Context] = []
    ended = asyncio.Event()

    async def handle(request: bytes, context: Context) -> bytes:
        contexts.append(context)
        context.add_done_callback(called.append)
        context.add_done_callback(lambda _: ended.set())
        return b""

    joined = await world.join(unary_unary=handle)
    await joined.unary_unary(b"")
    await ended.wait()
    assert called == contexts
    assert contexts[0].done()
    assert not contexts[0].cancelled()


async def test_a_handler_may_finish_after_its_caller_went_away(world: World) -> None:
    """Catching the cancellation to clean up is allowed; the next call is not disturbed."""
    endless = Endless()
    cleaned = asyncio.Event()

    async def handle(request: bytes, context: Context) -> bytes:
        if request == b"next":
            return b"fine"
        try:
            return await endless.unary(request, context)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cleaned.set()
            raise

    joined = await world.join(unary_unary=handle)
    call = joined.unary_unary(b"")
    await endless.started.wait()
    call.cancel()
    await cleaned.wait()
    assert await joined.unary_unary(b"next") == b"fine"


async def test_handlers_have_context_variables_of_their_own(world: World) -> None:
    variable = contextvars.ContextVar("variable", default="untouched")
    seen: list[str] = []

    async def handle(request: bytes, context: Context) -> bytes:
        seen.append(variable.get())
        variable.set("touched")
        return b""

    joined = await world.join(unary_unary=handle)
    for _ in range(3):
        await joined.unary_unary(b"")
    assert seen == ["untouched"] * 3


async def test_serializers_of_a_method(world: World) -> None:
    async def handle(request: str, context: Context) -> int:
        return len(request)

    handler = grpc.method_handlers_generic_handler(
        "parity.Text",
        {
            "Count": grpc.unary_unary_rpc_method_handler(
                handle,
                request_deserializer=lambda data: data.decode(),
                response_serializer=lambda number: str(number).encode(),
            )
        },
    )
    _, target = await world.serve(handler)
    count: Any = world.channel(target).unary_unary("/parity.Text/Count")
    assert await count("Grüße".encode()) == b"5"


async def test_reading_and_writing_mix_with_iterating_and_yielding(world: World) -> None:
    async def stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
        await context.write(b"written")
        yield b"yielded"
        await context.write(b"written again")

    async def collect(requests: AsyncIterator[bytes], context: Context) -> bytes:
        first = await context.read()
        rest = [request async for request in requests]
        return b"|".join([first, *rest])

    joined = await world.join(unary_stream=stream, stream_unary=collect)
    received = [each async for each in joined.unary_stream(b"")]
    assert received == [b"written", b"yielded", b"written again"]
    assert await joined.stream_unary(iter([b"a", b"b", b"c"])) == b"a|b|c"


async def test_reading_and_writing_at_the_same_time(world: World) -> None:
    """A handler that writes before the first request, and while another task of it reads."""

    async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
        await context.write(b"welcome")

        async def read_all() -> list[bytes]:
            return [request async for request in requests]

        reading = asyncio.ensure_future(read_all())
        await context.write(b"listening")
        await context.write(b"+".join(await reading))

    joined = await world.join(stream_stream=handle)
    call = joined.stream_stream()
    assert await call.read() == b"welcome"
    assert await call.read() == b"listening"
    for each in (b"a", b"b"):
        await call.write(each)
    await call.done_writing()
    assert await call.read() == b"a+b"
    assert await call.read() is grpc.aio.EOF


async def test_none_is_an_empty_message(world: World) -> None:
    async def unary(request: bytes, context: Context) -> None:
        return None

    async def stream(request: bytes, context: Context) -> AsyncIterator[None]:
        yield None

    joined = await world.join(unary_unary=unary, unary_stream=stream)
    assert await joined.unary_unary(b"") == b""
    assert [each async for each in joined.unary_stream(b"")] == [b""]


async def test_an_answer_that_is_not_bytes(world: World) -> None:
    async def handle(request: bytes, context: Context) -> int:
        return 5

    joined = await world.join(unary_unary=handle)
    error = await failure(joined.unary_unary(b""))
    assert error.code() is StatusCode.UNKNOWN
    assert "bytes" in (error.details() or "")


@pytest.mark.parametrize("where", ["initial", "trailing"])
async def test_metadata_of_a_handler_that_cannot_be_sent(world: World, where: str) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        if where == "initial":
            await context.send_initial_metadata((("UPPER", "x"),))
        else:
            context.set_trailing_metadata((("UPPER", "x"),))
        return b""

    joined = await world.join(unary_unary=handle)
    error = await failure(joined.unary_unary(b""))
    assert (error.code(), error.details()) == (StatusCode.INTERNAL, "Invalid metadata")


async def test_a_code_as_a_number(world: World) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        context.set_code(StatusCode.NOT_FOUND.value[0])
        return b""

    joined = await world.join(unary_unary=handle)
    assert (await failure(joined.unary_unary(b""))).code() is StatusCode.NOT_FOUND


async def test_a_handler_that_calls_another_server(world: World) -> None:
    """The deadline of the first call can be handed on."""
    back = await world.join(unary_unary=Endless().unary)

    async def relay(request: bytes, context: Context) -> bytes:
        answer: bytes = await back.unary_unary(request, timeout=context.time_remaining())
        return answer

    front = await world.join(unary_unary=relay)
    assert (await failure(front.unary_unary(b"", timeout=0.2))).code() is StatusCode.DEADLINE_EXCEEDED
