"""A channel that speaks protosocket where it is understood, and real gRPC where it is not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import ChannelConnectivity, aio

from protosocket.errors import ConnectError, ConnectionClosed
from protosocket.event_loops import background_task
from protosocket.grpc.client.channel import Channel
from protosocket.grpc.client.channels import insecure_channel, secure_channel
from protosocket.grpc.client.fallback_methods import (
    EitherStreamStream,
    EitherStreamUnary,
    EitherUnaryStream,
    EitherUnaryUnary,
)

__all__ = ["FallbackChannel", "fallback_channel"]

Arguments = Sequence[tuple[str, Any]]


class FallbackChannel(aio.Channel):
    """A channel of protosocket or of ``grpc.aio``, whichever the target answers.

    The first connection decides, once and for all: if the target is reached but does not greet in
    protosocket, within ``patience`` seconds, the channel is one of gRPC from then on. A target that cannot be
    reached decides nothing.
    """

    def __init__(self, ours: Channel, theirs: aio.Channel) -> None:
        self._ours = ours
        self._theirs = theirs
        self._chosen: aio.Channel | None = None
        self._deciding: asyncio.Task[aio.Channel] | None = None
        self._waiting: dict[asyncio.Task[Any], Any] = {}
        self._is_closed = False

    @property
    def chosen(self) -> aio.Channel | None:
        """The channel that was decided on; ``None`` before."""
        return self._chosen

    async def decide(self, wait: bool) -> aio.Channel:
        """The channel to use now: the final one, unless the target is out of reach and ``wait`` is false."""
        while True:
            if self._chosen is not None:
                return self._chosen
            channel = await self._try()
            if self._chosen is not None or not wait:
                return channel
            await self._ours.next_change()

    async def _try(self) -> aio.Channel:
        self.require_loop()
        if self._deciding is None or self._deciding.done():
            self._deciding = background_task(asyncio.get_running_loop(), self._decide())
        # Several calls may wait for it: one that is cancelled does not take it from the others.
        return await asyncio.shield(self._deciding)

    async def _decide(self) -> aio.Channel:
        ours = self._ours
        while (state := ours.get_state(try_to_connect=True)) is not ChannelConnectivity.READY:
            if state is ChannelConnectivity.SHUTDOWN:
                return ours
            if state is ChannelConnectivity.TRANSIENT_FAILURE:
                if not _is_understood(ours.failure()):
                    self._chosen = self._theirs
                    await ours.close()
                    return self._theirs
                return ours
            await ours.wait_for_state_change(state)
        self._chosen = ours
        await self._theirs.close()
        return ours

    def _current(self) -> aio.Channel:
        return self._ours if self._chosen is None else self._chosen

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def require_open(self) -> None:
        """Raise ``grpc.aio.UsageError`` if the channel is closed."""
        if self._is_closed:
            raise aio.UsageError("Channel is closed.")

    def require_loop(self) -> asyncio.AbstractEventLoop:
        """The running event loop; raises ``EventLoopError`` if the channel belongs to another one."""
        return self._ours.require_loop()

    def hold(self, task: asyncio.Task[Any], call: Any) -> None:
        """Keep a call that waits for the decision."""
        self._waiting[task] = call
        task.add_done_callback(lambda task: self._waiting.pop(task, None))

    def get_state(self, try_to_connect: bool = False) -> ChannelConnectivity:
        """The state of the chosen channel; before the decision, of protosocket's."""
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: ChannelConnectivity) -> None:
        """Return once the state is another than ``last_observed_state``."""
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Decide, connect, and return once a connection is there."""
        await (await self.decide(wait=True)).channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Close, as ``Channel.close`` does."""
        self.require_loop()
        self._is_closed = True
        for call in list(self._waiting.values()):
            call.cancel()
        if self._deciding is not None:
            self._deciding.cancel()
        await asyncio.gather(self._ours.close(grace), self._theirs.close(grace))

    def unary_unary(self, method: str, *serializers: Any, **named: Any) -> Any:
        """What calls ``method``: one request, one response."""
        return EitherUnaryUnary(self, method, "unary_unary", serializers, named)

    def unary_stream(self, method: str, *serializers: Any, **named: Any) -> Any:
        """What calls ``method``: one request, many responses."""
        return EitherUnaryStream(self, method, "unary_stream", serializers, named)

    def stream_unary(self, method: str, *serializers: Any, **named: Any) -> Any:
        """What calls ``method``: many requests, one response."""
        return EitherStreamUnary(self, method, "stream_unary", serializers, named)

    def stream_stream(self, method: str, *serializers: Any, **named: Any) -> Any:
        """What calls ``method``: many requests, many responses."""
        return EitherStreamStream(self, method, "stream_stream", serializers, named)


def _is_understood(failure: Exception | None) -> bool:
    """Whether the target was not reached at all, rather than reached and of another kind."""
    if isinstance(failure, ConnectError):
        # A gRPC server may end the TLS handshake of who does not ask for HTTP/2.
        return not isinstance(failure.__cause__, ssl.SSLError)
    return not isinstance(failure, ConnectionClosed)


def fallback_channel(
    target: str,
    credentials: grpc.ChannelCredentials | None = None,
    options: Arguments | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[aio.ClientInterceptor] | None = None,
    *,
    patience: float = 2.0,
) -> FallbackChannel:
    """A channel to ``target`` over protosocket if it answers that, else over real gRPC.

    Without ``credentials`` both are insecure. ``options`` and ``interceptors`` are given to both,
    ``compression`` to gRPC. ``patience`` is how many seconds a target that was reached may take to greet in
    protosocket. Raises what ``insecure_channel`` and ``secure_channel`` raise.
    """
    ours = (*(options or ()), ("grpc.min_reconnect_backoff_ms", max(1, round(patience * 1000))))
    if credentials is None:
        first = insecure_channel(target, ours, None, interceptors)
        second = aio.insecure_channel(target, options, compression, interceptors)
    else:
        first = secure_channel(target, credentials, ours, None, interceptors)
        second = aio.secure_channel(target, credentials, options, compression, interceptors)
    assert isinstance(first, Channel)
    return FallbackChannel(first, second)
