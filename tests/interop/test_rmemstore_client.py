"""The published client of rmemstore and the example server of its protocol."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.interop.conftest import Feature, locked_version
from tests.interop.processes import Serving, Steered, serving, steered
from tests.interop.rmemstore_support import EXAMPLE, VALUES, client, nested, pb
from tests.interop.table import Peer
from tests.oracle.framing import Framing, frame

from protosocket import rpc

SERVER = (sys.executable, "-W", "error", EXAMPLE / "server.py", "tcp://127.0.0.1:0")


@pytest.fixture
def peer() -> Peer:
    return Peer("rmemstore", "rmemstore, client", locked_version("rmemstore"))


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(*SERVER) as server:
        yield server


@pytest.fixture
async def rust(programs: Path, server: Serving) -> AsyncIterator[Steered]:
    async with steered(programs / "rmemstore-client", server.place) as program:
        yield program


def to_json(value: Any) -> dict[str, Any]:
    """A value in the JSON form that the crate gives it."""
    if isinstance(value, bytes):
        return {"value": list(value)}
    if isinstance(value, str):
        return {"string": value}
    return {"map": {name: to_json(inner) for name, inner in value.items()}}


def put(key: bytes, value: Any) -> dict[str, Any]:
    return {"command": "put", "key": key.hex(), "value": to_json(value)}


def get(key: bytes) -> dict[str, Any]:
    return {"command": "get", "key": key.hex()}


def hit(value: Any) -> dict[str, Any]:
    return {"value": to_json(value)}


@pytest.mark.parametrize("name", VALUES)
async def test_put_and_get(feature: Feature, rust: Steered, name: str) -> None:
    feature("put and get text, bytes, maps of maps, empty ones")
    assert await rust.one(put(name.encode(), VALUES[name])) == "done"
    assert await rust.one(get(name.encode())) == hit(VALUES[name])


async def test_our_client_beside_theirs(feature: Feature, rust: Steered, server: Serving) -> None:
    feature("reads what our client wrote, and the other way round")
    async with rpc.connect(server.url, client.CODEC) as calls:
        store = client.Rmemstore(calls)
        for name, value in VALUES.items():
            await store.put(b"ours", value)
            assert await rust.one(get(b"ours")) == hit(value), name
            assert await rust.one(put(b"theirs", value)) == "done"
            assert await store.get(b"theirs") == value, name


async def test_misses_and_overwriting(feature: Feature, rust: Steered) -> None:
    feature("miss, and a value written over")
    assert await rust.one(get(b"nothing is here")) == "miss"
    assert await rust.one(put(b"twice", "old")) == "done"
    assert await rust.one(put(b"twice", {"new": b"er"})) == "done"
    assert await rust.one(get(b"twice")) == hit({"new": b"er"})


@pytest.mark.parametrize("size", [1, 127, 128, 65_536, 4 * 1024 * 1024 - 1, 6 * 1024 * 1024])
async def test_sizes(feature: Feature, rust: Steered, size: int) -> None:
    feature("values of 1 B to 6 MiB")
    value = "x" * size
    assert await rust.one(put(b"large", value)) == "done"
    assert await rust.one(get(b"large")) == hit(value)


async def test_nesting(feature: Feature, rust: Steered) -> None:
    feature("maps 30 deep")
    assert await rust.one(put(b"nested", nested(30))) == "done"
    assert await rust.one(get(b"nested")) == hit(nested(30))


async def test_many_in_flight(feature: Feature, rust: Steered) -> None:
    feature("5,000 calls at once on a connection")
    keys = [b"many %d" % number for number in range(5000)]
    assert await rust.run(*(put(key, key.decode()) for key in keys)) == ["done"] * len(keys)
    assert await rust.run(*map(get, keys)) == [hit(key.decode()) for key in keys]


async def test_the_server_vanishes(feature: Feature, programs: Path) -> None:
    feature("the other end vanishes with calls in flight")
    with serving(*SERVER) as server:
        async with steered(programs / "rmemstore-client", server.place) as rust:
            assert await rust.one(put(b"key", "value")) == "done"
            server.pause()
            await rust.begin([get(b"key")] * 1000)
            server.kill()
            results = await rust.results()
            assert len(results) == 1000
            assert {*map(tuple, results)} == {("error",)}, results[0]


async def test_a_client_that_vanishes(
    feature: Feature, programs: Path, server: Serving, rust: Steered
) -> None:
    feature("killed with calls in flight; the server serves the next one")
    async with steered(programs / "rmemstore-client", server.place) as other:
        server.pause()
        await other.begin([put(b"key", "x" * 100_000)] * 50)
        other.kill()
        server.resume()
    assert await rust.one(put(b"key", "value")) == "done"
    assert await rust.one(get(b"key")) == hit("value")


@asynccontextmanager
async def answering(answer: bytes, *, then_end: bool) -> AsyncIterator[str]:
    """A server that answers anything with these bytes, and then ends the connection or waits for the end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        await writer.drain()
        if not then_end:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


async def test_answers_that_are_cut_off(feature: Feature, programs: Path) -> None:
    feature("the connection ends at every byte of an answer")
    program = programs / "rmemstore-client"
    answer = frame(Framing.VARINT, pb.Response(id=1, value=pb.Value(string="whole")).SerializeToString())
    for cut in range(len(answer)):
        async with answering(answer[:cut], then_end=True) as place, steered(program, place) as rust:
            assert "error" in await rust.one(get(b"key")), cut
    async with answering(answer, then_end=False) as place, steered(program, place) as rust:
        assert await rust.one(get(b"key")) == hit("whole")
