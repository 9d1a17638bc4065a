"""Work that goes on beside the program's own tasks, and ends with its event loop without a word."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["background_task", "is_dropped"]

T = TypeVar("T")


def background_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], name: str | None = None
) -> asyncio.Task[T]:
    """A task of ``loop`` that the program did not make: asyncio does not complain if it never ends.

    It is never of the program's own kind, which may begin at once (``asyncio.eager_task_factory``): who makes
    one keeps it first. Raises ``RuntimeError`` if ``loop`` is closed.
    """
    if loop.is_closed():
        raise RuntimeError("Event loop is closed")
    task = asyncio.Task(coroutine, loop=loop, name=name)
    task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001
    return task


def is_dropped() -> bool:
    """Whether the coroutine that asks, in a ``finally``, is freed and not run: then it must not await."""
    return isinstance(sys.exception(), GeneratorExit)
