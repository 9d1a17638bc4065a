"""The settings of a channel, taken from gRPC's list of channel arguments."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from protosocket.options import ConnectionOptions

__all__ = ["ChannelOptions"]

_MiB: Final = 1024 * 1024

_UNLIMITED: Final = 2**31 - 1
"""Bytes: what gRPC's -1 means here."""

_REFUSED_BY_NAME: Final = 16 * _MiB
"""Bytes that a message may be longer than the limit and still fail its call only."""

_NEVER: Final = 2**31 - 1
"""Milliseconds: how gRPC says that no pings are wanted."""

_ENVELOPE: Final = 1 * _MiB
"""Bytes around a payload: metadata, mostly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelOptions:
    """What a channel holds its calls and connections to. Sizes are in bytes, times in seconds."""

    send_limit: int = sys.maxsize
    """The longest request; ``grpc.max_send_message_length``, -1 for no limit."""

    receive_limit: int = 4 * _MiB
    """The longest response; ``grpc.max_receive_message_length``, -1 for no limit. A longer one fails its
    call, or if it is more than 16 MiB longer, its connection."""

    window: int = 256 * 1024
    """What the server may send ahead of the reader in each stream; ``grpc.http2.lookahead_bytes``."""

    first_backoff: float = 1.0
    """Wait after the first failed attempt to connect; ``grpc.initial_reconnect_backoff_ms``. Each further
    wait is 1.6 times as long, up to ``longest_backoff``, and varies by a fifth."""

    longest_backoff: float = 120.0
    """``grpc.max_reconnect_backoff_ms``."""

    connect_timeout: float = 20.0
    """The longest an attempt to connect may take; ``grpc.min_reconnect_backoff_ms``."""

    target_name: str = ""
    """The name to find in the server's certificate instead of the target's;
    ``grpc.ssl_target_name_override``."""

    ping_after: float = 0.0
    """Silence after which the server is asked to send a ping, 0 asks for none; ``grpc.keepalive_time_ms``.
    The server is sent pings where it asks for them, whatever is set here."""

    ping_timeout: float = 20.0
    """Further silence after which the connection is given up; ``grpc.keepalive_timeout_ms``."""

    policy: str = ""
    """How calls are spread over several addresses, if the service config does not say;
    ``grpc.lb_policy_name``."""

    service_config: str = ""
    """The service config, JSON; ``grpc.service_config``."""

    retries: bool = True
    """Whether the service config's retries and hedging are made; ``grpc.enable_retries``."""

    @classmethod
    def of(cls, arguments: Iterable[tuple[str, Any]] | None) -> ChannelOptions:
        """The settings that ``arguments`` make; those about HTTP/2 and unknown ones mean nothing here."""
        settings: dict[str, Any] = {}
        for name, value in arguments or ():
            match name:
                case "grpc.max_send_message_length":
                    settings["send_limit"] = sys.maxsize if value < 0 else value
                case "grpc.max_receive_message_length":
                    settings["receive_limit"] = _UNLIMITED if value < 0 else value
                case "grpc.http2.lookahead_bytes":
                    settings["window"] = max(1, value)
                case "grpc.initial_reconnect_backoff_ms":
                    settings["first_backoff"] = value / 1000
                case "grpc.max_reconnect_backoff_ms":
                    settings["longest_backoff"] = value / 1000
                case "grpc.min_reconnect_backoff_ms":
                    settings["connect_timeout"] = max(value, 1) / 1000
                case "grpc.ssl_target_name_override":
                    settings["target_name"] = value
                case "grpc.keepalive_time_ms":
                    settings["ping_after"] = 0.0 if value >= _NEVER else value / 1000
                case "grpc.keepalive_timeout_ms":
                    settings["ping_timeout"] = value / 1000
                case "grpc.lb_policy_name":
                    settings["policy"] = value
                case "grpc.service_config":
                    settings["service_config"] = value
                case "grpc.enable_retries":
                    settings["retries"] = bool(value)
                case _:
                    pass
        return cls(**settings)

    def connection(self) -> ConnectionOptions:
        """The settings of each connection."""
        longest = min(self.receive_limit + _REFUSED_BY_NAME + _ENVELOPE, _UNLIMITED)
        return ConnectionOptions(
            receive_limit=longest,
            # Windows bound what streams queue; unary calls should not wait for one another.
            send_queue_messages=4096,
            send_queue_bytes=4 * _MiB,
            connect_timeout=self.connect_timeout,
        )
