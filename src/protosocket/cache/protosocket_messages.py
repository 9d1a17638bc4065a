"""The cache's messages as native objects: what the protosocket hops build and read for every command."""

from __future__ import annotations

from typing import Any

from protosocket.cache import protosocket_cache_pb2
from protosocket.cache.commands import KEY_NOT_FOUND, cache_error, ttl_milliseconds
from protosocket.cache.protosocket_cache_pb2 import NOT_FOUND
from protosocket.cache.results import GetResult, Hit, Miss
from protosocket.codecs import NativeMessages
from protosocket.errors import CacheError
from protosocket.rpc import NativeCodec

__all__ = [
    "MESSAGES",
    "authenticate_command",
    "delete_command",
    "get_command",
    "native_cache_codec",
    "read_delete",
    "read_get",
    "read_set",
    "set_command",
]

MESSAGES = NativeMessages(protosocket_cache_pb2)

# Looked up once: they are made for every command.
_CacheCommand: Any = MESSAGES.CacheCommand
_Unary: Any = MESSAGES.Unary
_Get: Any = MESSAGES.GetCommand
_Set: Any = MESSAGES.SetCommand
_Delete: Any = MESSAGES.DeleteCommand
_Authenticate: Any = MESSAGES.AuthenticateCommand
_MISS = Miss()


def native_cache_codec() -> NativeCodec[Any, Any]:
    """The RPC codec of clients and storages; the wire is that of ``cache_codec``."""
    return NativeCodec(
        send=MESSAGES.CacheCommand, receive=MESSAGES.CacheResponse, id="message_id", control="control_code"
    )


def get_command(namespace: str, key: bytes) -> Any:
    """A read."""
    return _CacheCommand(unary=_Unary(get=_Get(namespace=namespace, key=key)))


def set_command(namespace: str, key: bytes, value: bytes, ttl: float) -> Any:
    """A write for ``ttl`` seconds; raises ``OptionError`` for a ``ttl`` that is none."""
    milliseconds = ttl_milliseconds(ttl)
    return _CacheCommand(
        unary=_Unary(set=_Set(namespace=namespace, key=key, value=value, ttl_milliseconds=milliseconds))
    )


def delete_command(namespace: str, key: bytes) -> Any:
    """A removal."""
    return _CacheCommand(unary=_Unary(delete=_Delete(namespace=namespace, key=key)))


def authenticate_command(token: str) -> Any:
    """The first command on a connection that needs a token."""
    return _CacheCommand(unary=_Unary(auth=_Authenticate(token=token)))


def read_get(response: Any) -> GetResult:
    """What a read found; raises the error in the response, ``CacheError`` for an answer to something else."""
    found = response.get
    if found is not None:
        return Hit(found.value)
    error = response.error
    if error is not None and error.code == NOT_FOUND and error.message == KEY_NOT_FOUND:
        return _MISS
    raise _unexpected(response)


def read_set(response: Any) -> None:
    """Nothing if it answers a write; raises as ``read_get`` does."""
    if response.set is None:
        raise _unexpected(response)


def read_delete(response: Any) -> None:
    """Nothing if it answers a removal; raises as ``read_get`` does."""
    if response.delete is None:
        raise _unexpected(response)


def _unexpected(response: Any) -> CacheError:
    if response.error is not None:
        return cache_error(response.error.code, response.error.message)
    kind = MESSAGES.which_oneof(response, "kind")
    return CacheError(f"the cache sent an answer to something else: {kind or 'nothing'}", detail=kind or "")
