"""One method of a server, as data: its path, its handler, its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protosocket.grpc.server.interceptors import Handlers
from protosocket.grpc.server.settings import ServerSettings

__all__ = ["CallLimit", "Method"]


class CallLimit:
    """How many calls a server serves at a time, over all its connections."""

    __slots__ = ("_left",)

    def __init__(self, most: int) -> None:
        if most <= 0:
            raise ValueError("maximum_concurrent_rpcs should be a positive integer")
        self._left = most

    def enter(self) -> bool:
        """Count a call; false if there are as many as there may be."""
        if self._left == 0:
            return False
        self._left -= 1
        return True

    def leave(self) -> None:
        """A call that was counted has ended."""
        self._left += 1


@dataclass(frozen=True, slots=True)
class Method:
    """One path, and what is known of its calls before they come."""

    path: str
    streams: bool
    """Whether its caller takes a stream of responses."""
    handlers: Handlers
    handler: Any
    """The handler of every call; ``None`` if it has to be found for each."""
    may_stream_requests: bool
    settings: ServerSettings
    limit: CallLimit | None

    async def find(self, invocation_metadata: Any) -> Any:
        """The handler of one call; ``None`` if there is none."""
        return await self.handlers.find(self.path, invocation_metadata)
