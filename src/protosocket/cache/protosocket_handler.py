"""Carries out native commands on an engine: what ``StorageHandler`` does, for the protosocket hop."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands import KEY_NOT_FOUND
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_cache_pb2 import INVALID_ARGUMENT, NOT_FOUND
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.errors import CacheError

__all__ = ["carry_out"]

_Response: Any = MESSAGES.CacheResponse
_Error: Any = MESSAGES.CommandError
_Get: Any = MESSAGES.GetResponse

# Answers without a value are made once; nobody changes them, and ids are put in on the wire.
_MISS = _Response(error=_Error(code=NOT_FOUND, message=KEY_NOT_FOUND))
_SET = _Response(set=MESSAGES.SetResponse())
_DELETED = _Response(delete=MESSAGES.DeleteResponse())
_NO_NAMESPACE = _Response(error=_Error(code=INVALID_ARGUMENT, message="the namespace is empty"))
_NO_COMMAND = _Response(error=_Error(code=INVALID_ARGUMENT, message="there is no command in the message"))


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
        value = engine.get(namespace, get.key)
        return _MISS if value is None else _Response(get=_Get(value=value))
    put = unary.set
    if put is not None:
        if not put.namespace:
            return _NO_NAMESPACE
        try:
            engine.set(put.namespace, put.key, put.value, put.ttl_milliseconds)
        except CacheError as error:
            return _Response(error=_Error(code=error.code, message=error.detail or str(error)))
        return _SET
    delete = unary.delete
    if delete is not None:
        if not delete.namespace:
            return _NO_NAMESPACE
        engine.delete(delete.namespace, delete.key)
        return _DELETED
    return _NO_COMMAND
