"""The storages as the gateway sees them: one command on a key, or one on the caches at every storage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from protosocket import _core
from protosocket.cache.commands import cache_error
from protosocket.cache.commands.caches import CACHES
from protosocket.cache.commands.delete import DELETE
from protosocket.cache.commands.get import GET
from protosocket.cache.commands.item import item_request, read_item
from protosocket.cache.commands.set import SET
from protosocket.cache.protosocket_backend import ProtosocketBackend
from protosocket.cache.protosocket_cache_pb2 import INTERNAL, NOT_FOUND, RESOURCE_EXHAUSTED
from protosocket.cache.results import Hit
from protosocket.errors import CacheError

__all__ = ["Storages"]

R = TypeVar("R")


class Storages:
    """Carries commands over ``backend`` to the storages that own the keys.

    Every call raises ``CacheUnavailable`` when the storage is down and ``CacheError`` for what it answers
    with. Cancelling a call tells the storage; a write may or may not have happened by then.
    """

    def __init__(self, backend: ProtosocketBackend) -> None:
        self._backend = backend

    async def get(self, namespace: str, key: bytes) -> bytes | None:
        """The scalar under the key, or ``None``."""
        found = await self._carry(key, GET.request(namespace, key), GET.read)
        return found.value if isinstance(found, Hit) else None

    async def set(self, namespace: str, key: bytes, value: bytes, ttl_ms: int) -> None:
        """Store a scalar for ``ttl_ms`` milliseconds."""
        # Not ``SET.request``: to Momento a time to live of 0 is one that has passed at once.
        await self._carry(key, _core.set_command(namespace, key, value, ttl_ms), SET.read)

    async def delete(self, namespace: str, key: bytes) -> None:
        """Remove whatever is under the key."""
        await self._carry(key, DELETE.request(namespace, key), DELETE.read)

    async def operate(self, namespace: str, key: bytes, **operation: Any) -> Any:
        """The ItemAnswer to the operation, named as in ItemOperation; ``None`` if nothing is there."""
        return await self._carry(key, item_request(namespace, key, **operation), read_item)

    async def on_each(self, action: int, name: str = "") -> list[Any]:
        """Every storage's answer to an action on caches: a CachesResponse, or the ``CacheError``."""
        answers = self._backend.call_each(CACHES.request(action, name))
        return await asyncio.gather(*(self._caches_response(answer) for answer in answers))

    async def _caches_response(self, answer: Any) -> Any:
        try:
            return _result(await answer, CACHES.read)
        except CacheError as error:
            return error

    async def _carry(self, key: bytes, request: bytes, read: Callable[[bytes], R]) -> R:
        if len(request) > self._backend.largest_command:
            # The storage would end the connection, which all share.
            text = f"the request is {len(request)} bytes; storages take {self._backend.largest_command}"
            raise cache_error(RESOURCE_EXHAUSTED, text)
        return _result(await self._backend.call(key, 0, request), read)


def _result(answer: bytes, read: Callable[[bytes], R]) -> R:
    try:
        return read(answer)
    except CacheError as error:
        if error.code != NOT_FOUND:
            raise
        # No miss: it would look like a cache that does not exist.
        raise cache_error(INTERNAL, error.detail) from error
