"""What a call needs of the channel that it is made on: the interface between the two."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from protosocket.grpc.client.channel_options import ChannelOptions
from protosocket.grpc.client.connection import ClientConnection
from protosocket.grpc.client.first_message import FirstMessage
from protosocket.grpc.client.retry_policy import Throttle
from protosocket.grpc.client.service_config import ServiceConfig

__all__ = ["CallChannel", "CallHolder", "Cancellable"]


class Cancellable(Protocol):
    """A call."""

    def cancel(self) -> bool:
        """End it; false if it had ended."""
        ...


class CallHolder(Protocol):
    """What there is to know of a channel while interceptors are still at work on a call."""

    def require_open(self) -> None:
        """Raise ``grpc.aio.UsageError`` if the channel is closed."""
        ...

    def require_loop(self) -> asyncio.AbstractEventLoop:
        """The running event loop; raises ``EventLoopError`` if the channel belongs to another one."""
        ...

    def hold(self, task: asyncio.Task[Any], call: Cancellable) -> None:
        """Keep a call that waits to be sent until ``task`` has sent it."""
        ...


class CallChannel(CallHolder, Protocol):
    """Where a call gets its connection."""

    connection: ClientConnection | None
    """The connection that takes all calls now; ``None`` if ``pick`` has to choose or to connect."""
    has_call_credentials: bool
    """Whether every call has to ask for credentials before it is sent."""
    options: ChannelOptions
    config: ServiceConfig
    throttle: Throttle

    def pick(self) -> ClientConnection | None:
        """The connection for the next call, if one is there."""
        ...

    async def until_ready(self, wait_for_ready: bool) -> ClientConnection:
        """Wait for a connection that takes a call.

        Raises ``Unavailable`` if there is none to be had and ``wait_for_ready`` is false.
        """
        ...

    async def add_call_credentials(self, first: FirstMessage) -> None:
        """Let the channel's and the call's credentials add their metadata.

        Raises ``grpc.aio.AioRpcError`` if one of them fails, and if the connection is not protected.
        """
        ...
