"""The entry point of the program ``protosocket``: what is missing or fails becomes one line and an exit code.

It imports nothing outside the standard library and :mod:`protosocket.errors`, so that it can say what to
install where the extra ``cli`` was not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from protosocket.errors import Error

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``protosocket`` with ``arguments`` (default: those of the process) and leave the process.

    The exit code is 0 on success, 1 when the command failed or a package it needs is not installed, and 2
    when the arguments make no sense. A :class:`protosocket.Error` is shown as one line on standard error;
    any other exception is a fault of this package and keeps its traceback. Ctrl-C ends with code 1.
    """
    try:
        from protosocket.cli._commands import commands

        commands.main(args=None if arguments is None else list(arguments), prog_name="protosocket")
    except ModuleNotFoundError as error:
        package = (error.name or "protosocket").partition(".")[0]
        if package == "protosocket":
            raise
        extra = "momento" if package == "momento_wire_types" else "bench"
        _fail(f'{error.name} is not installed: pip install "protosocket[cli,{extra}]"')
    except Error as error:
        _fail(" ".join(str(error).split()) or type(error).__name__)
    sys.exit(0)


def _fail(text: str) -> NoReturn:
    print(f"protosocket: {text}", file=sys.stderr)
    sys.exit(1)
