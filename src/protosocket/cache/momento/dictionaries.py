"""Momento's calls on dictionaries."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from momento_wire_types import cacheclient_pb2 as momento

from protosocket.cache.cache_items_pb2 import DICTIONARY
from protosocket.cache.item_messages import ITEMS
from protosocket.cache.momento.errors import invalid, not_empty
from protosocket.cache.momento.storages import Storages

__all__ = ["DICTIONARY_METHODS"]


async def _get(
    storages: Storages, cache: str, request: momento._DictionaryGetRequest
) -> momento._DictionaryGetResponse:
    get = ITEMS.DictionaryGet(fields=list(request.fields))
    answer = await storages.operate(cache, _name(request.dictionary_name), dictionary_get=get)
    response = momento._DictionaryGetResponse
    if answer is None:
        return response(missing=response._Missing())
    part = response._DictionaryGetResponsePart
    parts = [
        part(result=momento.Hit, cache_body=value) if found else part(result=momento.Miss)
        for found, value in zip(answer.values.found, answer.values.values, strict=True)
    ]
    return response(found=response._Found(items=parts))


async def _fetch(
    storages: Storages, cache: str, request: momento._DictionaryFetchRequest
) -> momento._DictionaryFetchResponse:
    name = _name(request.dictionary_name)
    answer = await storages.operate(cache, name, dictionary_fetch=ITEMS.DictionaryFetch())
    response = momento._DictionaryFetchResponse
    if answer is None:
        return response(missing=response._Missing())
    pairs = [
        momento._DictionaryFieldValuePair(field=field, value=value)
        for field, value in zip(answer.pairs.fields, answer.pairs.values, strict=True)
    ]
    return response(found=response._Found(items=pairs))


async def _set(
    storages: Storages, cache: str, request: momento._DictionarySetRequest
) -> momento._DictionarySetResponse:
    put = ITEMS.DictionarySet(
        fields=[_field(item.field) for item in request.items],
        values=[item.value for item in request.items],
        ttl_milliseconds=request.ttl_milliseconds,
        refresh_ttl=request.refresh_ttl,
    )
    await storages.operate(cache, _name(request.dictionary_name), dictionary_set=put)
    return momento._DictionarySetResponse()


async def _increment(
    storages: Storages, cache: str, request: momento._DictionaryIncrementRequest
) -> momento._DictionaryIncrementResponse:
    increment = ITEMS.DictionaryIncrement(
        field=_field(request.field),
        amount=request.amount,
        ttl_milliseconds=request.ttl_milliseconds,
        refresh_ttl=request.refresh_ttl,
    )
    name = _name(request.dictionary_name)
    answer = await storages.operate(cache, name, dictionary_increment=increment)
    return momento._DictionaryIncrementResponse(value=answer.number.value)


async def _delete(
    storages: Storages, cache: str, request: momento._DictionaryDeleteRequest
) -> momento._DictionaryDeleteResponse:
    name = _name(request.dictionary_name)
    which = request.WhichOneof("delete")
    if which == "some":
        remove = ITEMS.DictionaryRemove(fields=list(request.some.fields))
        await storages.operate(cache, name, dictionary_remove=remove)
    elif which == "all":
        await storages.operate(cache, name, clear=ITEMS.Clear(kind=DICTIONARY))
    else:
        raise invalid("the request does not say which fields to delete")
    return momento._DictionaryDeleteResponse()


async def _length(
    storages: Storages, cache: str, request: momento._DictionaryLengthRequest
) -> momento._DictionaryLengthResponse:
    length = ITEMS.Length(kind=DICTIONARY)
    answer = await storages.operate(cache, _name(request.dictionary_name), length=length)
    response = momento._DictionaryLengthResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(length=answer.number.value))


def _name(name: bytes) -> bytes:
    return not_empty(name, "name of the dictionary")


def _field(field: bytes) -> bytes:
    return not_empty(field, "name of the field")


DICTIONARY_METHODS: dict[str, Callable[..., Awaitable[Any]]] = {
    "DictionaryGet": _get,
    "DictionaryFetch": _fetch,
    "DictionarySet": _set,
    "DictionaryIncrement": _increment,
    "DictionaryDelete": _delete,
    "DictionaryLength": _length,
}
