"""Standard input and output of the programs, which may be closed, full, or of a small encoding."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import BinaryIO, TextIO

from protosocket.errors import Error
from protosocket.event_loops import hold_standard_descriptors

__all__ = [
    "NOBODY_READS",
    "StreamClosed",
    "discard",
    "prepare",
    "require_output",
    "standard_input",
    "standard_output",
]

NOBODY_READS = 141
"""The exit code when standard output is a pipe that nobody reads any longer; a shell's for SIGPIPE."""


class StreamClosed(Error):
    """The program was started without the standard stream that it needs."""


def prepare() -> None:
    """For the first line of a program: no other file gets the number of a stream that is closed.

    Characters that a stream's encoding does not have are written as escapes from now on.
    """
    hold_standard_descriptors()
    # Where it is "surrogateescape", as in the C locale, names of files come out as they are.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def require_output() -> None:
    """Raise ``StreamClosed`` if there is no standard output, into which ``print`` writes without a word."""
    if sys.stdout is None:
        raise StreamClosed("standard output is closed, so there is nowhere to write to")


def standard_output() -> BinaryIO:
    """Standard output, for bytes. Raises ``StreamClosed`` if there is none."""
    require_output()
    return sys.stdout.buffer


def standard_input() -> BinaryIO:
    """Standard input, for bytes. Raises ``StreamClosed`` if there is none."""
    if sys.stdin is None:
        raise StreamClosed("standard input is closed, so there is nothing to read")
    return sys.stdin.buffer


def discard(stream: TextIO | None) -> None:
    """Have what could not be written to ``stream`` go nowhere, so that the interpreter's end can write it."""
    if stream is None:
        return
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
