"""Making calls of one method, with what caller and service config say of them."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from functools import partial
from typing import Any, Self

from grpc import aio

from protosocket.errors import EncodeError
from protosocket.event_loops import background_task
from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.client.call_channel import CallChannel
from protosocket.grpc.client.call_options import CallOptions
from protosocket.grpc.client.first_message import LONGEST, FirstMessage
from protosocket.grpc.client.method import Deserializer, Method, Serializer
from protosocket.grpc.client.starting import send_first, start
from protosocket.grpc.wire.metadata import checked
from protosocket.grpc.wire.status import EXPIRED

__all__ = ["MultiCallable"]


class MultiCallable:
    """What the multicallables of all four kinds have in common."""

    streams = False
    """Whether the answer is a stream."""

    def __init__(
        self,
        channel: CallChannel,
        path: str,
        serializer: Serializer,
        deserializer: Deserializer,
        interceptors: list[Any],
    ) -> None:
        self.path = path
        self.channel = channel
        self.interceptors = interceptors
        self.method = method = Method.on(channel, path, self.streams, serializer, deserializer)
        config = method.config
        self.is_plain = not (
            interceptors or channel.has_call_credentials or config.timeout or config.retry or config.hedging
        )
        """Whether a call needs nothing but a connection."""

    def named(self, path: str) -> Self:
        """This one for the method ``path``: what an interceptor may ask for."""
        if path == self.path:
            return self
        method = self.method
        return type(self)(self.channel, path, method.serializer, method.deserializer, self.interceptors)

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
            payload = self.method.request(request)
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
        config = self.method.config
        timeout, wait_for_ready = options.timeout, options.wait_for_ready
        if config.timeout is not None:
            timeout = config.timeout if timeout is None else min(timeout, config.timeout)
        if wait_for_ready is None:
            wait_for_ready = config.wait_for_ready
        if timeout is not None:
            if timeout > LONGEST:
                timeout = LONGEST
            call.set_deadline(timeout)
            if timeout <= 0:
                call.finish(EXPIRED)
                return
        wait = bool(wait_for_ready)
        self._send(call, FirstMessage(self.path, self.streams, payload, metadata, wait, options.credentials))

    def _send(self, call: ClientCall, first: FirstMessage) -> None:
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
