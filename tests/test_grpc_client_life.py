"""What could keep calls from ever ending, cut off connections, or stay behind of each call."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import grpc
import pytest
from tests.conftest import Certificates
from tests.grpc_raw import Hello, RawPeer, connect, listen
from tests.grpc_support import Backend, method, namer
from tests.patience import HANG

import protosocket.grpc
from protosocket.grpc import fallback_channel

pytestmark = pytest.mark.every_loop

FAST = (("grpc.initial_reconnect_backoff_ms", 10), ("grpc.max_reconnect_backoff_ms", 20))

UNAVAILABLE, IDLE = grpc.StatusCode.UNAVAILABLE, grpc.ChannelConnectivity.IDLE


class Mistake(Exception):
    """What the callbacks here raise."""


def mistaken(call: Any) -> None:
    raise Mistake


def failures() -> list[Any]:
    """The errors that the event loop is told from now on."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))
    return told


async def test_a_done_callback_that_raises_harms_no_other_call() -> None:
    told = failures()
    called: list[Any] = []
    async with Backend("x") as backend, protosocket.grpc.insecure_channel(backend.target) as channel:
        backend.hold = asyncio.Event()
        held = namer(channel)(b"")
        await backend.until_called(1)
        count: Any = channel.unary_stream(method("Count"))
        unread, read = count(b"0"), count(b"1")
        for each in (unread, read):
            each.add_done_callback(mistaken)
            each.add_done_callback(called.append)
        assert await unread.code() is grpc.StatusCode.OK
        assert [item async for item in read] == [b"0"]
        backend.hold.set()
        assert await held == b"x"
        assert called == [unread, read]
        assert [type(error) for error in told] == [Mistake, Mistake]


async def test_done_callbacks_of_a_stream_that_is_cancelled_with_messages_unread() -> None:
    called: list[Any] = []
    async with Backend("x") as backend, protosocket.grpc.insecure_channel(backend.target) as channel:
        count: Any = channel.unary_stream(method("Count"))
        stream = count(b"3")
        stream.add_done_callback(called.append)
        assert await stream.code() is grpc.StatusCode.OK
        stream.add_done_callback(called.append)
        assert not stream.done()
        assert not called
        stream.cancel()
        assert stream.done()
        assert called == [stream, stream]


async def test_a_done_callback_that_raises_while_the_connection_is_lost() -> None:
    async def serve(peer: RawPeer) -> None:
        await peer.greet()
        for _ in range(4):
            await peer.receive()

    told = failures()
    server, port = await listen(serve)
    async with server, protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.channel_ready()
        count: Any = channel.unary_stream(method("Count"))
        states: list[Any] = []
        calls = [count(b""), count(b""), count(b""), namer(channel)(b"")]
        for call in calls[:3]:
            call.add_done_callback(lambda _: states.append(channel.get_state()))
            call.add_done_callback(mistaken)
        async with asyncio.timeout(HANG):
            assert [await call.code() for call in calls] == [UNAVAILABLE] * 4
        assert [type(error) for error in told] == [Mistake] * 3
        # Who calls again from there does not get the connection that is lost.
        assert states == [IDLE] * 3


class Plugin(grpc.AuthMetadataPlugin):
    """Adds what it was given."""

    def __init__(self, metadata: Any) -> None:
        self._metadata = metadata

    def __call__(self, context: grpc.AuthMetadataContext, callback: Any) -> None:
        callback(self._metadata, None)


RETRY = (
    '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 2, "initialBackoff": "0.001s",'
    ' "maxBackoff": "0.001s", "backoffMultiplier": 1, "retryableStatusCodes": ["ABORTED"]}}]}'
)


@pytest.mark.parametrize("options", [(), (("grpc.service_config", RETRY),)], ids=["once", "retried"])
@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ((("Bad Key", "v"),), grpc.StatusCode.INTERNAL),
        ((("key", 5),), grpc.StatusCode.INTERNAL),
        ((("key",),), UNAVAILABLE),
        (5, UNAVAILABLE),
        (None, grpc.StatusCode.OK),
    ],
)
async def test_call_credentials_that_give_no_metadata(
    certificates: Certificates, metadata: Any, code: grpc.StatusCode, options: Any
) -> None:
    pair = (certificates.server_key.read_bytes(), certificates.server_certificate.read_bytes())
    of_server = protosocket.grpc.ssl_server_credentials([pair])
    of_client = protosocket.grpc.ssl_channel_credentials(certificates.ca.read_bytes())
    credentials = grpc.metadata_call_credentials(Plugin(metadata))
    async with Backend("x", credentials=of_server) as backend:
        target = f"localhost:{backend.port}"
        async with protosocket.grpc.secure_channel(target, of_client, options=options) as channel:
            count: Any = channel.unary_stream(method("Count"))
            for call in (namer(channel)(b"", credentials=credentials), count(b"0", credentials=credentials)):
                async with asyncio.timeout(HANG):
                    assert await call.code() is code
            assert bool(backend.calls) == (code is grpc.StatusCode.OK)


@pytest.mark.parametrize("policy", ["pick_first", "round_robin"])
async def test_a_name_that_no_host_can_have(policy: str) -> None:
    options = (*FAST, ("grpc.lb_policy_name", policy))
    async with protosocket.grpc.insecure_channel("a..b:5000", options=options) as channel:
        async with asyncio.timeout(HANG):
            with pytest.raises(grpc.aio.AioRpcError, match=r"a\.\.b") as caught:
                await namer(channel)(b"")
        assert caught.value.code() is UNAVAILABLE


@pytest.mark.parametrize("then", ["stays", "closes"])
async def test_a_server_that_is_going_away_speaks_protosocket_all_the_same(then: str) -> None:
    connections = 0

    async def serve(peer: RawPeer) -> None:
        nonlocal connections
        connections += 1
        await peer.receive()
        peer.send(hello=Hello(version=1, window=1000))
        if connections == 1:
            peer.send(going_away=True)
            if then == "closes":
                return
        peer.send(id=(await peer.receive()).id, payload=b"here")
        await peer.receive()

    server, port = await listen(serve)
    async with server, fallback_channel(f"127.0.0.1:{port}", options=FAST) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="takes no calls any more"):
            await namer(channel)(b"")
        assert channel.chosen is None
        assert await namer(channel)(b"", wait_for_ready=True) == b"here"
        assert isinstance(channel.chosen, type(protosocket.grpc.insecure_channel("127.0.0.1:1")))


async def test_a_server_that_stops_greets_before_it_says_so() -> None:
    async with Backend("x") as backend, protosocket.grpc.insecure_channel(backend.target) as channel:
        late = await connect(backend.port)
        backend.hold = asyncio.Event()
        held = namer(channel)(b"")
        await backend.until_called(1)
        stopping = asyncio.create_task(backend.server.stop(10))
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        assert (await late.greet()).hello.version == 1
        assert (await late.receive()).going_away
        backend.hold.set()
        assert await held == b"x"
        await stopping
        await late.close()


async def test_asking_for_initial_metadata_leaves_nothing_behind() -> None:
    async with Backend("x") as backend, protosocket.grpc.insecure_channel(backend.target) as channel:
        say = namer(channel)

        async def ask_once() -> None:
            call = say(b"")
            await call.initial_metadata()
            await call

        async def ask(times: int) -> int:
            for _ in range(times):
                await ask_once()
            gc.collect()
            return sum(type(each) is asyncio.Future for each in gc.get_objects())

        before = await ask(5)
        assert await ask(50) - before < 5
