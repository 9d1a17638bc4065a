"""The cache: set, get and delete through a router.

    python examples/cache_client.py [URL]

URL is where a router listens. Without it, the programs ``storage`` and ``router`` are started for it
(they need the extra ``cli``).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from protosocket.cache import Hit, Miss
from protosocket.cache.protosocket_client import ProtosocketCacheClient


async def use(url: str) -> None:
    async with ProtosocketCacheClient(url) as cache:
        await cache.set("greetings", b"en", b"hello", ttl=60, timeout=5)
        for key in (b"en", b"fr"):
            match await cache.get("greetings", key, timeout=5):
                case Hit(value):
                    print(f"{key.decode()}: {value.decode()}")
                case Miss():
                    print(f"{key.decode()}: not there")
        await cache.delete("greetings", b"en", timeout=5)
        print("deleted:", await cache.get("greetings", b"en", timeout=5))


@contextmanager
def program(*arguments: str) -> Iterator[str]:
    """A server program on a free port; gives its URL, and stops it at the end."""
    command = [sys.executable, "-m", "protosocket", *arguments, "--listen", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.terminate()


def main() -> None:
    if len(sys.argv) > 1:
        asyncio.run(use(sys.argv[1]))
        return
    with program("storage") as storage, program("router", "--storage", storage) as router:
        asyncio.run(use(router))


main()
