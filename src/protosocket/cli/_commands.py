"""The click group of all programs: it knows each by name and one line, and imports only the one that runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from protosocket.cli._standard import NOBODY_READS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["commands"]


class _LazyGroup(click.Group):
    """A group whose command ``name`` is the object ``command`` of the module ``protosocket.cli.<name>``."""

    def __init__(self, *, name: str, help: str, lines: Mapping[str, str]) -> None:
        super().__init__(name=name, help=help)
        self._lines = lines

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lines:
            return None
        command = import_module(f"protosocket.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # click would exit with 1, which has a meaning of its own here.
            ctx.exit(NOBODY_READS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))


commands = click.version_option(package_name="protosocket")(
    _LazyGroup(
        name="protosocket",
        help="Message-oriented TCP streams, RPC on them, and the cache and benchmark that show both.",
        lines={
            "bench": "measure protosocket and its peers: the talk's table, workload files",
            "storage": "run a storage server of the cache",
            "router": "run a router of the cache",
            "cache": "get, set and delete values through a router",
            "decode": "print the messages in a capture or a hex dump",
        },
    )
)
