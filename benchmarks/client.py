"""What the systems' clients share: a get or a set by the operation's number, and a check of each answer."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from protosocket.bench.operations import Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from protosocket.bench.driver import Endpoint, Verdict
    from protosocket.bench.operations import Operations

__all__ = ["CacheDriver", "WrongAnswer", "host_and_port", "in_batches"]


class WrongAnswer(Exception):
    """A server's answer that is not one to what was asked."""


class CacheDriver(ABC):
    """A ``protosocket.bench.driver.Driver`` of a ``get`` and a ``set``."""

    def __init__(self, endpoint: Endpoint, operations: Operations) -> None:
        self.endpoint = endpoint
        self._mask = operations.mask
        self._gets = [verb is Verb.GET for verb in operations.verbs]
        self._keys = operations.keys
        self._values = operations.values
        self._lengths = operations.lengths
        self._prefill = operations.prefill

    @abstractmethod
    async def start(self) -> None:
        """Connect, and wait until the connections can carry calls."""

    @abstractmethod
    def get(self, key: bytes) -> Awaitable[bytes | None]:
        """The value of ``key``, or None. Raises the system's own errors, ``WrongAnswer`` for nonsense."""

    @abstractmethod
    def set(self, key: bytes, value: bytes) -> Awaitable[None]:
        """Store ``value``; done when the server says so. Raises as ``get`` does."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    def call(self, index: int) -> Awaitable[object]:
        """Begin operation number ``index``."""
        index &= self._mask
        if self._gets[index]:
            return self.get(self._keys[index])
        return self.set(self._keys[index], self._values[index])

    def verify(self, index: int, answer: object) -> Verdict:
        """Whether a get found a value of the right length, and a set was answered."""
        index &= self._mask
        if not self._gets[index]:
            return None if answer is None else "wrong answer"
        if isinstance(answer, bytes):
            return None if len(answer) == self._lengths[index] else "wrong length"
        return "miss" if answer is None else "wrong answer"

    async def prefill(self, number: int) -> None:
        """Set entry ``number`` of the operations' ``prefill``."""
        key, value, _ = self._prefill[number]
        await self.set(key, value)


def host_and_port(url: str) -> tuple[str, int]:
    """The two parts of ``scheme://host:port``."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


async def in_batches(waits: list[Awaitable[object]], size: int = 100) -> None:
    """Await everything, ``size`` at a time: a listener's backlog is not endless."""
    for first in range(0, len(waits), size):
        await asyncio.gather(*waits[first : first + size])
