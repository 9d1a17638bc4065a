"""Contexts that call back into Python during the handshake, on both sides."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Literal

import pytest
from tests.conftest import Certificates
from tests.places import echo

from protosocket import TLS, ConnectionOptions, codecs, connect, listen

pytestmark = pytest.mark.every_loop


def call_for_names(context: ssl.SSLContext, called: list[Any], path: str) -> None:
    if context.protocol == ssl.PROTOCOL_TLS_SERVER:
        context.sni_callback = lambda _, name, __: called.append(name)


def write_keys(context: ssl.SSLContext, called: list[Any], path: str) -> None:
    context.keylog_filename = path


def call_for_messages(context: ssl.SSLContext, called: list[Any], path: str) -> None:
    context._msg_callback = lambda *message: called.append(message)  # type: ignore[attr-defined]  # noqa: SLF001


@pytest.mark.parametrize("set_up", [call_for_names, write_keys, call_for_messages])
async def test_callbacks(
    transport: Literal["aiofastnet", "loop"],
    certificates: Certificates,
    set_up: Callable[[ssl.SSLContext, list[Any], str], None],
    tmp_path: Any,
) -> None:
    """With aiofastnet's own way to TLS each of them ended the process."""
    options = ConnectionOptions(transport=transport)
    called: list[Any] = []
    of_server = TLS(certificate=certificates.server_certificate, key=certificates.server_key).server_context()
    of_client = TLS(ca=certificates.ca).client_context()
    for context in (of_server, of_client):
        set_up(context, called, str(tmp_path / "keys"))
    async with listen("tls://127.0.0.1:0", codecs.Lines(), echo, options=options, tls=of_server) as server:
        url = server.addresses[0].replace("127.0.0.1", "localhost")
        async with connect(url, codecs.Lines(), options=options, tls=of_client) as connection:
            for size in (1, 100_000):
                await connection.send("x" * size)
                assert await connection.receive() == "x" * size
    if set_up is write_keys:
        assert "TRAFFIC_SECRET" in (tmp_path / "keys").read_text()
    else:
        assert called
