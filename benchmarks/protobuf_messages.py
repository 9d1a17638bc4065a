"""The cache's protobuf messages as every protobuf system here sends them: the same bytes but for the id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.client import WrongAnswer
from protosocket.cache.protosocket_cache_pb2 import NOT_FOUND, CacheCommand, CacheResponse, CommandError

if TYPE_CHECKING:
    from benchmarks.store import Store

__all__ = ["answer", "get_command", "read_get", "read_set", "set_command"]

MISS = CommandError(code=NOT_FOUND, message="Key not found")


def get_command(key: bytes) -> CacheCommand:
    """A read."""
    # Fields are assigned because constructors with keywords take three times as long.
    command = CacheCommand()
    command.unary.get.key = key
    return command


def set_command(key: bytes, value: bytes) -> CacheCommand:
    """A write."""
    command = CacheCommand()
    put = command.unary.set
    put.key = key
    put.value = value
    return command


def read_get(response: CacheResponse) -> bytes | None:
    """What a read found. Raises WrongAnswer."""
    # Of a message that is not there, this is an empty value: it is quicker to look at it first.
    value = response.get.value
    if value or response.HasField("get"):
        return value
    if response.error.code == NOT_FOUND:
        return None
    raise WrongAnswer(f"a get was answered with {response.WhichOneof('kind')}")


def read_set(response: CacheResponse) -> None:
    """Nothing. Raises WrongAnswer."""
    if not response.HasField("set"):
        raise WrongAnswer(f"a set was answered with {response.WhichOneof('kind')}")


def answer(store: Store, command: CacheCommand) -> CacheResponse:
    """A server's response to ``command``, without an id."""
    unary = command.unary
    response = CacheResponse()
    key = unary.get.key
    if key or unary.HasField("get"):
        value = store.get(key)
        if value is None:
            response.error.CopyFrom(MISS)
        else:
            response.get.value = value
    else:
        put = unary.set
        store[put.key] = put.value
        response.set.SetInParent()
    return response
