"""Channels and their settings: every gRPC hop is tuned here, in one place.

What was tried, and what it brought, is in docs/decisions/0003-grpc-peer-tuning.md.
"""

from __future__ import annotations

import grpc
from grpc import aio

from protosocket.cache.grpc_address import parse_grpc_address

__all__ = ["CHANNEL_OPTIONS", "SERVER_OPTIONS", "open_channel", "token_metadata"]

_MESSAGE_LIMIT = 4 * 1024 * 1024  # bytes, the default of protosocket's own connections

_COMMON = (
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
    ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.enable_channelz", 0),
)

CHANNEL_OPTIONS = (
    *_COMMON,
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Neither is used between our own processes, and both are looked at for every call.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_http_proxy", 0),
    # A storage that comes back is used again within a second; one that never answers is given up after two.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Without this, channels to one address share a connection, and several channels bring nothing.
    ("grpc.use_local_subchannel_pool", 1),
)

SERVER_OPTIONS = (
    *_COMMON,
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


def open_channel(url: str) -> aio.Channel:
    """A channel to ``grpc://host:port`` that connects when it is first used; raises ``AddressError``."""
    return aio.insecure_channel(
        parse_grpc_address(url).target, options=CHANNEL_OPTIONS, compression=grpc.Compression.NoCompression
    )


def token_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata that shows ``token``."""
    return () if token is None else (("authorization", token),)
