"""Intercepted calls of the four kinds."""

from __future__ import annotations

from typing import Any

from grpc import aio

from protosocket.grpc.client.answered import (
    AnsweredUnaryCall,
    IteratedStreamStreamCall,
    IteratedUnaryStreamCall,
)
from protosocket.grpc.client.call_options import CallOptions
from protosocket.grpc.client.intercepted_call import (
    Intercepted,
    InterceptedStreamResponse,
    InterceptedUnaryResponse,
)
from protosocket.grpc.client.intercepted_requests import InterceptedStreamRequest

__all__ = [
    "InterceptedStreamStreamCall",
    "InterceptedStreamUnaryCall",
    "InterceptedUnaryStreamCall",
    "InterceptedUnaryUnaryCall",
]


class InterceptedUnaryUnaryCall(InterceptedUnaryResponse, aio.UnaryUnaryCall[Any, Any]):
    """One request, one response; an interceptor may answer by itself."""

    _intercept = "intercept_unary_unary"

    def __init__(
        self,
        method: Intercepted,
        request: Any,
        options: CallOptions,
    ) -> None:
        self._start(method, request, options)

    def _adopted(self, result: Any) -> Any:
        return result if isinstance(result, aio.UnaryUnaryCall) else AnsweredUnaryCall(result)


class InterceptedUnaryStreamCall(InterceptedStreamResponse, aio.UnaryStreamCall[Any, Any]):
    """One request, many responses; an interceptor may put its own iterator in their place."""

    _intercept = "intercept_unary_stream"
    _last: Any = None

    def __init__(
        self,
        method: Intercepted,
        request: Any,
        options: CallOptions,
    ) -> None:
        self._start(method, request, options)

    def _called(self, call: Any) -> Any:
        self._last = call
        return call

    def _adopted(self, result: Any) -> Any:
        if not isinstance(result, aio.UnaryStreamCall):
            result = IteratedUnaryStreamCall(self._last, result)
        self._last = result
        return result


class InterceptedStreamUnaryCall(
    InterceptedStreamRequest, InterceptedUnaryResponse, aio.StreamUnaryCall[Any, Any]
):
    """Many requests, one response."""

    _intercept = "intercept_stream_unary"

    def __init__(
        self,
        method: Intercepted,
        requests: Any,
        options: CallOptions,
    ) -> None:
        requests = self._iterator_of(requests)
        self._start(method, requests, options)


class InterceptedStreamStreamCall(
    InterceptedStreamRequest, InterceptedStreamResponse, aio.StreamStreamCall[Any, Any]
):
    """Many requests, many responses; an interceptor may put its own iterator in the responses' place."""

    _intercept = "intercept_stream_stream"
    _last: Any = None

    def __init__(
        self,
        method: Intercepted,
        requests: Any,
        options: CallOptions,
    ) -> None:
        requests = self._iterator_of(requests)
        self._start(method, requests, options)

    def _called(self, call: Any) -> Any:
        self._last = call
        return call

    def _adopted(self, result: Any) -> Any:
        if not isinstance(result, aio.StreamStreamCall):
            result = IteratedStreamStreamCall(self._last, result)
        self._last = result
        return result
