"""Calls callbacks that may fail, so that what is ending when they are called ends all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

__all__ = ["call_each"]


def call_each(callbacks: Iterable[Callable[..., object]], *arguments: object) -> None:
    """Call each with ``arguments``; what one raises is told to the event loop's exception handler."""
    for callback in callbacks:
        try:
            callback(*arguments)
        except Exception as error:
            text = f"the callback {callback!r} of a call failed"
            asyncio.get_running_loop().call_exception_handler({"message": text, "exception": error})
