"""What answers have in common, whatever was asked: a miss, an error, and how both are read."""

from __future__ import annotations

from typing import Any

from protosocket.cache.protosocket_cache_pb2 import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNAUTHENTICATED,
    UNAVAILABLE,
    CacheResponse,
    CommandError,
)
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.errors import CacheError, CacheUnavailable, Unauthenticated

__all__ = [
    "KEY_NOT_FOUND",
    "MISS",
    "answer_number",
    "cache_error",
    "error_response",
    "failed",
    "invalid",
    "is_miss",
    "read_response",
    "refused",
    "unexpected",
]

KEY_NOT_FOUND = "Key not found"
"""The text of a miss, with code 5; Momento's SDKs take any other NOT_FOUND for a failure."""

_Response: Any = MESSAGES.CacheResponse
_Error: Any = MESSAGES.CommandError

read_response: Any = MESSAGES.decoder(_Response)
"""The native ``CacheResponse`` in bytes; raises ``InvalidMessage``."""


def refused(code: int, text: str) -> Any:
    """The response with this error."""
    return _Response(error=_Error(code=code, message=text))


def invalid(text: str) -> Any:
    """The response to a command that makes no sense."""
    return refused(INVALID_ARGUMENT, text)


def failed(error: CacheError) -> Any:
    """The response that tells ``error``."""
    return refused(error.code, error.detail or str(error))


# Answers without a value are made once; nobody changes them, and ids are put in on the wire.
MISS = refused(NOT_FOUND, KEY_NOT_FOUND)
"""The response where nothing is under the key."""


def is_miss(response: Any) -> bool:
    """Whether the response says that nothing is under the key."""
    error = response.error
    return error is not None and error.code == NOT_FOUND and error.message == KEY_NOT_FOUND


def answer_number(kind: str) -> int:
    """The number of the field ``kind`` of responses."""
    return CacheResponse.DESCRIPTOR.fields_by_name[kind].number


def unexpected(response: Any) -> CacheError:
    """The error in a response that is none to what was asked."""
    if response.error is not None:
        return cache_error(response.error.code, response.error.message)
    kind = MESSAGES.which_oneof(response, "kind")
    return CacheError(f"the cache sent an answer to something else: {kind or 'nothing'}", detail=kind or "")


def cache_error(code: int, detail: str) -> CacheError:
    """The error for a gRPC status number: ``Unauthenticated``, ``CacheUnavailable`` or ``CacheError``."""
    if code == UNAUTHENTICATED:
        return Unauthenticated(f"not authenticated: {detail}", code=code, detail=detail)
    if code == UNAVAILABLE:
        return CacheUnavailable(f"cache unavailable: {detail}", code=code, detail=detail)
    return CacheError(f"the cache answered with error {code}: {detail}", code=code, detail=detail)


def error_response(message_id: int, error: CacheError) -> CacheResponse:
    """The response that tells ``error`` to the sender of the command ``message_id``, of protoc's class."""
    return CacheResponse(
        message_id=message_id,
        # google's stub types an enum field by its class; the numbers are the same.
        error=CommandError(code=error.code, message=error.detail or str(error)),  # type: ignore[arg-type]
    )
