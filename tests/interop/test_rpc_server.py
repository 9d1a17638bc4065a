"""Our client on the published crate's server, versions 2 and 0.12."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.interop.conftest import Feature
from tests.interop.processes import Serving
from tests.interop.rpc_peers import OLD_LIMIT, PROTOBUF, SIZES, WIRES, MiB, Wire, pattern
from tests.interop.table import Peer
from tests.oracle.framing import Framing, frame
from tests.patience import HANG
from tests.places import until

from protosocket import ConnectionOptions, rpc
from protosocket.errors import ConnectionClosed, MessageTooLarge

if TYPE_CHECKING:
    from tests.conftest import Certificates

Calls = rpc.Client[Any, Any]


@pytest.fixture(params=WIRES, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    chosen: Wire = request.param
    return chosen


@pytest.fixture
def peer(wire: Wire) -> Peer:
    return wire.peer("server")


@pytest.fixture
def about(feature: Feature, wire: Wire) -> Feature:
    return wire.named(feature)


@pytest.fixture
def server(wire: Wire, programs: Path, certificates: Certificates) -> Iterator[Serving]:
    with wire.rust_server(programs, certificates) as server:
        yield server


@pytest.fixture
async def client(wire: Wire, server: Serving, certificates: Certificates) -> AsyncIterator[Calls]:
    tls = wire.client_tls(certificates)
    async with rpc.connect(server.url, wire.encoding.client, tls=tls) as client:
        yield client


@pytest.fixture
def request_of(wire: Wire) -> Any:
    return wire.encoding.request


async def in_time(awaited: Any) -> Any:
    """What a server that misbehaves must not hold up for ever."""
    return await asyncio.wait_for(awaited, HANG)


async def echoes(client: Calls, request_of: Any) -> bool:
    """Whether the connection still does its work."""
    response = await in_time(client.unary(request_of(command="echo", number=3, body=b"?")))
    return bool((response.number, response.body) == (3, b"?"))


async def test_unary(about: Feature, client: Calls, request_of: Any) -> None:
    about("unary")
    response = await client.unary(request_of(command="echo", number=2**64 - 1, body=pattern(100)))
    assert (response.code, response.number, response.body) == (0, 2**64 - 1, pattern(100))
    response = await client.unary(request_of(command="echo"))
    assert (response.number, response.body) == (0, b"")


async def test_server_streaming(about: Feature, client: Calls, request_of: Any) -> None:
    about("server streaming")
    for count in (0, 1, 1000):
        items = [item async for item in client.stream(request_of(command="count", number=count, body=b"i"))]
        assert [item.number for item in items] == list(range(count))
        assert {bytes(item.body) for item in items} <= {b"i"}


async def test_out_of_order(about: Feature, client: Calls, request_of: Any) -> None:
    about("answers out of order")
    arrived: asyncio.Queue[int] = asyncio.Queue()

    async def hold(number: int) -> None:
        response = await client.unary(request_of(command="hold", number=number))
        arrived.put_nowait(response.number)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(hold(number))
        assert await echoes(client, request_of)
        for number in (3, 0, 4, 2, 1):
            await client.unary(request_of(command="release", number=number))
            assert await in_time(arrived.get()) == number


async def test_cancelled_by_the_client(about: Feature, client: Calls, request_of: Any) -> None:
    about("the client cancels a call")
    held = asyncio.create_task(client.unary(request_of(command="hold", number=1)))
    other = asyncio.create_task(client.unary(request_of(command="hold", number=2)))
    assert await echoes(client, request_of)
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert (await in_time(client.unary(request_of(command="cancelled", number=1)))).number == 1
    await client.unary(request_of(command="release", number=2))
    assert (await in_time(other)).number == 2


async def test_deadline(about: Feature, client: Calls, request_of: Any) -> None:
    about("a deadline cancels the call at the server")
    await client.ready()
    with pytest.raises(rpc.DeadlineExceeded):
        await client.unary(request_of(command="hold", number=1), timeout=0.02)
    assert (await in_time(client.unary(request_of(command="cancelled", number=1)))).number == 1


async def test_stream_left_by_the_client(about: Feature, client: Calls, request_of: Any) -> None:
    about("the client leaves a stream")
    for left, (command, number, take) in enumerate([("hang", 3, 3), ("endless", 0, 2000)], start=1):
        got = []
        async with aclosing(client.stream(request_of(command=command, number=number, body=b"i"))) as items:
            async for item in items:
                got.append(item.number)
                if len(got) == take:
                    break
        assert got == list(range(take))
        cancelled = await in_time(client.unary(request_of(command="cancelled", number=left)))
        assert cancelled.number == left


async def test_unread_stream(
    about: Feature, wire: Wire, server: Serving, client: Calls, request_of: Any, certificates: Certificates
) -> None:
    about("a stream that nobody reads is held up")
    async with aclosing(client.stream(request_of(command="endless", body=bytes(1000)))) as items:
        assert (await anext(items)).number == 0
        await in_time(until(lambda: client.statistics()[0].read_pauses > 0))
        received = client.statistics()[0].bytes_received
        async with rpc.connect(server.url, wire.encoding.client, tls=wire.client_tls(certificates)) as other:
            for _ in range(20):
                assert await echoes(other, request_of)
        assert client.statistics()[0].bytes_received == received
        assert [(await anext(items)).number for _ in range(2000)] == list(range(1, 2001))
    assert (await in_time(client.unary(request_of(command="cancelled", number=1)))).number == 1


async def test_rejected(about: Feature, wire: Wire, client: Calls, request_of: Any) -> None:
    if wire.line == "2":
        about("the server rejects a call")
        with pytest.raises(rpc.CancelledRemotely):
            await client.unary(request_of(command="nonsense"))
    else:
        # It has no way to reject: a request that it does not know is left without an answer.
        about("the server leaves a call without an answer")
        with pytest.raises(rpc.DeadlineExceeded):
            await client.unary(request_of(command="nonsense"), timeout=0.02)
    assert await echoes(client, request_of)


async def test_sizes(about: Feature, client: Calls, request_of: Any) -> None:
    about("messages of 1 B to 4 MiB")
    for size in SIZES:
        response = await client.unary(request_of(command="echo", body=pattern(size)))
        assert response.body == pattern(size)
        response = await client.unary(request_of(command="bytes", number=size))
        assert response.body == pattern(size)


async def test_thousands_in_flight(about: Feature, client: Calls, request_of: Any) -> None:
    about("thousands of calls in flight")
    answered = []

    async def hold(number: int) -> None:
        response = await client.unary(request_of(command="hold", number=number, body=b"%d" % number))
        assert (response.number, response.body) == (number, b"%d" % number)
        answered.append(number)

    count = 2000
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(hold(number))
        assert await echoes(client, request_of)
        assert not answered
        for number in reversed(range(count)):
            group.create_task(client.unary(request_of(command="release", number=number)))
    assert sorted(answered) == list(range(count))


async def test_over_our_limit(
    about: Feature, wire: Wire, server: Serving, request_of: Any, certificates: Certificates
) -> None:
    about("a message over our limit ends the connection")
    tls, options = wire.client_tls(certificates), ConnectionOptions(receive_limit=MiB)
    async with rpc.connect(server.url, wire.encoding.client, tls=tls, options=options) as client:
        assert len((await client.unary(request_of(command="bytes", number=MiB - 64))).body) == MiB - 64
        with pytest.raises(MessageTooLarge):
            await in_time(client.unary(request_of(command="bytes", number=MiB + 1)))
        assert await echoes(client, request_of)


async def test_over_its_limit(
    feature: Feature,
    wire: Wire,
    server: Serving,
    client: Calls,
    request_of: Any,
    request: pytest.FixtureRequest,
) -> None:
    feature("a message over its limit ends the connection")
    if wire.line == "0.12":
        request.applymarker(pytest.mark.xfail(reason=OLD_LIMIT, raises=rpc.DeadlineExceeded, strict=True))
    await client.ready()
    timeout = 0.3 if wire.line == "0.12" else 20
    try:
        with pytest.raises(ConnectionClosed):
            await client.unary(request_of(command="echo", body=bytes(4 * MiB)), timeout=timeout)
    except rpc.DeadlineExceeded:
        server.kill()
        raise
    assert await echoes(client, request_of)


async def test_server_goes_away(about: Feature, server: Serving, client: Calls, request_of: Any) -> None:
    about("a connection that is lost ends its calls")

    async def held(number: int) -> None:
        with pytest.raises(ConnectionClosed):
            await client.unary(request_of(command="hold", number=number))

    async def hanging() -> None:
        items = client.stream(request_of(command="hang", number=3))
        assert [(await anext(items)).number for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ConnectionClosed):
            await anext(items)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(held(number))
        group.create_task(hanging())
        assert await echoes(client, request_of)
        server.kill()


async def test_client_goes_away(
    about: Feature, wire: Wire, server: Serving, client: Calls, request_of: Any, certificates: Certificates
) -> None:
    about("a client that vanishes ends its handlers")

    async def held(vanishing: Calls) -> None:
        with pytest.raises(ConnectionClosed):
            await vanishing.unary(request_of(command="hold", number=1))

    async with asyncio.TaskGroup() as group:
        tls = wire.client_tls(certificates)
        async with rpc.connect(server.url, wire.encoding.client, tls=tls) as vanishing:
            group.create_task(held(vanishing))
            assert await echoes(vanishing, request_of)
    cancelled = await in_time(client.unary(request_of(command="cancelled", number=1)))
    assert cancelled.number == 1


@pytest.mark.parametrize(
    "wire", [wire for wire in WIRES if wire.encoding is PROTOBUF and not wire.tls], ids=str
)
async def test_the_answer_to_a_cancel(feature: Feature, wire: Wire, server: Serving, request_of: Any) -> None:
    feature("its Cancel is answered by a Cancel while the call runs" if wire.line == "2" else "unary")
    reader, writer = await asyncio.open_connection(*server.place.split(":"))

    def framed(**fields: Any) -> bytes:
        return frame(Framing.VARINT, request_of(**fields).SerializeToString())

    hold, cancel = framed(id=7, command="hold"), framed(id=7, code=1)
    writer.write(hold + cancel + cancel + framed(id=8, command="echo"))
    answer = b"\x04\x08\x07\x10\x01" if wire.line == "2" else b""
    expected = answer + b"\x02\x08\x08"
    assert await in_time(reader.readexactly(len(expected))) == expected
    writer.close()
    await writer.wait_closed()
