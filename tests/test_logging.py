"""What a peer can make us log: one record an event, by this package's logger, and not many of them."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.conftest import Certificates
from tests.oracle.framing import Framing, frame
from tests.patience import HANG
from tests.places import reset_on_close, until
from tests.rpc_support import CODEC, SimpleMessage, message

from protosocket import TLS, ConnectionOptions, rpc

pytestmark = pytest.mark.every_loop

STREAMS = 50


def foreign(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Records of other loggers than this package's, those for debugging aside."""
    return [
        f"{record.name}: {record.getMessage()}"
        for record in caplog.records
        if not record.name.startswith("protosocket") and record.levelno > logging.DEBUG
    ]


class Endless(rpc.Service):
    """Streams without an end."""

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        while True:
            yield message(bytes(100))


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_a_client_that_leaves_with_answers_unread(
    scheme: str, transport: Any, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    tls = None
    if scheme == "tls":
        tls = TLS(certificate=certificates.server_certificate, key=certificates.server_key)

    def leave(port: int) -> None:
        """Ask for streams, read a little, and have the kernel reset the connection."""
        messages = [SimpleMessage(id=number, body=b"x") for number in range(1, STREAMS + 1)]
        requests = b"".join(frame(Framing.VARINT, each.SerializeToString()) for each in messages)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            reset_on_close(plain)
            peer = plain
            if scheme == "tls":
                context = ssl.create_default_context(cafile=certificates.ca)
                peer = context.wrap_socket(plain, server_hostname="localhost")
            peer.sendall(requests)
            for _ in range(20):
                peer.recv(65536)
            peer.close()

    options = ConnectionOptions(transport=transport)
    async with rpc.serve(f"{scheme}://127.0.0.1:0", Endless, CODEC, options=options, tls=tls) as server:
        port = int(server.addresses[0].rpartition(":")[2])
        async with asyncio.timeout(HANG):
            await asyncio.gather(*(asyncio.to_thread(leave, port) for _ in range(3)))
            await until(lambda: server.connections == 0)
    assert foreign(caplog) == []
    assert len(caplog.records) <= 3
