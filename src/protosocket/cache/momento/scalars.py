"""Momento's calls on scalars, and on any item: existence, kind and time to live."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from momento_wire_types import cacheclient_pb2 as momento

from protosocket.cache.item_messages import ITEMS
from protosocket.cache.momento.batches import in_order
from protosocket.cache.momento.errors import invalid, not_empty
from protosocket.cache.momento.storages import Storages
from protosocket.cache.protosocket_cache_pb2 import FAILED_PRECONDITION
from protosocket.errors import CacheError

__all__ = ["SCALAR_METHODS", "SCALAR_STREAMS"]

_Condition: Any = ITEMS.SetIf.Condition
_Change: Any = ITEMS.UpdateTtl.Change

# How the storages name Momento's conditions.
_CONDITIONS = {
    "present": _Condition.PRESENT,
    "absent": _Condition.ABSENT,
    "equal": _Condition.EQUAL,
    "not_equal": _Condition.NOT_EQUAL,
    "present_and_not_equal": _Condition.PRESENT_AND_NOT_EQUAL,
    "absent_or_equal": _Condition.ABSENT_OR_EQUAL,
}
_CHANGES = {
    "overwrite_to_milliseconds": _Change.OVERWRITE,
    "increase_to_milliseconds": _Change.INCREASE,
    "decrease_to_milliseconds": _Change.DECREASE,
}


async def _get(storages: Storages, cache: str, request: momento._GetRequest) -> momento._GetResponse:
    value = await storages.get(cache, _key(request.cache_key))
    if value is None:
        return momento._GetResponse(result=momento.Miss)
    return momento._GetResponse(result=momento.Hit, cache_body=value)


async def _set(storages: Storages, cache: str, request: momento._SetRequest) -> momento._SetResponse:
    await storages.set(cache, _key(request.cache_key), request.cache_body, request.ttl_milliseconds)
    return momento._SetResponse(result=momento.Ok)


async def _delete(storages: Storages, cache: str, request: momento._DeleteRequest) -> momento._DeleteResponse:
    await storages.delete(cache, _key(request.cache_key))
    return momento._DeleteResponse()


async def _set_if(storages: Storages, cache: str, request: momento._SetIfRequest) -> momento._SetIfResponse:
    name = request.WhichOneof("condition")
    if name is None:
        raise invalid("there is no condition in the request")
    stored = await _stored_if(
        storages, cache, request, _CONDITIONS[name], getattr(getattr(request, name), "value_to_check", b"")
    )
    if stored:
        return momento._SetIfResponse(stored=momento._SetIfResponse._Stored())
    return momento._SetIfResponse(not_stored=momento._SetIfResponse._NotStored())


async def _set_if_not_exists(
    storages: Storages, cache: str, request: momento._SetIfNotExistsRequest
) -> momento._SetIfNotExistsResponse:
    response = momento._SetIfNotExistsResponse
    if await _stored_if(storages, cache, request, _Condition.ABSENT, b""):
        return response(stored=response._Stored())
    return response(not_stored=response._NotStored())


async def _stored_if(
    storages: Storages,
    cache: str,
    request: momento._SetIfRequest | momento._SetIfNotExistsRequest,
    condition: int,
    other: bytes,
) -> bool:
    answer = await storages.operate(
        cache,
        _key(request.cache_key),
        set_if=ITEMS.SetIf(
            value=request.cache_body,
            ttl_milliseconds=request.ttl_milliseconds,
            condition=condition,
            other=other,
        ),
    )
    stored: bool = answer.flag.value
    return stored


async def _increment(
    storages: Storages, cache: str, request: momento._IncrementRequest
) -> momento._IncrementResponse:
    increment = ITEMS.Increment(amount=request.amount, ttl_milliseconds=request.ttl_milliseconds)
    answer = await storages.operate(cache, _key(request.cache_key), increment=increment)
    return momento._IncrementResponse(value=answer.number.value)


async def _update_ttl(
    storages: Storages, cache: str, request: momento._UpdateTtlRequest
) -> momento._UpdateTtlResponse:
    name = request.WhichOneof("update_ttl")
    if name is None:
        raise invalid("there is no time to live in the request")
    update = ITEMS.UpdateTtl(ttl_milliseconds=getattr(request, name), change=_CHANGES[name])
    answer = await storages.operate(cache, _key(request.cache_key), update_ttl=update)
    response = momento._UpdateTtlResponse
    if answer is None:
        return response(missing=response._Missing())
    if answer.flag.value:
        return response(set=response._Set())
    return response(not_set=response._NotSet())


async def _item_get_ttl(
    storages: Storages, cache: str, request: momento._ItemGetTtlRequest
) -> momento._ItemGetTtlResponse:
    answer = await _inspected(storages, cache, _key(request.cache_key))
    response = momento._ItemGetTtlResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(remaining_ttl_millis=answer.ttl_milliseconds))


async def _item_get_type(
    storages: Storages, cache: str, request: momento._ItemGetTypeRequest
) -> momento._ItemGetTypeResponse:
    answer = await _inspected(storages, cache, _key(request.cache_key))
    response = momento._ItemGetTypeResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(item_type=answer.kind))


async def _keys_exist(
    storages: Storages, cache: str, request: momento._KeysExistRequest
) -> momento._KeysExistResponse:
    keys = [_key(key) for key in request.cache_keys]
    async with aclosing(in_order(_inspected(storages, cache, key) for key in keys)) as found:
        return momento._KeysExistResponse(exists=[item is not None async for item in found])


async def _get_batch(
    storages: Storages, cache: str, request: momento._GetBatchRequest
) -> AsyncGenerator[momento._GetResponse, None]:
    calls = (_get_or_tell(storages, cache, item) for item in request.items)
    async with aclosing(in_order(calls)) as responses:
        async for response in responses:
            yield response


async def _set_batch(
    storages: Storages, cache: str, request: momento._SetBatchRequest
) -> AsyncGenerator[momento._SetResponse, None]:
    calls = (_set(storages, cache, item) for item in request.items)
    async with aclosing(in_order(calls)) as responses:
        async for response in responses:
            yield response


async def _get_or_tell(storages: Storages, cache: str, item: momento._GetRequest) -> momento._GetResponse:
    """As ``_get``; a key that holds a collection is told in its place and does not fail the others."""
    try:
        return await _get(storages, cache, item)
    except CacheError as error:
        if error.code != FAILED_PRECONDITION:
            raise
        return momento._GetResponse(result=momento.Invalid, message=error.detail)


async def _inspected(storages: Storages, cache: str, key: bytes) -> Any:
    answer = await storages.operate(cache, key, inspect=ITEMS.Inspect())
    return None if answer is None else answer.inspected


def _key(key: bytes) -> bytes:
    return not_empty(key, "key")


SCALAR_METHODS: dict[str, Callable[..., Awaitable[Any]]] = {
    "Get": _get,
    "Set": _set,
    "Delete": _delete,
    "SetIf": _set_if,
    "SetIfNotExists": _set_if_not_exists,
    "KeysExist": _keys_exist,
    "Increment": _increment,
    "UpdateTtl": _update_ttl,
    "ItemGetTtl": _item_get_ttl,
    "ItemGetType": _item_get_type,
}

SCALAR_STREAMS: dict[str, Callable[..., AsyncGenerator[Any, None]]] = {
    "GetBatch": _get_batch,
    "SetBatch": _set_batch,
}
