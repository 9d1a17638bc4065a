"""Carries out native commands on an engine: what ``StorageHandler`` does, and more, for protosocket hops."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands import KEY_NOT_FOUND
from protosocket.cache.engine import Engine
from protosocket.cache.item_handler import carry_out_operation
from protosocket.cache.protosocket_cache_pb2 import INVALID_ARGUMENT, NOT_FOUND, CachesCommand
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.errors import CacheError, InvalidMessage

__all__ = ["carry_out"]

_Response: Any = MESSAGES.CacheResponse
_Error: Any = MESSAGES.CommandError
_Get: Any = MESSAGES.GetResponse
_Item: Any = MESSAGES.ItemResponse
_Caches: Any = MESSAGES.CachesResponse

# Answers without a value are made once; nobody changes them, and ids are put in on the wire.
_MISS = _Response(error=_Error(code=NOT_FOUND, message=KEY_NOT_FOUND))
_SET = _Response(set=MESSAGES.SetResponse())
_DELETED = _Response(delete=MESSAGES.DeleteResponse())
_FLUSHED = _Response(caches=_Caches())


def _invalid(text: str) -> Any:
    return _Response(error=_Error(code=INVALID_ARGUMENT, message=text))


_NO_NAMESPACE = _invalid("the namespace is empty")
_NO_COMMAND = _invalid("there is no command in the message")
_NO_ACTION = _invalid("there is no such action on caches")


def carry_out(engine: Engine, unary: Any) -> Any:
    """The response to the command in ``unary`` (native, or ``None``), at once and without raising.

    Its errors are those of ``StorageHandler``; Authenticate is the connection's and not for here.
    """
    if unary is None:
        return _NO_COMMAND
    get = unary.get
    if get is not None:
        namespace = get.namespace
        if not namespace:
            return _NO_NAMESPACE
        try:
            value = engine.get(namespace, get.key)
        except CacheError as error:
            return _failed(error)
        return _MISS if value is None else _Response(get=_Get(value=value))
    put = unary.set
    if put is not None:
        if not put.namespace:
            return _NO_NAMESPACE
        try:
            engine.set(put.namespace, put.key, put.value, put.ttl_milliseconds)
        except CacheError as error:
            return _failed(error)
        return _SET
    delete = unary.delete
    if delete is not None:
        if not delete.namespace:
            return _NO_NAMESPACE
        engine.delete(delete.namespace, delete.key)
        return _DELETED
    if unary.item is not None:
        return _carry_out_item(engine, unary.item)
    if unary.caches is not None:
        return _carry_out_caches(engine, unary.caches)
    return _NO_COMMAND


def _carry_out_item(engine: Engine, item: Any) -> Any:
    if not item.namespace:
        return _NO_NAMESPACE
    try:
        answer = carry_out_operation(engine, item.namespace, item.key, item.operation)
    except CacheError as error:
        return _failed(error)
    except (InvalidMessage, ValueError, OverflowError) as error:
        return _invalid(str(error))
    return _MISS if answer is None else _Response(item=_Item(answer=answer))


def _carry_out_caches(engine: Engine, caches: Any) -> Any:
    action, namespace = caches.action, caches.namespace
    if action == CachesCommand.LIST:
        return _Response(caches=_Caches(names=engine.caches()))
    if not namespace:
        return _NO_NAMESPACE
    if action == CachesCommand.CREATE:
        try:
            created = engine.create_cache(namespace)
        except CacheError as error:
            return _failed(error)
        return _Response(caches=_Caches(existed=not created))
    if action == CachesCommand.DELETE:
        return _Response(caches=_Caches(existed=engine.delete_cache(namespace)))
    if action == CachesCommand.FLUSH:
        engine.flush(namespace)
        return _FLUSHED
    return _NO_ACTION


def _failed(error: CacheError) -> Any:
    return _Response(error=_Error(code=error.code, message=error.detail or str(error)))
