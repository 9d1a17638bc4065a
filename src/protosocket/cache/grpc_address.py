"""Addresses of gRPC listeners: ``grpc://host:port``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protosocket.connection import Address, parse_address
from protosocket.errors import AddressError

__all__ = ["GrpcAddress", "parse_grpc_address", "storage_places"]

_SCHEME = "grpc://"


@dataclass(frozen=True, slots=True)
class GrpcAddress:
    """A host (a name or an IP address, IPv6 without brackets) and a port; ``str()`` gives the URL."""

    host: str
    port: int

    @property
    def target(self) -> str:
        """The form grpcio takes."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return _SCHEME + self.target


def parse_grpc_address(url: str) -> GrpcAddress:
    """The address that ``url``, ``grpc://host:port``, names; raises ``AddressError`` for anything else."""
    if not url.lower().startswith(_SCHEME):
        raise AddressError(f"{url!r} is not a gRPC address; expected grpc://host:port")
    address = parse_address(f"tcp://{url[len(_SCHEME) :]}")
    return GrpcAddress(address.host, address.port)


def storage_places(urls: Sequence[str]) -> list[str]:
    """``urls`` by where they lead, however that is written; raises ``AddressError``."""
    found = map(parse_grpc_address, urls)
    places = [Address("tcp", address.host, address.port).place for address in found]
    return [str(GrpcAddress(place.host, place.port)) for place in places]
