"""Server interceptors: they see, change, replace and refuse handlers."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from tests.grpc_parity.handlers import Context, count_up, echo_all, exclaim, join_all
from tests.grpc_parity.world import KINDS, World, method_handler

PLAIN: dict[str, Any] = {
    "unary_unary": exclaim,
    "unary_stream": count_up,
    "stream_unary": join_all,
    "stream_stream": echo_all,
}


class Around(grpc.aio.ServerInterceptor):
    """Does what a function says."""

    def __init__(self, around: Callable[[Any, Any], Awaitable[Any]]) -> None:
        self._around = around

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        return await self._around(continuation, handler_call_details)


async def run(make: Any, kind: str, **options: Any) -> list[bytes]:
    """What a call with the request 2 answers."""
    call = make(iter([b"2"]), **options) if kind.startswith("stream") else make(b"2", **options)
    return [each async for each in call] if kind.endswith("stream") else [await call]


@pytest.mark.parametrize("kind", KINDS)
async def test_details_and_order(world: World, kind: str) -> None:
    seen: list[Any] = []

    def watch(name: str) -> Around:
        async def around(continuation: Any, details: Any) -> Any:
            seen.append((name, details.method, dict(details.invocation_metadata)["a-bin"]))
            handler = await continuation(details)
            seen.append((name, handler.request_streaming, handler.response_streaming))
            return handler

        return Around(around)

    joined = await world.join(**PLAIN, server_interceptors=[watch("outer"), watch("inner")])
    await run(getattr(joined, kind), kind, metadata=(("a-bin", b"\x00"),))
    streaming = (kind.startswith("stream"), kind.endswith("stream"))
    assert seen == [
        ("outer", f"/parity.Test/{kind}", b"\x00"),
        ("inner", f"/parity.Test/{kind}", b"\x00"),
        ("inner", *streaming),
        ("outer", *streaming),
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_can_be_refused(world: World, kind: str) -> None:
    async def abort(request: Any, context: Context) -> None:
        await context.abort(StatusCode.UNAUTHENTICATED, "who are you?")

    async def refuse(continuation: Any, details: Any) -> Any:
        if dict(details.invocation_metadata).get("token") == "right":
            return await continuation(details)
        return method_handler(kind, abort)

    joined = await world.join(**PLAIN, server_interceptors=[Around(refuse)])
    call = getattr(joined, kind)(*() if kind.startswith("stream") else (b"",))
    assert await call.code() is StatusCode.UNAUTHENTICATED
    assert await call.details() == "who are you?"
    assert len(await run(getattr(joined, kind), kind, metadata=(("token", "right"),))) > 0


async def test_the_handler_can_be_wrapped(world: World) -> None:
    async def wrap(continuation: Any, details: Any) -> Any:
        handler = await continuation(details)

        async def around(request: bytes, context: Context) -> bytes:
            context.set_trailing_metadata((("wrapped", "yes"),))
            answer: bytes = await handler.unary_unary(request + b"?", context)
            return answer.upper()

        return grpc.unary_unary_rpc_method_handler(
            around, handler.request_deserializer, handler.response_serializer
        )

    joined = await world.join(unary_unary=exclaim, server_interceptors=[Around(wrap)])
    call = joined.unary_unary(b"what")
    assert await call == b"WHAT?!"
    assert (await call.trailing_metadata())["wrapped"] == "yes"


async def test_a_streaming_handler_can_be_wrapped(world: World) -> None:
    async def wrap(continuation: Any, details: Any) -> Any:
        handler = await continuation(details)

        async def around(requests: Any, context: Context) -> AsyncIterator[bytes]:
            async def louder() -> AsyncIterator[bytes]:
                async for each in requests:
                    yield each.upper()

            async for answer in handler.stream_stream(louder(), context):
                yield answer + b"."

        return grpc.stream_stream_rpc_method_handler(around)

    joined = await world.join(stream_stream=echo_all, server_interceptors=[Around(wrap)])
    call = joined.stream_stream(iter([b"a", b"b"]))
    assert [each async for each in call] == [b"A.", b"B."]


async def test_context_variables_reach_the_handler(world: World) -> None:
    caller = contextvars.ContextVar("caller", default="nobody")

    async def handle(request: bytes, context: Context) -> bytes:
        return caller.get().encode()

    async def note(continuation: Any, details: Any) -> Any:
        if name := dict(details.invocation_metadata).get("name"):
            caller.set(str(name))
        return await continuation(details)

    joined = await world.join(unary_unary=handle, server_interceptors=[Around(note)])
    assert await joined.unary_unary(b"", metadata=(("name", "Ada"),)) == b"Ada"
    assert await joined.unary_unary(b"") == b"nobody"


async def test_an_unknown_method_has_no_handler(world: World) -> None:
    seen: list[Any] = []

    async def watch(continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        seen.append((details.method, handler))
        return handler

    joined = await world.join(unary_unary=exclaim, server_interceptors=[Around(watch)])
    call = joined.channel.unary_unary("/parity.Test/Unknown")(b"")
    assert await call.code() is StatusCode.UNIMPLEMENTED
    assert await call.details() == "Method not found!"
    assert seen == [("/parity.Test/Unknown", None)]


async def test_an_unknown_method_can_be_given_a_handler(world: World) -> None:
    async def help_out(continuation: Any, details: Any) -> Any:
        return await continuation(details) or method_handler("unary_unary", exclaim)

    joined = await world.join(server_interceptors=[Around(help_out)])
    assert await joined.channel.unary_unary("/any.Thing/At_all")(b"x") == b"x!"


async def test_an_exception_of_an_interceptor(world: World) -> None:
    async def fail(continuation: Any, details: Any) -> Any:
        raise ValueError("broken")

    joined = await world.join(unary_unary=exclaim, server_interceptors=[Around(fail)])
    call = joined.unary_unary(b"")
    assert await call.code() is StatusCode.UNKNOWN
    assert "broken" in await call.details()


async def test_what_is_no_interceptor_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="nterceptor"):
        world.server(interceptors=[object()])
