"""The programs: ``protosocket bench``, ``storage``, ``router``, ``cache``, ``decode``."""

from __future__ import annotations

from protosocket.cli.main import main

__all__ = ["main"]
