"""Looking up names and connecting sockets without libuv's threads.

uvloop's ``getaddrinfo`` uses them, and its ``sock_connect`` looks every address up again. A process that is
forked afterwards crashes when it ends, as libuv joins threads that only its parent has; and an IPv6 address
loses its scope.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import Sequence
from typing import Any

__all__ = ["AddressInfo", "connect_socket", "look_up"]

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""What ``socket.getaddrinfo`` gives of an address."""


async def look_up(host: str, port: int, flags: int = 0) -> Sequence[AddressInfo]:
    """What ``socket.getaddrinfo`` gives for streams, asked for in a thread of the loop's executor.

    Cancelling it does not end the thread.
    """
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, flags=flags)
    return await asyncio.get_running_loop().run_in_executor(None, ask)


async def connect_socket(sock: socket.socket, target: Any) -> None:
    """Connect ``sock``, which does not block, to ``target``; raises ``OSError``.

    Cancelled, it is not watched any more.
    """
    loop = asyncio.get_running_loop()
    if sock.family == socket.AF_UNIX:
        await loop.sock_connect(sock, target)
        return
    try:
        sock.connect(target)
    except (BlockingIOError, InterruptedError):
        pass
    else:
        return
    descriptor = sock.fileno()
    done = loop.create_future()

    def settle() -> None:
        loop.remove_writer(descriptor)
        if not done.done():
            done.set_result(None)

    loop.add_writer(descriptor, settle)
    try:
        await done
    except asyncio.CancelledError:
        loop.remove_writer(descriptor)
        raise
    if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, os.strerror(error))
