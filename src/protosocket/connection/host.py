"""Hosts: one spelling of all the ways to write each, the host of a socket, the name in a certificate."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any

__all__ = ["canonical_host", "certificate_name", "shown_host"]

_NOT_IN_A_HOST = re.compile(r"[\s\x00-\x1f\x7f/\\?#@\[\]]")
_DIFFERENT_IN_IDNA_2008 = re.compile("[\u00df\u03c2\u200c\u200d]")
_ESCAPED_SCOPE = re.compile(r"%25(?=[^0-9])")


def canonical_host(host: str) -> str:
    """``host``, a name or an IP address (IPv6 without brackets), as all who mean the same write it.

    Names are in lower case and in ASCII (``xn--``, IDNA 2003 as Python's sockets and certificates have it);
    a dot at the end, which keeps the resolver from its search domains, stays. IPv6 addresses are in their
    shortest form, their scope behind ``%``, which may be written ``%25`` before a name (RFC 6874); one that
    is mapped from IPv4 is that IPv4 address. Raises ``ValueError``, which says why it is none of these.
    """
    if _NOT_IN_A_HOST.search(host):
        raise ValueError(f"{host!r} is not a host name or an IP address")
    if ":" in host:
        return _canonical_ipv6(host)
    if host.isascii():
        return host.lower()
    if _DIFFERENT_IN_IDNA_2008.search(host):
        # Two standards, two hosts: https://www.unicode.org/reports/tr46/#Deviations
        raise ValueError(f"{host!r} means different names to different programs; write it as xn--...")
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ValueError(f"{host!r} is not a host name ({error})") from None
    # Compatibility forms of some characters become what has a meaning of its own.
    if not name or ":" in name or _NOT_IN_A_HOST.search(name):
        raise ValueError(f"{host!r} is not a host name")
    return name


def certificate_name(host: str) -> str:
    """What is asked for and found in the certificate of ``host``: neither scope nor dot at the end."""
    return canonical_host(host).partition("%")[0].removesuffix(".")


def shown_host(name: tuple[Any, ...]) -> str:
    """The host of a socket's name (``getsockname``, ``getpeername``), as ``canonical_host`` writes it."""
    host = str(name[0])
    if ":" not in host:
        return host
    if host.startswith("::ffff:") and "." in host:
        return host[len("::ffff:") :]
    scope = name[3] if len(name) > 3 else 0
    if not scope or "%" in host:
        return host
    try:
        return f"{host}%{socket.if_indextoname(scope)}"
    except OSError:  # the interface is gone
        return f"{host}%{scope}"


def _canonical_ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(_ESCAPED_SCOPE.sub("%", host, count=1))
    except ValueError:
        raise ValueError(f"{host!r} is not an IPv6 address") from None
    if address.ipv4_mapped is not None and address.scope_id is None:
        return str(address.ipv4_mapped)
    return str(address)
