"""gRPC stubs and servicers, as protoc generated them, over protosocket."""

from __future__ import annotations

from protosocket.grpc.channels import insecure_channel

__all__ = ["insecure_channel"]
