"""The multicallables of a channel that may fall back to gRPC: calls made before the decision wait for it."""

from __future__ import annotations

from typing import Any, Final, Protocol

from grpc import aio

from protosocket.grpc.client.call_channel import CallHolder
from protosocket.grpc.client.call_options import CallOptions
from protosocket.grpc.client.intercepted import (
    InterceptedStreamStreamCall,
    InterceptedStreamUnaryCall,
    InterceptedUnaryStreamCall,
    InterceptedUnaryUnaryCall,
)

__all__ = ["EitherStreamStream", "EitherStreamUnary", "EitherUnaryStream", "EitherUnaryUnary"]

_ARGUMENTS: Final = ("request", "timeout", "metadata", "credentials", "wait_for_ready", "compression")


class _DecidingChannel(CallHolder, Protocol):
    @property
    def chosen(self) -> aio.Channel | None: ...

    async def decide(self, wait: bool) -> aio.Channel: ...


class _Either:
    """Makes calls with the multicallable of the chosen channel.

    Until there is one, a call goes through an interceptor that waits for the decision: this object.
    """

    _intercepted: Any
    """The class of calls that wait."""

    def __init__(
        self, channel: _DecidingChannel, path: str, kind: str, serializers: Any, named: dict[str, Any]
    ) -> None:
        self.channel = channel
        self.path = path
        self.interceptors = [self]
        self._kind = kind
        self._serializers = serializers
        self._named = named
        self._chosen: Any = None

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Make a call, with the arguments of ``grpc.aio``'s multicallable of this kind."""
        if self._chosen is None and self.channel.chosen is not None:
            self._chosen = self._of(self.channel.chosen)
        if self._chosen is not None:
            return self._chosen(*given, **named)
        arguments = dict(zip(_ARGUMENTS, given, strict=False)) | named
        first = arguments.pop("request", None)
        first = arguments.pop("request_iterator", first)
        options = CallOptions(*(arguments.get(name) for name in _ARGUMENTS[1:-1]))
        return self._intercepted(self, first, options)

    def _of(self, channel: aio.Channel) -> Any:
        return getattr(channel, self._kind)(self.path, *self._serializers, **self._named)

    async def intercept(self, _continuation: Any, details: Any, argument: Any) -> Any:
        """Wait for the decision, and make the call."""
        channel = await self.channel.decide(wait=bool(details.wait_for_ready))
        return self._of(channel)(
            argument,
            timeout=details.timeout,
            metadata=details.metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )

    intercept_unary_unary = intercept_unary_stream = intercept
    intercept_stream_unary = intercept_stream_stream = intercept


class EitherUnaryUnary(_Either, aio.UnaryUnaryMultiCallable[Any, Any]):
    """One request, one response."""

    _intercepted = InterceptedUnaryUnaryCall


class EitherUnaryStream(_Either, aio.UnaryStreamMultiCallable[Any, Any]):
    """One request, many responses."""

    _intercepted = InterceptedUnaryStreamCall


class EitherStreamUnary(_Either, aio.StreamUnaryMultiCallable[Any, Any]):
    """Many requests, one response."""

    _intercepted = InterceptedStreamUnaryCall


class EitherStreamStream(_Either, aio.StreamStreamMultiCallable[Any, Any]):
    """Many requests, many responses."""

    _intercepted = InterceptedStreamStreamCall
