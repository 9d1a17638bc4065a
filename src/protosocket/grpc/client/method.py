"""One method of a channel, as data: its path, its serialisers, its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import grpc
from grpc import aio

from protosocket.grpc.client.call_channel import CallChannel
from protosocket.grpc.client.service_config import MethodConfig
from protosocket.limited_log import limited_log

__all__ = ["Method"]

Serializer = Callable[[Any], bytes] | None
Deserializer = Callable[[bytes], Any] | None


@dataclass(frozen=True, eq=False, slots=True)
class Method:
    """What a call knows of its method, and of the channel that it is made on."""

    channel: CallChannel
    path: str
    streams: bool
    """Whether the answer is a stream."""
    serializer: Serializer
    deserializer: Deserializer
    config: MethodConfig
    """What the service config says of it."""
    send_limit: int
    """Bytes."""
    receive_limit: int
    """Bytes."""

    @classmethod
    def on(
        cls,
        channel: CallChannel,
        path: str,
        streams: bool,
        serializer: Serializer,
        deserializer: Deserializer,
    ) -> Self:
        """The method ``path`` of ``channel``."""
        config = channel.config.method(path)
        send_limit = _least(channel.options.send_limit, config.send_limit)
        receive_limit = _least(channel.options.receive_limit, config.receive_limit)
        return cls(channel, path, streams, serializer, deserializer, config, send_limit, receive_limit)

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
        if len(payload) > self.send_limit:
            text = f"CLIENT: Sent message larger than max ({len(payload)} vs. {self.send_limit})"
            raise _error(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        return payload

    def response(self, payload: bytes | None) -> Any:
        """What ``payload`` means; raises ``grpc.aio.AioRpcError`` if it is too long or cannot be read."""
        payload = payload or b""
        if len(payload) > self.receive_limit:
            text = f"CLIENT: Received message larger than max ({len(payload)} vs. {self.receive_limit})"
            raise _error(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if self.deserializer is None:
            return payload
        try:
            return self.deserializer(payload)
        except Exception as error:
            limited_log.error("the deserializer of %s failed", self.path, exc_info=error)
            text = f"Exception deserializing response! {type(error).__name__}: {error}"
            raise _error(grpc.StatusCode.INTERNAL, text) from error


def _least(limit: int, other: int | None) -> int:
    return limit if other is None else min(limit, other)


def _error(code: grpc.StatusCode, details: str) -> aio.AioRpcError:
    return aio.AioRpcError(
        code, aio.Metadata(), aio.Metadata(), details=details, debug_error_string=f"{code.name}:{details}"
    )
