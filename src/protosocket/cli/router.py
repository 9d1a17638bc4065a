"""The program ``protosocket router``: a router of the cache."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path

import click

from protosocket.cache.auth import TokenPolicy, read_tokens
from protosocket.cache.grpc_environment import prepare_grpc
from protosocket.cache.interface import Backend, Listening
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
from protosocket.connection import TLS, run_workers
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
    help="The storages: tcp, tls or unix URLs, grpc URLs with a gRPC transport.",
)
@click.option(
    "--transport",
    type=click.Choice(["protosocket", "grpc-unary", "grpc-stream"]),
    default="protosocket",
    show_default=True,
    help="How commands travel to the storages.",
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
    transport: str,
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
    if listen is None and grpc_listen is None and momento_listen is None:
        raise OptionError("a router needs --listen, --grpc-listen or --momento-listen")
    if momento_listen is not None and transport != "protosocket":
        raise OptionError("--momento-listen needs storages that are reached by --transport protosocket")
    if momento_cache and momento_listen is None:
        raise OptionError("--momento-cache is for --momento-listen")
    # At once, so that a missing package is told before anything waits for storages.
    serve_momento = None if momento_listen is None else _gateway()
    storages = [url.strip() for urls in storage for url in urls.split(",") if url.strip()]
    tokens = read_policy(token_file)
    storage_token = None if storage_token_file is None else read_tokens(storage_token_file)[0]
    tls = server_tls(listen, tls_cert, tls_key)
    storage_tls = client_tls("--storage-tls-ca", storages, storage_tls_ca)
    options = options_of(busy_poll, listen)
    make_backend = partial(_backend, transport, storages, connections, storage_token, options, storage_tls)
    if workers > 1:
        if listen is None or grpc_listen is not None or momento_listen is not None:
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
            listeners: list[Coroutine[object, object, Listening]] = []
            if listen is not None:
                from protosocket.cache.protosocket_router import serve_router

                listeners.append(serve_router(listen, backend, tokens=tokens, options=options, tls=tls))
            if grpc_listen is not None:
                prepare_grpc()
                from protosocket.cache.grpc_router import serve_router_grpc

                listeners.append(serve_router_grpc(grpc_listen, backend, tokens=tokens))
            if momento_listen is not None and serve_momento is not None:
                listeners.append(serve_momento(momento_listen, backend, tokens=tokens, caches=momento_cache))
            await serve_until_stopped(listeners)
        finally:
            await backend.close()

    run(main)


def _gateway() -> Callable[..., Coroutine[object, object, Listening]]:
    prepare_grpc()
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
    from protosocket.cache.protosocket_router import serve_router

    tune_garbage_collector()
    tls = server_tls(url, cert, key)
    backend = make_backend()
    try:
        await backend.connect(_CONNECT_SECONDS)
        listening = await serve_router(url, backend, tokens=tokens, options=options, tls=tls, reuse_port=True)
        return _Worker(listening, backend)
    except BaseException:
        await backend.close()
        raise


def _backend(
    transport: str,
    storages: Sequence[str],
    connections: int,
    token: str | None,
    options: ConnectionOptions,
    tls: TLS | None,
) -> Backend:
    if transport == "protosocket":
        from protosocket.cache.protosocket_router import ProtosocketBackend

        return ProtosocketBackend(storages, connections=connections, token=token, options=options, tls=tls)
    prepare_grpc()
    from protosocket.cache.grpc_backend import GrpcStreamBackend, GrpcUnaryBackend

    if transport == "grpc-unary":
        return GrpcUnaryBackend(storages, connections=connections, token=token)
    return GrpcStreamBackend(storages, connections=connections, token=token)
