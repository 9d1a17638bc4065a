"""What both ends of a gRPC call share: the envelope of its messages, metadata, status, credit, pings."""

from __future__ import annotations

__all__: list[str] = []
