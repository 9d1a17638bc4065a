"""Types of the programs' options: what they take is checked before anything is done with it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

__all__ = ["BYTES", "CONNECTIONS", "OUTPUT", "SECONDS", "TEXT", "WORKERS", "FiniteRange"]


def _text(value: str) -> str:
    """Text that is not empty and can be sent as UTF-8, which the bytes of an argument need not be."""
    if not value.strip():
        raise click.BadParameter("it is empty.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter(f"{os.fsencode(value)!r} is not UTF-8.") from None
    return value


class FiniteRange(click.FloatRange):
    """A number in a range; neither infinite nor "nan", which no range holds back."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turn the argument into a float."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


TEXT = click.types.FuncParamType(_text)

BYTES = click.types.FuncParamType(os.fsencode)
"""Bytes as they were given, whatever they mean as text."""

SECONDS = FiniteRange(min=0, min_open=True)

CONNECTIONS = click.IntRange(1, 10_000)

WORKERS = click.IntRange(1, 1024)

OUTPUT = click.Path(path_type=Path, dir_okay=False, writable=True, allow_dash=True)
"""A file to write; ``-`` is standard output."""
