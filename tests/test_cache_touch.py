"""Touch: a new time to live for what is under a key, from every client over every hop, as decode shows it."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from protosocket.cache import Backend, CacheClient, Hit, StorageHandler, TokenPolicy, create_engine
from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.cache_items_pb2 import ItemOperation, UpdateTtl
from protosocket.cache.commands import KEY_NOT_FOUND
from protosocket.cache.commands.touch import TOUCH
from protosocket.cache.grpc_backend import GrpcStreamBackend, GrpcUnaryBackend
from protosocket.cache.grpc_client import GrpcCacheClient
from protosocket.cache.grpc_router import serve_router_grpc
from protosocket.cache.grpc_storage import serve_storage_grpc
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.cache.protosocket_router import ProtosocketBackend, serve_router
from protosocket.cache.protosocket_storage import serve_storage
from protosocket.cli.decode import command as decode
from protosocket.errors import CacheError, OptionError

EVERYBODY = TokenPolicy()
TCP, GRPC = "tcp://127.0.0.1:0", "grpc://127.0.0.1:0"


@pytest.mark.parametrize("front", ["protosocket", "grpc"])
@pytest.mark.parametrize("back", ["protosocket", "grpc-unary", "grpc-stream"])
async def test_over_both_hops(front: str, back: str) -> None:
    engine = create_engine()
    handler = StorageHandler(engine)
    backend: Backend
    async with AsyncExitStack() as stack:
        if back == "protosocket":
            storage = await serve_storage(TCP, handler, tokens=EVERYBODY)
            backend = ProtosocketBackend([storage.url])
        else:
            storage = await serve_storage_grpc(GRPC, handler)  # type: ignore[assignment]
            make = GrpcUnaryBackend if back == "grpc-unary" else GrpcStreamBackend
            backend = make([storage.url])
        stack.push_async_callback(storage.close)
        stack.push_async_callback(backend.close)
        await backend.connect(5)
        client: CacheClient
        if front == "protosocket":
            router = await serve_router(TCP, backend, tokens=EVERYBODY)
            client = ProtosocketCacheClient(router.url)
        else:
            router = await serve_router_grpc(GRPC, backend)  # type: ignore[assignment]
            client = GrpcCacheClient(router.url)
        stack.push_async_callback(router.close)
        await stack.enter_async_context(client)

        assert await client.touch("n", b"k", 60) is False
        await client.set("n", b"k", b"v", 1000)
        for ttl in (50_000, 600):  # longer, then shorter than what was left
            assert await client.touch("n", b"k", ttl) is True
            found = engine.inspect("n", b"k")
            assert found is not None
            assert ttl * 1000 - 100_000 < found[1] <= ttl * 1000
        assert await client.get("n", b"k") == Hit(b"v")
        engine.set_add("n", b"set", [b"e"], 60_000, False)
        assert await client.touch("n", b"set", 600)
        for nonsense in (0, -1, float("nan")):
            with pytest.raises(OptionError):
                await client.touch("n", b"k", nonsense)
        with pytest.raises(CacheError, match="namespace is empty"):
            await client.touch("", b"k", 1)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=99),
    st.floats(0.001, 1e12),
)
def test_it_is_an_update_of_the_time_to_live(name: str, key: bytes, ttl: float) -> None:
    item = pb.CacheCommand.FromString(TOUCH.request(name, key, ttl)).unary.item
    assert (item.namespace, item.key) == (name, key)
    update = ItemOperation.FromString(item.operation).update_ttl
    assert update.change == UpdateTtl.OVERWRITE
    assert ttl * 1000 <= update.ttl_milliseconds < ttl * 1000 * 1.001 + 1


def test_what_a_client_makes_of_answers() -> None:
    missing = pb.CommandError(code=pb.NOT_FOUND, message=KEY_NOT_FOUND)
    assert TOUCH.read(pb.CacheResponse(error=missing).SerializeToString()) is False
    with pytest.raises(CacheError, match="something else: set"):
        TOUCH.read(pb.CacheResponse(set=pb.SetResponse()).SerializeToString())
    with pytest.raises(CacheError, match="down"):
        TOUCH.read(
            pb.CacheResponse(error=pb.CommandError(code=pb.UNAVAILABLE, message="down")).SerializeToString()
        )


def test_decode_shows_it(tmp_path: Path) -> None:
    request = TOUCH.request("n", b"k", 60)
    dump = tmp_path / "dump"
    dump.write_text(f"{len(request):02x} {request.hex()}")
    shown = CliRunner().invoke(decode, ["--cache", "--json", str(dump)])
    assert shown.exit_code == 0, shown.output
    record = json.loads(shown.stdout)
    assert record["item"] == {"update_ttl": {"ttl_milliseconds": "60000"}}
