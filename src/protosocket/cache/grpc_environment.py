"""Settings that gRPC reads from the environment, once, when it is first imported."""

from __future__ import annotations

import os

__all__ = ["GRPC_ENVIRONMENT", "prepare_grpc"]

GRPC_ENVIRONMENT = {
    # The older I/O engine of gRPC's core costs less here (docs/decisions/0003-grpc-peer-tuning.md).
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
    # Our programs do not fork, so nothing has to be ready for it.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}


def prepare_grpc() -> None:
    """Set them for this process, except those already set; of no effect after ``import grpc``.

    For programs only: a library leaves the choice to the program it is used in.
    """
    for name, value in GRPC_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
