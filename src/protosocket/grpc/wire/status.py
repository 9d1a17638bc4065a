"""How calls end: the last message of an answer, or one made here in its place, and what gRPC makes of it."""

from __future__ import annotations

from typing import Any, Final

import grpc

from protosocket.grpc.wire.envelope import Envelope, Status, unpack

__all__ = [
    "CANCELLED_HERE",
    "COLLECTED",
    "EXPIRED",
    "code_of",
    "debug_text",
    "details_of",
    "failure",
    "metadata_of",
    "rpc_error",
]

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def failure(code: grpc.StatusCode, details: str) -> Any:
    """The end of a call that fails here, in the shape of a server's last message."""
    return Envelope(status=Status(code=code.value[0], details=details))


# They are compared by identity: only the client itself ends calls with them.
CANCELLED_HERE: Final = failure(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
COLLECTED: Final = failure(grpc.StatusCode.CANCELLED, "Cancelled upon garbage collection!")
EXPIRED: Final = failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


def code_of(end: Any) -> grpc.StatusCode:
    """The status code; a number that gRPC does not know is ``UNKNOWN``."""
    if end.status is None:
        return grpc.StatusCode.OK
    return _CODES.get(end.status.code, grpc.StatusCode.UNKNOWN)


def details_of(end: Any) -> str:
    """The status's text."""
    return "" if end.status is None or not end.status.code else end.status.details


def debug_text(end: Any) -> str:
    """Code and text in one line."""
    return "" if end.status is None or not end.status.code else f"{code_of(end).name}:{end.status.details}"


def metadata_of(packed: list[Any]) -> grpc.aio.Metadata:
    """Metadata of the envelope as ``grpc.aio`` has it."""
    return grpc.aio.Metadata(*unpack(packed))


def rpc_error(end: Any, initial: grpc.aio.Metadata) -> grpc.aio.AioRpcError:
    """What a call raises that ended with another status than OK."""
    return grpc.aio.AioRpcError(
        code_of(end),
        initial,
        metadata_of(end.trailing_metadata),
        details=details_of(end),
        debug_error_string=debug_text(end),
    )
