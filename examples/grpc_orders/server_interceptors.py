"""What the server does around every call: it asks who calls, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import grpc

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]]

caller: ContextVar[str] = ContextVar("caller", default="nobody")
"""Whose call is being handled."""

OPEN_TO_ALL = ("/grpc.health.", "/grpc.reflection.")


class Authentication(grpc.aio.ServerInterceptor):
    """Refuses calls without a token; handlers find its owner in ``caller``."""

    def __init__(self, owners: dict[str, str]) -> None:
        self._owners = owners
        self._refusals = {
            streaming: kind(_refuse)
            for streaming, kind in {
                (False, False): grpc.unary_unary_rpc_method_handler,
                (False, True): grpc.unary_stream_rpc_method_handler,
                (True, False): grpc.stream_unary_rpc_method_handler,
                (True, True): grpc.stream_stream_rpc_method_handler,
            }.items()
        }

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN_TO_ALL):
            return handler
        metadata = dict(handler_call_details.invocation_metadata)
        owner = self._owners.get(str(metadata.get("authorization")))
        if owner is None:
            return self._refusals[handler.request_streaming, handler.response_streaming]
        caller.set(owner)
        return handler


async def _refuse(_: object, context: grpc.aio.ServicerContext) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")


class Count(grpc.aio.ServerInterceptor):
    """Counts the calls of each method."""

    def __init__(self) -> None:
        self.calls = Counter[str]()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler:
        self.calls[handler_call_details.method] += 1
        return await continuation(handler_call_details)
