"""The registry of transports: found by name and by URL, and each carries commands behind each front."""

from __future__ import annotations

import pytest

from protosocket.bench.columns import COLUMNS
from protosocket.bench.driver import find_driver
from protosocket.bench.workload import PROTOCOLS
from protosocket.cache import Hit, Miss, StorageHandler, TokenPolicy, create_engine
from protosocket.cache.transports import (
    FRONTS,
    TRANSPORTS,
    ClientHop,
    ServedHop,
    StorageHop,
    front_of,
    transport_of,
)

SERVED = ServedHop(tokens=TokenPolicy())


@pytest.mark.parametrize("front", list(FRONTS))
@pytest.mark.parametrize("transport", list(TRANSPORTS))
async def test_every_pair_of_hops(transport: str, front: str) -> None:
    back, ahead = TRANSPORTS[transport], FRONTS[front]
    storage = await back.listen(back.listen_url, StorageHandler(create_engine()), SERVED)
    backend = back.connect([storage.url], StorageHop(connections=2))
    await backend.connect(5)
    router = await ahead.listen(ahead.listen_url, backend, SERVED)
    async with ahead.client(router.url, ClientHop()) as client:
        await client.set("n", b"k", b"v", 60)
        assert await client.get("n", b"k") == Hit(b"v")
        assert await client.touch("n", b"k", 60)
        await client.delete("n", b"k")
        assert await client.get("n", b"k") == Miss()
    await router.close()
    await backend.close()
    await storage.close()


def test_they_are_found_by_their_urls() -> None:
    for scheme in ("tcp", "tls", "unix", "TCP"):
        assert transport_of(f"{scheme}://x") is TRANSPORTS["protosocket"]
        assert front_of(f"{scheme}://x") is FRONTS["protosocket"]
    assert transport_of("grpc://h:1") is TRANSPORTS["grpc-unary"]
    assert front_of("GRPC://h:1") is FRONTS["grpc"]
    # Who cannot use it says so.
    assert transport_of("nonsense") is TRANSPORTS["protosocket"]
    for transport in TRANSPORTS.values():
        assert transport_of(transport.listen_url).schemes == transport.schemes


def test_the_benchmark_knows_what_is_registered() -> None:
    registered = [column for transport in TRANSPORTS.values() for column in transport.columns]
    assert [column.name for column in COLUMNS] == [column.name for column in registered] == list(PROTOCOLS)
    for column in registered:
        assert callable(find_driver(column.front))
