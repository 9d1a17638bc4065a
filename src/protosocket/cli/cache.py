"""The program ``protosocket cache``: one command through a router, of those that clients have."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from protosocket.cache.client import CacheClient
from protosocket.cache.commands import TABLE, Command
from protosocket.cache.commands.get import GET
from protosocket.cache.grpc_environment import prepare_grpc
from protosocket.cache.results import Miss
from protosocket.cache.transports import FRONTS, ClientHop
from protosocket.cli._parameters import BYTES, SECONDS, TEXT
from protosocket.cli._serving import run
from protosocket.cli._standard import standard_input, standard_output
from protosocket.cli._tls import client_tls, file_option

__all__ = ["command"]


@click.group(name="cache")
def command() -> None:
    """Read and write values through a router.

    KEY and VALUE are the bytes of the arguments as they are. The exit code is 0 when it was done, 1 when
    there is no such key, 2 when the arguments make no sense, 3 when the router could not be asked or refused.
    """


_OPTIONS: tuple[Callable[[Callable[..., None]], Callable[..., None]], ...] = (
    click.option("--router", type=TEXT, metavar="URL", required=True, help="Where the router listens."),
    click.option(
        "--transport",
        type=click.Choice(list(FRONTS)),
        default="protosocket",
        show_default=True,
        help="How to talk to it.",
    ),
    click.option(
        "--token",
        type=TEXT,
        envvar="PROTOSOCKET_CACHE_TOKEN",
        show_envvar=True,
        help="The token to show.",
    ),
    click.option(
        "--namespace", type=TEXT, default="default", show_default=True, help="The name of the cache."
    ),
    click.option(
        "--timeout",
        type=SECONDS,
        default=5.0,
        show_default=True,
        help="Seconds to wait for the answer.",
    ),
    file_option("--tls-ca", "Whom to trust at a tls:// router, instead of the system's roots."),
    click.option("--tls-insecure", is_flag=True, help="Do not check the certificate of a tls:// router."),
)


def _with_router(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options every operation has."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


_PARAMETERS: dict[str, Callable[[Callable[..., None]], Callable[..., None]]] = {
    "key": click.argument("key", type=BYTES),
    "value": click.argument("value", type=BYTES),
    "ttl": click.option("--ttl", type=SECONDS, default=60.0, show_default=True, help="Seconds it lives."),
}


def _program_of(cache_command: Command[..., Any]) -> Callable[..., None]:
    """The function of a command of the table: its result is printed, or is the exit code."""

    def program(namespace: str, timeout: float, **given: Any) -> None:
        arguments = {name: given.pop(name) for name in cache_command.parameters}
        if arguments.get("value") == b"-":
            arguments["value"] = standard_input().read()
        results: list[Any] = []
        # What is missing must show before the router is asked.
        output = standard_output() if cache_command is GET else None

        async def operation(client: CacheClient) -> None:
            method = getattr(client, cache_command.name)
            results.append(await method(namespace, **arguments, timeout=timeout))

        _run(operation, **given)
        (result,) = results
        if isinstance(result, Miss) or result is False:
            click.echo("Key not found", err=True)
            sys.exit(1)
        if output is not None:
            output.write(result.value)

    _with_router(program)
    for name in reversed(cache_command.parameters):
        _PARAMETERS[name](program)
    return program


for _each in TABLE:
    if _each.parameters:
        command.command(_each.name, help=_each.summary)(_program_of(_each))


def _run(
    operation: Callable[[CacheClient], Awaitable[None]],
    *,
    router: str,
    transport: str,
    token: str | None,
    tls_ca: Path | None,
    tls_insecure: bool,
) -> None:
    prepare_grpc()
    hop = ClientHop(token=token, tls=client_tls("--tls-ca", [router], tls_ca, insecure=tls_insecure))

    async def main() -> None:
        async with FRONTS[transport].client(router, hop) as client:
            await operation(client)

    run(main)
