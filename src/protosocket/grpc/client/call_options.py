"""What a caller may say of one call beside its request."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from msgspec import Struct

__all__ = ["CallOptions", "Pairs"]

Pairs = Iterable[tuple[str, str | bytes]]
"""Metadata as a caller gives it."""


class CallOptions(Struct, frozen=True):
    """The settings of one call, as its caller or the last of its interceptors has them.

    There is no compression among them: nothing is compressed on this wire.
    """

    timeout: float | None = None
    """Seconds; ``None`` for no limit but the service config's."""
    metadata: Pairs | None = None
    credentials: grpc.CallCredentials | None = None
    """They add to those of the channel."""
    wait_for_ready: bool | None = None
    """Whether to wait while no connection can be made; ``None``: what the service config says."""
