"""The protocol's facts, against peers that speak hand-written bytes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.oracle import samples
from tests.oracle.framing import Framing, frame
from tests.oracle.header import Control, Header
from tests.rpc_support import CODEC, RawServer, SimpleMessage, message, raw_client, served, until

from protosocket import ConnectionOptions, errors, rpc

NORMAL, CANCEL, END = Control.NORMAL, Control.CANCEL, Control.END

# The server, seen by a client of bytes.


async def test_answers_carry_the_id_of_their_call() -> None:
    async with served() as (url, _), raw_client(url) as peer:
        for call_id in (0, 1, 127, 128, 2**32, 2**63, 2**64 - 1):
            peer.send(call_id, body=b"echo %d" % call_id)
            assert await peer.receive() == (Header(call_id, NORMAL), b"echo %d" % call_id)


async def test_a_stream_ends_with_end() -> None:
    async with served() as (url, _), raw_client(url) as peer:
        peer.send(7, body=b"count 2")
        assert [await peer.receive() for _ in range(3)] == [
            (Header(7, NORMAL), b"0"),
            (Header(7, NORMAL), b"1"),
            (Header(7, END), b""),
        ]


@pytest.mark.parametrize("control", [CANCEL, 3, 255, 2**31], ids=str)
async def test_cancel_is_answered_by_cancel(control: int) -> None:
    async with served() as (url, service), raw_client(url) as peer:
        peer.send(5, body=b"wait x")
        await until(lambda: service.running)
        peer.send(5, control)
        assert await peer.receive() == (Header(5, CANCEL), b"")
        await until(lambda: not service.running)
        assert service.notes == ["connected", "cancelled x"]
        await peer.nothing_before(6)


async def test_cancel_of_an_unknown_or_finished_call_is_dropped() -> None:
    async with served() as (url, _), raw_client(url) as peer:
        peer.send(9, CANCEL)
        await peer.nothing_before(1)
        peer.send(1, CANCEL)
        await peer.nothing_before(2)


async def test_end_from_a_client_is_ignored() -> None:
    async with served() as (url, service), raw_client(url) as peer:
        peer.send(5, body=b"wait x")
        await until(lambda: service.running)
        peer.send(5, END)
        peer.send(6, END)
        await peer.nothing_before(7)
        service.open("x")
        assert await peer.receive() == (Header(5, NORMAL), b"wait x")


async def test_a_failing_or_rejecting_handler_sends_cancel(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (url, _), raw_client(url) as peer:
        for body in (b"fail", b"reject", b"nothing", b"no such verb"):
            peer.send(3, body=body)
            assert await peer.receive() == (Header(3, CANCEL), b"")


async def test_the_cancelled_streams_items_stop() -> None:
    async with served() as (url, service), raw_client(url) as peer:
        peer.send(4, body=b"endless 100")
        await peer.receive()
        peer.send(4, CANCEL)
        while (received := await peer.receive())[0].control is NORMAL:
            pass
        assert received == (Header(4, CANCEL), b"")
        await until(lambda: "endless ended" in service.notes)
        await peer.nothing_before(5)


async def test_both_calls_of_one_id_are_answered_and_cancel_is_for_the_younger() -> None:
    async with served() as (url, service), raw_client(url) as peer:
        peer.send(4, body=b"wait older")
        peer.send(4, body=b"wait younger")
        await until(lambda: service.running == 2)
        peer.send(4, CANCEL)
        assert await peer.receive() == (Header(4, CANCEL), b"")
        await until(lambda: "cancelled younger" in service.notes)
        service.open("older")
        assert await peer.receive() == (Header(4, NORMAL), b"wait older")


async def test_both_calls_of_one_id_end_with_the_connection() -> None:
    async with served() as (url, service):
        async with raw_client(url) as peer:
            peer.send(4, body=b"wait older")
            peer.send(4, body=b"wait younger")
            await until(lambda: service.running == 2)
        await until(lambda: not service.running)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 10,  # a length over 64 bits
        frame(Framing.VARINT, b"\x0a"),  # ends in the middle of a field
        frame(Framing.VARINT, b"\x09" + bytes(8)),  # an id of the wrong wire type
        frame(Framing.VARINT, b"\x08\x01\x1a\x05x"),  # a body that is cut off
        frame(Framing.VARINT, bytes(2000)),  # too long
    ],
)
async def test_what_is_no_message_ends_the_connection(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    options = ConnectionOptions(receive_limit=1000)
    async with served(options=options) as (url, service), raw_client(url) as peer:
        peer.send(1, body=b"wait x")
        await until(lambda: service.running)
        peer.raw(data)
        with pytest.raises((EOFError, ConnectionError)):
            await peer.receive()
        await until(lambda: "disconnected" in service.notes and not service.running)
    assert "connection ended" in caplog.text


async def test_an_id_that_the_answer_cannot_carry_ends_the_connection() -> None:
    narrow = declare("narrow", "uint32 id = 1", "uint32 code = 2")
    codec = rpc.ProtobufCodec(send=SimpleMessage, receive=narrow, id="id", control="code")

    class Echo(rpc.Service):
        async def unary(self, request: Any) -> Any:
            return narrow()

    async with rpc.serve("tcp://127.0.0.1:0", Echo, codec) as server, raw_client(server.addresses[0]) as peer:
        peer.send(2**32 - 1)
        assert (await peer.receive())[0] == Header(2**32 - 1, NORMAL)
        peer.send(2**32)
        with pytest.raises((EOFError, ConnectionError)):
            await peer.receive()


def declare(package: str, *fields: str) -> Any:
    """A protobuf message with these fields."""
    return samples.declare(package, {"Message": list(fields)})[f"{package}.Message"]


# The client, seen by a server of bytes.


async def test_ids_count_up_and_cancel_is_sent_once() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        first = asyncio.ensure_future(client.unary(message(b"a")))
        second = asyncio.ensure_future(client.unary(message(b"b")))
        peer = await server.accept()
        assert await peer.receive() == (Header(1, NORMAL), b"a")
        assert await peer.receive() == (Header(2, NORMAL), b"b")
        first.cancel()
        assert await peer.receive() == (Header(1, CANCEL), b"")
        # The answer was already under way, and the peer confirms the Cancel: both are dropped.
        peer.send(1, body=b"late")
        peer.send(1, CANCEL)
        peer.send(2, body=b"for b")
        assert (await second).body == b"for b"
        assert first.cancelled()
        third = asyncio.ensure_future(client.unary(message(b"c")))
        assert await peer.receive() == (Header(3, NORMAL), b"c")
        peer.send(3, body=b"for c")
        await third


async def test_unknown_ids_are_dropped() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        call = asyncio.ensure_future(client.unary(message(b"a")))
        peer = await server.accept()
        await peer.receive()
        for control in (NORMAL, CANCEL, END, 77):
            peer.send(99, control, b"?")
            peer.send(0, control, b"?")
        peer.send(1, body=b"answer")
        assert (await call).body == b"answer"


@pytest.mark.parametrize("control", [CANCEL, END, 3, 2**31], ids=str)
async def test_cancel_end_or_an_unknown_code_to_a_unary_call(control: int) -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        call = asyncio.ensure_future(client.unary(message(b"a")))
        peer = await server.accept()
        await peer.receive()
        peer.send(1, control)
        with pytest.raises(rpc.CancelledRemotely):
            await call


async def test_a_stream_keeps_what_came_before_its_end() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        await client.ready()
        peer = await server.accept()
        for last, error in ((END, None), (CANCEL, rpc.CancelledRemotely)):
            stream = client.stream(message(b"s"))
            first = asyncio.ensure_future(anext(stream))
            (header, _) = await peer.receive()
            for number in range(3):
                peer.send(header.id, body=b"%d" % number)
            peer.send(header.id, last)
            assert (await first).body == b"0"
            assert (await anext(stream)).body == b"1"
            assert (await anext(stream)).body == b"2"
            with pytest.raises(error or StopAsyncIteration):
                await anext(stream)


async def test_an_answer_that_is_no_message() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        for _ in range(2):
            calls = [asyncio.ensure_future(client.unary(message(b"a"))) for _ in range(2)]
            peer = await server.accept()
            await peer.receive()
            peer.raw(frame(Framing.VARINT, b"\x08\x01\x1a\x05x"))
            for call in calls:
                with pytest.raises(errors.InvalidMessage):
                    await call


async def test_losing_the_connection_ends_every_call() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        calls = [asyncio.ensure_future(client.unary(message(b"a"), timeout=60)) for _ in range(50)]
        stream = client.stream(message(b"s"))
        item = asyncio.ensure_future(anext(stream))
        peer = await server.accept()
        while (await peer.receive())[1] != b"s":
            pass
        peer.send(51, body=b"item")
        await item
        rest = asyncio.ensure_future(anext(stream))
        await peer.close()
        for call in [*calls, rest]:
            with pytest.raises(errors.ConnectionClosed):
                await call
        assert client.connections == 0


@pytest.mark.parametrize(
    ("declared", "largest"),
    [("uint32", 2**32 - 1), ("fixed32", 2**32 - 1), ("uint64", 2**64 - 1), ("fixed64", 2**64 - 1)],
)
async def test_every_kind_of_id_field(declared: str, largest: int) -> None:
    kind = declare(f"ids_{declared}", f"{declared} id = 1", "uint32 code = 2", "bytes body = 3")
    codec = rpc.ProtobufCodec(send=kind, receive=kind, id="id", control="code")

    class Echo(rpc.Service):
        async def unary(self, request: Any) -> Any:
            assert request.id
            return kind(body=request.body)

    async with (
        rpc.serve("tcp://127.0.0.1:0", Echo, codec) as server,
        rpc.connect(server.addresses[0], codec) as client,
        raw_client(server.addresses[0]) as peer,
    ):
        answers = await asyncio.gather(*(client.unary(kind(body=b"%d" % n)) for n in range(500)))
        assert [answer.body for answer in answers] == [b"%d" % n for n in range(500)]
        peer.raw(frame(Framing.VARINT, kind(id=largest, body=b"x").SerializeToString()))
        encoded = await peer.encoded()
        assert kind.FromString(encoded).id == largest
