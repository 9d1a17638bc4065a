"""The multicallables of a blocking channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from protosocket.grpc.sync.call import SyncStream, SyncUnary
from protosocket.grpc.sync.loop import HasThread

if TYPE_CHECKING:
    _UnaryUnary = grpc.UnaryUnaryMultiCallable[Any, Any]
    _UnaryStream = grpc.UnaryStreamMultiCallable[Any, Any]
    _StreamUnary = grpc.StreamUnaryMultiCallable[Any, Any]
    _StreamStream = grpc.StreamStreamMultiCallable[Any, Any]
else:
    # grpcio's own classes are not generic.
    _UnaryUnary, _UnaryStream = grpc.UnaryUnaryMultiCallable, grpc.UnaryStreamMultiCallable
    _StreamUnary, _StreamStream = grpc.StreamUnaryMultiCallable, grpc.StreamStreamMultiCallable

__all__ = ["SyncStreamStream", "SyncStreamUnary", "SyncUnaryStream", "SyncUnaryUnary"]


class _Sync:
    """Makes the calls of an asynchronous multicallable in the loop's thread."""

    def __init__(self, channel: HasThread, multicallable: Any) -> None:
        # A stub has nothing else of its channel, which closes when nobody holds it.
        self._channel = channel
        self._multicallable = multicallable

    def _make(self, given: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        names = ("timeout", "metadata", "credentials", "wait_for_ready", "compression")
        settings = dict(zip(names, given[1:], strict=False)) | settings
        request = given[:1]

        async def make() -> Any:
            return self._multicallable(*request, **settings)

        return self._channel.thread.run(make())

    def _make_stream(self, given: tuple[Any, ...], settings: dict[str, Any]) -> tuple[Any, Iterator[Any]]:
        requests = settings.pop("request_iterator", None) if not given else given[0]
        return self._make((None, *given[1:]), settings), requests


class SyncUnaryUnary(_Sync, _UnaryUnary):
    """One request, one response; the arguments are those of ``grpc.UnaryUnaryMultiCallable``."""

    def __call__(self, *given: Any, **settings: Any) -> Any:
        """Make a call and wait for its response."""
        return self.future(*given, **settings).result()

    def with_call(self, *given: Any, **settings: Any) -> Any:
        """Make a call and wait for its response; both."""
        call = self.future(*given, **settings)
        return call.result(), call

    def future(self, *given: Any, **settings: Any) -> Any:
        """Make a call."""
        return SyncUnary(self._channel, self._make(given, settings))


class SyncUnaryStream(_Sync, _UnaryStream):
    """One request, many responses; the arguments are those of ``grpc.UnaryStreamMultiCallable``."""

    def __call__(self, *given: Any, **settings: Any) -> Any:
        """Make a call, which is an iterator."""
        return SyncStream(self._channel, self._make(given, settings))


class SyncStreamUnary(_Sync, _StreamUnary):
    """Many requests, one response; the arguments are those of ``grpc.StreamUnaryMultiCallable``."""

    def __call__(self, *given: Any, **settings: Any) -> Any:
        """Make a call and wait for its response."""
        return self.future(*given, **settings).result()

    def with_call(self, *given: Any, **settings: Any) -> Any:
        """Make a call and wait for its response; both."""
        call = self.future(*given, **settings)
        return call.result(), call

    def future(self, *given: Any, **settings: Any) -> Any:
        """Make a call."""
        call, requests = self._make_stream(given, settings)
        return SyncUnary(self._channel, call, requests)


class SyncStreamStream(_Sync, _StreamStream):
    """Many requests, many responses; the arguments are those of ``grpc.StreamStreamMultiCallable``."""

    def __call__(self, *given: Any, **settings: Any) -> Any:
        """Make a call, which is an iterator."""
        call, requests = self._make_stream(given, settings)
        return SyncStream(self._channel, call, requests)
