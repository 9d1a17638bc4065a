"""gRPC stubs and servicers, as protoc generated them, over protosocket."""

from __future__ import annotations
