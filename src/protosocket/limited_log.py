"""Records that a peer can cause: so many of a kind in a time, and then how many were left out.

A peer may send bytes that are no messages, or what a handler fails on, as often as it likes. A record for
each would fill disks, hide what else happens and cost more than the connection itself.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

__all__ = ["PERIOD", "RECORDS", "LimitedLog", "limited_log"]

RECORDS: Final = 10
"""Records of one kind that are written in one period."""

PERIOD: Final = 10.0
"""Seconds."""

_MOST_KINDS: Final = 256
"""What is remembered at once; the oldest is forgotten first."""

_LONGEST: Final = 1000
"""Characters of an argument that are written."""

_LONGEST_TRACEBACK: Final = 20_000
"""Characters of a traceback, which has an exception's text in it, and that often what a peer has sent."""

_Kind = tuple[Any, ...]


class _Window:
    """One kind of record since its period began."""

    __slots__ = ("began", "left_out", "written")

    def __init__(self, began: float, left_out: int) -> None:
        self.began = began
        self.written = 0
        self.left_out = left_out


class LimitedLog:
    """The methods of a ``logging.Logger`` that our log calls use, limited.

    A kind is a text before its arguments are put in, and, where there is an exception, its type and the lines
    of the handler and of what raised it: a fault that comes often hides no other. The last record of a period
    says that more are left out, the first of a later one how many were. May be used from any thread.
    """

    __slots__ = ("_clock", "_logger", "_windows")

    def __init__(self, name: str = "protosocket", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logger = logging.getLogger(name)
        self._windows: dict[_Kind, _Window] = {}

    def debug(self, text: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """A record for who looks for a fault."""
        self._log(logging.DEBUG, text, arguments, exc_info)

    def warning(self, text: str, *arguments: object) -> None:
        """A record of a peer's doing."""
        self._log(logging.WARNING, text, arguments)

    def error(self, text: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """A record of a failure here, which a peer led to."""
        self._log(logging.ERROR, text, arguments, exc_info)

    def log(self, level: int, text: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """A record of this level, with the traceback of ``exc_info``."""
        self._log(level, text, arguments, exc_info)

    def _log(
        self,
        level: int,
        text: str,
        arguments: tuple[object, ...],
        exc_info: BaseException | None = None,
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        window = self._window((level, text, *_place_of(exc_info)))
        if window.written == RECORDS:
            window.left_out += 1
            return
        window.written += 1
        arguments = tuple(map(_shortened, arguments))
        if window.left_out:
            text, arguments = f"{text} (%d more like it were left out before)", (*arguments, window.left_out)
            window.left_out = 0
        if window.written == RECORDS:
            text, arguments = f"{text} (more like it are left out for up to %g s)", (*arguments, PERIOD)
        if exc_info is not None:
            shown = "".join(traceback.format_exception(exc_info)).rstrip()
            if len(shown) > _LONGEST_TRACEBACK:
                text, exc_info = f"{text}\n%s", None
                arguments = (*arguments, f"{shown[:_LONGEST_TRACEBACK]}... ({len(shown)} characters)")
        # The caller's line, not one of this file.
        self._logger.log(level, text, *arguments, exc_info=exc_info, stacklevel=3)

    def forget(self) -> None:
        """Begin anew, as if nothing had been written."""
        self._windows.clear()

    def _window(self, kind: _Kind) -> _Window:
        now = self._clock()
        window = self._windows.get(kind)
        if window is None or now - window.began >= PERIOD:
            if window is None and len(self._windows) >= _MOST_KINDS:
                # In one step, as other threads may add to it.
                self._windows.pop(list(self._windows)[0], None)  # noqa: RUF015
            window = self._windows[kind] = _Window(now, window.left_out if window else 0)
        return window


def _shortened(argument: object) -> object:
    """A text that a peer has had a say in is as long as that peer likes."""
    if not isinstance(argument, str | BaseException):
        return argument
    text = str(argument)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _place_of(error: BaseException | None) -> _Kind:
    """What tells one failure from another: its type, where it was raised, and in the course of what."""
    if error is None:
        return ()
    trace = error.__traceback__
    if trace is None:
        return (type(error),)
    last = trace
    while last.tb_next is not None:
        last = last.tb_next
    # Not all frames: how deep a recursion goes may be the peer's choice.
    return (type(error), *_line(trace), *_line(last))


def _line(trace: TracebackType) -> tuple[str, int]:
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


limited_log: Final = LimitedLog()
"""This package's."""
