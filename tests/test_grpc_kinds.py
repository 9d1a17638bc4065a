"""Callers and peers that do not keep to what a method is: other kinds, overrun windows, early ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from tests.grpc_raw import Hello, RawPeer, service
from tests.patience import HANG

import protosocket.grpc


async def count(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


async def shout(request: bytes, context: Any) -> bytes:
    return request + b"!"


async def chorus(request: bytes, context: Any) -> None:
    """Three tasks of one method write at the same time."""

    async def sing() -> None:
        for _ in range(20):
            await context.write(bytes(1000))

    await asyncio.gather(*(sing() for _ in range(3)))


@contextlib.asynccontextmanager
async def joined(**options: Any) -> AsyncIterator[Any]:
    server = protosocket.grpc.server()
    kinds = {
        "Count": ("unary_stream", count),
        "Shout": ("unary_unary", shout),
        "Chorus": ("unary_stream", chorus),
    }
    server.add_generic_rpc_handlers((service(**kinds),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}", **options) as channel:
            yield channel
    finally:
        await server.stop(None)


async def test_a_caller_of_one_response_gets_nothing_of_a_stream_and_nobody_else_does() -> None:
    async with joined() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/raw.Test/Count")(b"5")
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        shouts = channel.unary_unary("/raw.Test/Shout")
        assert [await shouts(b"a"), await shouts(b"b"), await shouts(b"c")] == [b"a!", b"b!", b"c!"]


async def test_a_stream_of_one_is_one_response_and_none_is_an_error() -> None:
    async with joined() as channel:
        assert await channel.unary_unary("/raw.Test/Count")(b"1") == b"0"
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/raw.Test/Count")(b"0")


async def test_a_stream_is_expected_of_a_method_with_one_response() -> None:
    async with joined() as channel, asyncio.timeout(HANG):
        assert [each async for each in channel.unary_stream("/raw.Test/Shout")(b"a")] == [b"a!"]
        # By the other kind of caller the method is known, too.
        assert await channel.unary_unary("/raw.Test/Shout")(b"b") == b"b!"
        assert [each async for each in channel.unary_stream("/raw.Test/Shout")(b"c")] == [b"c!"]


async def test_tasks_of_one_method_that_write_at_once_all_go_on() -> None:
    # Less than one of them writes.
    options = [("grpc.http2.lookahead_bytes", 4096)]
    async with joined(options=options) as channel, asyncio.timeout(HANG):
        assert len([each async for each in channel.unary_stream("/raw.Test/Chorus")(b"")]) == 60


def any_kind(multicallable: Any) -> Any:
    """A multicallable of bytes, whose types nobody knows."""
    return multicallable


async def test_a_server_that_overruns_the_window_is_cut_off() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        await peer.receive()
        peer.send(hello=Hello(version=1, window=1 << 20))
        call = (await peer.receive()).id
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                peer.send(id=call, payload=bytes(60_000))
                await writer.drain()
        over.set()

    over = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(HANG):
        call = any_kind(channel.unary_stream("/raw.Test/Flood"))(b"")
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert "window" in await call.details()
        await over.wait()
    server.close()


async def test_a_stop_that_nobody_waits_for_ends_the_server_all_the_same() -> None:
    hold = asyncio.Event()

    async def wait(request: bytes, context: Any) -> bytes:
        await hold.wait()
        return b""

    server = protosocket.grpc.server()
    server.add_generic_rpc_handlers((service(Wait=("unary_unary", wait)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = asyncio.ensure_future(any_kind(channel.unary_unary("/raw.Test/Wait"))(b""))
        await channel.channel_ready()
        stopping = asyncio.ensure_future(server.stop(5))
        await asyncio.sleep(0.05)
        stopping.cancel()
        hold.set()
        assert not await server.wait_for_termination(timeout=HANG)
        await asyncio.wait((call,))
        call.exception()


async def test_a_server_that_was_stopped_cannot_be_started() -> None:
    server = protosocket.grpc.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.stop(None)
    assert not await server.wait_for_termination(timeout=HANG)
    with pytest.raises(grpc.aio.UsageError):
        await server.start()


async def test_serializers_may_give_a_kind_of_bytes() -> None:
    class Sealed(bytes):
        """Bytes with a name."""

    async with joined() as channel, asyncio.timeout(HANG):
        call = channel.stream_stream("/raw.Test/Shout", request_serializer=Sealed)(iter([b"a"]))
        assert [each async for each in call] == [b"a!"]
