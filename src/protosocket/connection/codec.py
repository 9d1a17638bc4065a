"""What a connection asks of a codec: framing done natively, or a codec that frames its messages itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from protosocket._core import WireCodec
from protosocket.errors import OptionError

__all__ = ["Codec", "Decoded", "FramedCodec", "Incomplete", "Invalid", "Skip", "wire_codec"]

S = TypeVar("S")
R = TypeVar("R")
S_contra = TypeVar("S_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Decoded(Generic[R_co]):
    """A message, and how many of the unread bytes it took (at least 1)."""

    message: R_co
    consumed: int


@dataclass(frozen=True, slots=True)
class Incomplete:
    """No whole message yet: ``needed`` bytes are wanted in all, counted from the first unread one."""

    needed: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """The first ``count`` unread bytes (at least 1) belong to no message and are passed over."""

    count: int


@dataclass(frozen=True, slots=True)
class Invalid:
    """These bytes cannot be a message: the connection ends with ``InvalidMessage`` and this reason."""

    reason: str


class FramedCodec(ABC, Generic[S_contra, R_co]):
    """A codec whose framing is native: those in ``protosocket.codecs`` and ``protosocket.rpc``."""

    @abstractmethod
    def wire(self) -> WireCodec:
        """The native codec; asked for once a connection."""


@runtime_checkable
class Codec(Protocol[S_contra, R_co]):
    """A codec of your own, framing included.

    One object serves every connection it is given to, so keep no state between calls in it; a codec with
    state has a method ``fresh()`` that gives a new one, called once a connection.
    """

    def encode(self, message: S_contra, /) -> bytes:
        """All bytes of a message. What it raises reaches the sender as ``EncodeError``."""
        ...

    def decode(self, unread: memoryview, /) -> Decoded[R_co] | Incomplete | Skip | Invalid:
        """Look for one message at the start of ``unread`` (at least one byte).

        Called again with what is left after a message or a skip, and with more bytes once ``needed`` have
        arrived. What it raises ends the connection like ``Invalid``.
        """
        ...


AnyCodec = FramedCodec[S, R] | Codec[S, R]


def wire_codec(codec: AnyCodec[Any, Any]) -> WireCodec:
    """The native codec that a connection uses for ``codec``; ``OptionError`` if it is none."""
    if isinstance(codec, FramedCodec):
        return codec.wire()
    fresh = getattr(codec, "fresh", None)
    if callable(fresh):
        codec = cast("Codec[Any, Any]", fresh())
    if not isinstance(codec, Codec):
        raise OptionError(
            f"{codec!r} is no codec: use one of protosocket.codecs, or an object with encode and decode"
        )
    return WireCodec.custom(codec.encode, _unpacker(codec))


def _unpacker(codec: Codec[Any, Any]) -> Callable[[memoryview], tuple[int, int, object]]:
    decode = codec.decode

    def unpack(unread: memoryview) -> tuple[int, int, object]:
        step = decode(unread)
        if isinstance(step, Decoded):
            return 0, step.consumed, step.message
        if isinstance(step, Incomplete):
            return 1, step.needed, None
        if isinstance(step, Skip):
            return 2, step.count, None
        if isinstance(step, Invalid):
            return 3, 0, step.reason
        raise TypeError(f"the codec's decode gave {step!r}; it gives Decoded, Incomplete, Skip or Invalid")

    return unpack
