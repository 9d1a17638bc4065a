"""A debug build of the native module (``make debug``) aborts where Python code may run in a borrow."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.patience import HANG

from protosocket import _core

pytestmark = pytest.mark.skipif(
    not hasattr(_core, "call_while_borrowed"), reason="only a debug build has this check"
)

SETUP = """
import gc
from protosocket._core import call_while_borrowed, drop_while_borrowed

def python_code(*arguments):
    pass

class Finalized:
    __del__ = python_code
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SETUP + code], capture_output=True, text=True, timeout=HANG, check=False
    )


@pytest.mark.parametrize(
    "code",
    [
        "call_while_borrowed(python_code)",
        "kept = [Finalized()]; call_while_borrowed(kept.clear)",
        "gc.callbacks.append(python_code); call_while_borrowed(gc.collect)",
    ],
)
def test_what_runs_python_code_ends_it(code: str) -> None:
    ended = run(code)
    assert ended.returncode == -signal.SIGABRT
    assert "Python code runs while 1 borrows are held" in ended.stderr


def test_a_reference_that_is_dropped_ends_it_though_it_is_not_the_last() -> None:
    ended = run("kept = object(); drop_while_borrowed(kept)")
    assert ended.returncode == -signal.SIGABRT
    assert "a reference is dropped while 1 borrows are held" in ended.stderr


def test_what_runs_none_does_not() -> None:
    assert run("call_while_borrowed(gc.isenabled); python_code()").returncode == 0
