"""Lines of text, each ended by a line feed."""

from __future__ import annotations

import codecs

from protosocket._core import WireCodec
from protosocket.connection import FramedCodec
from protosocket.errors import OptionError

__all__ = ["Lines"]

_LINE_FEED = ord("\n")
# What they encode they decode to the same; others write some characters as others.
_EXACT = {"utf-8", "ascii", "iso8859-1"}


class Lines(FramedCodec[str, str]):
    r"""Messages are ``str`` without their line end; ``\n`` goes out, ``\n`` and ``\r\n`` are taken.

    ``encoding`` (default UTF-8) is one in which a line feed is the byte 10, which UTF-16 is not; another is
    an ``OptionError``. What would not arrive as it was sent cannot be sent (``EncodeError``): a text with a
    line feed in it or a carriage return at its end, or one that ``encoding`` does not give back.
    """

    def __init__(self, *, encoding: str = "utf-8") -> None:
        try:
            written = "a\n".encode(encoding)
            name = codecs.lookup(encoding).name
        except (LookupError, ValueError, TypeError) as error:
            raise OptionError(f"there is no text encoding named {encoding!r}") from error
        if written != b"a\n":
            raise OptionError(f"{encoding!r} does not write a line feed as the single byte 10; use utf-8")
        self.encoding = encoding
        self._is_exact = name in _EXACT

    def wire(self) -> WireCodec:
        """The native codec."""
        encoding, is_exact = self.encoding, self._is_exact

        def encode(line: str) -> bytes:
            if not isinstance(line, str):
                raise TypeError(f"a line is str, not {type(line).__name__}")
            encoded = str.encode(line, encoding)
            if _LINE_FEED in encoded:
                raise ValueError("a line has no line feed in it")
            if encoded.endswith(b"\r"):
                raise ValueError("a carriage return at the end of a line is taken for a part of the line end")
            if not is_exact and encoded.decode(encoding) != line:
                raise ValueError(f"{encoding} has no characters of its own for this line")
            return encoded

        def decode(payload: bytes) -> str:
            return payload.removesuffix(b"\r").decode(encoding)

        return WireCodec("lines", encode, decode)
