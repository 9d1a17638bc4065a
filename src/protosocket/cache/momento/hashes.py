"""Momento's calls that compare scalars by hashes: as good as by values, without sending them."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from momento_wire_types import cacheclient_pb2 as momento

from protosocket._core import value_hash
from protosocket.cache.item_messages import ITEMS
from protosocket.cache.momento.errors import invalid, not_empty
from protosocket.cache.momento.storages import Storages

__all__ = ["HASH_METHODS"]

_Condition: Any = ITEMS.SetIf.Condition

# How the storages name Momento's conditions.
_CONDITIONS = {
    "present_and_hash_equal": _Condition.PRESENT_AND_HASH_EQUAL,
    "present_and_not_hash_equal": _Condition.PRESENT_AND_NOT_HASH_EQUAL,
    "absent_or_hash_equal": _Condition.ABSENT_OR_HASH_EQUAL,
    "absent_or_not_hash_equal": _Condition.ABSENT_OR_NOT_HASH_EQUAL,
}


async def _get_with_hash(
    storages: Storages, cache: str, request: momento._GetWithHashRequest
) -> momento._GetWithHashResponse:
    value = await storages.get(cache, not_empty(request.cache_key, "key"))
    response = momento._GetWithHashResponse
    if value is None:
        return response(missing=response._Missing())
    return response(found=response._Found(value=value, hash=value_hash(value)))


async def _set_if_hash(
    storages: Storages, cache: str, request: momento._SetIfHashRequest
) -> momento._SetIfHashResponse:
    key, value, ttl = not_empty(request.cache_key, "key"), request.cache_body, request.ttl_milliseconds
    response = momento._SetIfHashResponse
    name = request.WhichOneof("condition")
    if name is None:
        raise invalid("there is no condition in the request")
    if name == "unconditional":
        await storages.set(cache, key, value, ttl)
    else:
        set_if = ITEMS.SetIf(
            value=value,
            ttl_milliseconds=ttl,
            condition=_CONDITIONS[name],
            other=getattr(request, name).hash_to_check,
        )
        answer = await storages.operate(cache, key, set_if=set_if)
        if not answer.flag.value:
            return response(not_stored=response._NotStored())
    return response(stored=response._Stored(new_hash=value_hash(value)))


HASH_METHODS: dict[str, Callable[..., Awaitable[Any]]] = {
    "GetWithHash": _get_with_hash,
    "SetIfHash": _set_if_hash,
}
