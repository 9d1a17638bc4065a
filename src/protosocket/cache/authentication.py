"""Authenticate on a connection: answered by whoever the client is connected to, router or storage."""

from __future__ import annotations

from protosocket.cache.auth import TokenPolicy
from protosocket.cache.protosocket_cache_pb2 import (
    INVALID_ARGUMENT,
    UNAUTHENTICATED,
    UNIMPLEMENTED,
    AuthenticateResponse,
    CacheCommand,
    CacheResponse,
    CommandError,
)

__all__ = ["answer_unforwarded"]

_REFUSED = CommandError(code=UNAUTHENTICATED, message="the token is not accepted")
_FIRST = CommandError(code=UNAUTHENTICATED, message="the first command on a connection is Authenticate")
_ELSEWHERE = CommandError(code=UNIMPLEMENTED, message="a router does not carry out commands on caches")
_NOTHING = CommandError(code=INVALID_ARGUMENT, message="there is no command in the message")


def answer_unforwarded(
    command: CacheCommand, tokens: TokenPolicy, opened: bool
) -> tuple[CacheResponse, bool]:
    """The response to a command that is not carried out, and whether the connection is opened by it.

    An accepted token opens it; error 16 answers any other token, and every command before an accepted one.
    ``opened`` says that there was one, or that none is needed.
    """
    kind = command.unary.WhichOneof("command")
    if kind == "auth":
        if tokens.accepts(command.unary.auth.token):
            return CacheResponse(auth=AuthenticateResponse()), True
        return CacheResponse(error=_REFUSED), False
    if kind is None:
        return CacheResponse(error=_NOTHING), False
    return CacheResponse(error=_ELSEWHERE if opened else _FIRST), False
