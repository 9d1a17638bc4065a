"""The gateway for Momento's gRPC API: storages that go down, several routers, batches that end early."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio
from momento_wire_types import cacheclient_pb2 as momento
from momento_wire_types import cacheclient_pb2_grpc, controlclient_pb2_grpc
from momento_wire_types import controlclient_pb2 as control

from protosocket.cache import StorageHandler, TokenPolicy, create_engine
from protosocket.cache.interface import Listening
from protosocket.cache.momento import serve_momento
from protosocket.cache.momento.batches import in_order
from protosocket.cache.protosocket_router import ProtosocketBackend
from protosocket.cache.protosocket_storage import serve_storage
from protosocket.errors import OptionError

EVERYBODY = TokenPolicy()
KEYS = [b"%d" % number for number in range(40)]


async def storage(url: str = "tcp://127.0.0.1:0") -> Listening:
    return await serve_storage(url, StorageHandler(create_engine()), tokens=EVERYBODY)


class Gateway:
    """A gateway and stubs of a client of it."""

    def __init__(self, channel: aio.Channel) -> None:
        self._scs: Any = cacheclient_pb2_grpc.ScsStub(channel)  # type: ignore[no-untyped-call]
        self._control: Any = controlclient_pb2_grpc.ScsControlStub(channel)  # type: ignore[no-untyped-call]

    async def set(self, cache: str, key: bytes) -> None:
        request = momento._SetRequest(cache_key=key, cache_body=b"value", ttl_milliseconds=60_000)
        await self._scs.Set(request, metadata=(("cache", cache),))

    async def code(self, cache: str, key: bytes) -> grpc.StatusCode:
        """The status of a Get."""
        try:
            await self._scs.Get(momento._GetRequest(cache_key=key), metadata=(("cache", cache),))
        except aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async def create(self, cache: str) -> None:
        await self._control.CreateCache(control._CreateCacheRequest(cache_name=cache))

    async def delete(self, cache: str) -> None:
        await self._control.DeleteCache(control._DeleteCacheRequest(cache_name=cache))

    async def flush(self, cache: str) -> None:
        await self._control.FlushCache(control._FlushCacheRequest(cache_name=cache))

    async def union(self, cache: str, *names: bytes) -> int:
        """How many elements the union of these sorted sets has; it is stored as ``union``."""
        request = momento._SortedSetUnionStoreRequest
        sources = [request._Source(set_name=name, weight=1.0) for name in names]
        response = await self._scs.SortedSetUnionStore(
            request(set_name=b"union", sources=sources, aggregate=request.SUM, ttl_milliseconds=60_000),
            metadata=(("cache", cache),),
        )
        length: int = response.length
        return length

    async def caches(self) -> list[str]:
        response = await self._control.ListCaches(control._ListCachesRequest())
        return [cache.cache_name for cache in response.cache]


@asynccontextmanager
async def gateway(*storages: str, caches: tuple[str, ...] = ()) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        backend = ProtosocketBackend(storages)
        stack.push_async_callback(backend.close)
        await backend.connect(5)
        server = await serve_momento("grpc://127.0.0.1:0", backend, tokens=EVERYBODY, caches=caches)
        stack.push_async_callback(server.close)
        target = server.url.partition("://")[2]
        yield Gateway(await stack.enter_async_context(aio.insecure_channel(target)))


async def test_a_storage_that_is_down_takes_its_keys_along() -> None:
    one, other = await storage(), await storage()
    async with gateway(one.url, other.url, caches=("c",)) as client:
        for key in KEYS:
            await client.set("c", key)
        await one.close()
        codes = [await client.code("c", key) for key in KEYS]
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        # A cache can be created all the same, and is known as long as one storage knows it.
        await client.create("d")
        assert await client.caches() == ["c", "d"]
        # What would leave something behind is not said to be done.
        for call in (client.flush("c"), client.delete("d"), client.delete("d")):
            with pytest.raises(aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await other.close()
        with pytest.raises(aio.AioRpcError) as caught:
            await client.create("e")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await client.code("unknown", b"key") is grpc.StatusCode.UNAVAILABLE


async def test_caches_are_those_of_all_routers() -> None:
    behind = await storage()
    async with gateway(behind.url, caches=("mine",)) as one, gateway(behind.url) as other:
        await one.create("shared")
        assert await other.code("shared", b"key") is grpc.StatusCode.OK
        assert await other.code("mine", b"key") is grpc.StatusCode.NOT_FOUND
        assert (await one.caches(), await other.caches()) == (["mine", "shared"], ["shared"])
        await other.delete("shared")
        while await one.code("shared", b"key") is grpc.StatusCode.OK:
            pass  # for as long as it believes what it heard
        assert await one.code("shared", b"key") is grpc.StatusCode.NOT_FOUND
        await one.create("shared")
    await behind.close()


async def test_what_is_no_cache_is_not_deleted() -> None:
    engine = create_engine()
    behind = await serve_storage("tcp://127.0.0.1:0", StorageHandler(engine), tokens=EVERYBODY)
    engine.set("over protosocket", b"key", b"value", 60_000)
    async with gateway(behind.url) as client:
        with pytest.raises(aio.AioRpcError) as caught:
            await client.delete("over protosocket")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert engine.get("over protosocket", b"key") == b"value"
    await behind.close()


async def test_a_storage_that_was_restarted_has_forgotten_its_caches() -> None:
    behind = await storage()
    async with gateway(behind.url, caches=("named",)) as client:
        await client.create("created")
        await client.set("created", b"key")
        await behind.close()
        behind = await storage(behind.url)
        while await client.code("named", b"key") is grpc.StatusCode.UNAVAILABLE:
            pass  # until it is connected again
        while await client.code("created", b"key") is grpc.StatusCode.OK:
            pass
        assert await client.caches() == ["named"]
    await behind.close()


async def test_the_name_of_a_cache_may_be_too_long() -> None:
    behind = await storage()
    async with gateway(behind.url) as client:
        # Two of these would have made every list of the caches too large for its connection.
        for letter in "ab":
            with pytest.raises(aio.AioRpcError) as caught:
                await client.create(letter * 2_200_000)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await client.create("c")
        assert await client.caches() == ["c"]
    await behind.close()


async def test_a_union_has_only_so_many_sources_and_elements() -> None:
    engine = create_engine()
    behind = await serve_storage("tcp://127.0.0.1:0", StorageHandler(engine), tokens=EVERYBODY)
    values = [number.to_bytes(3) for number in range(120_000)]
    engine.sorted_set_store("c", b"large", values, [1.0] * len(values), 60_000)
    engine.sorted_set_store("c", b"small", values[:5], [1.0] * 5, 60_000)
    async with gateway(behind.url, caches=("c",)) as client:
        assert await client.union("c", *[b"small"] * 1000) == 5
        assert engine.sorted_set_scores("c", b"union", [values[0]]) == [1000.0]
        with pytest.raises(aio.AioRpcError) as caught:
            await client.union("c", *[b"small"] * 1001)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "1001 sources" in (caught.value.details() or "")
        with pytest.raises(aio.AioRpcError) as caught:
            await client.union("c", *[b"large"] * 17)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "2000000 elements" in (caught.value.details() or "")
        assert engine.sorted_set_scores("c", b"union", [values[0]]) == [1000.0]
    await behind.close()


async def test_others_need_tokens() -> None:
    backend = ProtosocketBackend(["tcp://127.0.0.1:9"])
    with pytest.raises(OptionError, match="tokens"):
        await serve_momento("grpc://0.0.0.0:0", backend, tokens=EVERYBODY)
    await backend.close()


async def test_batches_keep_their_order_and_their_number() -> None:
    running = most = 0

    async def call(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10 + number % 3):
            await asyncio.sleep(0)
        running -= 1
        return number

    numbers = [number async for number in in_order((call(number) for number in range(50)), at_once=7)]
    assert (numbers, most) == ([*range(50)], 7)


async def test_a_batch_that_ends_early_cancels_the_rest() -> None:
    begun, cancelled = [], []

    async def call(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError(number)
        if number > 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
        return number

    async with aclosing(in_order((call(number) for number in range(50)), at_once=5)) as results:
        assert [await anext(results), await anext(results)] == [0, 1]
        with pytest.raises(ValueError, match="2"):
            await anext(results)
    assert len(begun) > 3
    assert cancelled == begun[3:]
