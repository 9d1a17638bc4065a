"""What an interceptor returns in place of a call: a response, or an iterator of responses."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator
from typing import Any

import grpc
from grpc import aio

__all__ = ["AnsweredUnaryCall", "IteratedStreamStreamCall", "IteratedUnaryStreamCall"]


class _Answered:
    """A call that has ended well."""

    def cancel(self) -> bool:
        """It has ended."""
        return False

    def cancelled(self) -> bool:
        """It has ended well."""
        return False

    def done(self) -> bool:
        """It has ended."""
        return True

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """It has ended."""
        callback(self)

    def time_remaining(self) -> float | None:
        """Nothing is waited for."""
        return None

    async def initial_metadata(self) -> aio.Metadata:
        """None was sent."""
        return aio.Metadata()

    async def trailing_metadata(self) -> aio.Metadata:
        """None was sent."""
        return aio.Metadata()

    async def code(self) -> grpc.StatusCode:
        """OK."""
        return grpc.StatusCode.OK

    async def details(self) -> str:
        """Nothing to say."""
        return ""

    async def debug_error_string(self) -> str:
        """Nothing to say."""
        return ""

    async def wait_for_connection(self) -> None:
        """Nothing is waited for."""


class AnsweredUnaryCall(_Answered, aio.UnaryUnaryCall[Any, Any]):
    """A response that an interceptor gave."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __await__(self) -> Generator[Any, None, Any]:
        """The response, at once."""
        return self._response
        yield


class _Iterated:
    """Responses from an interceptor's iterator; everything else is the call's that it was made from."""

    def __init__(self, call: Any, responses: AsyncIterable[Any]) -> None:
        self._call: Any = _Answered() if call is None else call
        self._responses = responses

    def __aiter__(self) -> AsyncIterator[Any]:
        return aiter(self._responses)

    async def read(self) -> Any:
        """The iterator's next response; ``grpc.aio.EOF`` at its end."""
        iterator = self._responses = aiter(self._responses)
        return await anext(iterator, aio.EOF)

    def cancel(self) -> bool:
        """Cancel the call."""
        return bool(self._call.cancel())

    def cancelled(self) -> bool:
        """The call's."""
        return bool(self._call.cancelled())

    def done(self) -> bool:
        """The call's."""
        return bool(self._call.done())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """The call's."""
        self._call.add_done_callback(callback)

    def time_remaining(self) -> float | None:
        """The call's."""
        remaining: float | None = self._call.time_remaining()
        return remaining

    async def initial_metadata(self) -> Any:
        """The call's."""
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        """The call's."""
        return await self._call.trailing_metadata()

    async def code(self) -> Any:
        """The call's."""
        return await self._call.code()

    async def details(self) -> Any:
        """The call's."""
        return await self._call.details()

    async def debug_error_string(self) -> Any:
        """The call's."""
        return await self._call.debug_error_string()

    async def wait_for_connection(self) -> None:
        """The call's."""
        await self._call.wait_for_connection()


class IteratedUnaryStreamCall(_Iterated, aio.UnaryStreamCall[Any, Any]):
    """Of a call with one request."""


class IteratedStreamStreamCall(_Iterated, aio.StreamStreamCall[Any, Any]):
    """Of a call whose requests stream."""

    async def write(self, request: Any) -> None:
        """Write to the call."""
        await self._call.write(request)

    async def done_writing(self) -> None:
        """End the call's requests."""
        await self._call.done_writing()
