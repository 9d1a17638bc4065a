"""Momento's control calls: create, list, delete and flush caches."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from momento_wire_types import controlclient_pb2 as control

from protosocket.cache.momento.caches import Caches

__all__ = ["CONTROL_METHODS"]


async def _create_cache(caches: Caches, request: control._CreateCacheRequest) -> control._CreateCacheResponse:
    await caches.create(request.cache_name)
    return control._CreateCacheResponse()


async def _delete_cache(caches: Caches, request: control._DeleteCacheRequest) -> control._DeleteCacheResponse:
    await caches.delete(request.cache_name)
    return control._DeleteCacheResponse()


async def _list_caches(caches: Caches, _: control._ListCachesRequest) -> control._ListCachesResponse:
    names = await caches.names()
    return control._ListCachesResponse(cache=[control._Cache(cache_name=name) for name in names])


async def _flush_cache(caches: Caches, request: control._FlushCacheRequest) -> control._FlushCacheResponse:
    await caches.flush(request.cache_name)
    return control._FlushCacheResponse()


CONTROL_METHODS: dict[str, Callable[..., Awaitable[Any]]] = {
    "CreateCache": _create_cache,
    "DeleteCache": _delete_cache,
    "ListCaches": _list_caches,
    "FlushCache": _flush_cache,
}
