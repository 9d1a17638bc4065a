"""``insecure_channel`` and ``secure_channel``: what makes channels."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
from grpc import aio

from protosocket.connection import TLS, TLSOption
from protosocket.grpc.client.call_credentials import plugins_of
from protosocket.grpc.client.channel import Channel
from protosocket.grpc.client.channel_options import ChannelOptions
from protosocket.grpc.credentials import client_context

__all__ = ["insecure_channel", "secure_channel"]

Arguments = Sequence[tuple[str, Any]]


def insecure_channel(
    target: str,
    options: Arguments | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[aio.ClientInterceptor] | None = None,
) -> aio.Channel:
    """A channel to ``target`` over protosocket, with the interface of ``grpc.aio.insecure_channel``.

    ``options`` are gRPC's channel arguments; ``docs/grpc.md`` says which mean something here. Nothing is
    compressed, whatever ``compression`` says. Raises ``AddressError`` for a target that cannot be used,
    ``OptionError`` and ``ValueError`` for options and interceptors that cannot.
    """
    del compression
    return Channel(target, None, ChannelOptions.of(options), interceptors)


def secure_channel(
    target: str,
    credentials: grpc.ChannelCredentials,
    options: Arguments | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[aio.ClientInterceptor] | None = None,
) -> aio.Channel:
    """A channel to ``target`` over protosocket and TLS, with the interface of ``grpc.aio.secure_channel``.

    ``credentials`` come from ``ssl_channel_credentials``, gRPC's or protosocket's, alone or composed with
    call credentials. Raises ``ValueError`` for those of other kinds, and what ``insecure_channel`` raises.
    """
    del compression
    settings = ChannelOptions.of(options)
    transport, plugins = _parts(credentials)
    context = client_context(transport)
    tls: TLSOption = context
    if settings.target_name:
        tls = _Renamed(server_hostname=settings.target_name, context=context)
    return Channel(target, tls, settings, interceptors, plugins)


def _parts(credentials: grpc.ChannelCredentials) -> tuple[grpc.ChannelCredentials, list[Any]]:
    """The transport's credentials, and the plugins composed with them."""
    inner: Any = vars(credentials)["_credentials"]
    if not hasattr(inner, "_channel_credentials"):
        return credentials, []
    make = cast("Any", grpc.ChannelCredentials)
    transport, plugins = _parts(make(getattr(inner, "_channel_credentials")))  # noqa: B009 - another's
    return transport, plugins + plugins_of(credentials)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Renamed(TLS):
    """A context that looks for another name than the address's in the server's certificate."""

    context: ssl.SSLContext

    def client_context(self) -> ssl.SSLContext:
        """The context, as it is."""
        return self.context
