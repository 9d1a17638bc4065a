"""protosocket: message-oriented TCP streams and RPC, wire-compatible with the Rust crate.

``connect`` and ``listen`` carry messages; ``protosocket.rpc`` carries calls on them; ``protosocket.codecs``
says what a message is. Addresses are URLs, timeouts are seconds, sizes are bytes, and every error is a
``protosocket.Error``.
"""

from __future__ import annotations

from protosocket import codecs, errors, rpc
from protosocket.connection import (
    TLS,
    Connection,
    Opening,
    Server,
    Workers,
    connect,
    listen,
    run_workers,
    start_workers,
)
from protosocket.errors import Error
from protosocket.options import ConnectionOptions
from protosocket.telemetry import ConnectionStatistics, LoopLag

# fmt: off
__all__ = [
    "TLS", "Connection", "ConnectionOptions", "ConnectionStatistics", "Error", "LoopLag", "Opening", "Server",
    "Workers", "codecs", "connect", "errors", "listen", "rpc", "run_workers", "start_workers",
]
# fmt: on
