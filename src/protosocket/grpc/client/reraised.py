"""An exception that may be raised more than once, each time with the traceback that it came with."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Repeated"]

E = TypeVar("E", bound=BaseException)


class Repeated(Generic[E]):
    """For ``raise repeated.error``: a plain ``raise`` would add its frames to those of the times before."""

    __slots__ = ("_error", "_traceback")

    def __init__(self, error: E) -> None:
        self._error = error
        self._traceback = error.__traceback__

    @property
    def error(self) -> E:
        """The exception as it was at first."""
        return self._error.with_traceback(self._traceback)
