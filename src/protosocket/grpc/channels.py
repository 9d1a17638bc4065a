"""``insecure_channel`` and ``secure_channel``: what makes channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from grpc import aio

from protosocket.grpc.channel import Channel
from protosocket.grpc.channel_options import ChannelOptions

__all__ = ["insecure_channel"]


def insecure_channel(
    target: str,
    options: Sequence[tuple[str, Any]] | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[aio.ClientInterceptor] | None = None,
) -> aio.Channel:
    """A channel to ``target`` over protosocket, with the interface of ``grpc.aio.insecure_channel``.

    ``options`` are gRPC's channel arguments; ``ChannelOptions`` says which mean something here. Nothing is
    compressed, whatever ``compression`` says. Raises ``AddressError`` for a target that cannot be used,
    ``OptionError`` and ``ValueError`` for options and interceptors that cannot.
    """
    del compression
    return Channel(target, None, ChannelOptions.of(options), interceptors)
