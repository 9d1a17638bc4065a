"""The defaults and limits that the pages name are those of the code."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from protosocket import ConnectionOptions, listen, rpc
from protosocket.cache import DEFAULT_MAX_MEMORY, Ring, create_engine
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_backend import _FIRST_RETRY, _LAST_RETRY
from protosocket.cli._commands import commands
from protosocket.cli.router import _CONNECT_SECONDS
from protosocket.cli.storage import _SWEEP_ENTRIES, _SWEEP_SECONDS
from protosocket.errors import CacheError
from protosocket.options import parse_size

DOCS = Path(__file__).parent.parent / "docs"
OPERATIONS = (DOCS / "operations.md").read_text()
CACHE = (DOCS / "cache.md").read_text()
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?:`(?P<default>[^`]+)`)? ?\|", re.MULTILINE)


def table(page: str, name: str) -> dict[str, str | None]:
    """The rows of the table under ``<!-- defaults: name -->``, the heading among them left out."""
    _, _, rest = page.partition(f"<!-- defaults: {name} -->\n")
    rows = rest.partition("\n\n")[0].partition("\n| ---")[2]
    return {row["name"]: row["default"] for row in ROW.finditer(rows)}


def test_connection_options() -> None:
    documented = table(OPERATIONS, "ConnectionOptions")
    fields = dataclasses.fields(ConnectionOptions)
    assert list(documented) == [field.name for field in fields]
    for field in fields:
        text = documented[field.name]
        assert text is not None
        default = parse_size(text) if text.endswith("iB") else text
        assert str(field.default) == str(default), field.name


@pytest.mark.parametrize("function", [rpc.serve, listen], ids=["rpc.serve", "listen"])
def test_servers(function: Callable[..., object]) -> None:
    documented = table(OPERATIONS, "rpc.serve")
    parameters = inspect.signature(function).parameters
    names = set(documented) & set(parameters)
    assert names == set(documented) - ({"max_calls"} if function is listen else set())
    assert {name: str(parameters[name].default) for name in names} == {
        name: documented[name] for name in names
    }


def test_size_of_the_pool() -> None:
    assert "`rpc.connect` has `connections`, 1." in OPERATIONS
    assert inspect.signature(rpc.connect).parameters["connections"].default == 1


@pytest.mark.parametrize("name", ["storage", "router", "cache set"])
def test_programs(name: str) -> None:
    command: click.Command = commands
    context = click.Context(command)
    for word in name.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        command = found
    options = {
        parameter.opts[0]: parameter for parameter in command.params if isinstance(parameter, click.Option)
    }
    documented = table(CACHE, name)
    assert set(documented) == set(options)
    for option, parameter in options.items():
        given = parameter.get_default(context)
        default = None if not given or "UNSET" in repr(given) else str(given)
        assert documented[option] == default, option


def test_figures_of_the_cache() -> None:
    options = ConnectionOptions()
    unread = 4 * (options.receive_limit + options.send_queue_bytes)
    for sentence, value, documented in [
        ("each at 160 points", inspect.signature(Ring).parameters["points_each"].default, 160),
        ("it waits up to 5 seconds for them", _CONNECT_SECONDS, 5),
        ("tries again after 50 ms", _FIRST_RETRY, 0.05),
        ("up to every second", _LAST_RETRY, 1),
        ("an idle storage at 10,000 a second", _SWEEP_ENTRIES / _SWEEP_SECONDS, 10_000),
        ("20 MiB by default", unread, parse_size("20MiB")),
        ("`256MiB`", DEFAULT_MAX_MEMORY, parse_size("256MiB")),
    ]:
        assert sentence in " ".join(CACHE.split()), sentence
        assert value == documented, sentence


def test_largest_entry_takes_97_percent() -> None:
    assert "may take 97% of it" in CACHE
    limit = 1024 * 1024

    def largest(engine: Engine, share: float) -> None:
        engine.set("n", b"k", bytes(int(limit * share) - 256 - 2), 60_000)

    largest(create_engine(limit), 0.969)
    with pytest.raises(CacheError, match="per entry") as caught:
        largest(create_engine(limit), 0.971)
    assert caught.value.code == 8
