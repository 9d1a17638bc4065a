"""What an operation on an item is: a function from its message to the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protosocket.cache.engine import Engine

__all__ = ["Operation"]

Operation = Callable[[Engine, str, bytes, Any], Any]
"""Takes the engine, the namespace, the key and the operation's native message.

Gives the native ``ItemAnswer``, or ``None`` if nothing is there. Raises ``CacheError``, and
``InvalidMessage`` or ``ValueError`` for what makes no sense.
"""
