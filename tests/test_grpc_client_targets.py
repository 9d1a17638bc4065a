"""Targets in all their forms, TLS, and credentials that calls carry."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest
from tests.conftest import Certificates
from tests.grpc_support import Backend, namer

import protosocket.grpc
from protosocket.errors import AddressError


@pytest.mark.parametrize(
    "form",
    [
        "127.0.0.1:{port}",
        "localhost:{port}",
        "dns:127.0.0.1:{port}",
        "dns:///127.0.0.1:{port}",
        "dns://8.8.8.8/127.0.0.1:{port}",
        "ipv4:127.0.0.1:{port}",
        "tcp://127.0.0.1:{port}",
        "TCP://127.0.0.1:{port}",
        "DNS:///LocalHost:{port}",
        "[::ffff:127.0.0.1]:{port}",
    ],
)
async def test_forms_of_one_target(form: str) -> None:
    async with Backend("x") as backend:
        target = form.format(port=backend.target.rpartition(":")[2])
        async with protosocket.grpc.insecure_channel(target) as channel:
            assert await namer(channel)(b"") == b"x"


@pytest.mark.parametrize(
    "form", ["[::1]:{port}", "ipv6:[::1]:{port}", "ipv6:%5B::1%5d:{port}", "tcp://[::1]:{port}"]
)
async def test_ipv6(form: str) -> None:
    async with Backend("x", bind="[::1]:0") as backend:
        channel = protosocket.grpc.insecure_channel(form.format(port=backend.port))
        assert await namer(channel)(b"") == b"x"
        await channel.close()


@pytest.mark.parametrize("form", ["unix:{path}", "unix://{path}"])
async def test_unix_sockets(unix_path: str, form: str) -> None:
    async with Backend("x", bind=f"unix:{unix_path}"):
        channel = protosocket.grpc.insecure_channel(form.format(path=unix_path))
        assert await namer(channel)(b"") == b"x"
        await channel.close()


@pytest.mark.parametrize("target", ["tls://localhost:1", "[::1:5", "host:x", "dns:///", "memory://"])
def test_targets_that_cannot_be_used(target: str) -> None:
    with pytest.raises(AddressError):
        protosocket.grpc.insecure_channel(target)


class Plugin(grpc.AuthMetadataPlugin):
    """Adds a token, and notes what it is asked for."""

    def __init__(self, token: str, error: Exception | None = None) -> None:
        self._token = token
        self._error = error
        self.asked: list[tuple[str, str]] = []

    def __call__(self, context: grpc.AuthMetadataContext, callback: Any) -> None:
        """Answer from another thread, as plugins do that ask a server."""
        self.asked.append((context.service_url, context.method_name))
        threading.Thread(target=callback, args=((("token", self._token),), self._error)).start()


def secured(certificates: Certificates) -> Backend:
    pair = (certificates.server_key.read_bytes(), certificates.server_certificate.read_bytes())
    return Backend("x", credentials=protosocket.grpc.ssl_server_credentials([pair]))


def transport(certificates: Certificates) -> grpc.ChannelCredentials:
    return protosocket.grpc.ssl_channel_credentials(certificates.ca.read_bytes())


async def test_credentials_of_the_channel_and_of_a_call(certificates: Certificates) -> None:
    always, once = Plugin("channel"), Plugin("call")
    credentials = grpc.composite_channel_credentials(
        transport(certificates), grpc.metadata_call_credentials(always)
    )
    async with secured(certificates) as backend:
        target = f"localhost:{backend.port}"
        async with protosocket.grpc.secure_channel(target, credentials) as channel:
            say = namer(channel)
            assert await say(b"", metadata=(("k", "v"),)) == b"x"
            assert {"k": "v", "token": "channel"}.items() <= backend.seen[-1].items()
            assert always.asked == [(f"https://{target}/test.Service", "Name")]
            await say(b"", credentials=grpc.metadata_call_credentials(once))
            assert backend.seen[-1]["token"] == "call"
            composite = grpc.composite_call_credentials(
                grpc.access_token_call_credentials("abc"), grpc.metadata_call_credentials(once)
            )
            await say(b"", credentials=composite)
            assert backend.seen[-1]["authorization"] == "Bearer abc"


async def test_credentials_that_fail(certificates: Certificates) -> None:
    failing = grpc.metadata_call_credentials(Plugin("", RuntimeError("no token today")))
    async with secured(certificates) as backend:
        target = f"localhost:{backend.port}"
        async with protosocket.grpc.secure_channel(target, transport(certificates)) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="no token today") as caught:
                await namer(channel)(b"", credentials=failing)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert backend.calls == 0


async def test_credentials_are_not_sent_in_the_clear() -> None:
    async with Backend("x") as backend, protosocket.grpc.insecure_channel(backend.target) as channel:
        call = namer(channel)(b"", credentials=grpc.access_token_call_credentials("secret"))
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        assert backend.calls == 0


async def test_credentials_of_other_kinds() -> None:
    with pytest.raises(ValueError, match="ssl_channel_credentials"):
        protosocket.grpc.secure_channel("localhost:1", grpc.local_channel_credentials())
