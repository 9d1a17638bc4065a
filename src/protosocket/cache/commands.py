"""Builds the cache's commands and reads its responses, the same for every client transport."""

from __future__ import annotations

import math

from protosocket.cache.protosocket_cache_pb2 import (
    NOT_FOUND,
    UNAUTHENTICATED,
    UNAVAILABLE,
    CacheCommand,
    CacheResponse,
    CommandError,
)
from protosocket.cache.results import GetResult, Hit, Miss
from protosocket.errors import CacheError, CacheUnavailable, OptionError, Unauthenticated

__all__ = [
    "KEY_NOT_FOUND",
    "cache_error",
    "delete_command",
    "error_response",
    "get_command",
    "read_delete",
    "read_get",
    "read_set",
    "routing_key",
    "set_command",
    "ttl_milliseconds",
]

KEY_NOT_FOUND = "Key not found"
"""The text of a miss, with code 5; Momento's SDKs take any other NOT_FOUND for a failure."""

_LONGEST_TTL = 2**64 - 1  # milliseconds, what the message can say

_MISS = Miss()


def get_command(namespace: str, key: bytes) -> CacheCommand:
    """A read, without a message id."""
    # Fields are assigned, here and below, because constructors with keywords take three times as long.
    command = CacheCommand()
    get = command.unary.get
    get.namespace = namespace
    get.key = key
    return command


def set_command(namespace: str, key: bytes, value: bytes, ttl: float) -> CacheCommand:
    """A write for ``ttl`` seconds, rounded up to milliseconds, without a message id.

    Raises ``OptionError`` for a ``ttl`` that is not a positive number of seconds, as Momento's SDKs do.
    """
    command = CacheCommand()
    put = command.unary.set
    put.namespace = namespace
    put.key = key
    put.value = value
    put.ttl_milliseconds = ttl_milliseconds(ttl)
    return command


def ttl_milliseconds(ttl: float) -> int:
    """``ttl`` seconds in milliseconds, rounded up; ``OptionError`` if it is not a positive number."""
    if not 0 < ttl < math.inf:
        raise OptionError(f"ttl is a positive number of seconds, not {ttl!r}")
    return min(math.ceil(ttl * 1000), _LONGEST_TTL)


def delete_command(namespace: str, key: bytes) -> CacheCommand:
    """A removal, without a message id."""
    command = CacheCommand()
    delete = command.unary.delete
    delete.namespace = namespace
    delete.key = key
    return command


def routing_key(command: CacheCommand) -> bytes | None:
    """The key that decides which storage gets ``command``; ``None`` if it has none."""
    unary = command.unary
    kind = unary.WhichOneof("command")
    if kind == "get":
        return unary.get.key
    if kind == "set":
        return unary.set.key
    if kind == "delete":
        return unary.delete.key
    if kind == "item":
        return unary.item.key
    return None


def read_get(response: CacheResponse) -> GetResult:
    """What a read found; raises the error in the response, ``CacheError`` for an answer to something else."""
    if response.HasField("get"):
        return Hit(response.get.value)
    error = response.error
    if error.code == NOT_FOUND and error.message == KEY_NOT_FOUND:
        return _MISS
    raise _unexpected(response)


def read_set(response: CacheResponse) -> None:
    """Nothing; raises the error in the response, ``CacheError`` for an answer to something else."""
    if not response.HasField("set"):
        raise _unexpected(response)


def read_delete(response: CacheResponse) -> None:
    """Nothing; raises the error in the response, ``CacheError`` for an answer to something else."""
    if not response.HasField("delete"):
        raise _unexpected(response)


def cache_error(code: int, detail: str) -> CacheError:
    """The error for a gRPC status number: ``Unauthenticated``, ``CacheUnavailable`` or ``CacheError``."""
    if code == UNAUTHENTICATED:
        return Unauthenticated(f"not authenticated: {detail}", code=code, detail=detail)
    if code == UNAVAILABLE:
        return CacheUnavailable(f"cache unavailable: {detail}", code=code, detail=detail)
    return CacheError(f"the cache answered with error {code}: {detail}", code=code, detail=detail)


def error_response(message_id: int, error: CacheError) -> CacheResponse:
    """The response that tells ``error`` to the sender of the command ``message_id``."""
    return CacheResponse(
        message_id=message_id,
        # google's stub types an enum field by its class; the numbers are the same.
        error=CommandError(code=error.code, message=error.detail or str(error)),  # type: ignore[arg-type]
    )


def _unexpected(response: CacheResponse) -> CacheError:
    kind = response.WhichOneof("kind")
    if kind == "error":
        return cache_error(response.error.code, response.error.message)
    return CacheError(f"the cache sent an answer to something else: {kind or 'nothing'}", detail=kind or "")
