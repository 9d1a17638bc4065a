"""How the gateway's errors look to Momento's SDKs: a gRPC status, its text, and the trailer ``err``."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from grpc import aio

from protosocket.cache.commands import cache_error
from protosocket.cache.protosocket_cache_pb2 import INVALID_ARGUMENT, RESOURCE_EXHAUSTED
from protosocket.errors import CacheError

__all__ = ["abort", "invalid", "not_empty"]

_STATUS = {status.value[0]: status for status in grpc.StatusCode}

# What the SDKs tell the limits apart by.
_CAUSES: dict[int, str] = {RESOURCE_EXHAUSTED: "item_size_limit_exceeded"}


async def abort(context: aio.ServicerContext[Any, Any], error: CacheError) -> NoReturn:
    """End the call with what ``error`` is in gRPC."""
    cause = _CAUSES.get(error.code)
    await context.abort(
        _STATUS.get(error.code, grpc.StatusCode.UNKNOWN),
        error.detail or str(error),
        () if cause is None else (("err", cause),),
    )


def invalid(text: str) -> CacheError:
    """The error INVALID_ARGUMENT."""
    return cache_error(INVALID_ARGUMENT, text)


def not_empty(value: bytes, what: str) -> bytes:
    """``value``; raises ``CacheError`` INVALID_ARGUMENT, saying ``what`` it is, if it is empty."""
    if not value:
        raise invalid(f"the {what} is empty")
    return value
