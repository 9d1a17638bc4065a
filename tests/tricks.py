"""A mark for tests of what is done with the insides of CPython and asyncio, which can be turned off."""

from __future__ import annotations

import pytest

from protosocket._core import PLAIN_ASYNCIO

__all__ = ["needs_tricks"]


def needs_tricks(reason: str) -> pytest.MarkDecorator:
    """Skip a test where PROTOSOCKET_PLAIN_ASYNCIO is set, for this reason."""
    return pytest.mark.skipif(PLAIN_ASYNCIO, reason=f"PROTOSOCKET_PLAIN_ASYNCIO is set: {reason}")
