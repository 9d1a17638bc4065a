"""What a server's options mean here: gRPC's channel arguments as limits of connections and calls."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from protosocket.errors import OptionError
from protosocket.options import ConnectionOptions

__all__ = ["UNLIMITED", "ServerSettings", "server_settings"]

_logger = logging.getLogger("protosocket")

MiB: Final = 1024 * 1024

UNLIMITED: Final = 2**31 - 1
"""Bytes: what gRPC's -1 means here."""

# A message over the limit is refused by name while it is at most so much longer; then the connection ends.
_REFUSED_BY_NAME: Final = 16 * MiB

# The envelope around a payload: metadata, mostly.
_ENVELOPE: Final = 1 * MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """What ``options`` of a server said; sizes in bytes, times in seconds."""

    max_receive: int = 4 * MiB
    """The longest request that is taken: ``grpc.max_receive_message_length``, -1 for no limit."""

    max_send: int = UNLIMITED
    """The longest response that is sent: ``grpc.max_send_message_length``, -1 for no limit."""

    reuse_port: bool = True
    """Whether other processes may listen on the same ports: ``grpc.so_reuseport``."""

    window: int = 256 * 1024
    """Bytes of requests that may wait unread in each call: ``grpc.http2.lookahead_bytes``."""

    ping_after: float = 0.0
    """Silence after which a client is asked to send a ping; 0 asks for none: ``grpc.keepalive_time_ms``."""

    greeting_timeout: float = 120.0
    """How long a client may take to greet: ``grpc.server_handshake_timeout_ms``."""

    ping_timeout: float = 20.0
    """Further silence after which such a client is given up: ``grpc.keepalive_timeout_ms``."""

    @property
    def connection(self) -> ConnectionOptions:
        """The options of each connection."""
        return ConnectionOptions(
            receive_limit=min(self.max_receive + _REFUSED_BY_NAME + _ENVELOPE, UNLIMITED),
            send_queue_messages=1024,
        )


def server_settings(options: Sequence[tuple[str, Any]]) -> ServerSettings:
    """Read gRPC's pairs of name and value; raises ``OptionError`` for a value that makes no sense.

    Names that are about HTTP/2 mean nothing on this wire; the ports for real gRPC get them as they are.
    """
    known: dict[str, Any] = {}
    for name, value in options:
        if name in ("grpc.max_receive_message_length", "grpc.max_send_message_length"):
            size = _whole(name, value, -1)
            known["max_receive" if "receive" in name else "max_send"] = UNLIMITED if size == -1 else size
        elif name == "grpc.so_reuseport":
            known["reuse_port"] = bool(_whole(name, value, 0))
        elif name == "grpc.http2.lookahead_bytes":
            known["window"] = _whole(name, value, 1)
        elif name == "grpc.keepalive_time_ms":
            known["ping_after"] = _whole(name, value, 1) / 1000
        elif name == "grpc.server_handshake_timeout_ms":
            known["greeting_timeout"] = _whole(name, value, 1) / 1000
        elif name == "grpc.keepalive_timeout_ms":
            known["ping_timeout"] = _whole(name, value, 1) / 1000
        else:
            _logger.debug("the server's option %s has no meaning on protosocket connections", name)
    return ServerSettings(**known)


def _whole(name: str, value: object, least: int) -> int:
    if not isinstance(value, int) or not least <= value <= UNLIMITED:
        raise OptionError(f"{name} is a whole number from {least} to {UNLIMITED}, not {value!r}")
    return int(value)
