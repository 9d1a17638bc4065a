"""A pool of clients that carry one call at a time each; more are made when all are busy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Pool"]

T = TypeVar("T")


class Pool(Generic[T]):
    """``make`` connects one more; ``all`` are those that were made."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._idle: list[T] = []
        self.all: list[T] = []

    async def take(self) -> T:
        """An idle client, or a new one. Raises what ``make`` raises."""
        if self._idle:
            return self._idle.pop()
        client = await self._make()
        self.all.append(client)
        return client

    def give(self, client: T) -> None:
        """The client has its answer."""
        self._idle.append(client)
