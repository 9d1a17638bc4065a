"""The program ``protosocket cache``: one get, set or delete through a router."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from protosocket.cache.grpc_environment import prepare_grpc
from protosocket.cache.interface import CacheClient
from protosocket.cache.results import Hit
from protosocket.cli._parameters import BYTES, SECONDS, TEXT
from protosocket.cli._serving import run
from protosocket.cli._standard import standard_input, standard_output
from protosocket.cli._tls import client_tls, file_option
from protosocket.connection import TLS

__all__ = ["command"]


@click.group(name="cache")
def command() -> None:
    """Get, set and delete values through a router.

    KEY and VALUE are the bytes of the arguments as they are. The exit code is 0 when it was done, 1 when
    there is no such key, 2 when the arguments make no sense, 3 when the router could not be asked or refused.
    """


_OPTIONS: tuple[Callable[[Callable[..., None]], Callable[..., None]], ...] = (
    click.option("--router", type=TEXT, metavar="URL", required=True, help="Where the router listens."),
    click.option(
        "--transport",
        type=click.Choice(["protosocket", "grpc"]),
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


@command.command()
@click.argument("key", type=BYTES)
@_with_router
def get(key: bytes, namespace: str, timeout: float, **router: Any) -> None:
    """Print the value under KEY as it is; exit with 1 if there is none."""
    output = standard_output()
    found: list[bytes] = []

    async def operation(client: CacheClient) -> None:
        result = await client.get(namespace, key, timeout=timeout)
        if isinstance(result, Hit):
            found.append(result.value)

    _run(operation, **router)
    if not found:
        click.echo("Key not found", err=True)
        sys.exit(1)
    output.write(found[0])


@command.command("set")
@click.argument("key", type=BYTES)
@click.argument("value", type=BYTES)
@click.option(
    "--ttl",
    type=SECONDS,
    default=60.0,
    show_default=True,
    help="Seconds it lives.",
)
@_with_router
def set_(key: bytes, value: bytes, ttl: float, namespace: str, timeout: float, **router: Any) -> None:
    """Store VALUE under KEY; a VALUE of - is read from standard input."""
    content = standard_input().read() if value == b"-" else value

    async def operation(client: CacheClient) -> None:
        await client.set(namespace, key, content, ttl, timeout=timeout)

    _run(operation, **router)


@command.command()
@click.argument("key", type=BYTES)
@_with_router
def delete(key: bytes, namespace: str, timeout: float, **router: Any) -> None:
    """Remove KEY; no error if it is not there."""

    async def operation(client: CacheClient) -> None:
        await client.delete(namespace, key, timeout=timeout)

    _run(operation, **router)


def _run(
    operation: Callable[[CacheClient], Awaitable[None]],
    *,
    router: str,
    transport: str,
    token: str | None,
    tls_ca: Path | None,
    tls_insecure: bool,
) -> None:
    tls = client_tls("--tls-ca", [router], tls_ca, insecure=tls_insecure)

    async def main() -> None:
        async with _client(router, transport, token, tls) as client:
            await operation(client)

    run(main)


def _client(router: str, transport: str, token: str | None, tls: TLS | None) -> CacheClient:
    if transport == "grpc":
        prepare_grpc()
        from protosocket.cache.grpc_client import GrpcCacheClient

        return GrpcCacheClient(router, token=token)
    from protosocket.cache.protosocket_client import ProtosocketCacheClient

    return ProtosocketCacheClient(router, token=token, tls=tls)
