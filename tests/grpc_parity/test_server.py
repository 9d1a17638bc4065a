"""Servers: handlers, ports, stopping, limits of what runs at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from tests.grpc_parity.handlers import Context, Endless, exclaim, failure, join_all
from tests.grpc_parity.world import SERVICE, World, generic_handler, method, method_handler
from tests.places import turns


async def test_a_generic_handler_decides_by_name_and_metadata(world: World) -> None:
    seen: list[Any] = []

    class Generic(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            seen.append(
                (handler_call_details.method, dict(handler_call_details.invocation_metadata).get("a"))
            )
            if handler_call_details.method.startswith("/known."):
                return method_handler("unary_unary", exclaim)
            return None

    _, target = await world.serve(Generic())
    channel = world.channel(target)
    assert await channel.unary_unary("/known.Service/Any")(b"x", metadata=(("a", "1"),)) == b"x!"
    error = await failure(channel.unary_unary("/other.Service/Any")(b"x"))
    assert error.code() is StatusCode.UNIMPLEMENTED
    assert error.details() == "Method not found!"
    assert seen == [("/known.Service/Any", "1"), ("/other.Service/Any", None)]


async def test_the_first_generic_handler_that_knows_the_method_serves_it(world: World) -> None:
    async def one(request: bytes, context: Context) -> bytes:
        return b"one"

    async def two(request: bytes, context: Context) -> bytes:
        return b"two"

    server = world.server(handlers=[generic_handler(unary_unary=one)])
    server.add_generic_rpc_handlers([generic_handler(unary_unary=two, stream_unary=join_all)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel: Any = world.channel(f"127.0.0.1:{port}")
    assert await channel.unary_unary(method("unary_unary"))(b"") == b"one"
    assert await channel.stream_unary(method("stream_unary"))(iter([b"a"])) == b"a"


async def test_registered_handlers_come_before_generic_ones(world: World) -> None:
    async def registered(request: bytes, context: Context) -> bytes:
        return b"registered"

    server = world.server(handlers=[generic_handler(unary_unary=exclaim, stream_unary=join_all)])
    server.add_registered_method_handlers(SERVICE, {"unary_unary": method_handler("unary_unary", registered)})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel: Any = world.channel(f"127.0.0.1:{port}")
    assert await channel.unary_unary(method("unary_unary"))(b"") == b"registered"
    assert await channel.stream_unary(method("stream_unary"))(iter([b"a"])) == b"a"


async def test_channels_can_name_registered_methods(world: World) -> None:
    """As generated stubs do."""
    joined = await world.join(unary_unary=exclaim)
    say = joined.channel.unary_unary(method("unary_unary"), _registered_method=True)
    assert await say(b"a") == b"a!"


async def test_several_ports(world: World) -> None:
    server = world.server(handlers=[generic_handler(unary_unary=exclaim)])
    ports = [server.add_insecure_port("127.0.0.1:0") for _ in range(3)]
    await server.start()
    assert len(set(ports)) == 3
    for port in ports:
        channel = world.channel(f"127.0.0.1:{port}")
        assert await channel.unary_unary(method("unary_unary"))(b"a") == b"a!"


async def test_a_port_without_a_number_is_chosen(world: World) -> None:
    server = world.server(handlers=[generic_handler(unary_unary=exclaim)])
    port = server.add_insecure_port("[::]:0")
    assert port > 0
    await server.start()
    assert await world.channel(f"localhost:{port}").unary_unary(method("unary_unary"))(b"a") == b"a!"


@pytest.mark.parametrize("address", ["256.0.0.1:0", "nonsense.invalid:0"])
async def test_an_address_that_cannot_be_used(world: World, address: str) -> None:
    with pytest.raises(RuntimeError, match="Failed to bind"):
        world.server().add_insecure_port(address)


async def test_a_port_that_is_taken(world: World, free_address: str) -> None:
    """``free_address`` is bound by a socket that does not share it."""
    with pytest.raises(RuntimeError, match="Failed to bind"):
        world.server(options=[("grpc.so_reuseport", 0)]).add_insecure_port(free_address)


async def test_stop_without_grace_ends_calls(world: World) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = joined.unary_unary(b"")
    await endless.started.wait()
    await joined.server.stop(None)
    assert (await failure(call)).code() is StatusCode.UNAVAILABLE
    await endless.cancelled.wait()


async def test_stop_with_grace_lets_calls_finish(world: World) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def handle(request: bytes, context: Context) -> bytes:
        started.set()
        await go_on.wait()
        return b"finished"

    joined = await world.join(unary_unary=handle)
    call = joined.unary_unary(b"")
    await started.wait()
    stopping = asyncio.ensure_future(joined.server.stop(10))
    await turns()
    error = await failure(world.channel(joined.target).unary_unary(method("unary_unary"))(b""))
    assert error.code() in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
    assert not stopping.done()
    go_on.set()
    assert await call == b"finished"
    await stopping


async def test_stop_ends_calls_when_the_grace_is_over(world: World) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = joined.unary_unary(b"")
    await endless.started.wait()
    await joined.server.stop(0.1)
    assert (await failure(call)).code() is StatusCode.UNAVAILABLE
    await endless.cancelled.wait()


async def test_stop_again_with_less_grace(world: World) -> None:
    endless = Endless()
    joined = await world.join(**endless.all())
    call = joined.unary_unary(b"")
    await endless.started.wait()
    patient = asyncio.ensure_future(joined.server.stop(60))
    await turns()
    await joined.server.stop(0)
    await patient
    assert (await failure(call)).code() is StatusCode.UNAVAILABLE
    await joined.server.stop(None)


async def test_stop_before_start(world: World) -> None:
    await world.server().stop(None)


async def test_wait_for_termination(world: World) -> None:
    server, _ = await world.serve(generic_handler(unary_unary=exclaim))
    assert await server.wait_for_termination(0.05)
    waiting = asyncio.ensure_future(server.wait_for_termination())
    await turns()
    assert not waiting.done()
    await server.stop(None)
    await waiting


async def test_only_so_many_calls_at_once(world: World) -> None:
    """Others are refused at once; when one has ended, the next gets its place."""
    started = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def handle(request: bytes, context: Context) -> bytes:
        started.release()
        await go_on.wait()
        return b"served"

    joined = await world.join(unary_unary=handle, maximum_concurrent_rpcs=2)
    calls = [joined.unary_unary(b"") for _ in range(2)]
    for _ in calls:
        await started.acquire()
    error = await failure(joined.unary_unary(b""))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "Concurrent RPC limit exceeded!"
    go_on.set()
    assert [await call for call in calls] == [b"served", b"served"]
    assert await joined.unary_unary(b"") == b"served"


async def test_cancelled_calls_make_room(world: World) -> None:
    endless = Endless()

    async def handle(requests: Any, context: Context) -> AsyncIterator[bytes]:
        async for each in endless.stream(requests, context):
            yield each

    joined = await world.join(stream_stream=handle, unary_unary=exclaim, maximum_concurrent_rpcs=1)
    call = joined.stream_stream()
    assert await call.read() == b"first"
    assert (await failure(joined.unary_unary(b""))).code() is StatusCode.RESOURCE_EXHAUSTED
    call.cancel()
    await endless.cancelled.wait()
    while await (again := joined.unary_unary(b"")).code() is StatusCode.RESOURCE_EXHAUSTED:
        await turns()
    assert await again == b"!"


async def test_many_clients(world: World) -> None:
    joined = await world.join(unary_unary=exclaim)
    own = [("grpc.use_local_subchannel_pool", 1)]
    channels = [world.channel(joined.target, options=own) for _ in range(20)]
    calls = [channel.unary_unary(method("unary_unary"))(b"%d" % n) for n, channel in enumerate(channels)]
    assert [await call for call in calls] == [b"%d!" % n for n in range(20)]
