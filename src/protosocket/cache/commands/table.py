"""The command table."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands.authenticate import AUTHENTICATE
from protosocket.cache.commands.caches import CACHES
from protosocket.cache.commands.command import Command
from protosocket.cache.commands.delete import DELETE
from protosocket.cache.commands.get import GET
from protosocket.cache.commands.item import ITEM
from protosocket.cache.commands.set import SET
from protosocket.cache.commands.touch import TOUCH

__all__ = ["TABLE"]

TABLE: tuple[Command[..., Any], ...] = (AUTHENTICATE, GET, SET, DELETE, TOUCH, ITEM, CACHES)
"""Every command; programs list them in this order."""
