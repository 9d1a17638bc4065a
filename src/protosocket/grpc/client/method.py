"""One method of a channel: its path, its serialisers, its limits; what its calls are sent with."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc
from grpc import aio

from protosocket.errors import EncodeError
from protosocket.event_loops import background_task
from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.client.call_options import CallOptions
from protosocket.grpc.client.starting import LONGEST, First, send_first, start
from protosocket.grpc.wire.metadata import checked
from protosocket.grpc.wire.status import EXPIRED
from protosocket.limited_log import limited_log

if TYPE_CHECKING:
    from protosocket.grpc.client.channel import Channel

__all__ = ["Method"]


class Method:
    """What the multicallables of all four kinds have in common."""

    streams = False
    """Whether the answer is a stream."""

    def __init__(
        self,
        channel: Channel,
        path: str,
        serializer: Callable[[Any], bytes] | None,
        deserializer: Callable[[bytes], Any] | None,
        interceptors: list[Any],
    ) -> None:
        self.path = path
        self.channel = channel
        self.serializer = serializer
        self.deserializer = deserializer
        self.interceptors = interceptors
        self.config = config = channel.config.method(path)
        self.is_plain = not (
            interceptors or channel.has_call_credentials or config.timeout or config.retry or config.hedging
        )
        """Whether a call needs nothing but a connection."""
        self._send_limit = _least(channel.options.send_limit, config.send_limit)
        self._receive_limit = _least(channel.options.receive_limit, config.receive_limit)

    def named(self, path: str) -> Self:
        """This method under another path: what an interceptor may ask for."""
        if path == self.path:
            return self
        return type(self)(self.channel, path, self.serializer, self.deserializer, self.interceptors)

    def now(self) -> float:
        """The clock of deadlines, seconds."""
        return asyncio.get_running_loop().time()

    def request(self, request: Any) -> bytes:
        """``request`` as bytes; raises ``grpc.aio.AioRpcError`` if the serializer fails or makes too many."""
        try:
            payload = request if self.serializer is None else self.serializer(request)
        except Exception as error:
            limited_log.error("the serializer of %s failed", self.path, exc_info=error)
            text = f"Exception serializing request! {type(error).__name__}: {error}"
            raise _error(grpc.StatusCode.INTERNAL, text) from error
        if not isinstance(payload, bytes):
            raise TypeError(f"a request of {self.path} has to become bytes, not {type(payload).__name__}")
        if len(payload) > self._send_limit:
            text = f"CLIENT: Sent message larger than max ({len(payload)} vs. {self._send_limit})"
            raise _error(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        return payload

    def response(self, payload: bytes | None) -> Any:
        """What ``payload`` means; raises ``grpc.aio.AioRpcError`` if it is too long or cannot be read."""
        payload = payload or b""
        if len(payload) > self._receive_limit:
            text = f"CLIENT: Received message larger than max ({len(payload)} vs. {self._receive_limit})"
            raise _error(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if self.deserializer is None:
            return payload
        try:
            return self.deserializer(payload)
        except Exception as error:
            limited_log.error("the deserializer of %s failed", self.path, exc_info=error)
            text = f"Exception deserializing response! {type(error).__name__}: {error}"
            raise _error(grpc.StatusCode.INTERNAL, text) from error

    @abstractmethod
    def call_directly(
        self,
        argument: Any,
        options: CallOptions,
    ) -> Any:
        """Make a call that no interceptor sees; ``argument`` is the request or the iterator of requests."""

    def launch_with(
        self,
        call: ClientCall,
        request: Any,
        options: CallOptions,
    ) -> None:
        """``launch`` with ``request`` in the first message."""
        self.channel.require_open()
        try:
            payload = self.request(request)
        except (aio.AioRpcError, TypeError) as error:
            call.fail(error)
        else:
            self.launch(call, payload, options)

    def launch(
        self,
        call: ClientCall,
        payload: bytes | None,
        options: CallOptions,
    ) -> None:
        """Send the call's first message now if a connection can take it, else as soon as one can."""
        self.channel.require_open()
        try:
            metadata = checked(options.metadata)
        except (TypeError, ValueError, aio.InternalError) as error:
            call.fail(error)
            return
        timeout, wait_for_ready = options.timeout, options.wait_for_ready
        if self.config.timeout is not None:
            timeout = self.config.timeout if timeout is None else min(timeout, self.config.timeout)
        if wait_for_ready is None:
            wait_for_ready = self.config.wait_for_ready
        if timeout is not None:
            if timeout > LONGEST:
                timeout = LONGEST
            call.set_deadline(timeout)
            if timeout <= 0:
                call.finish(EXPIRED)
                return
        wait = bool(wait_for_ready)
        self._send(call, First(self.path, self.streams, payload, metadata, wait, options.credentials))

    def _send(self, call: ClientCall, first: First) -> None:
        channel = self.channel
        if first.credentials is None and not channel.has_call_credentials:
            connection = channel.connection or channel.pick()
            try:
                if connection is not None and send_first(call, connection, first):
                    return
            except EncodeError as error:
                call.fail(error)
                return
        self._drive(call, start(call, channel, first))

    def _drive(self, call: ClientCall, driver: Coroutine[Any, Any, None]) -> None:
        """Let a task send the call; what it raises is the call's error."""
        try:
            loop = self.channel.require_loop()
        except RuntimeError:
            driver.close()
            raise
        task = background_task(loop, driver)
        task.add_done_callback(partial(_driven, call))
        call.start_later(task)
        self.channel.hold(task, call)


def _driven(call: ClientCall, task: asyncio.Task[None]) -> None:
    """The task that was to send ``call`` has ended: if it failed, the call has, too."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, Exception):
        call.fail(error)


def _least(limit: int, other: int | None) -> int:
    return limit if other is None else min(limit, other)


def _error(code: grpc.StatusCode, details: str) -> aio.AioRpcError:
    return aio.AioRpcError(
        code, aio.Metadata(), aio.Metadata(), details=details, debug_error_string=f"{code.name}:{details}"
    )
