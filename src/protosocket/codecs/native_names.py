"""The names of a schema as Python can have them."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Callable, Iterable

__all__ = ["attribute_names", "member_names", "nested_names"]


def attribute_names(names: Iterable[str], reserved: str) -> dict[str, str]:
    """The attributes for the fields of a message, which may not have the name ``reserved``."""
    return _names(names, lambda name: name == reserved)


def member_names(enum: str, names: Iterable[str]) -> dict[str, str]:
    """The members for the values of an enum called ``enum``."""
    return _names(names, lambda name: name == "mro" or _is_enums_own(enum, name))


def nested_names(names: Iterable[str], outer: type) -> dict[str, str]:
    """The attributes of the class ``outer`` for what is declared in its message; all it has stays."""
    taken = set(dir(outer))
    return _names(names, lambda name: name in taken)


def _names(names: Iterable[str], is_reserved: Callable[[str], bool]) -> dict[str, str]:
    """Each with the name that Python can have: ``from`` is ``from_``; ``__x``, which it mangles, is ``_x``.

    A name that may stay as it is stays, whatever others become.
    """

    def is_kept(name: str) -> bool:
        return keyword.iskeyword(name) or name.startswith("__") or is_reserved(name)

    declared = list(names)
    found = {name: name for name in declared if not is_kept(name)}
    used = set(found)
    for name in declared:
        if name not in found:
            changed = "_" + name.lstrip("_") if name.startswith("__") else name
            while changed in used or is_kept(changed):
                # Of a name of nothing but underscores none is better than another.
                changed = "_0" if changed == "_" else changed + "_"
            found[name] = changed
            used.add(changed)
    # As the names in a call are: then they are the same object.
    return {name: sys.intern(found[name]) for name in declared}


def _is_enums_own(enum: str, name: str) -> bool:
    """``_x_``, which the enum module keeps for itself, and ``_Enum__x``, which is no member for it."""
    is_single = len(name) > 2 and name[0] == name[-1] == "_" and name[1] != "_" != name[-2]
    return is_single or (name.startswith(f"_{enum}__") and not name.endswith("__"))
