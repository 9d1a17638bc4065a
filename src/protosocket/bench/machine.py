"""Where and with what a benchmark was run: machine, commit, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import msgspec
import psutil

__all__ = ["Machine", "commit", "machine", "versions"]

PACKAGES = ("protosocket", "protobuf", "grpcio", "aiofastnet", "uvloop", "msgspec")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine a report is about; ``memory_gib`` is all of it, ``cores`` what this process may use."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str


def machine() -> Machine:
    """This machine."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return Machine(
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def commit() -> str:
    """The commit this package runs from, with ``-dirty`` if files differ from it; ``unknown`` outside a
    checkout.
    """
    command = ("git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*")
    try:
        result = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return "unknown"
    return result.stdout.strip() if result.returncode == 0 else "unknown"


def versions() -> dict[str, str]:
    """The versions of the packages that are measured, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
