"""Times to live: seconds for people, milliseconds on the wire."""

from __future__ import annotations

import math

from protosocket.errors import OptionError

__all__ = ["ttl_milliseconds"]

_MAX_TTL = 2**64 - 1  # milliseconds, what the message can say


def ttl_milliseconds(ttl: float) -> int:
    """``ttl`` seconds in milliseconds, rounded up.

    Raises ``OptionError`` if it is not a positive number, as Momento's SDKs do.
    """
    if not 0 < ttl < math.inf:
        raise OptionError(f"ttl is a positive number of seconds, not {ttl!r}")
    return min(math.ceil(ttl * 1000), _MAX_TTL)
