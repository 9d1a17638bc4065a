"""A channel that falls back to real gRPC where the target does not speak protosocket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from tests.grpc_support import Backend, method, namer
from tests.patience import HANG

import protosocket.grpc
from protosocket.grpc import FallbackChannel, fallback_channel

FAST = (("grpc.initial_reconnect_backoff_ms", 10), ("grpc.max_reconnect_backoff_ms", 20))


@asynccontextmanager
async def serving(of: Any, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """A backend's methods over ``grpc.aio`` or ``protosocket.grpc``."""
    backend = Backend("x", module=of)
    backend.target = "" if address.endswith(":0") else address
    async with backend:
        yield backend.target


WORLDS = [grpc.aio, protosocket.grpc]


@pytest.mark.parametrize("world", WORLDS, ids=["grpc", "protosocket"])
async def test_every_kind_of_call_works_before_and_after_the_decision(world: Any) -> None:
    async with serving(world) as target:
        for first in _EXPECTED:
            async with fallback_channel(target, options=FAST) as channel:
                for kind in (first, *_EXPECTED):
                    assert await _call(channel, kind) == _EXPECTED[kind]


_EXPECTED: dict[str, Any] = {
    "unary_unary": b"x!",
    "unary_stream": [b"0", b"1"],
    "stream_unary": b"6",
    "stream_stream": [b"1", b"2"],
    "written": [b"1", grpc.aio.EOF],
}


async def _call(channel: FallbackChannel, kind: str) -> Any:
    if kind == "unary_unary":
        return await channel.unary_unary(method("Name"))(b"!", metadata=(("k", "v"),))
    if kind == "unary_stream":
        return [each async for each in channel.unary_stream(method("Count"))(b"2", timeout=HANG)]
    if kind == "stream_unary":
        return await channel.stream_unary(method("Sum"))(iter([b"1", b"2", b"3"]))
    if kind == "stream_stream":
        return [each async for each in channel.stream_stream(method("Echo"))(iter([b"1", b"2"]))]
    call = channel.stream_stream(method("Echo"))()
    await call.write(b"1")
    first = await call.read()
    await call.done_writing()
    return [first, await call.read()]


@pytest.mark.parametrize("world", WORLDS, ids=["grpc", "protosocket"])
async def test_which_channel_was_chosen(world: Any) -> None:
    async with serving(world) as target, fallback_channel(target, options=FAST) as channel:
        assert channel.chosen is None
        await channel.channel_ready()
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        ours = type(channel.chosen).__module__.startswith("protosocket")
        assert ours == (world is protosocket.grpc)


async def test_a_target_that_says_nothing_is_left_to_grpc_after_a_while() -> None:
    """Such as a server that waits for the client's first bytes and does not understand them."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        async with fallback_channel(target, options=FAST, patience=0.05) as channel:
            call = namer(channel)(b"", timeout=0.5)
            with pytest.raises(grpc.aio.AioRpcError):
                await call
            assert type(channel.chosen).__module__.startswith("grpc")


@pytest.mark.parametrize("world", WORLDS, ids=["grpc", "protosocket"])
async def test_a_target_that_is_not_there_decides_nothing(world: Any) -> None:
    async with serving(world) as target:
        pass
    async with fallback_channel(target, options=FAST) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await namer(channel)(b"")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert channel.chosen is None
        waiting = namer(channel)(b"", wait_for_ready=True)
        async with serving(world, target):
            assert await waiting == b"x"


async def test_closing_while_undecided() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = fallback_channel(f"127.0.0.1:{silent.getsockname()[1]}")
        call = namer(channel)(b"")
        await asyncio.sleep(0)
        await channel.close()
        with pytest.raises((asyncio.CancelledError, grpc.aio.UsageError)):
            await call
        with pytest.raises(grpc.aio.UsageError):
            await namer(channel)(b"")
