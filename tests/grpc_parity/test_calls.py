"""Calls as their caller sees them: results, metadata, status, cancellation, deadlines."""

from __future__ import annotations

import asyncio
import gc
import math
import pickle
import weakref
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from tests.grpc_parity.handlers import (
    Context,
    Endless,
    count_up,
    drain,
    echo_all,
    exclaim,
    join_all,
)
from tests.grpc_parity.world import KINDS, Joined, World
from tests.places import turns

ALL: dict[str, Any] = {
    "unary_unary": exclaim,
    "unary_stream": count_up,
    "stream_unary": join_all,
    "stream_stream": echo_all,
}


def begin(joined: Joined, kind: str, **options: Any) -> Any:
    """A call whose answer is ready to be waited for."""
    make = getattr(joined, kind)
    return make(iter([b"2"]), **options) if kind.startswith("stream") else make(b"2", **options)


async def finish(call: Any, kind: str) -> Any:
    """What the call answers: a message, or a list of them."""
    return [each async for each in call] if kind.endswith("stream") else await call


ANSWERS = {"unary_unary": b"2!", "unary_stream": [b"0", b"1"], "stream_unary": b"2", "stream_stream": [b"2"]}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_ends_well(world: World, kind: str) -> None:
    joined = await world.join(**ALL)
    call = begin(joined, kind)
    assert not call.done()
    assert await finish(call, kind) == ANSWERS[kind]
    assert await call.code() is StatusCode.OK
    assert await call.details() == ""
    assert tuple(await call.initial_metadata()) == ()
    assert tuple(await call.trailing_metadata()) == ()
    assert call.done()
    assert not call.cancelled()
    assert not call.cancel()
    assert await call.code() is StatusCode.OK


async def test_an_answer_can_be_awaited_again(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    call = joined.unary_unary(b"a")
    assert [await call, await call] == [b"a!", b"a!"]


@pytest.mark.parametrize("kind", KINDS)
async def test_metadata_goes_both_ways(world: World, kind: str) -> None:
    seen: list[Any] = []

    async def note(context: Context) -> None:
        seen.extend(context.invocation_metadata() or ())
        await context.send_initial_metadata((("first", "1"), ("first-bin", b"\x00\xff")))
        context.set_trailing_metadata((("last", "2"), ("last", "3"), ("last-bin", bytes(range(256)))))

    async def unary(request: Any, context: Context) -> bytes:
        await note(context)
        return b""

    async def stream(request: Any, context: Context) -> Any:
        await note(context)
        yield b""

    handler = stream if kind.endswith("stream") else unary
    handlers: dict[str, Any] = {kind: handler}
    joined = await world.join(**handlers)
    sent = (
        ("word", "hello"),
        ("word", "again"),
        ("empty", ""),
        ("data-bin", b"\x00\x01\xfe"),
        ("none-bin", b""),
    )
    call = begin(joined, kind, metadata=sent)
    assert tuple(await call.initial_metadata()) == (("first", "1"), ("first-bin", b"\x00\xff"))
    await finish(call, kind)
    assert [each for each in seen if each[0] != "user-agent"] == list(sent)
    assert tuple(await call.trailing_metadata()) == (
        ("last", "2"),
        ("last", "3"),
        ("last-bin", bytes(range(256))),
    )


async def test_metadata_is_grpc_aio_metadata(world: World) -> None:
    async def handle(request: bytes, context: Context) -> bytes:
        await context.send_initial_metadata(grpc.aio.Metadata(("a", "1")))
        context.set_trailing_metadata(grpc.aio.Metadata(("b", "2")))
        return str(dict(context.invocation_metadata() or ())["c"]).encode()

    joined = await world.join(unary_unary=handle)
    call = joined.unary_unary(b"", metadata=grpc.aio.Metadata(("c", "3")))
    assert await call == b"3"
    initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
    assert isinstance(initial, grpc.aio.Metadata)
    assert isinstance(trailing, grpc.aio.Metadata)
    assert initial["a"] == "1"
    assert trailing.get_all("b") == ["2"]


async def test_initial_metadata_arrives_before_the_first_answer(world: World) -> None:
    """Of a stream; a unary answer's metadata comes with the answer."""
    go_on = asyncio.Event()

    async def handle(request: bytes, context: Context) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("early", "yes"),))
        await go_on.wait()
        yield b"late"

    joined = await world.join(unary_stream=handle)
    call = joined.unary_stream(b"")
    assert (await call.initial_metadata())["early"] == "yes"
    assert not call.done()
    go_on.set()
    assert await call.read() == b"late"


@pytest.mark.parametrize(
    "bad", [[("UPPER", "x")], [("a b", "x")], [("a", "ü")], [("a-bin", "text")], [("a", 5)]]
)
async def test_metadata_that_cannot_be_sent(world: World, bad: list[Any]) -> None:
    joined = await world.join(unary_unary=exclaim)
    with pytest.raises((TypeError, grpc.aio.InternalError)):
        await joined.unary_unary(b"", metadata=bad)
    assert await joined.unary_unary(b"fine") == b"fine!"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_tells_what_the_server_said(world: World, kind: str) -> None:
    async def unary(request: Any, context: Context) -> bytes:
        await drain(request)
        await context.abort(StatusCode.NOT_FOUND, "no such thing: ☃", (("why-bin", b"\x01"), ("how", "so")))
        return b""

    async def stream(request: Any, context: Context) -> Any:
        await drain(request)
        await context.send_initial_metadata((("hint", "bad"),))
        await context.abort(StatusCode.NOT_FOUND, "no such thing: ☃", (("why-bin", b"\x01"), ("how", "so")))
        yield b""

    handler = stream if kind.endswith("stream") else unary
    handlers: dict[str, Any] = {kind: handler}
    joined = await world.join(**handlers)
    call = begin(joined, kind)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await finish(call, kind)
    error = caught.value
    assert error.code() is StatusCode.NOT_FOUND
    assert error.details() == "no such thing: ☃"
    assert tuple(error.trailing_metadata() or ()) == (("why-bin", b"\x01"), ("how", "so"))
    assert tuple(error.initial_metadata() or ()) == ((("hint", "bad"),) if handler is stream else ())
    assert "no such thing" in (error.debug_error_string() or "")
    assert "status = StatusCode.NOT_FOUND" in str(error)
    assert 'details = "no such thing: ☃"' in str(error)
    assert isinstance(error, grpc.RpcError)
    assert await call.code() is StatusCode.NOT_FOUND
    assert await call.details() == "no such thing: ☃"
    assert tuple(await call.trailing_metadata()) == (("why-bin", b"\x01"), ("how", "so"))
    assert "no such thing" in await call.debug_error_string()
    assert call.done()
    assert not call.cancelled()
    with pytest.raises(grpc.aio.AioRpcError):
        await (call if kind.endswith("unary") else call.read())
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code(), copy.details()) == (error.code(), error.details())


@pytest.mark.parametrize("kind", KINDS)
async def test_status_can_be_awaited_instead_of_the_answer(world: World, kind: str) -> None:
    async def fail(request: Any, context: Context) -> bytes:
        await drain(request)
        context.set_trailing_metadata((("last", "words"),))
        await context.abort(StatusCode.DATA_LOSS, "gone")
        return b""

    handlers: dict[str, Any] = {kind: fail}
    joined = await world.join(**handlers)
    call = begin(joined, kind)
    metadata, details, code = await asyncio.gather(call.trailing_metadata(), call.details(), call.code())
    assert (metadata["last"], details, code) == ("words", "gone", StatusCode.DATA_LOSS)


@pytest.mark.parametrize("kind", KINDS)
async def test_cancel_reaches_the_handler(world: World, kind: str) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = begin(joined, kind)
    await endless.started.wait()
    assert call.cancel()
    assert not call.cancel()
    assert call.cancelled()
    assert call.done()
    await endless.cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await finish(call, kind)
    assert await call.code() is StatusCode.CANCELLED
    assert await call.details() == "Locally cancelled by application!"


@pytest.mark.parametrize("kind", KINDS)
async def test_cancel_at_once(world: World, kind: str) -> None:
    joined = await world.join(**Endless().all())
    call = begin(joined, kind)
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(call, kind)
    assert await call.code() is StatusCode.CANCELLED
    assert tuple(await call.initial_metadata()) == ()
    assert tuple(await call.trailing_metadata()) == ()


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_who_waits_cancels_the_call(world: World, kind: str) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = begin(joined, kind)
    if kind.endswith("stream"):
        assert await call.read() == b"first"
    await endless.started.wait()
    waiting = asyncio.ensure_future(call.read() if kind.endswith("stream") else call)
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.cancelled()
    await endless.cancelled.wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deadline_ends_the_call_and_the_handler(world: World, kind: str) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = begin(joined, kind, timeout=0.2)
    assert 0 < call.time_remaining() <= 0.2 + 1e-9
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await finish(call, kind)
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED
    assert "Deadline Exceeded" in (caught.value.details() or "")
    assert await call.code() is StatusCode.DEADLINE_EXCEEDED
    assert not call.cancelled()
    assert call.time_remaining() == 0
    await endless.cancelled.wait()


@pytest.mark.parametrize("timeout", [0, -1])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_deadline_that_has_passed(world: World, kind: str, timeout: float) -> None:
    joined = await world.join(**Endless().all())
    first = () if kind.startswith("stream") else (b"",)
    call = getattr(joined, kind)(*first, timeout=timeout)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await finish(call, kind)
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("timeout", [1e6, 1e9, 1e20, math.inf])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_deadline_in_the_far_future(world: World, kind: str, timeout: float) -> None:
    if timeout > 1e9 and world.name == "grpc.aio":
        pytest.skip("its clock overflows, and the deadline has passed")
    joined = await world.join(**ALL)
    call = begin(joined, kind, timeout=timeout)
    assert call.time_remaining() > 9e5
    assert await finish(call, kind) == ANSWERS[kind]


async def test_no_deadline(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    call = joined.unary_unary(b"")
    assert call.time_remaining() is None
    await call


@pytest.mark.parametrize("kind", KINDS)
async def test_done_callbacks(world: World, kind: str) -> None:
    joined = await world.join(**ALL)
    called: list[Any] = []
    finished = asyncio.Event()
    call = begin(joined, kind)
    call.add_done_callback(called.append)
    call.add_done_callback(lambda _: finished.set())
    await finish(call, kind)
    await finished.wait()
    assert called == [call]
    late = asyncio.Event()
    call.add_done_callback(lambda _: late.set())
    await late.wait()


async def test_done_callback_of_a_stream_that_was_not_read_to_its_end(world: World) -> None:
    async def one(request: bytes, context: Context) -> AsyncIterator[bytes]:
        yield b"one"

    joined = await world.join(unary_stream=one)
    finished = asyncio.Event()
    call = joined.unary_stream(b"")
    call.add_done_callback(lambda _: finished.set())
    assert await call.read() == b"one"
    assert await call.code() is StatusCode.OK
    await finished.wait()
    assert call.done()


async def test_done_callback_of_a_cancelled_call(world: World) -> None:
    joined = await world.join(**Endless().all())
    finished = asyncio.Event()
    call = joined.unary_unary(b"")
    call.add_done_callback(lambda _: finished.set())
    call.cancel()
    await finished.wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_wait_for_connection(world: World, kind: str) -> None:
    joined = await world.join(**ALL)
    call = begin(joined, kind)
    await call.wait_for_connection()
    assert await finish(call, kind) == ANSWERS[kind]


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_listens(world: World, free_address: str, kind: str) -> None:
    make = getattr(world.channel(free_address), kind)("/parity.Test/any")
    first = () if kind.startswith("stream") else (b"",)
    call = make(*first)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await finish(call, kind)
    assert caught.value.code() is StatusCode.UNAVAILABLE
    assert "refused" in (caught.value.details() or "").lower()
    assert free_address in (caught.value.details() or "")
    call = make(*first)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.wait_for_connection()
    assert caught.value.code() is StatusCode.UNAVAILABLE
    assert await call.code() is StatusCode.UNAVAILABLE
    assert call.done()


async def test_serializers_make_the_bytes(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    say = joined.channel.unary_unary(
        "/parity.Test/unary_unary",
        request_serializer=lambda text: text.encode(),
        response_deserializer=lambda data: data.decode(),
    )
    assert await say("ü") == "ü!"


async def test_without_a_serializer_messages_are_bytes(world: World) -> None:
    joined = await world.join(**ALL)
    with pytest.raises(TypeError, match="bytes"):
        await joined.unary_unary("text")
    with pytest.raises(TypeError, match="bytes"):
        await joined.unary_stream("text").read()
    call = joined.stream_stream()
    with pytest.raises(TypeError, match="bytes"):
        await call.write("text")
    call.cancel()


async def test_a_method_can_be_called_by_another_kind(world: World) -> None:
    """On the wire, one message and a stream of one look the same."""
    joined = await world.join(**ALL)
    channel = joined.channel
    assert await channel.unary_unary("/parity.Test/stream_unary")(b"one") == b"one"
    call: Any = channel.stream_stream("/parity.Test/unary_unary")(iter([b"one"]))
    assert [each async for each in call] == [b"one!"]
    call = channel.stream_stream("/parity.Test/unary_stream")(iter([b"3"]))
    assert [each async for each in call] == [b"0", b"1", b"2"]


async def test_many_calls_at_once_get_their_own_answers(world: World) -> None:
    joined = await world.join(**ALL)

    async def chat(number: int) -> list[bytes]:
        call = joined.stream_stream()
        got = []
        for turn in range(5):
            await call.write(b"%d/%d" % (number, turn))
            got.append(await call.read())
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        return got

    unary = [joined.unary_unary(b"%d" % number) for number in range(200)]
    chats = [chat(number) for number in range(20)]
    assert await asyncio.gather(*unary) == [b"%d!" % number for number in range(200)]
    expected = [[b"%d/%d" % (number, turn) for turn in range(5)] for number in range(20)]
    assert await asyncio.gather(*chats) == expected


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_kept_of_calls_that_have_ended(world: World, kind: str) -> None:
    joined = await world.join(**ALL)

    async def call_often() -> list[weakref.ref[Any]]:
        kept = []
        for _ in range(20):
            call = begin(joined, kind)
            kept.append(weakref.ref(call))
            await finish(call, kind)
            assert await call.code() is StatusCode.OK
        return kept

    kept = await call_often()
    await turns()
    gc.collect()
    assert [each() for each in kept if each() is not None] == []


@pytest.mark.every_loop
@pytest.mark.parametrize("kind", KINDS)
async def test_on_every_loop(world: World, kind: str) -> None:
    joined = await world.join(**ALL)
    assert await finish(begin(joined, kind), kind) == ANSWERS[kind]
