"""The published Rust crate, protosocket-rpc 2 with protosocket-prost, on both sides.

The crate's documented settings: pooled encoders, answers without spawning, up to 256 queued messages; one
Tokio thread on each side, optimised across crates. Its client (benchmarks/rust) is its own load generator and
pays for none of Python's.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TYPE_CHECKING, NoReturn

from benchmarks.catalogue import RUST_BINARY

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["serve"]

PR_SET_PDEATHSIG = 1


async def serve(_: Callable[[str], None]) -> NoReturn:
    """Become the Rust server, which announces itself."""
    # It does not watch its standard input, so the kernel ends it with the run.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.execv(RUST_BINARY, [str(RUST_BINARY), "serve"])
