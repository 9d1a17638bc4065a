"""Lines of text, each ended by a line feed."""

from __future__ import annotations

from protosocket._core import WireCodec
from protosocket.connection import FramedCodec
from protosocket.errors import OptionError

__all__ = ["Lines"]

_LINE_FEED = ord("\n")


class Lines(FramedCodec[str, str]):
    r"""Messages are ``str`` without their line end; ``\n`` goes out, ``\n`` and ``\r\n`` are taken.

    ``encoding`` (default UTF-8) is one in which a line feed is the byte 10, which UTF-16 is not; another is
    an ``OptionError``. A text with a line feed in it cannot be sent (``EncodeError``).
    """

    def __init__(self, *, encoding: str = "utf-8") -> None:
        try:
            if "a\n".encode(encoding) != b"a\n":
                raise OptionError(f"{encoding!r} does not write a line feed as the single byte 10; use utf-8")
        except LookupError as error:
            raise OptionError(f"there is no text encoding named {encoding!r}") from error
        self.encoding = encoding

    def wire(self) -> WireCodec:
        """The native codec."""
        encoding = self.encoding

        def encode(line: str) -> bytes:
            encoded = line.encode(encoding)
            if _LINE_FEED in encoded:
                raise ValueError("a line has no line feed in it")
            return encoded

        def decode(payload: bytes) -> str:
            return payload.removesuffix(b"\r").decode(encoding)

        return WireCodec("lines", encode, decode)
