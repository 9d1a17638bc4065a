"""What the native module asks of an interpreter: its global lock."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from protosocket import _core

# Names of CPython's moduleobject.h.
_MOD_GIL = 4
_MOD_GIL_USED = 0


class _Definition(ctypes.Structure):
    """The first parts of CPython's ``PyModuleDef``."""

    _fields_ = (
        ("base", ctypes.c_char * (object.__basicsize__ + 3 * ctypes.sizeof(ctypes.c_void_p))),
        ("name", ctypes.c_char_p),
        ("documentation", ctypes.c_char_p),
        ("size", ctypes.c_ssize_t),
        ("methods", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
    )


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before Python 3.13 there is nothing to declare")
def test_the_module_declares_that_it_needs_the_lock() -> None:
    library = ctypes.PyDLL(str(Path(_core.__file__)))
    library.PyInit__core.restype = ctypes.POINTER(_Definition)
    place = library.PyInit__core().contents.slots
    slots = {}
    while kind := ctypes.c_int.from_address(place).value:
        slots[kind] = ctypes.c_void_p.from_address(place + ctypes.sizeof(ctypes.c_void_p)).value
        place += 2 * ctypes.sizeof(ctypes.c_void_p)
    assert slots[_MOD_GIL] in (None, _MOD_GIL_USED)


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"),
    reason="every other build has the lock",
)
def test_a_free_threaded_interpreter_enables_the_lock() -> None:
    code = "import sys, protosocket; sys.exit(not sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_it_refuses_an_interpreter_that_was_told_to_run_without_the_lock() -> None:
    # Such an interpreter says so in this way, whatever a module declares.
    code = "import sys; sys._is_gil_enabled = lambda: False; import protosocket"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert "PYTHON_GIL=0" in last
    assert "-X gil=0" in last


def test_it_imports_where_the_lock_is_there() -> None:
    code = "import sys; sys._is_gil_enabled = lambda: True; import protosocket"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
