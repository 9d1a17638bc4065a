"""The calling end: channels, their connections, and calls."""

from __future__ import annotations

from protosocket.grpc.client.channels import insecure_channel, secure_channel
from protosocket.grpc.client.fallback import FallbackChannel, fallback_channel

__all__ = ["FallbackChannel", "fallback_channel", "insecure_channel", "secure_channel"]
