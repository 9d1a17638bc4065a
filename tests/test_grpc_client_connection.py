"""A channel's connection: greeting, bytes on the wire, credits, pings, being lost and made again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from tests.grpc_support import Backend, method, namer
from tests.oracle.framing import Decoder, Framing, frame

import protosocket.grpc
from protosocket.grpc.envelope_pb2 import Envelope, Hello, Metadatum, Status
from protosocket.grpc.wire.flow_control import MESSAGE_COST

pytestmark = pytest.mark.every_loop

FAST = (("grpc.initial_reconnect_backoff_ms", 10), ("grpc.max_reconnect_backoff_ms", 20))

CANCEL, END = 1, 2

NO_LENGTH = b"\xff" * 20
"""Bytes that end a connection, because no message begins so."""


class Peer:
    """A server made of google's protobuf messages: what came, and what to say."""

    def __init__(self) -> None:
        self._connections: asyncio.Queue[Any] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self.target = ""

    async def __aenter__(self) -> Peer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.target = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    def _accept(self, *streams: Any) -> None:
        self._writers.append(streams[1])
        self._connections.put_nowait(streams)

    async def accept(self) -> None:
        """Go on with the next connection."""
        self._reader, self._writer = await self._connections.get()
        self._decoder = Decoder(Framing.VARINT, 1 << 24)
        self._frames: list[bytes] = []

    async def greet(self, **fields: Any) -> Any:
        """Take the next connection and exchange greetings on it; the client's."""
        await self.accept()
        hello = (await self.next()).hello
        self.say(hello=Hello(**{"version": 1, "window": 1000, **fields}))
        return hello

    async def frame(self) -> bytes:
        """The next message's bytes."""
        while not self._frames:
            data = await self._reader.read(1 << 16)
            assert data, "the client closed the connection"
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    async def next(self) -> Any:
        """The next message."""
        return Envelope.FromString(await self.frame())

    def say(self, **fields: Any) -> None:
        """Send a message."""
        self.say_bytes(frame(Framing.VARINT, Envelope(**fields).SerializeToString()))

    def say_bytes(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def sayer(self) -> Callable[[bytes], None]:
        """What sends bytes on this connection, whichever is the next."""
        write: Callable[[bytes], None] = self._writer.write
        return write

    async def until_closed(self) -> None:
        """Wait until the client has closed the connection."""
        while await self._reader.read(1 << 16):
            pass

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


@pytest.fixture
async def channel(peer: Peer) -> AsyncIterator[grpc.aio.Channel]:
    async with protosocket.grpc.insecure_channel(peer.target, options=FAST) as channel:
        yield channel


def test_fields_that_were_never_set_cost_nothing() -> None:
    assert Envelope().SerializeToString() == b""


async def test_a_methods_path_is_sent_once_and_a_call_costs_few_bytes(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    payload = b"x" * 100
    say = namer(channel)
    first = say(payload)
    await peer.greet()
    message = await peer.next()
    assert (message.id, message.method, message.path, message.payload) == (1, 1, method("Name"), payload)
    peer.say(id=1, payload=b"a")
    assert await first == b"a"
    other: Any = channel.unary_unary(method("Other"))
    second, third = say(payload), other(payload)
    sent = await peer.frame()
    assert Envelope.FromString(sent) == Envelope(id=1, method=1, payload=payload)
    # With the length before it.
    assert len(frame(Framing.VARINT, sent)) - len(payload) <= 12
    message = await peer.next()
    assert (message.id, message.method, message.path) == (2, 2, method("Other"))
    peer.say(id=2, payload=b"c")
    peer.say(id=1, payload=b"b")
    assert (await second, await third) == (b"b", b"c")


@pytest.mark.parametrize(("timeout", "fields"), [(2, (2000, 0)), (1.25, (1250, 0)), (0.0625, (62, 500))])
async def test_the_timeout_travels(
    peer: Peer, channel: grpc.aio.Channel, timeout: float, fields: tuple[int, int]
) -> None:
    warm = namer(channel)(b"")
    await peer.greet()
    await peer.next()
    peer.say(id=1, payload=b"")
    await warm
    call = namer(channel)(b"", timeout=timeout)
    message = await peer.next()
    assert (message.timeout_ms, message.timeout_us) == fields
    peer.say(id=1, payload=b"")
    await call


async def test_a_deadline_passes_and_the_server_is_told(peer: Peer, channel: grpc.aio.Channel) -> None:
    call = namer(channel)(b"", timeout=0.05)
    await peer.greet()
    assert (await peer.next()).id == 1
    assert (await peer.next()) == Envelope(id=1, control=CANCEL)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_metadata_ahead_of_a_unary_answer(peer: Peer, channel: grpc.aio.Channel) -> None:
    call = namer(channel)(b"")
    await peer.greet()
    await peer.next()
    peer.say(call=1, metadata=[Metadatum(key="early", value=b"yes"), Metadatum(key="x-bin", value=b"\xff")])
    assert tuple(await call.initial_metadata()) == (("early", "yes"), ("x-bin", b"\xff"))
    assert not call.done()
    peer.say(id=1, status=Status(code=5, details="no"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert tuple(caught.value.initial_metadata()) == (("early", "yes"), ("x-bin", b"\xff"))
    assert tuple(await call.initial_metadata()) == (("early", "yes"), ("x-bin", b"\xff"))


async def test_a_status_that_grpc_does_not_know(peer: Peer, channel: grpc.aio.Channel) -> None:
    call = namer(channel)(b"")
    await peer.greet()
    await peer.next()
    peer.say(id=1, status=Status(code=99, details="?"))
    assert await call.code() is grpc.StatusCode.UNKNOWN


async def test_requests_wait_for_credit(peer: Peer, channel: grpc.aio.Channel) -> None:
    echo: Any = channel.stream_stream(method("Echo"))
    call = echo()
    await peer.greet(window=2 * (10 + MESSAGE_COST))
    first = await peer.next()
    assert (first.id, first.HasField("payload")) == (1, False)
    writes = [asyncio.create_task(call.write(b"%010d" % number)) for number in range(3)]
    assert [(await peer.next()).payload for _ in range(2)] == [b"%010d" % number for number in range(2)]
    await asyncio.wait(writes[:2])
    # What is sent now arrives before the third, which has no credit.
    other = namer(channel)(b"other")
    assert (await peer.next()).payload == b"other"
    assert not writes[2].done()
    peer.say(call=1, credit=1)
    assert (await peer.next()).payload == b"%010d" % 2
    await writes[2]
    await call.done_writing()
    assert await peer.next() == Envelope(id=1, control=END)
    peer.say(id=2, payload=b"")
    peer.say(id=1, control=END)
    assert await call.read() is grpc.aio.EOF
    await other


async def test_a_write_that_waits_ends_with_the_call(peer: Peer, channel: grpc.aio.Channel) -> None:
    total: Any = channel.stream_unary(method("Sum"))
    call = total()
    await peer.greet(window=1)
    await peer.next()
    await call.write(b"1")
    stuck = asyncio.create_task(call.write(b"2"))
    assert (await peer.next()).payload == b"1"
    peer.say(id=1, status=Status(code=8, details="enough"))
    with pytest.raises(grpc.aio.AioRpcError, match="enough"):
        await stuck
    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(b"3")


async def test_responses_are_granted_credit_as_they_are_read(peer: Peer) -> None:
    window = 1000
    options = (*FAST, ("grpc.http2.lookahead_bytes", window))
    async with protosocket.grpc.insecure_channel(peer.target, options=options) as channel:
        count: Any = channel.unary_stream(method("Count"))
        call = count(b"")
        hello = await peer.greet()
        assert hello.window == window
        await peer.next()
        for _ in range(10):
            peer.say(id=1, payload=b"x" * (100 - MESSAGE_COST))
        for _ in range(5):
            await call.read()
        assert await peer.next() == Envelope(call=1, credit=500)
        for _ in range(4):
            await call.read()
        # The next is due with the tenth: nothing came in between.
        marker = namer(channel)(b"marker")
        assert (await peer.next()).payload == b"marker"
        await call.read()
        assert await peer.next() == Envelope(call=1, credit=500)
        peer.say(id=2, payload=b"")
        await marker
        call.cancel()
        assert await peer.next() == Envelope(id=1, control=CANCEL)


async def test_a_stream_that_nobody_holds_is_cancelled(peer: Peer, channel: grpc.aio.Channel) -> None:
    count: Any = channel.unary_stream(method("Count"))

    async def take_one() -> bytes:
        async for each in count(b""):
            return bytes(each)
        return b""

    taken = asyncio.create_task(take_one())
    await peer.greet()
    await peer.next()
    peer.say(id=1, payload=b"one")
    assert await taken == b"one"
    assert await peer.next() == Envelope(id=1, control=CANCEL)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"hello": Hello(version=2)}, "version 2"),
        ({"hello": Hello(version=1, refusal="go away, please")}, "go away, please"),
        ({"pong": 1}, "greeting"),
    ],
)
async def test_a_greeting_that_is_none(
    peer: Peer, channel: grpc.aio.Channel, answer: dict[str, Any], text: str
) -> None:
    call = namer(channel)(b"")
    await peer.accept()
    assert (await peer.next()).hello.version == 1
    peer.say(**answer)
    with pytest.raises(grpc.aio.AioRpcError, match=text) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_speaks_http2_is_named(channel: grpc.aio.Channel, peer: Peer) -> None:
    call = namer(channel)(b"")
    await peer.accept()
    peer.say_bytes(b"\0\0\x12\x04\0\0\0\0\0" + bytes(18))
    with pytest.raises(grpc.aio.AioRpcError, match="HTTP/2"):
        await call


async def test_a_server_that_says_nothing(peer: Peer) -> None:
    options = (*FAST, ("grpc.min_reconnect_backoff_ms", 50))
    async with protosocket.grpc.insecure_channel(peer.target, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="did not greet"):
            await namer(channel)(b"")


async def test_calls_in_flight_fail_when_the_connection_is_lost(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    say = namer(channel)
    count: Any = channel.unary_stream(method("Count"))
    call, stream = say(b""), count(b"")
    await peer.greet()
    await peer.next()
    await peer.next()
    peer.close()
    assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    assert channel.get_state() is grpc.ChannelConnectivity.IDLE
    again = say(b"")
    await peer.greet()
    # Numbers belong to a connection.
    assert (await peer.next()).path == method("Name")
    peer.say(id=1, payload=b"back")
    assert await again == b"back"


async def test_a_call_that_the_server_aborts(peer: Peer, channel: grpc.aio.Channel) -> None:
    call = namer(channel)(b"")
    await peer.greet()
    await peer.next()
    peer.say(id=1, control=CANCEL)
    with pytest.raises(grpc.aio.AioRpcError, match="refused or aborted"):
        await call


async def test_a_server_that_leaves_finishes_its_calls_and_gets_no_new_ones(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    say = namer(channel)
    old = say(b"")
    await peer.greet()
    await peer.next()
    peer.say(going_away=True)
    await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
    say_there = peer.sayer()
    new = say(b"")
    await peer.greet()
    assert (await peer.next()).path == method("Name")
    peer.say(id=1, payload=b"new")
    assert await new == b"new"
    say_there(frame(Framing.VARINT, Envelope(id=1, payload=b"old").SerializeToString()))
    assert await old == b"old"


async def test_pings_where_the_server_asks_for_them(peer: Peer, channel: grpc.aio.Channel) -> None:
    channel.get_state(try_to_connect=True)
    hello = await peer.greet(ping_after_ms=10)
    assert hello.ping_after_ms == 0
    assert (await peer.next()).ping
    peer.say(ping=7)
    while not (message := await peer.next()).pong:
        assert message.ping
    assert message.pong == 7


async def test_a_server_that_was_asked_for_pings_and_falls_silent(peer: Peer) -> None:
    options = (*FAST, ("grpc.keepalive_time_ms", 20), ("grpc.keepalive_timeout_ms", 30))
    async with protosocket.grpc.insecure_channel(peer.target, options=options) as channel:
        call = namer(channel)(b"")
        hello = await peer.greet()
        assert hello.ping_after_ms == 20
        with pytest.raises(grpc.aio.AioRpcError, match="asked for pings"):
            await call
        await peer.until_closed()


async def test_the_channels_states(peer: Peer, channel: grpc.aio.Channel) -> None:
    states = grpc.ChannelConnectivity
    assert channel.get_state() is states.IDLE
    assert channel.get_state(try_to_connect=True) is states.IDLE
    await channel.wait_for_state_change(states.IDLE)
    assert channel.get_state() is states.CONNECTING
    await peer.greet()
    await channel.channel_ready()
    assert channel.get_state() is states.READY
    await channel.close()
    assert channel.get_state() is states.SHUTDOWN
    with pytest.raises(grpc.aio.UsageError):
        namer(channel)(b"")
    await peer.until_closed()


async def test_close_with_grace_waits_for_calls(peer: Peer, channel: grpc.aio.Channel) -> None:
    call = namer(channel)(b"")
    await peer.greet()
    await peer.next()
    closing = asyncio.create_task(channel.close(10))
    await asyncio.sleep(0)
    with pytest.raises(grpc.aio.UsageError):
        namer(channel)(b"")
    peer.say(id=1, payload=b"in time")
    assert await call == b"in time"
    await closing


async def test_a_channel_that_is_forgotten_lets_go_of_its_connection(peer: Peer) -> None:
    channel = protosocket.grpc.insecure_channel(peer.target)
    channel.get_state(try_to_connect=True)
    await peer.greet()
    await channel.channel_ready()
    gone = weakref.ref(channel)
    del channel
    gc.collect()
    assert gone() is None
    await peer.until_closed()


async def test_more_calls_than_the_send_queue_holds() -> None:
    async with Backend("x") as backend, protosocket.grpc.insecure_channel(backend.target) as channel:
        say = namer(channel)
        await say(b"")
        answers = await asyncio.gather(*(say(b"y" * 3000) for _ in range(6000)))
        assert set(answers) == {b"x" + b"y" * 3000}


async def test_a_stream_that_nobody_reads_stops_its_server_and_nothing_else() -> None:
    window = 32 * 1024
    async with Backend("x") as backend:
        options = (("grpc.http2.lookahead_bytes", window),)
        async with protosocket.grpc.insecure_channel(backend.target, options=options) as channel:
            count: Any = channel.unary_stream(method("Count"))
            call = count(b"1000000")
            assert await call.read() == b"0"
            say = namer(channel)
            for _ in range(200):
                assert await say(b"!") == b"x!"
            most = window // (1 + MESSAGE_COST) + 2
            assert backend.counted <= most
            # It goes on where it stopped.
            for number in range(1, 2 * most):
                assert await call.read() == b"%d" % number
            call.cancel()


@pytest.mark.parametrize("seed", range(25))
async def test_any_messages_of_a_server(peer: Peer, seed: int) -> None:
    """Whatever it says, every call ends, and nothing fails behind our back."""
    options = (*FAST, ("grpc.min_reconnect_backoff_ms", 50))
    channel = protosocket.grpc.insecure_channel(peer.target, options=options)
    chance = random.Random(seed)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    say = namer(channel)
    calls: list[Any] = [say(b""), say(b"", timeout=5)]
    for kind, name in ((channel.unary_stream, "Count"), (channel.stream_stream, "Echo")):
        each: Any = kind(method(name))
        calls.append(each(b"") if name == "Count" else each())
    total: Any = channel.stream_unary(method("Sum"))
    calls.append(total(iter([b"1"] * 5)))
    readers = [asyncio.create_task(_read(call)) for call in calls[2:4]]
    await peer.greet(window=chance.choice([0, 1, 1000]))
    await peer.next()
    for _ in range(60):
        peer.say(**_anything(chance))
    peer.say_bytes(NO_LENGTH)
    await asyncio.gather(*(call.code() for call in calls))
    await asyncio.gather(*readers)
    await channel.close()
    assert failures == []


@pytest.mark.parametrize("then", ["lost", "leaving"])
async def test_a_connection_that_ends_right_behind_its_greeting(
    peer: Peer, channel: grpc.aio.Channel, then: str
) -> None:
    call = namer(channel)(b"", wait_for_ready=True)
    await peer.accept()
    await peer.next()
    greeting, last = Envelope(hello=Hello(version=1, window=1000)), Envelope(going_away=True)
    messages = [frame(Framing.VARINT, each.SerializeToString()) for each in (greeting, last)]
    peer.say_bytes(messages[0] + (messages[1] if then == "leaving" else NO_LENGTH))
    await peer.greet()
    await peer.next()
    peer.say(id=1, payload=b"second")
    assert await call == b"second"


def _anything(chance: random.Random) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": chance.randrange(8)}
    choices: dict[str, Any] = {
        "control": chance.choice([0, 0, 0, 1, 2]),
        "payload": chance.randbytes(chance.randrange(40)),
        "metadata": [Metadatum(key=chance.choice(["a", "b-bin", ""]), value=chance.randbytes(3))],
        "trailing_metadata": [Metadatum(key="t", value=chance.randbytes(3))],
        "status": Status(code=chance.randrange(20), details="?"),
        "call": chance.randrange(8),
        "credit": chance.randrange(1 << 40),
        "hello": Hello(version=chance.randrange(3), refusal=chance.choice(["", "no"])),
        "ping": chance.randrange(3),
        "pong": chance.randrange(3),
        "method": chance.randrange(3),
        "path": "/a/b",
        "going_away": chance.random() < 0.1,
    }
    for name in chance.sample(list(choices), chance.randrange(4)):
        fields[name] = choices[name]
    return fields


async def _read(call: Any) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
