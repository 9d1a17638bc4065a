"""The channel: connections to a target, their state, and the methods that are called over them."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

import grpc
from grpc import ChannelConnectivity, aio

from protosocket.connection import Address, TLSOption
from protosocket.errors import Error, Unavailable
from protosocket.event_loops import require_loop
from protosocket.grpc.client.balancing import Policy, policy_of
from protosocket.grpc.client.call_channel import Cancellable
from protosocket.grpc.client.call_credentials import metadata_from, plugins_of
from protosocket.grpc.client.channel_options import ChannelOptions
from protosocket.grpc.client.connect_backoff import Backoff
from protosocket.grpc.client.connection import ClientConnection
from protosocket.grpc.client.first_message import FirstMessage
from protosocket.grpc.client.interceptors import sort_interceptors
from protosocket.grpc.client.method import Deserializer, Serializer
from protosocket.grpc.client.multicallable import (
    StreamStreamMultiCallable,
    StreamUnaryMultiCallable,
    UnaryStreamMultiCallable,
    UnaryUnaryMultiCallable,
)
from protosocket.grpc.client.retry_policy import Throttle
from protosocket.grpc.client.service_config import read_service_config
from protosocket.grpc.client.subchannel import Subchannel
from protosocket.grpc.target import addresses_of
from protosocket.grpc.wire.metadata import checked
from protosocket.grpc.wire.status import failure, rpc_error

__all__ = ["Channel"]

_UNPROTECTED: Final = failure(
    grpc.StatusCode.UNAUTHENTICATED,
    "Established channel does not have a sufficient security level to transfer call credential.",
)

P = ParamSpec("P")
R = TypeVar("R")


class Channel(aio.Channel):
    """Calls over protosocket with the interface of ``grpc.aio.Channel``; made by ``insecure_channel``.

    It connects when it is first used. It belongs to the event loop in which that is: in another one, in
    another thread and after that loop was closed, its methods and calls raise ``EventLoopError``. A channel
    that is forgotten without ``close`` cuts its connections off.
    """

    def __init__(
        self,
        target: str,
        tls: TLSOption | None,
        options: ChannelOptions,
        interceptors: Sequence[aio.ClientInterceptor] | None,
        plugins: Sequence[Any] = (),
    ) -> None:
        self.target = target
        self.options = options
        self.connection: ClientConnection | None = None
        """The connection that takes all calls now; ``None`` if ``pick`` has to choose or to connect."""
        self.has_call_credentials = bool(plugins)
        """Whether every call has to ask for credentials before it is sent."""
        self._plugins = plugins
        self._is_secure = tls is not None
        self._interceptors = sort_interceptors(interceptors or ())
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state_waiters: list[asyncio.Future[None]] = []
        self._waiting: dict[asyncio.Task[Any], Cancellable] = {}
        self.config = read_service_config(options.service_config)
        """What the service config says; without retries and hedging if the options say so."""
        if not options.retries:
            self.config = self.config.without_retries()
        self.throttle = Throttle(self.config.throttling)
        self._tls = tls
        name = self.config.policy or options.policy or "pick_first"
        # They hold the channel weakly, so that one that is forgotten can be collected.
        self._policy: Policy = policy_of(
            name,
            addresses_of(target, tls is not None),
            _weakly(self._make),
            Backoff(options.first_backoff, options.longest_backoff),
            _weakly(self._wake),
        )

    def __del__(self) -> None:
        if hasattr(self, "_policy"):
            self._policy.stop()
            for subchannel in self._policy.subchannels():
                subchannel.abandon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # The state.

    def get_state(self, try_to_connect: bool = False) -> ChannelConnectivity:
        """The state of the connections together; ``try_to_connect`` ends idleness."""
        if self._is_closed:
            return ChannelConnectivity.SHUTDOWN
        state = self._policy.state()
        if try_to_connect and state is ChannelConnectivity.IDLE:
            self.require_loop()
            self._policy.connect()
        return state

    async def wait_for_state_change(self, last_observed_state: ChannelConnectivity) -> None:
        """Return once the state is another than ``last_observed_state``.

        Raises ``grpc.aio.UsageError`` for a closed channel. Cancelling it changes nothing.
        """
        self.require_open()
        self.require_loop()
        while self.get_state() is last_observed_state:
            await self._state_changed()

    async def channel_ready(self) -> None:
        """Connect, and return once a connection is there; there is no limit of time but the caller's."""
        self.require_open()
        self.require_loop()
        while (state := self.get_state(try_to_connect=True)) is not ChannelConnectivity.READY:
            await self.wait_for_state_change(state)

    async def close(self, grace: float | None = None) -> None:
        """Take no further calls, wait up to ``grace`` seconds for those that run, then end them and close.

        Calls that had to be ended look cancelled by their caller. May be repeated. Cancelling it cuts the
        connections off at once.
        """
        if grace is not None and grace < 0:
            raise ValueError(f"grace must be non-negative, got {grace}.")
        if self._is_closed:
            return
        if self._loop is not None:
            self.require_loop()
        self._is_closed = True
        self.connection = None
        try:
            if grace:
                await self._drain(grace)
            subchannels = self._end_calls()
            await asyncio.gather(*(subchannel.close() for subchannel in subchannels))
        except asyncio.CancelledError:
            for subchannel in self._end_calls():
                subchannel.cut_off()
            raise
        finally:
            self._wake()

    def _end_calls(self) -> Sequence[Subchannel]:
        """Every call ends; what there is to close."""
        for call in list(self._waiting.values()):
            call.cancel()
        self._policy.stop()
        subchannels = self._policy.subchannels()
        for subchannel in subchannels:
            subchannel.cancel_calls()
        return subchannels

    async def _drain(self, grace: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._waiting:
                    await asyncio.wait(self._waiting)
                for subchannel in self._policy.subchannels():
                    await subchannel.until_quiet()

    async def next_change(self) -> None:
        """Wait until a connection has changed its state, or failed once more to be made."""
        self.require_open()
        await self._state_changed()

    def failure(self) -> Error | None:
        """Why there is no connection; ``None`` if nothing went wrong yet."""
        return self._policy.failure()

    # What calls use.

    def require_open(self) -> None:
        """Raise ``grpc.aio.UsageError`` if the channel is closed."""
        if self._is_closed:
            raise aio.UsageError("Channel is closed.")

    def require_loop(self) -> asyncio.AbstractEventLoop:
        """The running event loop; raises ``EventLoopError`` if the channel belongs to another one.

        It belongs to the first one.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        else:
            require_loop(self._loop, f"the channel to {self.target}")
        return self._loop

    def pick(self) -> ClientConnection | None:
        """The connection for the next call, if one is there."""
        return None if self._is_closed else self._policy.pick()

    async def until_ready(self, wait_for_ready: bool) -> ClientConnection:
        """Wait for a connection that takes a call.

        Raises ``Unavailable`` if there is none to be had and ``wait_for_ready`` is false.
        """
        self.require_loop()
        while True:
            connection = self._policy.pick()
            if connection is not None:
                return connection
            self._policy.connect()
            if not wait_for_ready and self._policy.state() is ChannelConnectivity.TRANSIENT_FAILURE:
                raise Unavailable(
                    f"failed to connect to all addresses; last error: {self._policy.failure() or 'unknown'}"
                )
            await self._state_changed()

    async def add_call_credentials(self, first: FirstMessage) -> None:
        """Let the channel's and the call's credentials add their metadata.

        Raises ``grpc.aio.AioRpcError`` if one of them fails, and if the connection is not protected.
        """
        plugins = list(self._plugins)
        if first.credentials is not None:
            plugins += plugins_of(first.credentials)
        if not plugins:
            return
        if not self._is_secure:
            raise rpc_error(_UNPROTECTED, aio.Metadata())
        service, _, method = first.path.rpartition("/")
        url = f"https://{self.target.rpartition('/')[2]}{service}"
        first.metadata += checked(await metadata_from(plugins, url, method))

    def hold(self, task: asyncio.Task[Any], call: Cancellable) -> None:
        """Keep a call that waits to be sent until ``task`` has sent it."""
        self._waiting[task] = call
        task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._waiting.pop(task, None)

    async def _state_changed(self) -> None:
        waiter = self.require_loop().create_future()
        self._state_waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._state_waiters:
                self._state_waiters.remove(waiter)

    def _changed(self, subchannel: Subchannel) -> None:
        if self._is_closed:
            return
        self._policy.changed(subchannel)
        self.connection = self._policy.only()
        self._wake()

    def _make(self, addresses: Sequence[Address]) -> Subchannel:
        return Subchannel(addresses, self._tls, self.options, self._changed)

    def _wake(self) -> None:
        waiters, self._state_waiters = self._state_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # The methods.

    def unary_unary(
        self,
        method: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
        _registered_method: bool | None = False,
    ) -> aio.UnaryUnaryMultiCallable[Any, Any]:
        """What calls ``method``: one request, one response."""
        interceptors = self._interceptors.unary_unary
        return UnaryUnaryMultiCallable(self, method, request_serializer, response_deserializer, interceptors)

    def unary_stream(
        self,
        method: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
        _registered_method: bool | None = False,
    ) -> aio.UnaryStreamMultiCallable[Any, Any]:
        """What calls ``method``: one request, many responses."""
        interceptors = self._interceptors.unary_stream
        return UnaryStreamMultiCallable(self, method, request_serializer, response_deserializer, interceptors)

    def stream_unary(
        self,
        method: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
        _registered_method: bool | None = False,
    ) -> aio.StreamUnaryMultiCallable[Any, Any]:
        """What calls ``method``: many requests, one response."""
        interceptors = self._interceptors.stream_unary
        return StreamUnaryMultiCallable(self, method, request_serializer, response_deserializer, interceptors)

    def stream_stream(
        self,
        method: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
        _registered_method: bool | None = False,
    ) -> aio.StreamStreamMultiCallable[Any, Any]:
        """What calls ``method``: many requests, many responses."""
        interceptors = self._interceptors.stream_stream
        return StreamStreamMultiCallable(
            self, method, request_serializer, response_deserializer, interceptors
        )


def _weakly(method: Callable[P, R]) -> Callable[P, R]:
    """``method`` without holding its object."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: P.args, **named: P.kwargs) -> R:
        bound = reference()
        if bound is None:
            raise ReferenceError("the channel is gone")
        return bound(*arguments, **named)

    return call
