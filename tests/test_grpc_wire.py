"""The wire of protosocket.grpc: bytes per call, greetings, method numbers, credits, peers of another kind."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tests.grpc_raw import Envelope, Hello, Metadatum, RawPeer, connect, listen, service
from tests.oracle import varint

import protosocket.grpc

NORMAL, CANCEL, END = 0, 1, 2
PAYLOAD = b"p" * 100


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def talk(requests: Any, context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def flood(request: bytes, context: Any) -> AsyncIterator[bytes]:
    while True:
        yield bytes(1000)


class Sleeper:
    """Never reads a request, and says when it was cancelled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, requests: Any, context: Any) -> bytes:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return b""


@pytest_asyncio.fixture
async def sleeper() -> Sleeper:
    return Sleeper()


@pytest_asyncio.fixture
async def port(sleeper: Sleeper) -> AsyncIterator[int]:
    async def sleep(requests: Any, context: Any) -> bytes:
        return await sleeper(requests, context)

    async def tell(request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata((("early", "1"),))
        context.set_trailing_metadata((("late-bin", b"\x00"),))
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("gone")
        return b"not sent"

    server = protosocket.grpc.server(options=[("grpc.http2.lookahead_bytes", 4000)])
    handlers = service(
        echo=("unary_unary", echo),
        tell=("unary_unary", tell),
        talk=("stream_stream", talk),
        flood=("unary_stream", flood),
        sleep=("stream_unary", sleep),
    )
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


@pytest_asyncio.fixture
async def client(port: int) -> AsyncIterator[RawPeer]:
    client = await connect(port)
    await client.greet()
    client.sizes.clear()
    yield client
    await client.close()


async def test_a_unary_answer_costs_5_bytes_over_its_payload(client: RawPeer) -> None:
    client.send(id=1, method=1, path="/raw.Test/echo", payload=PAYLOAD)
    await client.receive()
    client.send(id=1, method=1, payload=PAYLOAD)
    answer = await client.receive()
    assert (answer.id, answer.control, answer.payload) == (1, NORMAL, PAYLOAD)
    assert not answer.HasField("status")
    assert client.sizes[1] - len(PAYLOAD) == 5


@pytest.mark.parametrize(("timeout", "cost"), [(None, 7), (0.1, 12)])
async def test_a_unary_request_costs_at_most_12_bytes_over_its_payload(
    timeout: float | None, cost: int
) -> None:
    sizes: list[int] = []

    async def answer(peer: RawPeer) -> None:
        await peer.receive()
        peer.send(hello=Hello(version=1, window=1 << 20))
        while True:
            request = await peer.receive()
            sizes.append(peer.sizes[-1])
            peer.send(id=request.id, payload=request.payload)

    server, port = await listen(answer)
    async with server, protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary("/raw.Test/echo")
        for _ in range(3):
            assert await call(PAYLOAD, timeout=timeout) == PAYLOAD
    first, *steady = sizes
    assert first - len(PAYLOAD) > 20, "the path is told once"
    assert all(size - len(PAYLOAD) <= cost for size in steady)


async def test_an_item_of_a_stream_costs_5_bytes_over_its_payload(client: RawPeer) -> None:
    client.send(id=1, method=1, path="/raw.Test/talk", streams=True)
    for _ in range(3):
        client.send(id=1, payload=PAYLOAD)
    client.send(id=1, control=END)
    items = [await client.receive() for _ in range(3)]
    assert [(each.id, each.control, each.payload) for each in items] == [(1, NORMAL, PAYLOAD)] * 3
    end = await client.receive()
    assert (end.id, end.control, end.HasField("payload"), end.HasField("status")) == (1, END, False, False)
    assert client.sizes == [105, 105, 105, 5]


async def test_status_and_metadata(client: RawPeer) -> None:
    client.send(id=3, method=1, path="/raw.Test/tell", payload=b"")
    early = await client.receive()
    assert (early.id, early.call) == (0, 3)
    assert [(each.key, each.value) for each in early.metadata] == [("early", b"1")]
    answer = await client.receive()
    assert (answer.id, answer.status.code, answer.status.details) == (3, 5, "gone")
    assert not answer.HasField("payload")
    assert [(each.key, each.value) for each in answer.trailing_metadata] == [("late-bin", b"\x00")]


async def test_an_unknown_method(client: RawPeer) -> None:
    client.send(id=1, method=1, path="/raw.Test/nothing", payload=b"")
    answer = await client.receive()
    assert (answer.id, answer.control, answer.status.code) == (1, END, 12)
    assert answer.status.details == "Method not found!"


async def test_a_number_keeps_its_first_meaning(client: RawPeer) -> None:
    client.send(id=1, method=7, path="/raw.Test/echo", payload=b"1")
    client.send(id=2, method=7, path="/raw.Test/nothing", payload=b"2")
    assert [(await client.receive()).payload for _ in range(2)] == [b"1", b"2"]


@pytest.mark.parametrize("path", ["", "/raw.Test/" + "x" * 1024])
async def test_a_number_without_a_meaning_ends_the_connection(client: RawPeer, path: str) -> None:
    client.send(id=1, method=7, path=path, payload=b"1")
    assert await client.is_over()


async def test_the_greeting_says_version_and_window(port: int) -> None:
    client = await connect(port)
    message = await client.greet()
    assert message.id == 0
    assert message.hello == Hello(version=1, window=4000)
    await client.close()


async def test_an_unknown_version_is_refused(port: int) -> None:
    client = await connect(port)
    client.send(hello=Hello(version=2, window=1))
    message = await client.receive()
    assert message.hello.version == 1
    assert message.hello.refusal == "version 2 of the envelope is not known here, only 1"
    assert await client.is_over()
    await client.close()


@pytest.mark.parametrize("first", [{"ping": 1}, {"id": 1, "method": 1, "path": "/raw.Test/echo"}])
async def test_who_does_not_greet_is_cut_off(port: int, first: dict[str, Any]) -> None:
    client = await connect(port)
    client.send(**first)
    assert await client.is_over()
    await client.close()


async def test_a_ping_is_answered(client: RawPeer) -> None:
    client.send(ping=77)
    assert (await client.receive()).pong == 77


async def test_a_cancelled_call_is_cancelled_in_the_servicer(client: RawPeer, sleeper: Sleeper) -> None:
    client.send(id=9, method=1, path="/raw.Test/sleep")
    await sleeper.started.wait()
    client.send(id=9, control=CANCEL)
    await sleeper.cancelled.wait()
    end = await client.receive()
    assert (end.id, end.control) == (9, CANCEL)


async def test_a_deadline_ends_the_call_on_the_server(client: RawPeer, sleeper: Sleeper) -> None:
    client.send(id=9, method=1, path="/raw.Test/sleep", timeout_ms=20, timeout_us=5)
    end = await client.receive()
    assert sleeper.cancelled.is_set()
    assert (end.id, end.status.code, end.status.details) == (9, 4, "Deadline Exceeded")


async def test_the_server_sends_what_it_has_credit_for_and_one_message(port: int) -> None:
    client = await connect(port)
    await client.greet(window=3000)
    client.send(id=1, method=1, path="/raw.Test/flood", streams=True, payload=b"")
    # 3 × (1000 + 32) is more than 3000.
    for _ in range(3):
        assert len((await client.receive()).payload) == 1000
    # The answer to a ping comes in order: it shows that nothing more was sent.
    client.send(ping=1)
    assert (await client.receive()).pong == 1
    client.send(call=1, credit=200)
    assert len((await client.receive()).payload) == 1000
    client.send(ping=2)
    assert (await client.receive()).pong == 2
    await client.close()


async def test_the_server_gives_credit_for_what_was_read(client: RawPeer) -> None:
    client.send(id=1, method=1, path="/raw.Test/talk", streams=True)
    for _ in range(4):
        client.send(id=1, payload=bytes(968))
    received = [await client.receive() for _ in range(6)]
    assert sum(each.credit for each in received if each.call == 1) == 4000
    assert sum(len(each.payload) for each in received if each.id == 1) == 4 * 968


async def test_a_client_that_does_not_wait_for_credit_is_cut_off(client: RawPeer, sleeper: Sleeper) -> None:
    client.send(id=1, method=1, path="/raw.Test/sleep")
    for _ in range(20):
        client.send(id=1, payload=bytes(1000))
    assert await client.is_over()
    await sleeper.cancelled.wait()


async def test_an_id_is_used_again_after_its_call_was_given_up(client: RawPeer, sleeper: Sleeper) -> None:
    client.send(id=1, method=1, path="/raw.Test/sleep")
    await sleeper.started.wait()
    client.send(id=1, control=CANCEL)
    assert (await client.receive()).control == CANCEL
    client.send(id=1, method=2, path="/raw.Test/talk", streams=True)
    client.send(id=1, payload=b"again")
    client.send(id=1, control=END)
    assert (await client.receive()).payload == b"again"
    assert (await client.receive()).control == END


async def test_the_message_that_begins_a_call_may_end_its_requests(client: RawPeer) -> None:
    client.send(id=1, method=1, path="/raw.Test/talk", streams=True, control=END)
    assert (await client.receive()).control == END
    client.send(id=1, method=1, payload=b"only", streams=True, control=END)
    assert (await client.receive()).payload == b"only"
    assert (await client.receive()).control == END


async def test_metadata_of_a_request(client: RawPeer, port: int) -> None:
    seen: list[Any] = []

    async def look(request: bytes, context: Any) -> bytes:
        seen.extend(context.invocation_metadata())
        return b""

    server = protosocket.grpc.server(handlers=[service(look=("unary_unary", look))])
    peer = await connect(await _start(server))
    await peer.greet()
    metadata = [Metadatum(key="a", value=b"1"), Metadatum(key="b-bin", value=b"\xff")]
    peer.send(id=1, method=1, path="/raw.Test/look", payload=b"", metadata=metadata)
    await peer.receive()
    assert seen == [("a", "1"), ("b-bin", b"\xff")]
    assert (seen[1].key, seen[1].value) == ("b-bin", b"\xff")
    await peer.close()
    await server.stop(None)


@pytest.mark.parametrize("entry", [b"\x42\x00", b"\x52\x00", b"\x9a\x06\x00", b"\xa3\x06\xa4\x06"])
async def test_many_small_entries_take_no_memory(client: RawPeer, entry: bytes) -> None:
    """As objects they would take thirty times their bytes."""
    body = Envelope(id=1, method=1, path="/raw.Test/echo", payload=PAYLOAD).SerializeToString()
    body += entry * (12 * 1024 * 1024 // len(entry))
    tracemalloc.start()
    client.writer.write(varint.write(len(body)) + body)
    assert await client.is_over()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * len(body)


async def test_a_long_payload_leaves_room_for_metadata(port: int) -> None:
    client = await connect(port)
    await client.greet()
    metadata = [Metadatum(key="k", value=bytes(1000))] * 900
    for size in (100, 3_000_000):
        client.send(id=1, method=1, path="/raw.Test/echo", payload=bytes(size), metadata=metadata)
        assert len((await client.receive()).payload) == size
    await client.close()


async def test_metadata_and_texts_that_are_sent_fit_into_a_message() -> None:
    async def tell(request: bytes, context: Any) -> bytes:
        pairs = [("k", "v" * 1000)] * int(request)
        await context.send_initial_metadata(pairs)
        await context.abort(grpc.StatusCode.NOT_FOUND, "é" * 10_000_000, pairs)
        return b""

    server = protosocket.grpc.server(handlers=[service(tell=("unary_unary", tell))])
    port = await _start(server)
    async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary("/raw.Test/tell")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"250", metadata=[("k", "v" * 1000)] * 250)
        assert (caught.value.code(), len(caught.value.trailing_metadata())) == (
            grpc.StatusCode.NOT_FOUND,
            250,
        )
        assert caught.value.details() == "é" * 65_536
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"260")
        assert caught.value.details() == "Invalid metadata"
        with pytest.raises(grpc.aio.InternalError, match="metadata was invalid: it has 268580 bytes"):
            await call(b"1", metadata=[("k", "v" * 1000)] * 260)
    await server.stop(None)


async def test_a_grpc_client_is_told_what_this_port_is(port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _echo(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "this port speaks protosocket" in str(caught.value.details())


async def test_our_client_is_told_that_a_port_speaks_http2() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _echo(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "HTTP/2" in str(caught.value.details())
    await server.stop(None)


def _echo(channel: grpc.aio.Channel) -> Any:
    call: Any = channel.unary_unary("/raw.Test/echo")
    return call(b"")


async def _start(server: grpc.aio.Server) -> int:
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return port
