"""What the tests of the gateway for Momento's gRPC API share: the programs, and clients of theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta

from momento import CacheClientAsync, Configurations, CredentialProvider
from tests.interop.momento_support import PROTOSOCKET, storage
from tests.interop.processes import Serving, serving

CACHE = "always there"
"""The cache that ``gateway`` is started with."""


@contextmanager
def gateway(*options: str, storages: int = 2) -> Iterator[Serving]:
    """A router that serves Momento's gRPC API in front of some storages, each a process."""
    with ExitStack() as stack:
        behind = [stack.enter_context(storage()).url for _ in range(storages)]
        listen = ("--momento-listen", "grpc://127.0.0.1:0", "--momento-cache", CACHE)
        command = (*PROTOSOCKET, "router", *listen, "--storage", ",".join(behind), *options)
        yield stack.enter_context(serving(*command))


@asynccontextmanager
async def sdk(served: Serving, *, token: str = "", ttl: float = 60) -> AsyncIterator[CacheClientAsync]:
    """Momento's client, pointed at ``served`` as at Momento Local; ``ttl`` is its default, in seconds."""
    host, _, port = served.place.partition(":")
    provider = CredentialProvider.for_momento_local(host, int(port))
    if token:
        provider = CredentialProvider(token, host, host, host, int(port))
    configuration = Configurations.Laptop.v1()
    async with await CacheClientAsync.create(configuration, provider, timedelta(seconds=ttl)) as client:
        yield client
