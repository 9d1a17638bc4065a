"""What the systems' clients share: a get or a set by the operation's number, and a check of each answer."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from itertools import cycle
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from protosocket.bench.operations import Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from protosocket.bench.driver import Endpoint, Verdict
    from protosocket.bench.operations import Operations

__all__ = ["CacheDriver", "WrongAnswer", "gets_among", "host_and_port", "in_batches", "in_turns"]


T = TypeVar("T")


class WrongAnswer(Exception):
    """A server's answer that is not one to what was asked."""


class CacheDriver(ABC):
    """A ``protosocket.bench.driver.Driver`` of a ``get`` and a ``set``.

    Both begin a call, and ``found`` and ``stored`` read its answer: a coroutine of the driver's own around a
    system's call would cost as much as some of these systems do. For the same reason the messages that
    several systems share have functions that are ``call`` and ``verify`` without another one in between.
    """

    def __init__(self, endpoint: Endpoint, operations: Operations) -> None:
        self.endpoint = endpoint
        self.operations = operations
        self.call = _calls(operations, self.get, self.set)
        """Begin an operation by its number. ``start`` may put a function with fewer calls in its place."""
        self.verify = self.verdicts(operations)
        """Judge the answer to an operation: its number, and the answer. Raises WrongAnswer."""

    @abstractmethod
    async def start(self) -> None:
        """Connect, and wait until the connections can carry calls."""

    @abstractmethod
    def get(self, key: bytes) -> Awaitable[Any]:
        """Begin to read ``key``. The awaitable is the answer, or raises the system's own errors."""

    @abstractmethod
    def set(self, key: bytes, value: bytes) -> Awaitable[Any]:
        """Begin to store ``value``. The awaitable is the answer, or raises the system's own errors."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    # Static, so that a driver can name a function that its messages have.

    @staticmethod
    def found(answer: Any) -> bytes | None:
        """The value that a get was answered with, or None. Raises WrongAnswer; here: the answer itself."""
        if answer is None or isinstance(answer, bytes):
            return answer
        raise WrongAnswer(f"a get was answered with {type(answer).__name__}")

    @staticmethod
    def stored(answer: Any) -> None:
        """Nothing. Raises WrongAnswer if that does not answer a set; here: if it is anything."""
        if answer is not None:
            raise WrongAnswer(f"a set was answered with {type(answer).__name__}")

    @classmethod
    def verdicts(cls, operations: Operations) -> Callable[[int, Any], Verdict]:
        """What ``verify`` is."""
        return _verdicts(operations, cls.found, cls.stored)

    async def prefill(self, number: int) -> None:
        """Set entry ``number`` of the operations' ``prefill``."""
        key, value, _ = self.operations.prefill[number]
        self.stored(await self.set(key, value))


# Functions within functions, as what they look up is found quicker there than in an object.


def _calls(
    operations: Operations,
    get: Callable[[bytes], Awaitable[Any]],
    put: Callable[[bytes, bytes], Awaitable[Any]],
) -> Callable[[int], Awaitable[object]]:
    gets, keys, values = gets_among(operations), operations.keys, operations.values

    def call(index: int) -> Awaitable[object]:
        if gets[index]:
            return get(keys[index])
        return put(keys[index], values[index])

    return call


def _verdicts(
    operations: Operations,
    found: Callable[[Any], bytes | None],
    stored: Callable[[Any], None],
) -> Callable[[int, Any], Verdict]:
    gets, lengths = gets_among(operations), operations.lengths

    def verify(index: int, answer: Any) -> Verdict:
        if not gets[index]:
            stored(answer)
            return None
        value = found(answer)
        if value is None:
            return "miss"
        return None if len(value) == lengths[index] else "wrong length"

    return verify


def gets_among(operations: Operations) -> list[bool]:
    """For each operation, whether it is a get."""
    return [verb is Verb.GET for verb in operations.verbs]


def host_and_port(url: str) -> tuple[str, int]:
    """The two parts of ``scheme://host:port``."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def in_turns(functions: Sequence[Callable[..., Awaitable[T]]]) -> Callable[..., Awaitable[T]]:
    """One function that calls each of ``functions`` in turn, one for each connection."""
    if len(functions) == 1:
        return functions[0]
    turns = cycle(functions)

    def call(*arguments: Any) -> Awaitable[T]:
        return next(turns)(*arguments)

    return call


async def in_batches(waits: list[Awaitable[object]], size: int = 100) -> None:
    """Await everything, ``size`` at a time: a listener's backlog is not endless."""
    for first in range(0, len(waits), size):
        await asyncio.gather(*waits[first : first + size])
