"""The entry point of the program ``protosocket``: what is missing or fails becomes one line and an exit code.

It imports no optional package itself, so that it can say what to install where the extra ``cli`` was not.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from protosocket.cli._missing import to_install
from protosocket.cli._standard import NOBODY_READS, discard, prepare
from protosocket.errors import AddressError, Error, OptionError

__all__ = ["main"]

_MISUSED = 2
_FAILED = 3
_INTERRUPTED = 130  # as a shell says of a program that SIGINT ended
# Characters of an error's text that are shown: an argument may be as long as the system allows.
_MOST_SHOWN = 1000


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``protosocket`` with ``arguments`` (default: those of the process) and leave the process.

    The exit code is 0 on success; 1 when the answer is no (``cache get``: no such key, ``decode``: bytes that
    are no messages, ``bench``: calls that failed); 2 when the arguments make no sense; 3 when the program
    failed, as for want of a router, a file or an optional package; 130 after Ctrl-C. A
    :class:`protosocket.Error` or ``OSError`` is shown as one line on standard error; any other exception is a
    fault of this package, and keeps its traceback.
    """
    try:
        prepare()
        code = _run(arguments)
        # What cannot be written must be told here, not at the end of the interpreter.
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough, as head has.
        code = NOBODY_READS
        discard(sys.stdout)
    except OSError as error:
        discard(sys.stdout)
        code = _told(_why(error))
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the program and give its exit code. Raises what the system said, as a full disk does."""
    try:
        import click

        from protosocket.cli._commands import commands

        try:
            given = None if arguments is None else list(arguments)
            # What --help and --version leave with is returned; programs themselves return nothing.
            code = commands.main(args=given, prog_name="protosocket", standalone_mode=False)
            return code if isinstance(code, int) else 0
        except click.ClickException as error:
            text = error.format_message()
            if len(text) > _MOST_SHOWN:
                error = click.UsageError(_short(text), getattr(error, "ctx", None))
            if sys.stderr is not None:
                error.show()
            return error.exit_code
        except click.Abort:
            # What click 8.1 makes of Ctrl-C.
            raise KeyboardInterrupt from None
    except KeyboardInterrupt:
        return _told("interrupted", _INTERRUPTED)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except ModuleNotFoundError as error:
        advice = to_install(error.name or "")
        if advice is None:
            raise
        return _told(advice)
    except (OptionError, AddressError) as error:
        return _told(str(error), _MISUSED)
    except Error as error:
        return _told(str(error) or type(error).__name__)
    except OSError:
        raise
    except Exception:
        # Not the interpreter's own code for it: that is 1, and means something here.
        traceback.print_exc()
        return _FAILED


def _told(text: str, code: int = _FAILED) -> int:
    if sys.stderr is None:
        # print() would take that for standard output.
        return code
    try:
        print(f"protosocket: {_short(' '.join(text.split()))}", file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)
    return code


def _why(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    return what if error.filename is None else f"{what}: {error.filename}"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN // 2]} ... {text[-_MOST_SHOWN // 2 :]}"
