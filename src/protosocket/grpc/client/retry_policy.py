"""Whether and when a call that failed is made again, as the service config and the server have it."""

from __future__ import annotations

import random
from typing import Any, Final

from protosocket.grpc.client.service_config import RetryPolicy, Throttling
from protosocket.grpc.wire.envelope import unpack
from protosocket.grpc.wire.status import code_of

__all__ = ["STOP", "Retries", "Throttle", "pushback_of"]

_JITTER: Final = 0.2

STOP: Final = -1.0
"""A server's wish that nothing is tried again."""


class Throttle:
    """Counts how calls to one target end, and allows no retries while too many fail."""

    __slots__ = ("_half", "_most", "_ratio", "_tokens")

    def __init__(self, settings: Throttling | None) -> None:
        self._most = self._tokens = settings.tokens if settings else 0.0
        self._ratio = settings.ratio if settings else 0.0
        self._half = self._most / 2

    def failed(self) -> None:
        """An attempt failed in a way that may be retried."""
        self._tokens = max(0.0, self._tokens - 1)

    def succeeded(self) -> None:
        """An attempt ended in another way."""
        self._tokens = min(self._most, self._tokens + self._ratio)

    @property
    def allows(self) -> bool:
        """Whether an attempt may be repeated now."""
        return self._most == 0 or self._tokens > self._half


class Retries:
    """The course of one call: which attempt it is, whether and when there is a next one."""

    def __init__(self, policy: RetryPolicy, throttle: Throttle) -> None:
        self._policy = policy
        self._throttle = throttle
        self._backoff = policy.first_backoff
        self.attempt = 1

    def next(self, end: Any) -> float | None:
        """Seconds after which to try again what ended so; ``None``: not at all."""
        policy = self._policy
        if code_of(end) not in policy.codes:
            self._throttle.succeeded()
            return None
        pushback = pushback_of(end)
        self._throttle.failed()
        if self.attempt >= policy.attempts or not self._throttle.allows or pushback == STOP:
            return None
        self.attempt += 1
        if pushback is not None:
            self._backoff = policy.first_backoff
            return pushback
        wait = self._backoff * random.uniform(1 - _JITTER, 1 + _JITTER)
        self._backoff = min(self._backoff * policy.multiplier, policy.longest_backoff)
        return min(wait, policy.longest_backoff)


def pushback_of(end: Any) -> float | None:
    """Seconds that the server wants a caller to wait before the next attempt, ``STOP``, or ``None``."""
    for key, value in unpack(end.trailing_metadata):
        if key == "grpc-retry-pushback-ms":
            return int(value) / 1000 if isinstance(value, str) and value.isdecimal() else STOP
    return None
