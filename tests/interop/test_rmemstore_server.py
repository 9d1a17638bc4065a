"""Our client and a server put together from what rmemstore publishes.

``rmemstored`` itself is not published as a crate; RMEMSTORED=path/to/rmemstored runs these tests with it.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.interop.conftest import Feature, locked_version
from tests.interop.processes import Serving, serving
from tests.interop.rmemstore_support import LARGEST, VALUES, client, nested, pb, values
from tests.interop.table import Peer
from tests.oracle.framing import Framing, frame
from tests.patience import HANG
from tests.places import reset_on_close

from protosocket import ConnectionOptions, rpc
from protosocket.errors import CancelledRemotely, ConnectionClosed


@pytest.fixture
def peer() -> Peer:
    return Peer("rmemstore", "rmemstore-messages, server", locked_version("rmemstore-messages"))


@pytest.fixture(scope="module")
def server(programs: Path) -> Iterator[Serving]:
    rmemstored = os.environ.get("RMEMSTORED")
    with serving_rmemstored(rmemstored) if rmemstored else serving(programs / "rmemstore-server") as server:
        yield server


@contextmanager
def serving_rmemstored(program: str) -> Iterator[Serving]:
    """Run rmemstored, which has to be told its port and does not say when it listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = taken.getsockname()
    address = f"{place[0]}:{place[1]}"
    with subprocess.Popen([program, "--buffer", "64mib", "plaintext", address], text=True) as process:
        try:
            until_listening(process, place)
            yield Serving(process, f"tcp://{address}")
        finally:
            process.kill()


def until_listening(process: subprocess.Popen[str], place: tuple[str, int]) -> None:
    """Wait until somebody listens at ``place``."""
    while process.poll() is None:
        with suppress(ConnectionRefusedError):
            socket.create_connection(place).close()
            return
    raise RuntimeError(f"{process.args!r} has ended")


@asynccontextmanager
async def connected(server: Serving) -> AsyncIterator[tuple[Any, rpc.Client[Any, Any]]]:
    """The example's client, and the RPC client beneath it."""
    options = ConnectionOptions(receive_limit=LARGEST)
    async with rpc.connect(server.url, client.CODEC, options=options) as calls:
        yield client.Rmemstore(calls), calls


@pytest.mark.parametrize("name", VALUES)
async def test_put_and_get(feature: Feature, server: Serving, name: str) -> None:
    feature("put and get text, bytes, maps of maps, empty ones")
    async with connected(server) as (store, _):
        await store.put(name.encode(), VALUES[name])
        assert await store.get(name.encode()) == VALUES[name]


@settings(deadline=None, derandomize=True, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(batch=st.lists(values, min_size=1, max_size=20))
def test_any_values(server: Serving, batch: list[Any]) -> None:
    async def scenario() -> None:
        async with connected(server) as (store, _):
            keys = [b"any %d" % number for number in range(len(batch))]
            await asyncio.gather(*(store.put(key, value) for key, value in zip(keys, batch, strict=True)))
            assert await asyncio.gather(*(store.get(key) for key in keys)) == batch

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_misses_and_overwriting(feature: Feature, server: Serving) -> None:
    feature("miss, and a value written over")
    async with connected(server) as (store, _):
        assert await store.get(b"nothing is here") is None
        await store.put(b"twice", "old")
        await store.put(b"twice", {"new": b"er"})
        assert await store.get(b"twice") == {"new": b"er"}
        await store.put(b"", "the empty key")
        assert await store.get(b"") == "the empty key"


@pytest.mark.parametrize("size", [1, 127, 128, 65_536, 4 * 1024 * 1024 - 1, 6 * 1024 * 1024])
async def test_sizes(feature: Feature, server: Serving, size: int) -> None:
    feature("values of 1 B to 6 MiB")
    async with connected(server) as (store, _):
        value = random.Random(size).randbytes(size)
        await store.put(b"large", value)
        assert await store.get(b"large") == value


async def test_nesting(feature: Feature, server: Serving) -> None:
    feature("maps 30 deep")
    async with connected(server) as (store, _):
        await store.put(b"nested", nested(30))
        assert await store.get(b"nested") == nested(30)


async def test_many_in_flight(feature: Feature, server: Serving) -> None:
    feature("5,000 calls at once on a connection")
    async with connected(server) as (store, calls):
        keys = [b"many %d" % number for number in range(5000)]
        await asyncio.gather(*(store.put(key, key) for key in keys))
        assert await asyncio.gather(*(store.get(key) for key in keys)) == keys
        assert calls.connections == 1


async def test_what_is_no_command_is_rejected(feature: Feature, server: Serving) -> None:
    feature("rejection of a call; an empty answer to a bad value")
    async with connected(server) as (store, calls):
        with pytest.raises(CancelledRemotely):
            await calls.unary(pb.Rpc(), timeout=HANG)
        assert (await calls.unary(pb.Rpc(put=pb.Put(key=b"no value")), timeout=HANG)).WhichOneof(
            "kind"
        ) is None
        await store.put(b"after", "it goes on")


async def test_cancelled_calls(feature: Feature, server: Serving) -> None:
    feature("calls cancelled by the client")
    async with connected(server) as (store, calls):
        await store.put(b"key", "value")
        reads = [asyncio.ensure_future(store.get(b"key")) for _ in range(1000)]
        for turn, read in enumerate(reads):
            if turn % 3 == 0:
                await asyncio.sleep(0)
            if turn % 2:
                read.cancel()
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert set(results[::2]) == {"value"}
        assert sum(each.in_flight for each in calls.statistics()) == 0
        assert await store.get(b"key") == "value"


async def test_the_server_vanishes(feature: Feature, programs: Path) -> None:
    feature("the other end vanishes with calls in flight")
    with serving(programs / "rmemstore-server") as server:
        async with connected(server) as (store, calls):
            await store.put(b"key", "value")
            server.pause()
            reads = [asyncio.ensure_future(store.get(b"key")) for _ in range(1000)]
            while sum(each.in_flight for each in calls.statistics()) < 1000:  # noqa: ASYNC110
                await asyncio.sleep(0)
            server.kill()
            lost = await asyncio.gather(*reads, return_exceptions=True)
            assert {type(error) for error in lost} == {ConnectionClosed}


async def test_clients_that_vanish_in_a_request(feature: Feature, server: Serving) -> None:
    feature("a client vanishes at every byte of a request")
    command = pb.Rpc(id=1, put=pb.Put(key=b"cut", value=pb.Value(string="off")))
    request = frame(Framing.VARINT, command.SerializeToString())
    host, _, port = server.place.rpartition(":")
    async with connected(server) as (store, _):
        for cut in range(len(request)):
            with socket.create_connection((host, int(port))) as other:
                other.sendall(request[:cut])
                # Not closed but reset, as when the process dies with answers unread.
                reset_on_close(other)
            await store.put(b"other", str(cut))
        assert await store.get(b"cut") is None
        assert await store.get(b"other") == str(len(request) - 1)
