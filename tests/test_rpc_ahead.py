"""Messages that arrive together are decoded together: whatever one leads to, all others are handled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from tests.oracle import samples
from tests.oracle.framing import Framing, frame
from tests.oracle.header import Control
from tests.patience import HANG
from tests.rpc_support import KINDS, Kind, Peer, RawServer, Service, SimpleMessage, raw_client, served, until
from tests.tricks import needs_tricks

from protosocket import rpc
from protosocket.codecs import NativeMessages
from protosocket.errors import ConnectionClosed
from protosocket.options import ConnectionOptions

pytestmark = [
    pytest.mark.every_loop,
    pytest.mark.parametrize("kind", [KINDS["native"], KINDS["protobuf"]], ids=["native", "protobuf"]),
]

# More than are decoded at a time.
CALLS = 100


@contextlib.asynccontextmanager
async def waiting(
    kind: Kind, work: Callable[[rpc.Client[Any, Any], int], Awaitable[Any]], calls: int = CALLS
) -> AsyncIterator[tuple[rpc.Client[Any, Any], list[asyncio.Task[Any]], Peer, list[int]]]:
    """So many tasks, each with its request at the server: what answers them, and the ids of their calls."""
    async with RawServer() as server, rpc.connect(server.url, kind.codec) as client:
        await client.ready()
        peer = await server.accept()
        tasks = [asyncio.ensure_future(work(client, number)) for number in range(calls)]
        ids = [0] * calls
        for _ in range(calls):
            header, body = await peer.receive()
            ids[int(body)] = header.id
        yield client, tasks, peer, ids
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answer_all(peer: Peer, ids: list[int]) -> None:
    """Answer each call with its number, all of them in one write."""
    answers = (SimpleMessage(id=call_id, body=b"%d" % number) for number, call_id in enumerate(ids))
    peer.raw(b"".join(frame(Framing.VARINT, answer.SerializeToString()) for answer in answers))
    await peer.writer.drain()


async def test_tasks_go_on_in_the_order_of_the_answers(kind: Kind) -> None:
    order: list[int] = []

    async def work(client: rpc.Client[Any, Any], number: int) -> None:
        assert (await client.unary(kind.make(b"%d" % number))).body == b"%d" % number
        order.append(number)

    async with waiting(kind, work) as (_, tasks, peer, ids):
        await answer_all(peer, ids)
        await asyncio.wait_for(asyncio.gather(*tasks), HANG)
        assert order == list(range(CALLS))


@needs_tricks("tasks go on in later turns of the event loop")
@pytest.mark.parametrize("calls", [2, 16, 32])
async def test_what_the_tasks_of_one_read_send_is_written_together(kind: Kind, calls: int) -> None:
    async def work(client: rpc.Client[Any, Any], number: int) -> int:
        await client.unary(kind.make(b"%d" % number))
        in_flight = client.statistics()[0].in_flight
        await client.unary(kind.make(b"again"))
        return in_flight

    async with waiting(kind, work, calls) as (client, tasks, peer, ids):
        before = client.statistics()[0].writes
        await answer_all(peer, ids)
        again = [(await peer.receive())[0].id for _ in range(calls)]
        assert client.statistics()[0].writes == before + 1
        await answer_all(peer, again)
        # The first of them has its answer, and no new call yet; the second one has both, and so on.
        assert await asyncio.wait_for(asyncio.gather(*tasks), HANG) == [calls - 1] * calls


async def test_a_task_may_cancel_others_whose_answers_came_with_its_own(kind: Kind) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def work(client: rpc.Client[Any, Any], number: int) -> bytes:
        body: bytes = (await client.unary(kind.make(b"%d" % number))).body
        if number == 3:
            for other in (0, 2, 4, 5, 80):
                tasks[other].cancel()
        return body

    async with waiting(kind, work) as (client, made, peer, ids):
        tasks += made
        await answer_all(peer, ids)
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
        for number, result in enumerate(results):
            if number in (4, 5, 80):
                assert isinstance(result, asyncio.CancelledError)
            else:
                assert result == b"%d" % number
        # The connection goes on.
        another = asyncio.ensure_future(client.unary(kind.make(b"more")))
        while (received := await peer.receive())[1] != b"more":
            pass
        peer.send(received[0].id, body=b"answer")
        assert (await asyncio.wait_for(another, HANG)).body == b"answer"


async def test_a_task_that_closes_the_client_leaves_no_call_waiting(kind: Kind) -> None:
    async def work(client: rpc.Client[Any, Any], number: int) -> bytes:
        body: bytes = (await client.unary(kind.make(b"%d" % number))).body
        if number == 3:
            await client.close()
        return body

    async with waiting(kind, work) as (_, tasks, peer, ids):
        await answer_all(peer, ids)
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
        assert results[:4] == [b"0", b"1", b"2", b"3"]
        for number, result in enumerate(results):
            assert result == b"%d" % number or isinstance(result, ConnectionClosed)


async def test_an_answer_that_cannot_be_decoded_takes_no_earlier_one_with_it(kind: Kind) -> None:
    async def work(client: rpc.Client[Any, Any], number: int) -> bytes:
        body: bytes = (await client.unary(kind.make(b"%d" % number))).body
        return body

    async with waiting(kind, work) as (_, tasks, peer, ids):
        await answer_all(peer, ids[:10])
        # The call's id, and a text that ends too soon.
        fields = SimpleMessage(id=ids[10]).SerializeToString()
        peer.raw(frame(Framing.VARINT, fields + b"\x1a\x05"))
        await answer_all(peer, ids[11:])
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
        assert results[:10] == [b"%d" % number for number in range(10)]
        assert all(isinstance(result, ConnectionClosed) for result in results[10:])


@pytest.mark.parametrize("loops", [uvloop, asyncio], ids=["uvloop", "asyncio"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_stops_the_program_leaves_the_other_answers(kind: Kind, loops: Any) -> None:
    async def work(client: rpc.Client[Any, Any], number: int) -> bytes:
        body: bytes = (await client.unary(kind.make(b"%d" % number))).body
        if number == 3:
            raise KeyboardInterrupt
        return body

    async def stopped() -> None:
        async with waiting(kind, work) as (_, tasks, peer, ids):
            await answer_all(peer, ids)
            results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
            assert isinstance(results.pop(3), KeyboardInterrupt)
            assert results == [b"%d" % number for number in range(CALLS) if number != 3]

    loop = loops.new_event_loop()
    try:
        main = loop.create_task(stopped())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(main)
        # It may be run again.
        loop.run_until_complete(main)
    finally:
        loop.close()


def echoes(calls: range) -> bytes:
    """A request for each of these ids, as they are on the wire."""
    return b"".join(
        frame(Framing.VARINT, SimpleMessage(id=number, body=b"echo %d" % number).SerializeToString())
        for number in calls
    )


async def answered(peer: Peer, calls: range) -> None:
    """The echoes come, in this order."""
    for number in calls:
        header, body = await peer.receive()
        assert (header.id, header.control, body) == (number, Control.NORMAL, b"echo %d" % number)


@pytest.mark.parametrize(
    "limits", [{}, {"send_queue_messages": 1}, {"send_queue_bytes": 1}, {"read_budget_messages": 3}]
)
async def test_requests_are_answered_in_their_order(kind: Kind, limits: dict[str, Any]) -> None:
    options = ConnectionOptions(**limits)
    async with served(kind, options=options) as (url, _), raw_client(url) as peer:
        peer.raw(echoes(range(1, CALLS)))
        await answered(peer, range(1, CALLS))


async def test_no_more_handlers_run_than_may(kind: Kind) -> None:
    async with served(kind, max_calls=2) as (url, service), raw_client(url) as peer:
        peer.send(1, body=b"wait a")
        peer.send(2, body=b"wait b")
        peer.raw(echoes(range(3, CALLS)))
        await until(lambda: service.running == 2)
        await peer.writer.drain()
        await asyncio.sleep(0.02)
        assert service.started == 2
        service.open("a")
        assert (await peer.receive())[0].id == 1
        await answered(peer, range(3, CALLS))
        service.open("b")
        assert (await peer.receive())[0].id == 2
        assert service.most_running == 2


@needs_tricks("a task that is cancelled before its first step never takes it")
async def test_a_cancel_behind_requests_finds_its_call(kind: Kind) -> None:
    async with served(kind, max_calls=2) as (url, service), raw_client(url) as peer:
        for number, name in enumerate(["a", "b", "waits for its turn"], start=1):
            peer.send(number, body=f"wait {name}".encode())
        peer.send(2, control=Control.CANCEL)
        peer.send(3, control=Control.CANCEL)
        peer.raw(echoes(range(4, CALLS)))
        headers = {(await peer.receive())[0] for _ in range(2)}
        assert {(header.id, header.control) for header in headers} == {
            (2, Control.CANCEL),
            (3, Control.CANCEL),
        }
        await answered(peer, range(4, CALLS))
        assert service.notes == ["connected", "cancelled b"]


async def test_a_request_that_cannot_be_decoded_takes_no_earlier_one_with_it(kind: Kind) -> None:
    async with served(kind) as (url, service), raw_client(url) as peer:
        peer.raw(echoes(range(1, 11)))
        peer.raw(frame(Framing.VARINT, SimpleMessage(id=11).SerializeToString() + b"\x1a\x05"))
        peer.raw(echoes(range(12, CALLS)))
        with contextlib.suppress(EOFError, ConnectionResetError):
            await answered(peer, range(1, 12))
        await until(lambda: "disconnected" in service.notes)
        assert service.started == 10


async def test_requests_that_wait_are_refused_when_the_server_closes(kind: Kind) -> None:
    service = Service(kind)
    async with rpc.serve("tcp://127.0.0.1:0", lambda: service, kind.codec, max_calls=1) as server:
        async with raw_client(server.addresses[0]) as peer:
            peer.send(1, body=b"wait a")
            peer.raw(echoes(range(2, CALLS)))
            await until(lambda: service.running == 1)
            closing = asyncio.ensure_future(server.close())
            for number in range(2, CALLS):
                header, _ = await peer.receive()
                assert (header.id, header.control) == (number, Control.CANCEL)
            service.open("a")
            assert (await peer.receive())[0].id == 1
            await peer.close()
            await asyncio.wait_for(closing, HANG)
        assert service.started == 1


High: Any = samples.PROTOBUF["samples.High"]
_native: Any = NativeMessages(High)
# Their header is in front, and a text that is none behind it: only a decoder looks there.
HIGH = {
    "native": rpc.NativeCodec(send=_native.High, receive=_native.High, id="id", control="code"),
    "protobuf": rpc.ProtobufCodec(send=High, receive=High, id="id", control="code"),
}


def high(call_id: int, name: bytes) -> bytes:
    encoded: bytes = High(id=call_id).SerializeToString()
    return frame(Framing.VARINT, encoded + b"\x0a" + bytes([len(name)]) + name)


@pytest.fixture
def codec(kind: Kind) -> Any:
    """The codec of ``High`` that is of this kind."""
    return HIGH["native" if kind is KINDS["native"] else "protobuf"]


async def test_a_text_that_is_none_among_answers(codec: Any) -> None:
    made = _native.High if codec is HIGH["native"] else High
    async with RawServer() as server, rpc.connect(server.url, codec) as client:
        await client.ready()
        peer = await server.accept()
        tasks = [asyncio.ensure_future(client.unary(made(name=str(number)))) for number in range(CALLS)]
        ids = [High.FromString(await peer.encoded()).id for _ in tasks]
        texts = [b"\xff" if number == 10 else b"%d" % number for number in range(CALLS)]
        peer.raw(b"".join(map(high, ids, texts)))
        results: list[Any] = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
        assert [result.name for result in results[:10]] == [str(number) for number in range(10)]
        assert all(isinstance(result, ConnectionClosed) for result in results[10:])


async def test_a_text_that_is_none_among_requests(codec: Any) -> None:
    names: list[str] = []

    class Notes(rpc.Service):
        def unary(self, request: Any) -> Any:
            names.append(request.name)
            return request

    async with (
        rpc.serve("tcp://127.0.0.1:0", Notes, codec) as server,
        raw_client(server.addresses[0]) as peer,
    ):
        texts = [b"\xff" if number == 11 else b"%d" % number for number in range(1, CALLS)]
        peer.raw(b"".join(map(high, range(1, CALLS), texts)))
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                await peer.encoded()
        await until(lambda: server.connections == 0)
        assert names == [str(number) for number in range(1, 11)]


async def test_a_server_that_closes_decodes_no_further_request(codec: Any) -> None:
    made = _native.High if codec is HIGH["native"] else High
    begun, goes_on = asyncio.Event(), asyncio.Event()

    class Waits(rpc.Service):
        async def unary(self, request: Any) -> Any:
            begun.set()
            await goes_on.wait()
            return made(name="waited")

    async with (
        rpc.serve("tcp://127.0.0.1:0", Waits, codec) as server,
        raw_client(server.addresses[0]) as peer,
    ):
        peer.raw(high(1, b"first"))
        await begun.wait()
        closing = asyncio.ensure_future(server.close())
        await asyncio.sleep(0.05)
        peer.raw(high(2, b"\xff"))
        refused = High.FromString(await peer.encoded())
        assert (refused.id, refused.code) == (2, Control.CANCEL)
        goes_on.set()
        assert High.FromString(await peer.encoded()).name == "waited"
        await peer.close()
        await asyncio.wait_for(closing, HANG)
