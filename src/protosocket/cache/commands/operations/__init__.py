"""The operations of ItemCommand, a file for each kind of item: most are one call of the engine."""

from __future__ import annotations

from protosocket.cache.commands.operations.any_item import ANY_ITEM
from protosocket.cache.commands.operations.dictionaries import DICTIONARIES
from protosocket.cache.commands.operations.lists import LISTS
from protosocket.cache.commands.operations.operation import Operation
from protosocket.cache.commands.operations.sets import SETS
from protosocket.cache.commands.operations.sorted_sets import SORTED_SETS

__all__ = ["OPERATIONS", "Operation"]

OPERATIONS: dict[str, Operation] = {**ANY_ITEM, **DICTIONARIES, **SETS, **LISTS, **SORTED_SETS}
"""By their names in ``ItemOperation``."""
