"""A call that goes through interceptors: they run in a task, which gives the call they decide on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Generator
from typing import Any, Protocol, Self, cast

import grpc
from grpc import aio

from protosocket.errors import EventLoopError
from protosocket.event_loops import background_task
from protosocket.grpc.client.call_channel import CallHolder
from protosocket.grpc.client.call_options import CallOptions
from protosocket.grpc.wire.status import CANCELLED_HERE, details_of

__all__ = ["Intercepted", "InterceptedCall", "InterceptedStreamResponse", "InterceptedUnaryResponse"]


class Intercepted(Protocol):
    """The multicallable of intercepted calls."""

    path: str
    interceptors: list[Any]
    """The outermost first."""

    @property
    def channel(self) -> CallHolder:
        """What the call is made on."""
        ...

    def named(self, path: str) -> Self:
        """The same for another method: what an interceptor may ask for."""
        ...

    def call_directly(self, argument: Any, options: CallOptions) -> Any:
        """Make a call that no interceptor sees; ``argument`` is the request or the iterator of requests."""
        ...


class InterceptedCall:
    """The methods of ``grpc.aio.Call``, about the interceptors until those are done, then about the call.

    What an interceptor raises counts as the call's end. A call that nobody holds any more is cancelled.
    """

    _intercept: str
    """The interceptors' method."""
    _method: Intercepted
    _task: asyncio.Task[Any]

    def _start(
        self,
        method: Intercepted,
        argument: Any,
        options: CallOptions,
    ) -> None:
        method.channel.require_open()
        self._method = method
        pairs = aio.Metadata(*(options.metadata or ()))
        details = aio.ClientCallDetails(
            # Bytes, as in grpc.aio itself, whatever its types say.
            cast("str", method.path.encode()),
            options.timeout,
            pairs,
            options.credentials,
            options.wait_for_ready,
        )
        self._task = background_task(method.channel.require_loop(), self._run(0, details, argument))
        method.channel.hold(self._task, self)

    async def _run(self, index: int, details: aio.ClientCallDetails, argument: Any) -> Any:
        """What the interceptor at ``index`` makes of the call; after the last one, the call itself."""
        method = self._method
        if index < len(method.interceptors):
            intercept = getattr(method.interceptors[index], self._intercept)
            result = await intercept(functools.partial(self._run, index + 1), details, argument)
            return self._adopted(result)
        path = details.method.decode() if isinstance(details.method, bytes) else details.method
        options = CallOptions(details.timeout, details.metadata, details.credentials, details.wait_for_ready)
        return self._called(method.named(path).call_directly(argument, options))

    def _adopted(self, result: Any) -> Any:
        """What an interceptor returned, as a call."""
        return result

    def _called(self, call: Any) -> Any:
        """The call itself was made."""
        return call

    def _call(self) -> Any:
        """The call, or ``None`` if the interceptors are not done or have failed."""
        task = self._task
        if not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    def __del__(self) -> None:
        if hasattr(self, "_task") and not self._task.get_loop().is_closed():
            with contextlib.suppress(EventLoopError):
                self.cancel()

    def cancel(self) -> bool:
        """Stop the interceptors, or cancel the call; false if it had ended."""
        if not self._task.done():
            self._method.channel.require_loop()
            return self._task.cancel()
        call = self._call()
        return call is not None and call.cancel()

    def cancelled(self) -> bool:
        """Whether it was cancelled or ended with the status CANCELLED."""
        if not self._task.done():
            return False
        if self._task.cancelled():
            return True
        error = self._task.exception()
        if error is not None:
            return isinstance(error, aio.AioRpcError) and error.code() is grpc.StatusCode.CANCELLED
        return bool(self._task.result().cancelled())

    def done(self) -> bool:
        """Whether it has ended."""
        if not self._task.done():
            return False
        call = self._call()
        return call is None or call.done()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback`` with this object once it has ended; at once if it has."""
        if not self._task.done():
            self._task.add_done_callback(lambda _: self.add_done_callback(callback))
            return
        call = self._call()
        if call is None or call.done():
            callback(self)
        else:
            call.add_done_callback(lambda _: callback(self))

    def time_remaining(self) -> float | None:
        """Seconds until the call's deadline; ``None`` without one, and before the interceptors are done."""
        call = self._call()
        remaining: float | None = None if call is None else call.time_remaining()
        return remaining

    async def initial_metadata(self) -> Any:
        """The call's, or what an interceptor's error says."""
        return await self._ask("initial_metadata", None)

    async def trailing_metadata(self) -> Any:
        """The call's, or what an interceptor's error says."""
        return await self._ask("trailing_metadata", None)

    async def code(self) -> grpc.StatusCode:
        """The call's status, or what an interceptor's error says."""
        code: grpc.StatusCode = await self._ask("code", grpc.StatusCode.CANCELLED)
        return code

    async def details(self) -> str:
        """The status's text."""
        details: str = await self._ask("details", details_of(CANCELLED_HERE))
        return details

    async def debug_error_string(self) -> str:
        """The status in one line."""
        text: str = await self._ask("debug_error_string", "")
        return text

    async def _ask(self, what: str, if_cancelled: Any) -> Any:
        if not self._task.done():
            self._method.channel.require_loop()
            # A waiter who is cancelled does not cancel the call.
            await asyncio.wait((self._task,))
        if self._task.cancelled():
            return if_cancelled
        try:
            call = self._task.result()
        except aio.AioRpcError as error:
            return getattr(error, what)()
        return await getattr(call, what)()

    async def wait_for_connection(self) -> None:
        """Wait for the interceptors, then until the call was sent."""
        self._method.channel.require_loop()
        call = await self._task
        await call.wait_for_connection()


class InterceptedUnaryResponse(InterceptedCall):
    """The half of a call whose answer is one message."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the interceptors, then for the answer; raises what either raises."""
        if not self._task.done():
            self._method.channel.require_loop()
        call = yield from self._task.__await__()
        return (yield from call.__await__())


class InterceptedStreamResponse(InterceptedCall):
    """The half of a call whose answer is a stream."""

    _iterator: Any = None

    def __aiter__(self) -> Any:
        """The responses."""
        return self

    async def __anext__(self) -> Any:
        """The next response."""
        if self._iterator is None:
            self._method.channel.require_loop()
            self._iterator = aiter(await self._task)
        return await anext(self._iterator)

    async def read(self) -> Any:
        """Wait for the next response; ``grpc.aio.EOF`` at the end."""
        try:
            return await InterceptedStreamResponse.__anext__(self)
        except StopAsyncIteration:
            return aio.EOF
