"""What has to be installed for gRPC's interface: said by name when it is missing."""

from __future__ import annotations

from importlib.util import find_spec

__all__: list[str] = []

if find_spec("grpc") is None:
    raise ModuleNotFoundError('protosocket.grpc needs grpcio: pip install "protosocket[grpc]"', name="grpc")
