"""A program that disturbs the opening and the closing of connections at their n-th step, for every n.

    python -m tests.opening_steps LOOP TRANSPORT tcp|unix|tls|tls-callbacks FOLDER

A step is a turn of the event loop. It runs as a process of its own, since what it looks for can abort the
process. It prints what was wrong, and exits with 0 if nothing was.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import uvloop
from tests.opening_faces import FACES, Face, Place, descriptors, watched

from protosocket import ConnectionOptions
from protosocket.errors import Error

_EXPECTED = (Error, TimeoutError, asyncio.CancelledError, grpc.RpcError, grpc.aio.UsageError)
_PATIENCE = 120  # seconds

Disturb = Callable[[asyncio.Task[Any], asyncio.Timeout], object]

complaints: list[str] = []


class _Complaints(logging.Handler):
    """Whatever somebody had to tell the log."""

    def emit(self, record: logging.LogRecord) -> None:
        complaints.append(self.format(record))


def at_step(step: int, do: Callable[[], object], *, unless: asyncio.Future[Any]) -> None:
    """Call ``do`` in the ``step``-th turn from now, unless ``unless`` is done by then."""
    loop = asyncio.get_running_loop()

    def turn(left: int) -> None:
        if unless.done():
            return
        if left:
            loop.call_soon(turn, left - 1)
        else:
            do()

    loop.call_soon(turn, step)


async def disturbed(
    work: Coroutine[Any, Any, Any], step: int, late: bool, disturb: Disturb
) -> tuple[Any, bool]:
    """The result of ``work``, and whether it was done before ``disturb`` was called at ``step``.

    ``late``: after what else happens in that turn.
    """
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    reached = False

    async def limited() -> Any:
        async with limit:
            return await work

    def do() -> None:
        nonlocal reached
        reached = True
        disturb(task, limit)

    if late:
        task = loop.create_task(limited())
        at_step(step, do, unless=task)
    else:
        # A task that is cancelled before it began does nothing at all.
        loop.call_soon(lambda: at_step(step, do, unless=task))
        task = loop.create_task(limited())
    await asyncio.wait([task], timeout=_PATIENCE)
    if not task.done():
        complaints.append(f"hangs after step {step}: {task}")
        task.cancel()
        return None, not reached
    if task.cancelled():
        return None, not reached
    error = task.exception()
    if error is None:
        return task.result(), not reached
    if not reached or not isinstance(error, _EXPECTED):
        raise error
    return None, False


async def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE
    while not condition():
        if loop.time() > end:
            raise AssertionError(what())
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """What is open and watched afterwards is what was before."""
    loop = asyncio.get_running_loop()
    before, watched_before = descriptors(), watched(loop)
    yield
    await until(lambda: descriptors() <= before, lambda: f"left open: {descriptors() - before}")
    await until(lambda: watched(loop) <= watched_before, lambda: "the loop watches what is closed")


async def probe(face: Face) -> None:
    """The server takes connections as if nothing had happened."""
    client = await face.open(face.client())
    await face.use(client)
    await face.close(client)


def cancel(task: asyncio.Task[Any], limit: asyncio.Timeout) -> None:
    task.cancel()


def expire(task: asyncio.Task[Any], limit: asyncio.Timeout) -> None:
    limit.reschedule(asyncio.get_running_loop().time())


async def opening(face: Face, disturb: Disturb) -> None:
    """The client's opening, disturbed by its own side."""
    server = await face.serve()
    async with nothing_left():
        for step in count():
            early = True
            for late in (False, True):
                client = face.client()
                opened, done = await disturbed(face.open(client), step, late, disturb)
                if opened is not None:
                    await face.use(opened)
                await face.close(client if opened is None else opened)
                early &= done
            if early:
                break
        await probe(face)
    await face.stop(server)


async def opening_and_closing(face: Face) -> None:
    """The client is closed while it connects."""
    server = await face.serve()
    async with nothing_left():
        for step in count():
            client = face.client()
            if client is None:
                break
            closing: list[asyncio.Task[None]] = []

            def close(*_: object, client: Any = client, closing: list[Any] = closing) -> None:
                closing.append(asyncio.get_running_loop().create_task(face.close(client)))

            _, done = await disturbed(face.open(client), step, True, close)
            await (closing[0] if closing else face.close(client))
            if done:
                break
        await probe(face)
    await face.stop(server)


async def opening_while_the_server_stops(face: Face) -> None:
    """The server goes away while a client connects, who may or may not get a connection."""
    for step in count():
        async with nothing_left():
            server = await face.serve()
            stopping: list[asyncio.Task[None]] = []
            opened, done = await _race(face, server, stopping, step)
            await (stopping[0] if stopping else face.stop(server))
            del opened, server
        if done:
            break


async def _race(face: Face, server: Any, stopping: list[asyncio.Task[None]], step: int) -> tuple[Any, bool]:
    loop = asyncio.get_running_loop()
    client = face.client()

    def stop(opening: asyncio.Task[Any], limit: asyncio.Timeout) -> None:
        stopping.append(loop.create_task(face.stop(server)))
        # A channel tries for ever.
        stopping[0].add_done_callback(lambda _: loop.call_later(0.02, opening.cancel))

    opened, done = await disturbed(face.open(client), step, True, stop)
    await face.close(client if opened is None else opened)
    return opened, done


async def closing(face: Face, disturb: Disturb) -> None:
    """The client's closing, disturbed by its own side: it is closed all the same."""
    server = await face.serve()
    for step in count():
        early = True
        for late in (False, True):
            async with nothing_left():
                client = await face.open(face.client())
                await face.use(client)
                _, done = await disturbed(face.close(client), step, late, disturb)
                early &= done
        if early:
            break
    await probe(face)
    await face.stop(server)


async def serving(face: Face, disturb: Disturb) -> None:
    """The server's opening."""
    async with nothing_left():
        for step in count():
            early = True
            for late in (False, True):
                server, done = await disturbed(face.serve(), step, late, disturb)
                if server is not None:
                    await probe(face)
                    await face.stop(server)
                early &= done
            if early:
                break


async def stopping(face: Face, disturb: Disturb) -> None:
    """The server's closing, with a connection, and one that says nothing (under TLS in its handshake)."""
    for step in count():
        early = True
        for late in (False, True):
            async with nothing_left():
                server = await face.serve()
                client = await face.open(face.client())
                with await _silent(face) as silent:
                    _, done = await disturbed(face.stop(server), step, late, disturb)
                    early &= done
                    if face.place.scheme != "tls":
                        # It ends for the peers; a handshake that is under way has its own time.
                        with contextlib.suppress(ConnectionError):
                            assert await asyncio.get_running_loop().sock_recv(silent, 1) == b""
                await face.close(client)
                del server
        if early:
            break


async def _silent(face: Face) -> socket.socket:
    loop = asyncio.get_running_loop()
    if face.place.scheme == "unix":
        peer = socket.socket(socket.AF_UNIX)
        target: Any = face.listening.removeprefix("unix://")
    else:
        peer = socket.socket()
        host, _, port = face.listening.rpartition("://")[2].rpartition(":")
        target = (host, int(port))
    peer.setblocking(False)
    await loop.sock_connect(peer, target)
    return peer


async def refusing(face: Face) -> None:
    """The server cuts connections off as soon as they are made."""
    async with nothing_left():
        server = await face.serve(refuse=True)
        for _ in range(20):
            client = face.client()
            with contextlib.suppress(*_EXPECTED):
                client = await face.open(client)
                await face.use(client)
            await face.close(client)
        await face.stop(server)
        del server
        server = await face.serve()
        await probe(face)
        await face.stop(server)
        del server


async def every_disturbance(face: Face) -> AsyncIterator[tuple[str, Coroutine[Any, Any, None]]]:
    yield "refusing", refusing(face)
    for disturb in (cancel, expire):
        for scenario in (opening, closing, serving, stopping):
            yield f"{scenario.__name__}, {disturb.__name__}", scenario(face, disturb)
    for each in (opening_and_closing, opening_while_the_server_stops):
        yield each.__name__, each(face)


async def main(transport: Any, scheme: str, folder: Path) -> None:
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(
            "".join(traceback.format_exception(context.get("exception"))) + str(context)
        )
    )
    options = ConnectionOptions(transport=transport, connect_timeout=60)
    kind_of, _, callbacks = scheme.partition("-")
    failed = False
    for name, kind in FACES.items():
        if name == "grpc" and (transport == "loop" or callbacks):
            continue  # there is no way to say so
        face = kind(Place(kind_of, folder, options, bool(callbacks)))
        await probe_once(face)
        async for what, scenario in every_disturbance(face):
            try:
                await scenario
            except Exception:
                complaints.append(traceback.format_exc())
            gc.collect()
            if complaints:
                failed = True
                print(f"{name}, {what}: " + "\n".join(complaints))
                complaints.clear()
    sys.exit(failed)


async def probe_once(face: Face) -> None:
    """What is made once for the process is made before anything is counted."""
    server = await face.serve()
    await probe(face)
    await face.stop(server)


if __name__ == "__main__":
    for logger in ("asyncio", "aiofastnet"):
        logging.getLogger(logger).addHandler(_Complaints(logging.WARNING))
    logging.getLogger("protosocket").setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda unraisable: complaints.append(
        "".join(traceback.format_exception(unraisable.exc_value)) + repr(unraisable.object)
    )
    which, via, where, at = sys.argv[1:]
    run = uvloop.run if which == "uvloop" else asyncio.run
    run(main(via, where, Path(at)))
