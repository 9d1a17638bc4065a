"""The storages as the gateway sees them: one command on a key, or one on the caches at every storage."""

from __future__ import annotations

import asyncio
from typing import Any

from protosocket.cache.commands import KEY_NOT_FOUND, cache_error
from protosocket.cache.item_messages import ITEMS, caches_command, decode_answer, item_command
from protosocket.cache.protosocket_backend import ProtosocketBackend
from protosocket.cache.protosocket_cache_pb2 import INTERNAL, NOT_FOUND, RESOURCE_EXHAUSTED
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.errors import CacheError

__all__ = ["Storages"]

_CacheCommand: Any = MESSAGES.CacheCommand
_Unary: Any = MESSAGES.Unary
_Get: Any = MESSAGES.GetCommand
_Set: Any = MESSAGES.SetCommand
_Delete: Any = MESSAGES.DeleteCommand
_Operation: Any = ITEMS.ItemOperation
_decode_response: Any = MESSAGES.decoder(MESSAGES.CacheResponse)


class Storages:
    """Carries commands over ``backend`` to the storages that own the keys.

    Every call raises ``CacheUnavailable`` when the storage is down and ``CacheError`` for what it answers
    with. Cancelling a call tells the storage; a write may or may not have happened by then.
    """

    def __init__(self, backend: ProtosocketBackend) -> None:
        self._backend = backend

    async def get(self, namespace: str, key: bytes) -> bytes | None:
        """The scalar under the key, or ``None``."""
        response = await self._call(key, _Unary(get=_Get(namespace=namespace, key=key)))
        if response is None:
            return None
        value: bytes = response.get.value
        return value

    async def set(self, namespace: str, key: bytes, value: bytes, ttl_ms: int) -> None:
        """Store a scalar for ``ttl_ms`` milliseconds."""
        put = _Set(namespace=namespace, key=key, value=value, ttl_milliseconds=ttl_ms)
        await self._call(key, _Unary(set=put))

    async def delete(self, namespace: str, key: bytes) -> None:
        """Remove whatever is under the key."""
        await self._call(key, _Unary(delete=_Delete(namespace=namespace, key=key)))

    async def operate(self, namespace: str, key: bytes, **operation: Any) -> Any:
        """The ItemAnswer to the operation, named as in ItemOperation; ``None`` if nothing is there."""
        response = await self._send(key, item_command(namespace, key, _Operation(**operation)))
        return None if response is None else decode_answer(response.item.answer)

    async def on_each(self, action: int, name: str = "") -> list[Any]:
        """Every storage's answer to an action on caches: a CachesResponse, or the ``CacheError``."""
        answers = self._backend.call_each(MESSAGES.encode(caches_command(action, name)))
        return await asyncio.gather(*(self._caches_response(answer) for answer in answers))

    async def _caches_response(self, answer: Any) -> Any:
        try:
            return self._read(await answer).caches
        except CacheError as error:
            return error

    async def _call(self, key: bytes, unary: Any) -> Any:
        return await self._send(key, _CacheCommand(unary=unary))

    async def _send(self, key: bytes, command: Any) -> Any:
        encoded = MESSAGES.encode(command)
        if len(encoded) > self._backend.largest_command:
            # The storage would end the connection, which all share.
            text = f"the request is {len(encoded)} bytes; storages take {self._backend.largest_command}"
            raise cache_error(RESOURCE_EXHAUSTED, text)
        return self._read(await self._backend.call(key, 0, encoded))

    def _read(self, encoded: bytes) -> Any:
        """The response, or ``None`` for a miss."""
        response = _decode_response(encoded)
        error = response.error
        if error is None:
            return response
        if error.code == NOT_FOUND and error.message == KEY_NOT_FOUND:
            return None
        # A NOT_FOUND of any other kind would look like a cache that does not exist.
        raise cache_error(INTERNAL if error.code == NOT_FOUND else error.code, error.message)
