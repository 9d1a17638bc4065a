"""gRPC stubs and servicers, as protoc generated them, over protosocket."""

from __future__ import annotations

from protosocket.grpc import requirement  # noqa: F401 - before anything imports grpc
from protosocket.grpc.client import FallbackChannel, fallback_channel, insecure_channel, secure_channel
from protosocket.grpc.credentials import ssl_channel_credentials, ssl_server_credentials
from protosocket.grpc.server import Server, server
from protosocket.grpc.sync import SyncChannel, sync_insecure_channel, sync_secure_channel

__all__ = [
    "FallbackChannel",
    "Server",
    "SyncChannel",
    "fallback_channel",
    "insecure_channel",
    "secure_channel",
    "server",
    "ssl_channel_credentials",
    "ssl_server_credentials",
    "sync_insecure_channel",
    "sync_secure_channel",
]
