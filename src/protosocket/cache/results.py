"""What a read of the cache found: a ``Hit`` or a ``Miss``; ``match`` or ``isinstance`` tells which."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GetResult", "Hit", "Miss"]


@dataclass(frozen=True, slots=True)
class Hit:
    """The key was there, with this ``value``."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Miss:
    """The key was not there, or no more."""


GetResult = Hit | Miss
