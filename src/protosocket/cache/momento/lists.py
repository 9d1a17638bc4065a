"""Momento's calls on lists."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from momento_wire_types import cacheclient_pb2 as momento

from protosocket.cache.cache_items_pb2 import LIST
from protosocket.cache.item_messages import ITEMS
from protosocket.cache.momento.errors import invalid, not_empty
from protosocket.cache.momento.storages import Storages

__all__ = ["LIST_METHODS"]


async def _push_front(
    storages: Storages, cache: str, request: momento._ListPushFrontRequest
) -> momento._ListPushFrontResponse:
    length = await _push(storages, cache, request, [request.value], True, request.truncate_back_to_size)
    return momento._ListPushFrontResponse(list_length=length)


async def _push_back(
    storages: Storages, cache: str, request: momento._ListPushBackRequest
) -> momento._ListPushBackResponse:
    length = await _push(storages, cache, request, [request.value], False, request.truncate_front_to_size)
    return momento._ListPushBackResponse(list_length=length)


async def _concatenate_front(
    storages: Storages, cache: str, request: momento._ListConcatenateFrontRequest
) -> momento._ListConcatenateFrontResponse:
    values = list(request.values)
    length = await _push(storages, cache, request, values, True, request.truncate_back_to_size)
    return momento._ListConcatenateFrontResponse(list_length=length)


async def _concatenate_back(
    storages: Storages, cache: str, request: momento._ListConcatenateBackRequest
) -> momento._ListConcatenateBackResponse:
    values = list(request.values)
    length = await _push(storages, cache, request, values, False, request.truncate_front_to_size)
    return momento._ListConcatenateBackResponse(list_length=length)


async def _push(
    storages: Storages, cache: str, request: Any, values: list[bytes], front: bool, keep: int
) -> int:
    push = ITEMS.ListPush(
        values=values,
        front=front,
        keep=keep,
        ttl_milliseconds=request.ttl_milliseconds,
        refresh_ttl=request.refresh_ttl,
    )
    answer = await storages.operate(cache, _name(request.list_name), list_push=push)
    length: int = answer.number.value
    return length


async def _pop_front(
    storages: Storages, cache: str, request: momento._ListPopFrontRequest
) -> momento._ListPopFrontResponse:
    answer = await storages.operate(cache, _name(request.list_name), list_pop=ITEMS.ListPop(front=True))
    response = momento._ListPopFrontResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(front=answer.popped.value, list_length=answer.popped.length))


async def _pop_back(
    storages: Storages, cache: str, request: momento._ListPopBackRequest
) -> momento._ListPopBackResponse:
    answer = await storages.operate(cache, _name(request.list_name), list_pop=ITEMS.ListPop())
    response = momento._ListPopBackResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(back=answer.popped.value, list_length=answer.popped.length))


async def _fetch(
    storages: Storages, cache: str, request: momento._ListFetchRequest
) -> momento._ListFetchResponse:
    start, end = _slice(request)
    fetch = ITEMS.ListFetch(start=start, end=end)
    answer = await storages.operate(cache, _name(request.list_name), list_fetch=fetch)
    response = momento._ListFetchResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(values=answer.elements.elements))


async def _retain(
    storages: Storages, cache: str, request: momento._ListRetainRequest
) -> momento._ListRetainResponse:
    start, end = _slice(request)
    retain = ITEMS.ListRetain(
        start=start,
        end=end,
        ttl_milliseconds=request.ttl_milliseconds,
        refresh_ttl=request.refresh_ttl,
    )
    answer = await storages.operate(cache, _name(request.list_name), list_retain=retain)
    response = momento._ListRetainResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(list_length=answer.number.value))


async def _remove(
    storages: Storages, cache: str, request: momento._ListRemoveRequest
) -> momento._ListRemoveResponse:
    if request.WhichOneof("remove") is None:
        raise invalid("the request does not say which elements to remove")
    remove = ITEMS.ListRemove(value=request.all_elements_with_value)
    answer = await storages.operate(cache, _name(request.list_name), list_remove=remove)
    response = momento._ListRemoveResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(list_length=answer.number.value))


async def _erase(
    storages: Storages, cache: str, request: momento._ListEraseRequest
) -> momento._ListEraseResponse:
    name = _name(request.list_name)
    which = request.WhichOneof("erase")
    if which == "all":
        answer = await storages.operate(cache, name, clear=ITEMS.Clear(kind=LIST))
    elif which == "some":
        ranges = request.some.ranges
        erase = ITEMS.ListErase(
            begins=[each.begin_index for each in ranges], counts=[each.count for each in ranges]
        )
        answer = await storages.operate(cache, name, list_erase=erase)
    else:
        raise invalid("the request does not say which elements to erase")
    response = momento._ListEraseResponse
    if answer is None:
        return response(missing=response._Missing())
    length = 0 if which == "all" else answer.number.value
    return response(found=response._Found(list_length=length))


async def _length(
    storages: Storages, cache: str, request: momento._ListLengthRequest
) -> momento._ListLengthResponse:
    answer = await storages.operate(cache, _name(request.list_name), length=ITEMS.Length(kind=LIST))
    response = momento._ListLengthResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(length=answer.number.value))


def _slice(request: momento._ListFetchRequest | momento._ListRetainRequest) -> tuple[int | None, int | None]:
    start = request.inclusive_start if request.WhichOneof("start_index") == "inclusive_start" else None
    end = request.exclusive_end if request.WhichOneof("end_index") == "exclusive_end" else None
    return start, end


def _name(name: bytes) -> bytes:
    return not_empty(name, "name of the list")


LIST_METHODS: dict[str, Callable[..., Awaitable[Any]]] = {
    "ListPushFront": _push_front,
    "ListPushBack": _push_back,
    "ListConcatenateFront": _concatenate_front,
    "ListConcatenateBack": _concatenate_back,
    "ListPopFront": _pop_front,
    "ListPopBack": _pop_back,
    "ListFetch": _fetch,
    "ListRetain": _retain,
    "ListRemove": _remove,
    "ListErase": _erase,
    "ListLength": _length,
}
