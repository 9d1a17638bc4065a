"""The cache: clients, routers and storage servers, over protosocket or gRPC."""

from __future__ import annotations

from protosocket.cache.auth import TokenPolicy, read_tokens, require_tokens
from protosocket.cache.engine import DEFAULT_MAX_MEMORY, Engine, Statistics, create_engine
from protosocket.cache.interface import Backend, CacheClient, Listening
from protosocket.cache.results import GetResult, Hit, Miss
from protosocket.cache.ring import Ring
from protosocket.cache.storage import StorageHandler

__all__ = [
    "DEFAULT_MAX_MEMORY",
    "Backend",
    "CacheClient",
    "Engine",
    "GetResult",
    "Hit",
    "Listening",
    "Miss",
    "Ring",
    "Statistics",
    "StorageHandler",
    "TokenPolicy",
    "create_engine",
    "read_tokens",
    "require_tokens",
]
