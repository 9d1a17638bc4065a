"""The service: what a server does with a request. One object for each connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from protosocket.errors import OptionError

__all__ = ["Handler", "Service", "handled_by", "handler_of"]

Handler = Callable[[Any], Awaitable[Any] | AsyncIterator[Any] | Any]
"""Takes a request and gives an awaitable for the one response, an async iterator of many, or the response."""


class Service:
    """Derive from this and write ``unary``, ``stream`` or both.

    One object serves one connection, so what belongs to the connection (a user, a subscription) is a plain
    attribute. Handlers of one connection run concurrently on its event loop; one that does not suspend
    runs in place, without a task. A handler that fails is logged, and its caller sees
    ``CancelledRemotely``; one that raises ``Rejected`` refuses the call without a log entry. When the
    caller cancels, or its connection is lost, ``asyncio.CancelledError`` is raised where the handler waits.
    """

    peer: str = "unknown peer"
    """Who is at the other end; set before ``connected``."""

    def connected(self) -> None:
        """The connection was made; no request has arrived."""

    def disconnected(self) -> None:
        """The connection has ended; handlers that ran were cancelled."""

    def unary(self, request: Any, /) -> Any:
        """Give the one response to ``request``: an async function, or an ordinary one that need not wait."""
        raise NotImplementedError

    def stream(self, request: Any, /) -> AsyncIterator[Any]:
        """Yield the responses to ``request``: an async generator. It pauses while the peer does not read."""
        raise NotImplementedError

    def select(self, request: Any, /) -> Handler:
        """Which method handles ``request``; to be written by a service that has more than one.

        It gives the method, not its result: ``return self.stream if request.follow else self.unary``.
        """
        raise NotImplementedError


def handled_by(kind: type[Service]) -> frozenset[str]:
    """Which of ``unary``, ``stream``, ``select`` a class has written; ``OptionError`` if that will not do."""
    if not (isinstance(kind, type) and issubclass(kind, Service)):
        raise OptionError(f"a service is derived from protosocket.rpc.Service, which {kind!r} is not")
    names = ("unary", "stream", "select")
    own = frozenset(name for name in names if getattr(kind, name) is not getattr(Service, name))
    if not own:
        raise OptionError(f"{kind.__name__} handles nothing: write unary or stream")
    if own == {"unary", "stream"}:
        raise OptionError(f"{kind.__name__} has both unary and stream: write select(request) to choose")
    return own


def handler_of(service: Service) -> Handler:
    """What to call with each request; ``OptionError`` if the service does not say."""
    own = handled_by(type(service))
    if "select" in own:
        select = service.select
        return lambda request: select(request)(request)
    return service.unary if "unary" in own else service.stream
