"""asyncio's own TLS transport, which does not say all it knows of the transport beneath it.

That has lost its socket: it hears of it in the next turn of the event loop. What is written until then fails,
and asyncio logs a warning for each time, which a peer that hangs up would have us write by the thousand. Or
that has come to its end: the protocol is told the same whether the peer closed TLS before, or was cut off.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

__all__ = ["AsyncioTLS"]


class AsyncioTLS:
    """What a connection uses of such a transport."""

    __slots__ = ("_carrier", "_transport", "abort", "close", "pause_reading", "resume_reading", "write")

    def __init__(self, transport: Any, carrier: asyncio.Transport) -> None:
        self._transport = transport
        self._carrier = carrier
        self.abort = transport.abort
        self.close = transport.close
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.write = transport.write

    def is_closing(self) -> bool:
        """Whether nothing gets out any more."""
        return self._transport.is_closing() or self._carrier.is_closing()

    def peer_closed(self) -> bool:
        """Whether what ended was TLS, by close_notify, and not only the stream beneath."""
        # Everything was read, unless the connection read no more; then something is missing, too.
        try:
            return not self._transport.get_extra_info("ssl_object").read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False

    @classmethod
    def of(cls, transport: Any) -> AsyncioTLS | None:
        """One around ``transport``; None for any other kind."""
        # There is no public way from asyncio's TLS transport to what carries it.
        carrier = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
        if carrier is None or not type(transport).__module__.startswith("asyncio"):
            return None
        return cls(transport, carrier)
