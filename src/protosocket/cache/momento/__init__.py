"""A gateway that serves Momento's gRPC cache API; needs the extra ``momento``."""

from __future__ import annotations

from protosocket.cache.momento.server import serve_momento

__all__ = ["serve_momento"]
