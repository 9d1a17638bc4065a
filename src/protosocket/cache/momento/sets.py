"""Momento's calls on sets."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from momento_wire_types import cacheclient_pb2 as momento

from protosocket.cache.cache_items_pb2 import SET
from protosocket.cache.item_messages import ITEMS
from protosocket.cache.momento.errors import invalid, not_empty
from protosocket.cache.momento.storages import Storages

__all__ = ["SET_METHODS"]


async def _union(
    storages: Storages, cache: str, request: momento._SetUnionRequest
) -> momento._SetUnionResponse:
    add = ITEMS.SetAdd(
        elements=list(request.elements),
        ttl_milliseconds=request.ttl_milliseconds,
        refresh_ttl=request.refresh_ttl,
    )
    await storages.operate(cache, _name(request.set_name), set_add=add)
    return momento._SetUnionResponse()


async def _difference(
    storages: Storages, cache: str, request: momento._SetDifferenceRequest
) -> momento._SetDifferenceResponse:
    operation: dict[str, Any]
    which = request.WhichOneof("difference")
    subtrahend = request.subtrahend.WhichOneof("subtrahend_set")
    if which == "minuend":
        operation = {"set_subtract_from": ITEMS.SetSubtractFrom(elements=list(request.minuend.elements))}
    elif subtrahend == "set":
        operation = {"set_remove": ITEMS.SetRemove(elements=list(request.subtrahend.set.elements))}
    elif subtrahend == "identity":
        operation = {"clear": ITEMS.Clear(kind=SET)}
    else:
        raise invalid("the request does not say what to subtract")
    answer = await storages.operate(cache, _name(request.set_name), **operation)
    response = momento._SetDifferenceResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found())


async def _fetch(
    storages: Storages, cache: str, request: momento._SetFetchRequest
) -> momento._SetFetchResponse:
    answer = await storages.operate(cache, _name(request.set_name), set_fetch=ITEMS.SetFetch())
    response = momento._SetFetchResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(elements=answer.elements.elements))


async def _sample(
    storages: Storages, cache: str, request: momento._SetSampleRequest
) -> momento._SetSampleResponse:
    sample = ITEMS.SetSample(count=request.limit)
    answer = await storages.operate(cache, _name(request.set_name), set_sample=sample)
    response = momento._SetSampleResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(elements=answer.elements.elements))


async def _pop(storages: Storages, cache: str, request: momento._SetPopRequest) -> momento._SetPopResponse:
    pop = ITEMS.SetPop(count=request.count)
    answer = await storages.operate(cache, _name(request.set_name), set_pop=pop)
    response = momento._SetPopResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(elements=answer.elements.elements))


async def _contains(
    storages: Storages, cache: str, request: momento._SetContainsRequest
) -> momento._SetContainsResponse:
    contains = ITEMS.SetContains(elements=list(request.elements))
    answer = await storages.operate(cache, _name(request.set_name), set_contains=contains)
    response = momento._SetContainsResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(contains=answer.flags.values))


async def _length(
    storages: Storages, cache: str, request: momento._SetLengthRequest
) -> momento._SetLengthResponse:
    answer = await storages.operate(cache, _name(request.set_name), length=ITEMS.Length(kind=SET))
    response = momento._SetLengthResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(length=answer.number.value))


def _name(name: bytes) -> bytes:
    return not_empty(name, "name of the set")


SET_METHODS: dict[str, Callable[..., Awaitable[Any]]] = {
    "SetUnion": _union,
    "SetDifference": _difference,
    "SetFetch": _fetch,
    "SetSample": _sample,
    "SetPop": _pop,
    "SetContains": _contains,
    "SetLength": _length,
}
