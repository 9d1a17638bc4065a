"""The program ``protosocket storage``: a storage server of the cache."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path

import click

from protosocket.cache.engine import Engine, create_engine
from protosocket.cache.grpc_environment import prepare_grpc
from protosocket.cache.interface import Listening
from protosocket.cache.storage import StorageHandler
from protosocket.cache.transports import TRANSPORTS, ServedHop, transport_of
from protosocket.cli._parameters import TEXT
from protosocket.cli._serving import options_of, read_policy, run, serve_until_stopped, with_busy_poll
from protosocket.cli._tls import file_option, server_tls, with_server_tls
from protosocket.errors import OptionError
from protosocket.options import parse_size

__all__ = ["command"]

# An idle server gives expired entries' memory back at 10,000 entries a second; writes sweep as they go.
_SWEEP_SECONDS = 0.1
_SWEEP_ENTRIES = 1000


@click.command(name="storage")
@click.option(
    "--listen", type=TEXT, metavar="URL", help="Serve protosocket here, such as tcp://127.0.0.1:7400."
)
@click.option(
    "--grpc-listen", type=TEXT, metavar="URL", help="Serve gRPC here, such as grpc://127.0.0.1:7401."
)
@click.option("--max-memory", metavar="SIZE", default="256MiB", show_default=True, help="The most to hold.")
@file_option("--token-file", "Tokens to accept, one a line; needed where other machines can connect.")
@with_busy_poll
@with_server_tls
def command(
    listen: str | None,
    grpc_listen: str | None,
    max_memory: str,
    token_file: Path | None,
    busy_poll: float | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Run a storage server of the cache until SIGTERM or SIGINT."""
    prepare_grpc()
    if listen is None and grpc_listen is None:
        raise OptionError("a storage needs --listen, --grpc-listen or both")
    tls = server_tls(listen, tls_cert, tls_key)
    options = options_of(busy_poll, listen)
    engine = create_engine(parse_size(max_memory))
    tokens = read_policy(token_file)
    handler = StorageHandler(engine)

    async def main() -> None:
        hop = ServedHop(tokens=tokens, options=options, tls=tls)
        listeners: list[Coroutine[object, object, Listening]] = []
        if listen is not None:
            listeners.append(transport_of(listen).listen(listen, handler, hop))
        if grpc_listen is not None:
            listeners.append(TRANSPORTS["grpc-unary"].listen(grpc_listen, handler, hop))
        sweeping = asyncio.create_task(_sweep(engine))
        try:
            await serve_until_stopped(listeners)
        finally:
            sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeping

    run(main)


async def _sweep(engine: Engine) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        engine.sweep(_SWEEP_ENTRIES)
