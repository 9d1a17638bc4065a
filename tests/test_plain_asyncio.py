"""The switch PROTOSOCKET_PLAIN_ASYNCIO: read at import, and calls are made without any trick."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from protosocket import rpc
from protosocket._core import PLAIN_ASYNCIO, DrivenCoroutine
from tests.rpc_support import CODEC, Service, message

async def work(client):
    return (await client.unary(message(b"echo a"))).body

async def main():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(rpc.task_factory)
    async with (
        rpc.serve("tcp://127.0.0.1:0", Service, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        task = asyncio.create_task(work(client))
        is_driven = isinstance(task.get_coro(), DrivenCoroutine)
        print(await task, PLAIN_ASYNCIO, is_driven)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("value", "is_plain"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)]
)
def test_the_environment_is_read_at_import(value: str | None, is_plain: bool) -> None:
    environment = {name: it for name, it in os.environ.items() if name != "PROTOSOCKET_PLAIN_ASYNCIO"}
    if value is not None:
        environment["PROTOSOCKET_PLAIN_ASYNCIO"] = value
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == (f"b'echo a' {is_plain} {not is_plain}\n", "")
