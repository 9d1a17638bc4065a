"""The cache's protobuf messages as every protobuf system here sends them: the same bytes but for the id."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from benchmarks.client import WrongAnswer, gets_among
from protosocket.cache.protosocket_cache_pb2 import NOT_FOUND, CacheCommand, CacheResponse, CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Verdict
    from protosocket.bench.operations import Operations

__all__ = ["answer", "calls", "get_command", "read_set", "set_command", "verdicts"]

T = TypeVar("T", bound="Awaitable[object]")

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


def _read_get(response: CacheResponse) -> bytes | None:
    """What a get's answer without bytes means: an empty value, or None. Raises WrongAnswer."""
    if response.HasField("get"):
        return b""
    if response.error.code == NOT_FOUND:
        return None
    raise WrongAnswer(f"a get was answered with {response.WhichOneof('kind')}")


def read_set(response: CacheResponse) -> None:
    """Nothing. Raises WrongAnswer."""
    if not response.HasField("set"):
        raise WrongAnswer(f"a set was answered with {response.WhichOneof('kind')}")


def calls(
    operations: Operations, get: Callable[[CacheCommand], T], put: Callable[[CacheCommand], T]
) -> Callable[[int], T]:
    """A driver's ``call``: makes an operation's command and has it sent."""
    gets, keys, values = gets_among(operations), operations.keys, operations.values

    def call(index: int) -> T:
        command = CacheCommand()
        if gets[index]:
            command.unary.get.key = keys[index]
            return get(command)
        entry = command.unary.set
        entry.key = keys[index]
        entry.value = values[index]
        return put(command)

    return call


def verdicts(operations: Operations) -> Callable[[int, CacheResponse], Verdict]:
    """A driver's ``verify``."""
    gets, lengths = gets_among(operations), operations.lengths

    def verify(index: int, response: CacheResponse) -> Verdict:
        if not gets[index]:
            read_set(response)
            return None
        # Of a message that is not there, this is an empty value: it is quicker to look at it first.
        value = response.get.value or _read_get(response)
        if value is None:
            return "miss"
        return None if len(value) == lengths[index] else "wrong length"

    return verify


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
