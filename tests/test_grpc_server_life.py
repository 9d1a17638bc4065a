"""The end of a gRPC server and of its connections: going away, cutting short, giving silent clients up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tests.grpc_raw import Hello, RawPeer, connect, service
from tests.patience import HANG
from tests.tricks import needs_tricks

import protosocket.grpc

NORMAL, CANCEL, END = 0, 1, 2


class Waiting:
    """Methods that wait until ``release``, and say when they began and how they ended."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.release = asyncio.Event()
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def wait(self, request: bytes, context: Any) -> bytes:
        self.begun.put_nowait("unary")
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise
        return b"waited"

    async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        yield await self.wait(request, context)


@pytest_asyncio.fixture
async def waiting() -> Waiting:
    return Waiting()


@pytest_asyncio.fixture
async def server(waiting: Waiting) -> AsyncIterator[protosocket.grpc.Server]:
    handlers = service(wait=("unary_unary", waiting.wait), stream=("unary_stream", waiting.stream))
    server = protosocket.grpc.server(handlers=[handlers])
    yield server
    await server.stop(None)


@pytest_asyncio.fixture
async def client(server: protosocket.grpc.Server) -> AsyncIterator[RawPeer]:
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = await connect(port)
    await client.greet()
    yield client
    await client.close()


async def test_calls_finish_within_the_grace_and_others_are_refused(
    server: protosocket.grpc.Server, client: RawPeer, waiting: Waiting
) -> None:
    client.send(id=1, method=1, path="/raw.Test/wait", payload=b"")
    await waiting.begun.get()
    stopping = asyncio.create_task(server.stop(60))
    assert (await client.receive()).going_away
    client.send(id=2, method=1, payload=b"")
    refused = await client.receive()
    assert (refused.id, refused.control) == (2, CANCEL)
    waiting.release.set()
    answer = await client.receive()
    assert (answer.id, answer.payload) == (1, b"waited")
    assert await client.is_over()
    await stopping
    assert waiting.ended.empty()


async def test_a_stream_goes_on_within_the_grace(
    server: protosocket.grpc.Server, client: RawPeer, waiting: Waiting
) -> None:
    client.send(id=1, method=1, path="/raw.Test/stream", streams=True, payload=b"")
    assert (await client.receive()).payload == b"first"
    stopping = asyncio.create_task(server.stop(60))
    assert (await client.receive()).going_away
    client.send(call=1, credit=1000)
    waiting.release.set()
    assert (await client.receive()).payload == b"waited"
    end = await client.receive()
    assert (end.id, end.control) == (1, END)
    await stopping


@needs_tricks("all handlers of one read begin before the first has answered")
async def test_what_waits_behind_a_full_send_queue_is_no_new_call() -> None:
    begun = asyncio.Event()

    async def collect(requests: AsyncIterator[bytes], context: Any) -> bytes:
        begun.set()
        return b"".join([request async for request in requests])

    async def large(request: bytes, context: Any) -> bytes:
        return bytes(3 << 20)

    handlers = service(collect=("stream_unary", collect), large=("unary_unary", large))
    server = protosocket.grpc.server(handlers=[handlers])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = await connect(port)
    await client.greet()
    client.send(id=1, method=1, path="/raw.Test/collect", streams=True)
    await begun.wait()
    # In one read: more answers than the send queue takes if the client does not read, and the rest of a call.
    for number in range(2, 8):
        client.send(id=number, method=2, path="/raw.Test/large", payload=b"")
    for number in range(5):
        client.send(id=1, payload=b"%d" % number)
    client.send(id=1, control=END)
    await asyncio.sleep(0.1)
    stopping = asyncio.create_task(server.stop(60))
    await asyncio.sleep(0)
    ends = {}
    async with asyncio.timeout(HANG):
        while 1 not in ends:
            answer = await client.receive()
            ends[answer.id] = (answer.control, answer.payload if answer.id == 1 else b"")
    assert ends.pop(1) == (END, b"01234")
    ends.pop(0, None)
    # Those that had not begun were refused.
    assert set(ends) == set(range(2, 8))
    assert set(ends.values()) == {(NORMAL, b""), (CANCEL, b"")}
    await client.close()
    await stopping


@pytest.mark.parametrize(("method", "end_control"), [("wait", NORMAL), ("stream", END)])
async def test_calls_are_cut_short_when_the_grace_is_over(
    server: protosocket.grpc.Server, client: RawPeer, waiting: Waiting, method: str, end_control: int
) -> None:
    client.send(id=1, method=1, path=f"/raw.Test/{method}", streams=method == "stream", payload=b"")
    await waiting.begun.get()
    if method == "stream":
        assert (await client.receive()).payload == b"first"
    await server.stop(None)
    assert waiting.ended.get_nowait() == "cancelled"
    assert (await client.receive()).going_away
    end = await client.receive()
    assert (end.id, end.control, end.status.code) == (1, end_control, 14)
    assert end.status.details == "Cancelling all calls"
    assert await client.is_over()


async def test_less_grace_later(server: protosocket.grpc.Server, client: RawPeer, waiting: Waiting) -> None:
    client.send(id=1, method=1, path="/raw.Test/wait", payload=b"")
    await waiting.begun.get()
    first = asyncio.create_task(server.stop(60))
    await client.receive()
    assert not first.done()
    await server.stop(0.01)
    await first
    assert waiting.ended.get_nowait() == "cancelled"


async def test_the_end_of_a_connection_cancels_its_calls(client: RawPeer, waiting: Waiting) -> None:
    client.send(id=1, method=1, path="/raw.Test/wait", payload=b"")
    await waiting.begun.get()
    client.writer.transport.abort()
    assert await waiting.ended.get() == "cancelled"


async def test_a_server_that_was_stopped_is_not_started_again() -> None:
    server = protosocket.grpc.server()
    await server.start()
    await server.stop(None)
    with pytest.raises(grpc.aio.UsageError, match="not in ready state"):
        await server.start()


async def test_a_server_asks_for_pings_and_gives_silent_clients_up() -> None:
    options = [("grpc.keepalive_time_ms", 30), ("grpc.keepalive_timeout_ms", 30)]
    server = protosocket.grpc.server(options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    silent, lively = await connect(port), await connect(port)
    assert (await silent.greet()).hello.ping_after_ms == 30
    await lively.greet()
    over = asyncio.create_task(silent.is_over())
    pongs = 0
    while not over.done():
        lively.send(ping=1)
        pongs += (await lively.receive()).pong
        await asyncio.sleep(0.01)
    assert over.result()
    lively.send(ping=1)
    assert (await lively.receive()).pong == 1
    assert pongs >= 5
    await silent.close()
    await lively.close()
    await server.stop(None)


async def test_a_client_that_does_not_greet_is_cut_off() -> None:
    server = protosocket.grpc.server(options=[("grpc.server_handshake_timeout_ms", 20)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    silent, polite = await connect(port), await connect(port)
    await polite.greet()
    assert await silent.is_over()
    polite.send(ping=1)
    assert (await polite.receive()).pong == 1
    await silent.close()
    await polite.close()
    await server.stop(None)


async def test_a_client_that_asks_for_pings_gets_them_while_nothing_else_is_said() -> None:
    server = protosocket.grpc.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = await connect(port)
    client.send(hello=Hello(version=1, window=1000, ping_after_ms=20))
    await client.receive()
    assert [(await client.receive()).ping for _ in range(2)] == [1, 1]
    await client.close()
    await server.stop(None)
