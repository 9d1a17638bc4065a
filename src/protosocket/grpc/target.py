"""Targets as gRPC writes them, and the addresses they mean."""

from __future__ import annotations

import re

from protosocket.connection import Address, parse_address
from protosocket.errors import AddressError

__all__ = ["addresses_of"]

_SCHEMES = ("dns", "ipv4", "ipv6", "unix", "tcp", "tls", "memory")
_DEFAULT_PORT = 443


def addresses_of(target: str, secure: bool) -> list[Address]:
    """The addresses that ``target`` means; one for each that it lists.

    ``host:port``, ``dns:[//authority/]host:port`` (443 without a port), ``ipv4:`` and ``ipv6:`` with
    addresses separated by commas, ``unix:path``, ``unix:///path``, and the URLs of
    ``protosocket.connect``. ``secure``: TLS is spoken there. Raises ``AddressError`` for what cannot be used.
    """
    scheme, separator, rest = target.partition(":")
    if rest.startswith("//"):
        scheme = scheme.lower()
    if not separator or scheme not in _SCHEMES:
        return [_internet(target, secure)]
    if scheme in ("tcp", "tls", "memory"):
        address = parse_address(target)
        if (address.scheme == "tls") != secure and scheme != "memory":
            raise AddressError(f"{target!r}: use secure_channel for tls:// and insecure_channel for tcp://")
        return [address]
    if scheme == "unix":
        return [Address("unix", path=rest.removeprefix("//"))]
    if scheme == "dns" and rest.startswith("//"):
        rest = rest[2:].partition("/")[2]
    if scheme == "ipv6":
        # As `peer()` gives it: ipv6:%5B::1%5D:50051.
        rest = re.sub("%5B", "[", re.sub("%5D", "]", rest, flags=re.IGNORECASE), flags=re.IGNORECASE)
    return [_internet(part, secure) for part in rest.split(",")]


def _internet(text: str, secure: bool) -> Address:
    host, _, port = text.rpartition(":")
    if not host or text.endswith("]") or (":" in host and not host.startswith("[")):
        # No port: a name, or an IPv6 address with or without brackets.
        host, port = text, str(_DEFAULT_PORT)
    if host.startswith("[") != host.endswith("]"):
        raise AddressError(f"{text!r}: a bracket of the IPv6 address is missing")
    if not port.isdecimal():
        raise AddressError(f"{text!r}: the port is a number, not {port!r}")
    return Address("tls" if secure else "tcp", host.removeprefix("[").removesuffix("]"), int(port))
