"""``protosocket.grpc`` where grpcio is not installed."""

from __future__ import annotations

import subprocess
import sys

from tests.patience import HANG

WITHOUT_GRPCIO = """
import importlib.machinery

class Hidden(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "grpc" else super().find_spec(name, path, target)

import sys
sys.meta_path = [each for each in sys.meta_path if each is not importlib.machinery.PathFinder] + [Hidden]
try:
    import protosocket.grpc
except ModuleNotFoundError as error:
    print(error)
"""


def test_what_is_missing_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GRPCIO], capture_output=True, text=True, timeout=HANG, check=True
    )
    assert done.stdout == 'protosocket.grpc needs grpcio: pip install "protosocket[grpc]"\n'
