"""What the client does around every call: it sends its token, and keeps a diary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

Continuation = Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]]


class _Everywhere:
    """What the interceptors of all four kinds share."""

    def __init__(self, token: str, diary: list[str]) -> None:
        self._token = token
        self._diary = diary

    async def _intercept(
        self, continuation: Continuation, details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("authorization", self._token))
        method = details.method.decode() if isinstance(details.method, bytes) else details.method
        call = await continuation(details._replace(metadata=metadata), request)
        call.add_done_callback(lambda _: self._diary.append(method.rpartition("/")[2]))
        return call


class UnaryUnary(_Everywhere, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation, client_call_details, request):
        return await self._intercept(continuation, client_call_details, request)


class UnaryStream(_Everywhere, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, client_call_details, request):
        return await self._intercept(continuation, client_call_details, request)


class StreamUnary(_Everywhere, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation, client_call_details, request_iterator):
        return await self._intercept(continuation, client_call_details, request_iterator)


class StreamStream(_Everywhere, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation, client_call_details, request_iterator):
        return await self._intercept(continuation, client_call_details, request_iterator)


def with_token(token: str, diary: list[str]) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors that send ``token`` with every call and write the finished ones into ``diary``."""
    return [kind(token, diary) for kind in (UnaryUnary, UnaryStream, StreamUnary, StreamStream)]
