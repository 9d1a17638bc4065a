"""TLS with gRPC's own credentials: who trusts whom, and who the server says is calling."""

from __future__ import annotations

from typing import Any

import grpc
from grpc import StatusCode
from tests.conftest import Certificates
from tests.grpc_parity.handlers import Context, exclaim
from tests.grpc_parity.world import World, generic_handler, method
from tests.patience import HANG


async def serve(world: World, credentials: grpc.ServerCredentials, handler: Any = exclaim) -> str:
    server = world.server(handlers=[generic_handler(unary_unary=handler)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    return f"localhost:{port}"


def server_credentials(certificates: Certificates, **options: Any) -> grpc.ServerCredentials:
    pair = (certificates.server_key.read_bytes(), certificates.server_certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], **options)


async def test_a_server_that_the_client_trusts(world: World, certificates: Certificates) -> None:
    target = await serve(world, server_credentials(certificates))
    channel = world.channel(target, grpc.ssl_channel_credentials(certificates.ca.read_bytes()))
    assert await channel.unary_unary(method("unary_unary"))(b"a") == b"a!"


async def test_a_server_that_the_client_does_not_trust(world: World, certificates: Certificates) -> None:
    target = await serve(world, server_credentials(certificates))
    channel = world.channel(target, grpc.ssl_channel_credentials(certificates.other_ca.read_bytes()))
    assert await channel.unary_unary(method("unary_unary"))(b"").code() is StatusCode.UNAVAILABLE


async def test_the_name_must_be_in_the_certificate(world: World, certificates: Certificates) -> None:
    target = await serve(world, server_credentials(certificates))
    credentials = grpc.ssl_channel_credentials(certificates.ca.read_bytes())
    override = [("grpc.ssl_target_name_override", "elsewhere.test")]
    call = world.channel(target, credentials, options=override).unary_unary(method("unary_unary"))(b"")
    assert await call.code() is StatusCode.UNAVAILABLE
    override = [("grpc.ssl_target_name_override", "localhost")]
    ip = target.replace("localhost", "127.0.0.1")
    channel = world.channel(ip, credentials, options=override)
    assert await channel.unary_unary(method("unary_unary"))(b"a") == b"a!"


async def test_a_client_without_tls(world: World, certificates: Certificates) -> None:
    target = await serve(world, server_credentials(certificates))
    call = world.channel(target).unary_unary(method("unary_unary"))(b"", timeout=HANG)
    assert await call.code() is StatusCode.UNAVAILABLE


async def test_who_the_client_is(world: World, certificates: Certificates) -> None:
    seen: list[Any] = []

    async def handle(request: bytes, context: Context) -> bytes:
        seen.append(context.auth_context())
        seen.append((context.peer_identity_key(), list(context.peer_identities() or [])))
        return b""

    authority = certificates.ca.read_bytes()
    options = {"root_certificates": authority, "require_client_auth": True}
    target = await serve(world, server_credentials(certificates, **options), handle)
    credentials = grpc.ssl_channel_credentials(
        authority, certificates.client_key.read_bytes(), certificates.client_certificate.read_bytes()
    )
    await world.channel(target, credentials).unary_unary(method("unary_unary"))(b"")
    auth, (key, identities) = seen
    assert list(auth["transport_security_type"]) == [b"ssl"]
    assert auth["x509_pem_cert"][0].startswith(b"-----BEGIN CERTIFICATE-----")
    assert list(auth["x509_subject_alternative_name"]) == [b"client@protosocket.test"]
    assert (key, identities) == ("x509_subject_alternative_name", [b"client@protosocket.test"])


async def test_a_client_without_the_certificate_it_needs(world: World, certificates: Certificates) -> None:
    authority = certificates.ca.read_bytes()
    options = {"root_certificates": authority, "require_client_auth": True}
    target = await serve(world, server_credentials(certificates, **options))
    call = world.channel(target, grpc.ssl_channel_credentials(authority)).unary_unary(method("unary_unary"))(
        b""
    )
    assert await call.code() is StatusCode.UNAVAILABLE


async def test_credentials_of_a_call_become_metadata(world: World, certificates: Certificates) -> None:
    seen: list[dict[str, Any]] = []

    async def handle(request: bytes, context: Context) -> bytes:
        seen.append(dict(context.invocation_metadata()))
        return b""

    target = await serve(world, server_credentials(certificates), handle)
    channel = world.channel(
        target,
        grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(certificates.ca.read_bytes()),
            grpc.access_token_call_credentials("of-the-channel"),
        ),
    )
    await channel.unary_unary(method("unary_unary"))(b"")
    assert seen[0]["authorization"] == "Bearer of-the-channel"
    plain = world.channel(target, grpc.ssl_channel_credentials(certificates.ca.read_bytes()))
    await plain.unary_unary(method("unary_unary"))(
        b"", credentials=grpc.access_token_call_credentials("of-the-call")
    )
    assert seen[1]["authorization"] == "Bearer of-the-call"
