"""What the load generator needs of a system under test: start, make a call, judge its answer, close."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from protosocket.cache.transports import FRONTS
from protosocket.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from protosocket.bench.operations import Operations

__all__ = ["Driver", "DriverFactory", "Endpoint", "Verdict", "find_driver"]

Verdict = Literal["miss", "wrong length", "wrong answer"] | None
"""What is wrong with an answer: None for nothing; a miss is an answer all the same, the others are errors."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a driver connects and how: ``urls`` each get ``connections`` connections; both timeouts in
    seconds (None: wait for as long as the connection lives).
    """

    urls: tuple[str, ...]
    connections: int = 1
    cache_name: str = "default"
    connect_timeout: float = 10.0
    request_timeout: float | None = None


class Driver(Protocol):
    """One system under test, as seen from one load generator process."""

    async def start(self) -> None:
        """Connect. Raises the system's own error if it cannot be reached."""
        ...

    def call(self, index: int, /) -> Awaitable[object]:
        """Begin operation ``index``; the awaitable is its answer or raises the system's own errors."""
        ...

    def verify(self, index: int, answer: object, /) -> Verdict:
        """Whether ``answer`` is what operation number ``index`` should give."""
        ...

    async def prefill(self, number: int) -> None:
        """Set entry ``number`` of the operations' ``prefill``."""
        ...

    async def close(self) -> None:
        """Disconnect; calls still in flight fail."""
        ...


class DriverFactory(Protocol):
    """Makes a driver; a driver's module offers one by name."""

    def __call__(self, endpoint: Endpoint, operations: Operations) -> Driver:
        """A driver that has not started yet."""
        ...


def find_driver(name: str) -> DriverFactory:
    """The factory called ``name``: a front of the cache's registry or any importable ``module:name``.

    Raises OptionError if there is none, and ModuleNotFoundError if a package it needs is not installed.
    """
    if name in FRONTS:
        made: DriverFactory = resolve_name("protosocket.bench.drivers.cache:driver_of")(FRONTS[name])
        return made
    if ":" not in name:
        raise OptionError(f"no driver {name!r}: there are {', '.join(FRONTS)}, or name one as 'module:name'")
    try:
        factory: DriverFactory = resolve_name(name)
    except AttributeError as error:
        raise OptionError(f"no driver {name!r}: {error}") from error
    return factory
