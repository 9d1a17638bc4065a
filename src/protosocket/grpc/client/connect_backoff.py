"""How long to wait after each failed attempt to connect, as gRPC's connection back-off has it."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["Backoff"]

_FACTOR: Final = 1.6
_JITTER: Final = 0.2


class Backoff:
    """Waits that grow by 1.6 from ``first`` up to ``longest`` seconds, each varied by up to a fifth."""

    __slots__ = ("_first", "_longest", "_next")

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = min(first, longest)
        self._longest = longest

    def next(self) -> float:
        """Seconds from the beginning of the attempt that failed to that of the next one."""
        wait = self._next
        self._next = min(wait * _FACTOR, self._longest)
        return wait * random.uniform(1 - _JITTER, 1 + _JITTER)

    def reset(self) -> None:
        """An attempt succeeded."""
        self._next = self._first
