"""Every error this package raises: one root, one tree.

    Error
    ├── AddressError (ValueError)          an address URL that cannot be used
    ├── OptionError (ValueError)           an option or a codec that makes no sense
    ├── ConnectError (OSError)             no connection could be made
    ├── EventLoopError (RuntimeError)      something used outside the event loop that it belongs to
    ├── WorkerError                        a process that was to serve does not
    ├── ConnectionClosed                   the connection ended; nothing more can be sent or received
    │   └── ProtocolError                  ... because the peer sent bytes that are not messages
    │       ├── InvalidMessage             ... bytes the codec refuses
    │       └── MessageTooLarge            ... a message declared longer than the receive limit
    ├── EncodeError                        a message of ours cannot be sent; the connection lives on
    ├── RpcError                           a call ended without its answer
    │   ├── DeadlineExceeded (TimeoutError)  its timeout passed; the server was told to stop
    │   ├── CancelledRemotely              the server rejected or aborted it
    │   ├── Rejected                       raised by a handler that refuses a call
    │   └── Unavailable                    nobody is there to answer it
    └── CacheError                         the cache answered with an error
        ├── Unauthenticated                no token, or a wrong one
        └── CacheUnavailable (Unavailable)   the storage of that key is down

``asyncio.CancelledError`` is never caught for good and never raised by this package on its own.
"""

from __future__ import annotations

__all__ = [
    "AddressError",
    "CacheError",
    "CacheUnavailable",
    "CancelledRemotely",
    "ConnectError",
    "ConnectionClosed",
    "DeadlineExceeded",
    "EncodeError",
    "Error",
    "EventLoopError",
    "InvalidMessage",
    "MessageTooLarge",
    "OptionError",
    "ProtocolError",
    "Rejected",
    "RpcError",
    "Unauthenticated",
    "Unavailable",
    "WorkerError",
]


class Error(Exception):
    """The root of every error of this package."""


class AddressError(Error, ValueError):
    """An address URL cannot be used; the text says which part and what is expected."""


class OptionError(Error, ValueError):
    """An option, a codec or a service makes no sense as given."""


class ConnectError(Error, OSError):
    """No connection could be made to ``address`` (str); ``__cause__`` is what the system said."""

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class EventLoopError(Error, RuntimeError):
    """Something was used from another event loop or thread than its own, or after that loop was closed."""


class WorkerError(Error):
    """A worker process did not come to listen; where it could say why, its traceback is a note."""


class ConnectionClosed(Error):
    """The connection to ``peer`` (str) has ended: closed by either side, lost, or broken."""

    def __init__(self, message: str, *, peer: str = "") -> None:
        super().__init__(message)
        self.peer = peer


class ProtocolError(ConnectionClosed):
    """The connection was ended here because ``peer`` broke the protocol."""


class InvalidMessage(ProtocolError):
    """The codec refused what ``peer`` sent."""


class MessageTooLarge(ProtocolError):
    """``peer`` declared a message of ``size`` bytes; the receive limit is ``limit`` bytes."""

    def __init__(self, message: str, *, peer: str = "", size: int = 0, limit: int = 0) -> None:
        super().__init__(message, peer=peer)
        self.size = size
        self.limit = limit


class EncodeError(Error):
    """A message of ours cannot be encoded or is too large to send; nothing was sent."""


class RpcError(Error):
    """A call ended without an answer."""


class DeadlineExceeded(RpcError, TimeoutError):
    """The call's ``timeout`` (seconds) passed; a Cancel was sent to the server."""

    def __init__(self, message: str, *, timeout: float = 0.0) -> None:
        super().__init__(message)
        self.timeout = timeout


class CancelledRemotely(RpcError):
    """The server sent Cancel: it rejected or aborted the call."""


class Rejected(RpcError):
    """A handler raises this to refuse a call: its caller sees ``CancelledRemotely``, nothing is logged."""


class Unavailable(RpcError):
    """Nobody is there to answer the call; trying again later may help."""


class CacheError(Error):
    """The cache answered with an error: ``code`` is a gRPC status number, ``detail`` its text."""

    def __init__(self, message: str, *, code: int = 2, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail


class Unauthenticated(CacheError):
    """The connection carries no accepted token (code 16)."""


class CacheUnavailable(CacheError, Unavailable):
    """The storage server that holds the key is down (code 14)."""
