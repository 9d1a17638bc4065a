"""The settings of a connection, in one frozen, validated object."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from protosocket.errors import OptionError

__all__ = ["ConnectionOptions", "parse_size"]

MiB = 1024 * 1024

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) *([A-Z]*)", re.ASCII)

_LARGEST = 2**63 - 1  # bytes, or messages

_LONGEST_BUSY_POLL = 1  # seconds; longer would only be a mistake of the unit
_LONGEST_KEEPALIVE = 32767  # seconds; Linux refuses a longer TCP_KEEPIDLE


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionOptions:
    """What both ends of a connection may take, hold and wait for.

    Sizes are in bytes, times in seconds. Raises ``OptionError`` for a value that makes no sense.
    """

    receive_limit: int = 4 * MiB
    """The largest message that is taken from the peer; a longer one ends the connection."""

    send_queue_messages: int = 256
    """Messages that may wait to be written before senders have to wait."""

    send_queue_bytes: int = 1 * MiB
    """Encoded bytes that may wait to be written before senders have to wait."""

    connect_timeout: float = 10.0
    """Longest time for the name lookup, the connection and the TLS handshake together; a listener
    gives an accepted peer this long for its TLS handshake. A first message that begins like another protocol
    (``PING``, ``PRI * HTTP/2.0``), which it may, has to arrive as a whole in this time."""

    close_timeout: float = 5.0
    """Longest time a graceful close waits for what is still to be written; then it is cut off."""

    nodelay: bool = True
    """TCP_NODELAY: a write leaves at once instead of waiting for the acknowledgement of the last one."""

    keepalive: float | None = None
    """Idle time after which the kernel probes whether the peer is still there (whole seconds are used,
    1 to 32767); a silent peer is given up after about twice this time. ``None``: no probes."""

    read_budget_messages: int = 1024
    """Messages of one connection that are handled in one turn of the event loop before others get theirs."""

    busy_poll: float | None = None
    """Time for which the event loop looks for more after each read and write instead of sleeping (0 to 1).
    A reply within that time needs no wake-up by the kernel, which takes most of a lone call's latency; in
    exchange the process keeps a processor busy while it waits. ``None``: for 60 µs, where messages have
    mostly come sooner than that. 0: it sleeps."""

    transport: Literal["aiofastnet", "loop"] = "aiofastnet"
    """Who moves the bytes: our own transport of plain sockets, and ``aiofastnet`` with TLS; or the running
    event ``loop``'s own transports."""

    def __post_init__(self) -> None:
        for name in ("receive_limit", "send_queue_messages", "send_queue_bytes", "read_budget_messages"):
            _require_count(name, getattr(self, name))
        for name in ("connect_timeout", "close_timeout"):
            _require_seconds(name, getattr(self, name))
        if self.busy_poll is not None and (
            isinstance(self.busy_poll, bool)
            or not isinstance(self.busy_poll, int | float)
            or not 0 <= self.busy_poll <= _LONGEST_BUSY_POLL
        ):
            raise OptionError(f"busy_poll is 0 to {_LONGEST_BUSY_POLL} seconds, not {self.busy_poll!r}")
        if not isinstance(self.nodelay, bool):
            raise OptionError(f"nodelay is True or False, not {self.nodelay!r}")
        if self.keepalive is not None:
            _require_seconds("keepalive", self.keepalive)
            if not 1 <= self.keepalive <= _LONGEST_KEEPALIVE:
                raise OptionError(f"keepalive is 1 to {_LONGEST_KEEPALIVE} seconds, not {self.keepalive!r}")
        if self.transport not in ("aiofastnet", "loop"):
            raise OptionError(f"transport is 'aiofastnet' or 'loop', not {self.transport!r}")


def parse_size(text: str) -> int:
    """The bytes that ``text`` means: ``"4096"``, ``"64KiB"``, ``"1.5 GiB"``, ``"10MB"``.

    KiB, MiB, GiB and TiB are powers of 1024; kB, MB, GB and TB powers of 1000; no unit means bytes, and
    upper or lower case does not matter. Raises ``OptionError`` for anything else, for a size that is not a
    whole number of bytes or over 2**63 - 1, and for the ambiguous units K, M, G and T.
    """
    match = _SIZE.fullmatch(text.strip().upper())
    if match is None or match[2] not in _UNITS:
        raise OptionError(
            f"{text!r} is not a size; write bytes (4096) or a unit: 64KiB, 256MiB, 1.5GiB, 10MB"
        )
    size = Decimal(match[1]) * _UNITS[match[2]]
    if size > _LARGEST:
        raise OptionError(f"{text!r} is more than a machine can address: at most {_LARGEST} bytes")
    if size != int(size):
        raise OptionError(f"{text!r} is not a whole number of bytes")
    return int(size)


def _require_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} is a whole number of at least 1, not {value!r}")
    if value > _LARGEST:
        raise OptionError(f"{name} is at most {_LARGEST}, not {value!r}")


def _require_seconds(name: str, value: object) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise OptionError(f"{name} is a number of seconds above 0, not {value!r}")
