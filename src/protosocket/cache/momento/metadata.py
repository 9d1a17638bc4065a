"""What a call of Momento's SDKs says besides its request: the token and the name of the cache."""

from __future__ import annotations

from typing import Any

from grpc import aio

from protosocket.cache.auth import TokenPolicy
from protosocket.cache.commands import cache_error
from protosocket.cache.momento.errors import invalid
from protosocket.cache.protosocket_cache_pb2 import UNAUTHENTICATED

__all__ = ["admit", "cache_name"]


def admit(context: aio.ServicerContext[Any, Any], tokens: TokenPolicy) -> None:
    """Raise ``Unauthenticated`` unless the metadata ``authorization`` shows an accepted token."""
    if tokens.required and not tokens.accepts(_text(context, "authorization")):
        raise cache_error(UNAUTHENTICATED, "no accepted token in the metadata authorization")


def cache_name(context: aio.ServicerContext[Any, Any]) -> str:
    """The cache that the metadata ``cache`` names; raises ``CacheError`` INVALID_ARGUMENT without one."""
    name = _text(context, "cache")
    if not name.strip():
        raise invalid("the name of the cache, in the metadata cache, is missing or empty")
    return name


def _text(context: aio.ServicerContext[Any, Any], wanted: str) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == wanted:
            return value if isinstance(value, str) else value.decode(errors="replace")
    return ""
