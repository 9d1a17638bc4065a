"""The program ``protosocket router``: a router of the cache."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path

import click

from protosocket.cache.auth import TokenPolicy, read_tokens
from protosocket.cache.grpc_environment import prepare_grpc
from protosocket.cache.interface import Backend, Listening
from protosocket.cache.transports import FRONTS, TRANSPORTS, ServedHop, StorageHop, front_of, transport_of
from protosocket.cli._parameters import CONNECTIONS, TEXT, WORKERS
from protosocket.cli._serving import (
    options_of,
    read_policy,
    run,
    serve_until_stopped,
    tune_garbage_collector,
    with_busy_poll,
)
from protosocket.cli._tls import client_tls, file_option, server_tls, with_server_tls
from protosocket.connection import run_workers
from protosocket.errors import OptionError
from protosocket.options import ConnectionOptions

__all__ = ["command"]

# How long the line "listening on" may wait for storages; after that the router starts without them.
_CONNECT_SECONDS = 5.0


@click.command(name="router")
@click.option(
    "--listen", type=TEXT, metavar="URL", help="Serve protosocket here, such as tcp://127.0.0.1:7300."
)
@click.option(
    "--grpc-listen", type=TEXT, metavar="URL", help="Serve gRPC here, such as grpc://127.0.0.1:7301."
)
@click.option(
    "--momento-listen",
    type=TEXT,
    metavar="URL",
    help="Serve Momento's gRPC API here, such as grpc://127.0.0.1:8080.",
)
@click.option(
    "--momento-cache",
    type=TEXT,
    metavar="NAME",
    multiple=True,
    help="A cache that is always there; give it several times for several.",
)
@click.option(
    "--storage",
    "storage",
    type=TEXT,
    metavar="URL[,URL...]",
    required=True,
    multiple=True,
    help="The storages: tcp, tls, unix or grpc URLs.",
)
@click.option(
    "--transport",
    type=click.Choice(list(TRANSPORTS)),
    help="How commands travel to the storages; by default as their URLs say, grpc by unary calls.",
)
@click.option("--connections", type=CONNECTIONS, default=1, show_default=True, help="Per storage.")
@click.option(
    "--workers",
    type=WORKERS,
    default=1,
    show_default=True,
    help="Processes on --listen.",
)
@file_option("--token-file", "Tokens to accept, one a line; needed where other machines can connect.")
@file_option("--storage-token-file", "The first token in it is shown to the storages.")
@with_busy_poll
@with_server_tls
@file_option("--storage-tls-ca", "Whom to trust at tls:// storages, instead of the system's roots.")
def command(
    listen: str | None,
    grpc_listen: str | None,
    momento_listen: str | None,
    momento_cache: Sequence[str],
    storage: Sequence[str],
    transport: str | None,
    connections: int,
    workers: int,
    token_file: Path | None,
    storage_token_file: Path | None,
    busy_poll: float | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    storage_tls_ca: Path | None,
) -> None:
    """Run a router of the cache until SIGTERM or SIGINT."""
    prepare_grpc()
    if listen is None and grpc_listen is None and momento_listen is None:
        raise OptionError("a router needs --listen, --grpc-listen or --momento-listen")
    storages = [url.strip() for urls in storage for url in urls.split(",") if url.strip()]
    back = TRANSPORTS[transport] if transport else transport_of(storages[0] if storages else "")
    if momento_listen is not None and back is not TRANSPORTS["protosocket"]:
        raise OptionError("--momento-listen needs storages that are reached by --transport protosocket")
    if momento_cache and momento_listen is None:
        raise OptionError("--momento-cache is for --momento-listen")
    # At once, so that a missing package is told before anything waits for storages.
    serve_momento = None if momento_listen is None else _gateway()
    tokens = read_policy(token_file)
    storage_token = None if storage_token_file is None else read_tokens(storage_token_file)[0]
    tls = server_tls(listen, tls_cert, tls_key)
    storage_tls = client_tls("--storage-tls-ca", storages, storage_tls_ca)
    options = options_of(busy_poll, listen)
    hop = StorageHop(connections=connections, token=storage_token, options=options, tls=storage_tls)
    make_backend = partial(back.connect, storages, hop)
    fronts = [(front_of(listen), listen)] if listen is not None else []
    if grpc_listen is not None:
        fronts.append((FRONTS["grpc"], grpc_listen))
    if workers > 1:
        if listen is None or momento_listen is not None or not all(each.is_shareable for each, _ in fronts):
            raise OptionError("--workers is for --listen; a router that serves gRPC is one process")
        run_workers(
            partial(_serve_in_worker, make_backend, tokens, options, tls_cert, tls_key),
            listen,
            workers=workers,
        )
        return

    async def main() -> None:
        backend = make_backend()
        try:
            await backend.connect(_CONNECT_SECONDS)
            served = ServedHop(tokens=tokens, options=options, tls=tls)
            listeners: list[Coroutine[object, object, Listening]] = [
                front.listen(url, backend, served) for front, url in fronts
            ]
            if momento_listen is not None and serve_momento is not None:
                listeners.append(serve_momento(momento_listen, backend, tokens=tokens, caches=momento_cache))
            await serve_until_stopped(listeners)
        finally:
            await backend.close()

    run(main)


def _gateway() -> Callable[..., Coroutine[object, object, Listening]]:
    from protosocket.cache.momento import serve_momento

    return serve_momento


class _Worker:
    """One of several routers on a port."""

    def __init__(self, listening: Listening, backend: Backend) -> None:
        self._listening = listening
        self._backend = backend

    async def close(self) -> None:
        await self._listening.close()
        await self._backend.close()


async def _serve_in_worker(
    make_backend: Callable[[], Backend],
    tokens: TokenPolicy,
    options: ConnectionOptions,
    cert: Path | None,
    key: Path | None,
    url: str,
) -> _Worker:
    tune_garbage_collector()
    hop = ServedHop(tokens=tokens, options=options, tls=server_tls(url, cert, key), reuse_port=True)
    backend = make_backend()
    try:
        await backend.connect(_CONNECT_SECONDS)
        return _Worker(await front_of(url).listen(url, backend, hop), backend)
    except BaseException:
        await backend.close()
        raise
