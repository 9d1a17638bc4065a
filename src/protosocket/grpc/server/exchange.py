"""A call whose answer may have more messages than one, as its connection sees it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["Exchange"]


class Exchange:
    """What is to be served; its connection adopts it."""

    __slots__ = ()

    @abstractmethod
    async def run(self, send: Callable[[Any], bool]) -> Any:
        """Serve it: ``send`` takes the messages of the answer, and what this returns is its end."""

    def __await__(self) -> Generator[Any, None, Any]:
        # What is awaitable and no coroutine is handed to the connection to adopt.
        raise TypeError("an exchange is adopted by its connection")
