"""Authenticate: shows a token on a connection; whoever the client is connected to answers it."""

from __future__ import annotations

from typing import Any, NoReturn

from protosocket.cache.commands.answers import cache_error, read_response, unexpected
from protosocket.cache.commands.command import Command
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_cache_pb2 import INVALID_ARGUMENT
from protosocket.cache.protosocket_messages import MESSAGES

__all__ = ["AUTHENTICATE"]

_Command: Any = MESSAGES.CacheCommand
_Unary: Any = MESSAGES.Unary
_Authenticate: Any = MESSAGES.AuthenticateCommand


def _request(token: str) -> bytes:
    return MESSAGES.encode(_Command(unary=_Unary(auth=_Authenticate(token=token))))


def _execute(_engine: Engine, _auth: Any) -> NoReturn:
    # The connection has answered it where there is something to authenticate.
    raise cache_error(INVALID_ARGUMENT, "this connection does not take Authenticate")


def _read(encoded: bytes) -> None:
    response = read_response(encoded)
    if response.error is not None:
        raise unexpected(response)


AUTHENTICATE = Command(
    "authenticate", "auth", request=_request, execute=_execute, read=_read, needs_namespace=False
)
"""``request(token)``; nothing if it was accepted, ``Unauthenticated`` if not."""
