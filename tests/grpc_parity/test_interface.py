"""The interface of protosocket.grpc holds all of grpc.aio's: functions, objects, methods, parameters."""

from __future__ import annotations

import inspect
from typing import Any

import grpc
import pytest
from tests.grpc_parity.handlers import Context, count_up, echo_all, exclaim, join_all
from tests.grpc_parity.world import KINDS, World, generic_handler, method

from protosocket import grpc as over_protosocket

CLASSES: dict[str, tuple[type, type]] = {
    "unary_unary": (grpc.aio.UnaryUnaryMultiCallable, grpc.aio.UnaryUnaryCall),
    "unary_stream": (grpc.aio.UnaryStreamMultiCallable, grpc.aio.UnaryStreamCall),
    "stream_unary": (grpc.aio.StreamUnaryMultiCallable, grpc.aio.StreamUnaryCall),
    "stream_stream": (grpc.aio.StreamStreamMultiCallable, grpc.aio.StreamStreamCall),
}


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults."""
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


def public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


@pytest.mark.parametrize("name", ["insecure_channel", "secure_channel", "server"])
def test_functions_take_the_same(name: str) -> None:
    real, ours = getattr(grpc.aio, name), getattr(over_protosocket, name)
    # Ours may take more, by keyword.
    assert parameters(ours)[: len(parameters(real))] == parameters(real)
    for more in parameters(ours)[len(parameters(real)) :]:
        assert more[1] is inspect.Parameter.KEYWORD_ONLY


async def test_objects_are_those_of_grpc_aio(world: World) -> None:
    joined = await world.join(
        unary_unary=exclaim, unary_stream=count_up, stream_unary=join_all, stream_stream=echo_all
    )
    assert isinstance(joined.server, grpc.aio.Server)
    assert isinstance(joined.channel, grpc.aio.Channel)
    for kind, (multicallable, call_class) in CLASSES.items():
        make = getattr(joined, kind)
        assert issubclass(type(make), multicallable)
        call = make(iter([b"1"]) if kind.startswith("stream") else b"1")
        for each in (call_class, grpc.aio.Call, grpc.aio.RpcContext):
            assert issubclass(type(call), each)
        await call if kind.endswith("unary") else [answer async for answer in call]


async def test_methods_take_the_same() -> None:
    real, ours = World("grpc.aio", grpc.aio), World("protosocket", over_protosocket)
    pairs = []
    contexts: list[Context] = []

    async def keep(request: bytes, context: Context) -> bytes:
        contexts.append(context)
        return b""

    for world in (real, ours):
        joined = await world.join(unary_unary=keep)
        calls = []
        for kind in KINDS:
            make = getattr(joined, kind)
            calls.append(make() if kind.startswith("stream") else make(b""))
        pairs.append([joined.server, joined.channel, joined.unary_unary, *calls])
        await calls[0]
        for call in calls:
            call.cancel()
    for theirs, mine in zip(*pairs, strict=True):
        assert public(theirs) - public(mine) == set()
        for name in public(theirs):
            of_theirs, of_mine = getattr(theirs, name), getattr(mine, name)
            if inspect.ismethod(of_theirs) and name != "add_done_callback":
                assert parameters(of_mine) == parameters(of_theirs), f"{type(mine).__name__}.{name}"
    assert public(contexts[0]) - public(contexts[1]) == set()
    await real.end()
    await ours.end()


async def test_calls_take_the_same(world: World) -> None:
    """What generated stubs and hand-written code pass."""
    joined = await world.join(unary_unary=exclaim, stream_unary=join_all)
    say, join = joined.unary_unary, joined.stream_unary
    everything: dict[str, Any] = {
        "timeout": 5,
        "metadata": [("a", "b")],
        "credentials": None,
        "wait_for_ready": False,
        "compression": grpc.Compression.NoCompression,
    }
    assert await say(b"a", **everything) == b"a!"
    assert await say(request=b"a", timeout=None, metadata=None, wait_for_ready=None) == b"a!"
    assert await join(iter([b"a"]), 5, (("a", "b"),), None, True, None) == b"a"
    assert await join(request_iterator=iter([b"b"])) == b"b"
    with pytest.raises(TypeError):
        say(b"a", 5)


async def test_handlers_of_a_server_that_is_given_all_it_can_be(world: World) -> None:
    server = world.server(
        None,
        [generic_handler(unary_unary=exclaim)],
        [],
        [("grpc.so_reuseport", 0), ("grpc.keepalive_time_ms", 60_000)],
        10,
        grpc.Compression.Gzip,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = world.channel(
        f"127.0.0.1:{port}",
        options=[("grpc.keepalive_time_ms", 60_000), ("grpc.primary_user_agent", "test")],
        compression=grpc.Compression.Gzip,
        interceptors=[],
    )
    assert await channel.unary_unary(method("unary_unary"))(b"a") == b"a!"
