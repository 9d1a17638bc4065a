"""A server's ports: known at once, as gRPC wants them, and listened on when the server starts."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from dataclasses import dataclass, field

from protosocket.connection import Address
from protosocket.errors import AddressError
from protosocket.grpc.target import addresses_of

__all__ = ["Port", "reserve"]

_WITHOUT_PORT = 1
"""What gRPC gives for an address that has no port."""


@dataclass
class Port:
    """Addresses to listen on, and sockets that keep their port until that is done."""

    number: int
    addresses: list[Address]
    context: ssl.SSLContext | None
    kept: list[socket.socket] = field(default_factory=list)

    def release(self) -> None:
        """Somebody listens there now, or nobody will."""
        while self.kept:
            self.kept.pop().close()


def reserve(target: str, reuse_port: bool, context: ssl.SSLContext | None = None) -> Port:
    """The port of ``target``, chosen by the system where it is 0; ``context`` is for TLS.

    ``[::]`` means all addresses, those of IPv4 as well, as in gRPC. Raises ``RuntimeError`` when the address
    cannot be had.
    """
    try:
        addresses = addresses_of(target, context is not None)
        if len(addresses) != 1:
            raise AddressError(f"{target!r}: one address is listened on at a time")
        (address,) = addresses
        if address.scheme not in ("tcp", "tls"):
            return Port(_WITHOUT_PORT, [address], context)
        hosts = ["0.0.0.0", "::"] if address.host == "::" else [address.host]
        port = Port(address.port, [], context)
        try:
            for host in hosts:
                if _keep(port, host, reuse_port):
                    port.addresses.append(Address(address.scheme, host, port.number))
            if not port.addresses:
                raise OSError(errno.EADDRNOTAVAIL, "this machine has no such address")
        except BaseException:
            port.release()
            raise
    except (OSError, AddressError, UnicodeError) as error:
        raise RuntimeError(f"Failed to bind to address {target}: {error}") from error
    return port


def _keep(port: Port, host: str, reuse_port: bool) -> bool:
    """Bind to every address of ``host``; whether it has any here.

    The sockets are bound and do not listen, so others can be bound there until one does: SO_REUSEADDR.
    """
    found = False
    for family, kind, protocol, _, target in dict.fromkeys(
        socket.getaddrinfo(host, port.number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    ):
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(socket.socket(family, kind, protocol))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if reuse_port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((target[0], port.number, *target[2:]))
            except OSError as error:
                # One family may be switched off; the other will do.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                continue
            undo.pop_all()
        port.kept.append(sock)
        port.number = sock.getsockname()[1]
        found = True
    return found
