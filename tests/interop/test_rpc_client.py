"""The published crate's client, versions 2 and 0.12, on our server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.interop.conftest import Feature
from tests.interop.rpc_peers import (
    FINISHED,
    LOST,
    OLD_LIMIT,
    OLD_LOSS,
    SIZES,
    WIRES,
    MiB,
    RustClient,
    Wire,
    right,
)
from tests.interop.rpc_service import Happenings, PeerService
from tests.interop.table import Peer

from protosocket import ConnectionOptions, Server, rpc

if TYPE_CHECKING:
    from tests.conftest import Certificates


@pytest.fixture(params=WIRES, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    chosen: Wire = request.param
    return chosen


@pytest.fixture
def peer(wire: Wire) -> Peer:
    return wire.peer("client")


@pytest.fixture
def about(feature: Feature, wire: Wire) -> Feature:
    return wire.named(feature)


@pytest.fixture
def happenings() -> Happenings:
    return Happenings()


@pytest.fixture
def options() -> ConnectionOptions:
    return ConnectionOptions()


@pytest.fixture
async def server(
    wire: Wire, happenings: Happenings, certificates: Certificates, options: ConnectionOptions
) -> AsyncIterator[Server[Any]]:
    def service() -> PeerService:
        return PeerService(wire.encoding.response, happenings)

    tls = wire.server_tls(certificates)
    url = f"{wire.scheme}://127.0.0.1:0"
    codec = wire.encoding.server
    async with rpc.serve(url, service, codec, tls=tls, options=options, max_calls=5000) as server:
        yield server


@pytest.fixture
async def client(wire: Wire, programs: Path, server: Server[Any]) -> AsyncIterator[RustClient]:
    async with wire.rust_client(programs, server.addresses[0]) as client:
        yield client


async def test_unary(about: Feature, client: RustClient) -> None:
    about("unary")
    assert await client.call("unary", "echo", 7, 100) == right(7, 100)
    assert await client.call("unary", "echo", 2**64 - 1) == right(2**64 - 1, 0)


async def test_server_streaming(about: Feature, client: RustClient) -> None:
    about("server streaming")
    for count in (0, 1, 1000):
        told = await client.call("stream", "count", count, 10)
        assert told == {"items": count, "ordered": True, "end": FINISHED}


async def test_out_of_order(about: Feature, client: RustClient, happenings: Happenings) -> None:
    about("answers out of order")
    tags = [client.begin("unary", "hold", number, 3) for number in range(5)]
    for number in range(5):
        assert await happenings.started.get() == number
    for number in (3, 0, 4, 2, 1):
        happenings.gates[number].set()
        assert await client.first() == tags[number]
        assert await client.result(tags[number]) == right(number, 3)


async def test_cancelled_by_the_client(about: Feature, client: RustClient, happenings: Happenings) -> None:
    about("the client cancels a call")
    dropped = client.begin("unary", "hold", 1)
    other = client.begin("unary", "hold", 2)
    assert [await happenings.started.get(), await happenings.started.get()] == [1, 2]
    client.drop(dropped)
    assert await happenings.cancelled.get() == 1
    happenings.gates[2].set()
    assert await client.result(other) == right(2, 0)


async def test_stream_left_by_the_client(about: Feature, client: RustClient, happenings: Happenings) -> None:
    about("the client leaves a stream")
    assert await client.call("stream", "hang", 3, 1, take=3) == {"items": 3, "ordered": True, "end": None}
    assert await happenings.cancelled.get() == 3
    told = await client.call("stream", "endless", 9, 1, take=2000)
    assert told == {"items": 2000, "ordered": True, "end": None}
    assert await happenings.cancelled.get() == 9
    assert await client.call("unary", "echo", 1, 2) == right(1, 2)


async def test_rejected(about: Feature, client: RustClient) -> None:
    about("the server rejects a call")
    assert await client.call("unary", "nonsense", 1, 2) == {"error": LOST}
    assert await client.call("unary", "echo", 1, 2) == right(1, 2)


async def test_stream_ended_by_the_server(about: Feature, client: RustClient) -> None:
    about("the server cancels a stream after some items")
    # The crate's client does not tell a Cancel from an End.
    assert await client.call("stream", "abort", 3) == {"items": 3, "ordered": True, "end": FINISHED}
    assert await client.call("unary", "echo", 1, 2) == right(1, 2)


async def test_sizes(about: Feature, client: RustClient) -> None:
    about("messages of 1 B to 4 MiB")
    for size in SIZES:
        assert await client.call("unary", "echo", 1, size) == right(1, size)


async def test_thousands_in_flight(about: Feature, client: RustClient, happenings: Happenings) -> None:
    about("thousands of calls in flight")
    happenings.crowd = 2000
    told = await client.call("many", "gather", size=20, calls=2000)
    assert told == {"right": 2000, "wrong": 0, "errors": {}}


@pytest.mark.parametrize("options", [ConnectionOptions(receive_limit=MiB)], ids=["1 MiB"])
async def test_over_our_limit(about: Feature, wire: Wire, client: RustClient, happenings: Happenings) -> None:
    about("a message over our limit ends the connection")
    call = client.begin("unary", "echo", 1, 2 * MiB)
    await happenings.disconnected.get()
    # See OLD_LOSS for the other line.
    if wire.line == "2":
        assert await client.result(call) == {"error": LOST}


async def test_over_its_limit(
    feature: Feature,
    wire: Wire,
    client: RustClient,
    happenings: Happenings,
    request: pytest.FixtureRequest,
) -> None:
    feature("a message over its limit ends the connection")
    if wire.line == "0.12":
        request.applymarker(pytest.mark.xfail(reason=OLD_LIMIT, raises=TimeoutError, strict=True))
    call = client.begin("unary", "bytes", 4 * MiB)
    try:
        told = await asyncio.wait_for(client.result(call), 0.3 if wire.line == "0.12" else 20)
    except TimeoutError:
        client.kill()
        raise
    assert told == {"error": LOST}
    await happenings.disconnected.get()


async def test_server_goes_away(
    about: Feature, client: RustClient, happenings: Happenings, server: Server[Any]
) -> None:
    about("a connection that is lost ends its calls")
    held = [client.begin("unary", "hold", number) for number in range(3)]
    stream = client.begin("stream", "hang", 3)
    for _ in range(4):
        await happenings.started.get()
    for connection in server.protocols:
        connection.abort()
    assert [await client.result(tag) for tag in held] == [{"error": LOST}] * 3
    assert await client.result(stream) == {"items": 3, "ordered": True, "end": FINISHED}
    assert {await happenings.cancelled.get() for _ in range(4)} == {0, 1, 2, 3}


async def test_server_goes_away_before_any_answer(
    feature: Feature,
    wire: Wire,
    client: RustClient,
    happenings: Happenings,
    server: Server[Any],
    request: pytest.FixtureRequest,
) -> None:
    feature("a connection that is lost before its first answer ends its calls")
    if wire.line == "0.12":
        request.applymarker(pytest.mark.xfail(reason=OLD_LOSS, raises=TimeoutError, strict=True))
    held = client.begin("unary", "hold", 1)
    await happenings.started.get()
    for connection in server.protocols:
        connection.abort()
    told = await asyncio.wait_for(client.result(held), 0.3 if wire.line == "0.12" else 20)
    assert told == {"error": LOST}


async def test_client_goes_away(
    about: Feature, wire: Wire, programs: Path, server: Server[Any], happenings: Happenings
) -> None:
    about("a client that vanishes ends its handlers")
    async with wire.rust_client(programs, server.addresses[0]) as client:
        client.begin("unary", "hold", 1)
        client.begin("stream", "hang", 2)
        assert {await happenings.started.get(), await happenings.started.get()} == {1, 2}
    assert {await happenings.cancelled.get(), await happenings.cancelled.get()} == {1, 2}
    await happenings.disconnected.get()
