"""Blocking channels and calls: those of the asynchronous client, whose event loop runs in a thread."""

from __future__ import annotations

from protosocket.grpc.sync.channel import SyncChannel, sync_insecure_channel, sync_secure_channel

__all__ = ["SyncChannel", "sync_insecure_channel", "sync_secure_channel"]
