"""Servicers written for gRPC's threads: they run in the server's thread pool."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from grpc import StatusCode
from tests.grpc_parity.handlers import failure
from tests.grpc_parity.world import KINDS, World


class Blocking:
    """Servicers as written for gRPC's threads, of all kinds."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        if request == b"abort":
            context.abort(StatusCode.ABORTED, "from a thread")
        if request == b"raise":
            raise ValueError("in a thread")
        if request == b"code":
            context.set_code(StatusCode.NOT_FOUND)
            context.set_details("not here")
            return b""
        metadata = dict(context.invocation_metadata())
        context.set_trailing_metadata((("got", str(metadata.get("sent"))),))
        return request + b"!"

    def unary_stream(self, request: bytes, context: Any) -> Any:
        for number in range(int(request)):
            yield str(number).encode()

    def stream_unary(self, requests: Any, context: Any) -> bytes:
        return b"+".join(requests)

    def stream_stream(self, requests: Any, context: Any) -> Any:
        yield from requests

    def all(self) -> dict[str, Any]:
        return {kind: getattr(self, kind) for kind in KINDS}


async def test_servicers_without_async_run_in_threads(world: World) -> None:
    with ThreadPoolExecutor(4) as threads:
        joined = await world.join(**Blocking().all(), thread_pool=threads)
        call = joined.unary_unary(b"a", metadata=(("sent", "this"),))
        assert await call == b"a!"
        assert (await call.trailing_metadata())["got"] == "this"
        assert [each async for each in joined.unary_stream(b"3")] == [b"0", b"1", b"2"]
        assert await joined.stream_unary(iter([b"a", b"b"])) == b"a+b"
        assert [each async for each in joined.stream_stream(iter([b"x", b"y"]))] == [b"x", b"y"]
        error = await failure(joined.unary_unary(b"abort"))
        assert (error.code(), error.details()) == (StatusCode.ABORTED, "from a thread")
        error = await failure(joined.unary_unary(b"raise"))
        assert (error.code(), error.details()) == (
            StatusCode.UNKNOWN,
            "Unexpected <class 'ValueError'>: in a thread",
        )
        error = await failure(joined.unary_unary(b"code"))
        assert (error.code(), error.details()) == (StatusCode.NOT_FOUND, "not here")


async def test_blocking_servicers_do_not_block_the_loop(world: World) -> None:
    barrier = threading.Barrier(2)

    def handle(request: bytes, context: Any) -> bytes:
        barrier.wait(5)
        return b"met"

    with ThreadPoolExecutor(2) as threads:
        joined = await world.join(unary_unary=handle, thread_pool=threads)
        answers: list[bytes] = await asyncio.gather(joined.unary_unary(b""), joined.unary_unary(b""))
        assert answers == [b"met", b"met"]


async def test_an_error_in_the_midst_of_a_blocking_stream(world: World) -> None:
    def handle(request: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        raise ValueError("in a thread")

    with ThreadPoolExecutor(1) as threads:
        joined = await world.join(unary_stream=handle, thread_pool=threads)
        call = joined.unary_stream(b"")
        assert await call.read() == b"one"
        error = await failure(call.read())
        assert error.details() == "Unexpected <class 'ValueError'>: in a thread"


async def test_a_blocking_servicer_need_not_read_everything(world: World) -> None:
    def handle(requests: Iterator[bytes], context: Any) -> bytes:
        context.send_initial_metadata((("early", "yes"),))
        return next(requests)

    with ThreadPoolExecutor(1) as threads:
        joined = await world.join(stream_unary=handle, thread_pool=threads)
        call = joined.stream_unary()
        await call.write(b"first")
        await call.write(b"second")
        assert await call == b"first"
        assert (await call.initial_metadata())["early"] == "yes"
