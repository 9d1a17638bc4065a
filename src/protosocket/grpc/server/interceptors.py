"""How a server finds the handler of a call: through its interceptors, in what was registered with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import grpc

__all__ = ["CallDetails", "Handlers"]

# What grpc.method_handlers_generic_handler makes: it looks at nothing but the method's name.
_ByName: Final = type(grpc.method_handlers_generic_handler("protosocket.grpc.None", {}))

_Next = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class CallDetails(grpc.HandlerCallDetails):
    """What interceptors and generic handlers are told of a call."""

    def __init__(self, method: str, invocation_metadata: Any) -> None:
        self.method = method
        self.invocation_metadata = invocation_metadata


class Handlers:
    """What was registered with a server, and its interceptors."""

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> None:
        strangers = [each for each in interceptors if not isinstance(each, grpc.aio.ServerInterceptor)]
        if strangers:
            raise ValueError(f"Interceptor must be ServerInterceptor, the following are invalid: {strangers}")
        self.interceptors = tuple(interceptors)
        self.generic: list[grpc.GenericRpcHandler] = []
        self.registered: dict[str, Mapping[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        self._by_path: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def register(self, service: str, methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        """Handle ``/service/name`` for each name in ``methods``; this goes before generic handlers."""
        self.registered[service] = methods
        self._by_path.update({f"/{service}/{name}": handler for name, handler in methods.items()})

    def fixed(self, path: str) -> tuple[bool, Any]:
        """Whether every call of ``path`` has the same handler, and that one; ``None`` if it has none.

        It has not where interceptors, or generic handlers of the user's making, may look at the call.
        """
        if self.interceptors:
            return False, None
        handler = self._by_path.get(path)
        if handler is not None:
            return True, handler
        details = CallDetails(path, ())
        for generic in self.generic:
            if type(generic) is not _ByName:
                return False, None
            handler = generic.service(details)
            if handler is not None:
                return True, handler
        return True, None

    def knows(self, path: str) -> bool:
        """Whether ``path`` has a handler that nothing else decides on."""
        is_fixed, handler = self.fixed(path)
        return is_fixed and handler is not None

    async def find(self, path: str, invocation_metadata: Any) -> Any:
        """The handler of one call, or ``None``; raises what interceptors and generic handlers raise."""
        return await self._continuation(0)(CallDetails(path, invocation_metadata))

    def _continuation(self, index: int) -> _Next:
        if index == len(self.interceptors):
            return self._look_up

        async def go_on(details: grpc.HandlerCallDetails) -> Any:
            return await self.interceptors[index].intercept_service(self._continuation(index + 1), details)

        return go_on

    async def _look_up(self, details: Any) -> Any:
        handler = self._by_path.get(details.method)
        if handler is not None:
            return handler
        for generic in self.generic:
            handler = generic.service(details)
            if handler is not None:
                return handler
        return None
