"""Channels: their states, waiting until ready, closing, limits of size, targets."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc import ChannelConnectivity, StatusCode
from tests.grpc_parity.handlers import Context, Endless, count_up, echo_all, exclaim, failure
from tests.grpc_parity.world import KINDS, World, generic_handler, method
from tests.patience import HANG
from tests.places import turns

MIB = 1024 * 1024


async def test_states_of_a_channel(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    channel = joined.channel
    assert channel.get_state() is ChannelConnectivity.IDLE
    assert channel.get_state(try_to_connect=True) is ChannelConnectivity.IDLE
    await channel.wait_for_state_change(ChannelConnectivity.IDLE)
    await channel.channel_ready()
    assert channel.get_state() is ChannelConnectivity.READY
    await channel.close()
    assert channel.get_state() is ChannelConnectivity.SHUTDOWN


async def test_a_call_connects(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    assert joined.channel.get_state() is ChannelConnectivity.IDLE
    await joined.unary_unary(b"")
    assert joined.channel.get_state() is ChannelConnectivity.READY


async def test_channel_ready_connects(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    await joined.channel.channel_ready()
    assert joined.channel.get_state() is ChannelConnectivity.READY


async def test_nobody_listens(world: World, free_address: str) -> None:
    channel = world.channel(free_address)
    assert channel.get_state(try_to_connect=True) is ChannelConnectivity.IDLE
    state = ChannelConnectivity.IDLE
    while state is not ChannelConnectivity.TRANSIENT_FAILURE:
        await channel.wait_for_state_change(state)
        state = channel.get_state()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(channel.channel_ready(), 0.1)


async def test_wait_for_ready(world: World, unix_path: str) -> None:
    """Calls wait for the server, which starts later, or until their deadline."""
    quick = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100)]
    channel = world.channel(f"unix:{unix_path}", options=quick)
    say: Any = channel.unary_unary(method("unary_unary"))
    count: Any = channel.unary_stream(method("unary_stream"))
    error = await failure(say(b"", wait_for_ready=True, timeout=0.2))
    assert error.code() is StatusCode.DEADLINE_EXCEEDED
    assert (await failure(say(b""))).code() is StatusCode.UNAVAILABLE
    waiting = asyncio.ensure_future(say(b"a", wait_for_ready=True))
    stream = count(b"2", wait_for_ready=True)
    await turns()
    assert not waiting.done()
    server = world.server(handlers=[generic_handler(unary_unary=exclaim, unary_stream=count_up)])
    server.add_insecure_port(f"unix:{unix_path}")
    await server.start()
    assert await waiting == b"a!"
    assert [each async for each in stream] == [b"0", b"1"]


async def test_a_waiting_call_can_be_cancelled(world: World, free_address: str) -> None:
    call = world.channel(free_address).unary_unary("/a/b")(b"", wait_for_ready=True)
    await turns()
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_the_server_goes_away_and_comes_back(world: World, unix_path: str) -> None:
    async def serve() -> grpc.aio.Server:
        server = world.server(handlers=[generic_handler(unary_unary=exclaim)])
        server.add_insecure_port(f"unix:{unix_path}")
        await server.start()
        return server

    quick = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100)]
    first = await serve()
    channel = world.channel(f"unix:{unix_path}", options=quick)
    say: Any = channel.unary_unary(method("unary_unary"))
    assert await say(b"a") == b"a!"
    await first.stop(None)
    while channel.get_state() is ChannelConnectivity.READY:
        await channel.wait_for_state_change(ChannelConnectivity.READY)
    assert (await failure(say(b"b"))).code() is StatusCode.UNAVAILABLE
    await serve()
    assert await say(b"c", wait_for_ready=True) == b"c!"


async def test_calls_in_flight_end_when_the_server_does(world: World) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = joined.unary_stream(b"")
    assert await call.read() == b"first"
    await joined.server.stop(None)
    error = await failure(call.read())
    assert error.code() is StatusCode.UNAVAILABLE
    await endless.cancelled.wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_close_cancels_calls_in_flight(world: World, kind: str) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = getattr(joined, kind)(*() if kind.startswith("stream") else (b"",))
    await endless.started.wait()
    await joined.channel.close()
    assert call.cancelled()
    await endless.cancelled.wait()


async def test_close_with_grace_waits_for_calls(world: World) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def handle(request: bytes, context: Context) -> bytes:
        started.set()
        await go_on.wait()
        return b"done"

    joined = await world.join(unary_unary=handle)
    call = joined.unary_unary(b"")
    await started.wait()
    closing = asyncio.ensure_future(joined.channel.close(10))
    await turns()
    assert not closing.done()
    go_on.set()
    await closing
    assert await call == b"done"


async def test_close_with_grace_ends(world: World) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = joined.unary_unary(b"")
    await endless.started.wait()
    await joined.channel.close(0.1)
    assert call.cancelled()
    await endless.cancelled.wait()


async def test_a_closed_channel_makes_no_calls(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    await joined.channel.close()
    await joined.channel.close()
    with pytest.raises(grpc.aio.UsageError, match="closed"):
        joined.unary_unary(b"")


async def test_a_channel_is_a_context_manager(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    async with world.channel(joined.target) as channel:
        assert await channel.unary_unary(method("unary_unary"))(b"a") == b"a!"
    assert channel.get_state() is ChannelConnectivity.SHUTDOWN


@pytest.mark.parametrize("target", ["{}", "dns:///{}", "ipv4:{}", "localhost:{port}", "dns:localhost:{port}"])
async def test_targets(world: World, target: str) -> None:
    joined = await world.join(unary_unary=exclaim)
    port = joined.target.rpartition(":")[2]
    channel = world.channel(target.format(joined.target, port=port))
    assert await channel.unary_unary(method("unary_unary"))(b"a", wait_for_ready=True) == b"a!"


@pytest.mark.parametrize("target", ["does-not-exist.invalid:1", "dns:///does-not-exist.invalid:1"])
async def test_a_name_that_cannot_be_resolved(world: World, target: str) -> None:
    error = await failure(world.channel(target).unary_unary("/a/b")(b"", timeout=HANG))
    assert error.code() is StatusCode.UNAVAILABLE
    assert "does-not-exist.invalid" in (error.details() or "")


async def test_unix_sockets(world: World, unix_path: str) -> None:
    server = world.server(handlers=[generic_handler(unary_unary=exclaim)])
    server.add_insecure_port(f"unix:{unix_path}")
    await server.start()
    for target in (f"unix:{unix_path}", f"unix://{unix_path}"):
        assert await world.channel(target).unary_unary(method("unary_unary"))(b"a") == b"a!"


@pytest.mark.parametrize("side", ["client", "server"])
async def test_limit_of_what_is_received(world: World, side: str) -> None:
    limit = [("grpc.max_receive_message_length", 1000)]
    options: Any = {"options": limit} if side == "client" else {"server_options": limit}
    joined = await world.join(unary_unary=exclaim, stream_stream=echo_all, **options)
    size = 999 if side == "client" else 1000
    assert len(await joined.unary_unary(bytes(size))) == size + 1
    error = await failure(joined.unary_unary(bytes(size + 1)))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in (error.details() or "")
    assert "(1001 vs. 1000)" in (error.details() or "")
    assert await joined.unary_unary(b"still there") == b"still there!"
    call = joined.stream_stream()
    await call.write(bytes(1001))
    assert (await failure(call.read())).code() is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("side", ["client", "server"])
async def test_limit_of_what_is_sent(world: World, side: str) -> None:
    limit = [("grpc.max_send_message_length", 1000)]
    options: Any = {"options": limit} if side == "client" else {"server_options": limit}
    joined = await world.join(unary_unary=exclaim, **options)
    size = 1000 if side == "client" else 999
    assert len(await joined.unary_unary(bytes(size))) == size + 1
    error = await failure(joined.unary_unary(bytes(size + 1)))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    assert "(1001 vs. 1000)" in (error.details() or "")
    assert await joined.unary_unary(b"still there") == b"still there!"


async def test_default_limit_is_4_mib(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    assert len(await joined.unary_unary(bytes(4 * MIB - 1))) == 4 * MIB
    error = await failure(joined.unary_unary(bytes(4 * MIB + 1)))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED


async def test_no_limit(world: World) -> None:
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    joined = await world.join(unary_unary=exclaim, options=unlimited, server_options=unlimited)
    assert len(await joined.unary_unary(bytes(9 * MIB))) == 9 * MIB + 1


async def test_compression_is_accepted(world: World) -> None:
    """It changes nothing that a caller sees."""
    joined = await world.join(unary_unary=exclaim)
    channel = world.channel(joined.target, compression=grpc.Compression.Gzip)
    say: Any = channel.unary_unary(method("unary_unary"))
    assert await say(b"a") == b"a!"
    assert await say(b"a", compression=grpc.Compression.Deflate) == b"a!"
