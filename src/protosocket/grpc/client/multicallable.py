"""The multicallables of the four kinds: calling one makes a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any

import grpc
from grpc import aio

from protosocket.errors import EncodeError
from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.client.call_options import CallOptions, Pairs
from protosocket.grpc.client.calls import StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from protosocket.grpc.client.first_message import LONGEST, FirstMessage
from protosocket.grpc.client.hedging import hedge_unary
from protosocket.grpc.client.intercepted import (
    InterceptedStreamStreamCall,
    InterceptedStreamUnaryCall,
    InterceptedUnaryStreamCall,
    InterceptedUnaryUnaryCall,
)
from protosocket.grpc.client.launching import MultiCallable
from protosocket.grpc.client.responses import Responses
from protosocket.grpc.client.retry_loop import RetriedResponses, retry_stream, retry_unary
from protosocket.grpc.client.retry_policy import Retries
from protosocket.grpc.wire.envelope import Envelope

__all__ = [
    "StreamStreamMultiCallable",
    "StreamUnaryMultiCallable",
    "UnaryStreamMultiCallable",
    "UnaryUnaryMultiCallable",
]

AnyRequests = AsyncIterable[Any] | Iterable[Any] | None


class UnaryUnaryMultiCallable(MultiCallable, aio.UnaryUnaryMultiCallable[Any, Any]):
    """One request, one response."""

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Pairs | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> aio.UnaryUnaryCall[Any, Any]:
        """Make a call; ``timeout`` in seconds. Nothing is compressed, whatever ``compression`` says.

        Raises ``grpc.aio.UsageError`` if the channel is closed; everything else is raised by the call.
        """
        # Nearly all calls go this way, so nothing is done here that they do not need.
        connection = None
        timed = timeout is None or 0 < timeout <= LONGEST
        if timed and metadata is None and credentials is None and self.is_plain:
            connection = self.channel.connection or self.channel.pick()
        if connection is not None:
            method = self.method
            number, path = connection.numbers.get(self.path), ""
            if number is None:
                number, path = connection.next_number, self.path
            future = connection.new_future()
            try:
                payload = method.request(request)
                if timeout is None:
                    deadline = None
                    message = (
                        Envelope(method=number, path=path, payload=payload) if path else (number, payload)
                    )
                else:
                    deadline = connection.now() + timeout
                    milliseconds, microseconds = divmod(int(timeout * 1e6), 1000)
                    message = Envelope(
                        method=number,
                        path=path,
                        payload=payload,
                        timeout_ms=milliseconds,
                        timeout_us=microseconds,
                    )
                handle = connection.call(message, future, timeout, connection.loop)
            except (aio.AioRpcError, EncodeError, TypeError) as error:
                call = UnaryUnaryCall(method, future)
                call.fail(error)
                return call
            if handle:
                if path:
                    connection.knows(path, False)
                return UnaryUnaryCall(method, future, connection, handle, deadline)
            # It has to wait for room.
            call = UnaryUnaryCall(method, future)
            self.launch(call, payload, CallOptions(timeout, wait_for_ready=wait_for_ready))
            return call
        options = CallOptions(timeout, metadata, credentials, wait_for_ready)
        if self.interceptors:
            return InterceptedUnaryUnaryCall(self, request, options)
        return self.call_directly(request, options)

    def call_directly(
        self,
        argument: Any,
        options: CallOptions,
    ) -> UnaryUnaryCall:
        """Make a call that no interceptor sees."""
        call = UnaryUnaryCall(self.method, asyncio.get_running_loop().create_future())
        self.launch_with(call, argument, options)
        return call

    def _send(self, call: ClientCall, first: FirstMessage) -> None:
        config, throttle = self.method.config, self.channel.throttle
        if config.retry is not None:
            self._drive(call, retry_unary(call, self.method, first, Retries(config.retry, throttle)))
        elif config.hedging is not None:
            self._drive(call, hedge_unary(call, self.method, first, config.hedging, throttle))
        else:
            super()._send(call, first)


class UnaryStreamMultiCallable(MultiCallable, aio.UnaryStreamMultiCallable[Any, Any]):
    """One request, many responses."""

    streams = True

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Pairs | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> aio.UnaryStreamCall[Any, Any]:
        """Make a call, as ``UnaryUnaryMultiCallable`` does."""
        options = CallOptions(timeout, metadata, credentials, wait_for_ready)
        if self.interceptors:
            return InterceptedUnaryStreamCall(self, request, options)
        return self.call_directly(request, options)

    def call_directly(
        self,
        argument: Any,
        options: CallOptions,
    ) -> UnaryStreamCall:
        """Make a call that no interceptor sees."""
        method = self.method
        call = UnaryStreamCall(method, Responses() if method.config.retry is None else RetriedResponses())
        self.launch_with(call, argument, options)
        return call

    def _send(self, call: ClientCall, first: FirstMessage) -> None:
        policy = self.method.config.retry
        if policy is None or not isinstance(call, UnaryStreamCall):
            super()._send(call, first)
        else:
            retries = Retries(policy, self.channel.throttle)
            self._drive(call, retry_stream(call, self.channel, first, retries, call.responses))


class StreamUnaryMultiCallable(MultiCallable, aio.StreamUnaryMultiCallable[Any, Any]):
    """Many requests, one response."""

    def __call__(
        self,
        request_iterator: AnyRequests = None,
        timeout: float | None = None,
        metadata: Pairs | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> aio.StreamUnaryCall[Any, Any]:
        """Make a call, as ``UnaryUnaryMultiCallable`` does; without an iterator, requests are written."""
        options = CallOptions(timeout, metadata, credentials, wait_for_ready)
        if self.interceptors:
            return InterceptedStreamUnaryCall(self, request_iterator, options)
        return self.call_directly(request_iterator, options)

    def call_directly(
        self,
        argument: Any,
        options: CallOptions,
    ) -> StreamUnaryCall:
        """Make a call that no interceptor sees."""
        call = StreamUnaryCall(self.method)
        self.launch(call, None, options)
        call.feed_from(argument)
        return call


class StreamStreamMultiCallable(MultiCallable, aio.StreamStreamMultiCallable[Any, Any]):
    """Many requests, many responses."""

    streams = True

    def __call__(
        self,
        request_iterator: AnyRequests = None,
        timeout: float | None = None,
        metadata: Pairs | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> aio.StreamStreamCall[Any, Any]:
        """Make a call, as ``StreamUnaryMultiCallable`` does."""
        options = CallOptions(timeout, metadata, credentials, wait_for_ready)
        if self.interceptors:
            return InterceptedStreamStreamCall(self, request_iterator, options)
        return self.call_directly(request_iterator, options)

    def call_directly(
        self,
        argument: Any,
        options: CallOptions,
    ) -> StreamStreamCall:
        """Make a call that no interceptor sees."""
        call = StreamStreamCall(self.method)
        self.launch(call, None, options)
        call.feed_from(argument)
        return call
