"""Dialing: from an address to a connected socket, and in words why there is none.

Of the addresses of a name the next is tried when one has not answered for a quarter of a second, those of
both families in turn, and the first that connects is taken (RFC 8305, "happy eyeballs").
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any, cast

import aiohappyeyeballs

from protosocket.connection.address import Address
from protosocket.connection.host import shown_host
from protosocket.event_loops import AddressInfo, connect_socket, look_up

__all__ = ["Dialing", "resolve"]

_DELAY = 0.25
"""Seconds after which the next address is tried beside the last: RFC 8305, section 8."""

_SHORTEST_DELAY = 0.01
"""Seconds; the same section."""

_TRIES = 4
"""Addresses that are tried at least in the time there is, if it is short."""

# OpenSSL's words for bytes that are no TLS record.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")


async def resolve(address: Address, flags: int = 0) -> Sequence[AddressInfo]:
    """The addresses that ``address`` stands for, in the system's order; ``flags`` are ``getaddrinfo``'s.

    Raises ``socket.gaierror``.
    """
    if address.scheme == "unix":
        return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address.path)]
    host, port = address.host, address.port
    try:
        # An IP address needs no lookup, so it does not have to wait for a thread.
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags | socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        pass
    try:
        return await look_up(host, port, flags)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is not a host name") from error


class Dialing:
    """One attempt to connect, and what became of each address it has tried."""

    def __init__(self, address: Address, timeout: float) -> None:
        """``timeout``: how long there is for it, in seconds; whoever makes it sees to that."""
        self._address = address
        self._timeout = timeout
        self._tried: dict[str, OSError | None] = {}
        self.stage = "the name lookup"
        """What is waited for, in words."""

    async def connect(self) -> socket.socket:
        """A connected socket; raises ``OSError``. Cancelling it leaves nothing open."""
        targets = await resolve(self._address)
        self.stage = "the connection"
        return await aiohappyeyeballs.start_connection(
            # The same address under two names of the hosts file is one.
            list(dict.fromkeys(targets)),
            happy_eyeballs_delay=min(_DELAY, max(_SHORTEST_DELAY, self._timeout / _TRIES)),
            # It is asked to connect sockets, and for nothing else.
            loop=cast(asyncio.AbstractEventLoop, self),
            socket_factory=self._make_socket,
        )

    def _make_socket(self, info: Any) -> socket.socket:
        family, kind, protocol, _, target = info
        self._tried[_shown(target)] = None
        try:
            return socket.socket(family, kind, protocol)
        except OSError as error:
            self._tried[_shown(target)] = error
            raise

    async def sock_connect(self, sock: socket.socket, target: Any) -> None:
        """For aiohappyeyeballs."""
        try:
            await connect_socket(sock, target)
        except OSError as error:
            self._tried[_shown(target)] = error
            raise

    def why_not(self, error: OSError) -> str:
        """What went wrong, and what to do."""
        timeout = self._timeout
        failures = list(self._tried.values())
        if self.stage != "the connection" or len(failures) < 2:
            return _why_not(error, self.stage, timeout)
        # Each address has an error of its own, unless it is waited for.
        each = [_why_not(failure or TimeoutError(), self.stage, timeout) for failure in failures]
        if len(set(each)) == 1:
            return f"{each[0]} (tried {', '.join(self._tried)})"
        named = "; ".join(f"{name}: {_briefly(failure)}" for name, failure in self._tried.items())
        return f"none of its {len(each)} addresses could be reached within {timeout:g} s ({named})"


def _shown(target: Any) -> str:
    return shown_host(target) if isinstance(target, tuple) else str(target)


def _briefly(error: OSError | None) -> str:
    if error is None:
        return "no answer"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _why_not(error: OSError, stage: str, timeout: float) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return (
            f"no answer within {timeout:g} s in {stage}; check address and firewall or raise connect_timeout"
        )
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved ({error.strerror}); check its spelling and the DNS"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate was refused ({error.verify_message}); "
            "TLS(ca=...) says whom to trust, TLS(server_hostname=...) which name it is for"
        )
    if isinstance(error, ssl.SSLError):
        if error.reason in _NOT_TLS:
            return "the peer does not speak TLS; is it a tcp:// address?"
        return f"the TLS handshake failed ({error.reason or error})"
    if stage == "the TLS handshake":
        return "the peer hung up in the TLS handshake; does it speak TLS, or refuse our certificate?"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; nobody listens there: is the server running?"
    if isinstance(error, FileNotFoundError):
        return "there is no such socket file; is the server running?"
    return error.strerror or str(error)
