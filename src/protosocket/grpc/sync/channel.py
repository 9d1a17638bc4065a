"""Blocking channels, for code made for ``grpc.insecure_channel``: the asynchronous one in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import ChannelConnectivity, aio

from protosocket.event_loops import background_task
from protosocket.grpc.client.channels import insecure_channel, secure_channel
from protosocket.grpc.sync.loop import LoopThread
from protosocket.grpc.sync.methods import SyncStreamStream, SyncStreamUnary, SyncUnaryStream, SyncUnaryUnary

__all__ = ["SyncChannel", "sync_insecure_channel", "sync_secure_channel"]

Arguments = Sequence[tuple[str, Any]]
Watcher = Callable[[ChannelConnectivity], None]


class SyncChannel(grpc.Channel):
    """The interface of ``grpc.Channel`` over a channel of ``protosocket.grpc``; every thread may use it.

    Its event loop runs in a thread of its own until ``close``. ``grpc.intercept_channel`` and
    ``grpc.channel_ready_future`` work with it.
    """

    def __init__(self, make: Callable[[], aio.Channel]) -> None:
        self._channel = make()
        self.thread = LoopThread("protosocket-channel")
        """Runs everything that the channel does."""
        self._watching: dict[Watcher, asyncio.Task[None]] = {}

    def __del__(self) -> None:
        # Without waiting: garbage may be collected in the loop's own thread.
        if hasattr(self, "_watching"):
            self.thread.stop(self._closing(), wait=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every call, close the connections and end the thread. May be repeated, by several threads.

        A channel that nobody holds closes itself; multicallables and calls hold it.
        """
        self.thread.stop(self._closing())

    def _closing(self) -> Callable[[], Coroutine[Any, Any, None]]:
        # It does not hold this object, which may be about to be collected.
        watching, channel = self._watching, self._channel

        async def close() -> None:
            for task in list(watching.values()):
                task.cancel()
            await channel.close()

        return close

    def subscribe(self, callback: Watcher, try_to_connect: bool | None = False) -> None:
        """Call ``callback`` with the state now and after each change, in a thread of its own."""
        self.thread.run(self._subscribe(callback, bool(try_to_connect)))

    async def _subscribe(self, callback: Watcher, try_to_connect: bool) -> None:
        task = background_task(asyncio.get_running_loop(), self._watch(callback, try_to_connect))
        self._watching[callback] = task

    async def _watch(self, callback: Watcher, try_to_connect: bool) -> None:
        while True:
            state = self._channel.get_state(try_to_connect)
            await asyncio.to_thread(callback, state)
            await self._channel.wait_for_state_change(state)

    def unsubscribe(self, callback: Watcher) -> None:
        """Call ``callback`` no more."""
        task = self._watching.pop(callback, None)
        if task is not None:
            self.thread.call_soon(task.cancel)

    def unary_unary(self, method: str, *serializers: Any, **named: Any) -> Any:
        """What calls ``method``: one request, one response."""
        return SyncUnaryUnary(self, self._channel.unary_unary(method, *serializers, **named))

    def unary_stream(self, method: str, *serializers: Any, **named: Any) -> Any:
        """What calls ``method``: one request, many responses."""
        return SyncUnaryStream(self, self._channel.unary_stream(method, *serializers, **named))

    def stream_unary(self, method: str, *serializers: Any, **named: Any) -> Any:
        """What calls ``method``: many requests, one response."""
        return SyncStreamUnary(self, self._channel.stream_unary(method, *serializers, **named))

    def stream_stream(self, method: str, *serializers: Any, **named: Any) -> Any:
        """What calls ``method``: many requests, many responses."""
        return SyncStreamStream(self, self._channel.stream_stream(method, *serializers, **named))


def sync_insecure_channel(
    target: str, options: Arguments | None = None, compression: grpc.Compression | None = None
) -> SyncChannel:
    """A blocking channel to ``target`` over protosocket, with the interface of ``grpc.insecure_channel``.

    Options and errors are those of ``protosocket.grpc.insecure_channel``.
    """
    return SyncChannel(lambda: insecure_channel(target, options, compression))


def sync_secure_channel(
    target: str,
    credentials: grpc.ChannelCredentials,
    options: Arguments | None = None,
    compression: grpc.Compression | None = None,
) -> SyncChannel:
    """A blocking channel to ``target`` over protosocket and TLS, as ``grpc.secure_channel``.

    Options and errors are those of ``protosocket.grpc.secure_channel``.
    """
    return SyncChannel(lambda: secure_channel(target, credentials, options, compression))
