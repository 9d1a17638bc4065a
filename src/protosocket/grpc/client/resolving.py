"""Looks up the addresses behind a name, for channels that use all of them."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from protosocket.connection import Address, shown_host
from protosocket.errors import ConnectError
from protosocket.event_loops import look_up

__all__ = ["resolve"]


async def resolve(address: Address) -> list[Address]:
    """``address`` with each of its host's IP addresses, in the system's order; raises ``ConnectError``."""
    if address.scheme not in ("tcp", "tls") or _is_ip(address.host):
        return [address]
    try:
        found = await look_up(address.host, address.port)
    except (OSError, UnicodeError) as error:
        raise ConnectError(f"{address.host!r} cannot be looked up: {error}", address=str(address)) from error
    hosts = dict.fromkeys(shown_host(each[4]) for each in found)
    return [replace(address, host=host) for host in hosts]


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
