"""The tables of the Wireshark dissector are those that the messages give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.patience import HANG

GENERATOR = Path(__file__).parent.parent / "tools" / "generate_dissector.py"


def test_they_are_generated() -> None:
    command = [sys.executable, str(GENERATOR), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert (done.returncode, done.stderr) == (0, "")
