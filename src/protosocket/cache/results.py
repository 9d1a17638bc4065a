"""What a read of the cache found: a ``Hit`` or a ``Miss``; ``match`` or ``isinstance`` tells which."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["GetResult", "Hit", "Miss"]


class Hit(Struct, frozen=True):
    """The key was there, with this ``value``."""

    value: bytes


class Miss(Struct, frozen=True):
    """The key was not there, or no more."""


GetResult = Hit | Miss
